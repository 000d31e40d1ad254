"""What speech to pose must beat: a pose that does not move, a straight line, another moment."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from speech2video.data.audio2pose.dataset import MotionClip, normalised_features, pose_statistics
from speech2video.models.audio2pose.predictor import PosePredictor

REACH = 6  # frames of speech on either side that the ridge regression hears
PENALTIES = (1e1, 1e2, 1e3, 1e4, 1e5)  # tried on the last fifth of the training frames


def mean_pose(train: Sequence[MotionClip], test: Sequence[MotionClip]) -> list[Tensor]:
    """Return the training data's mean pose, held."""
    mean_P, _ = pose_statistics(train)
    return [mean_P.expand(len(recording), -1) for recording in test]


def shuffled(train: Sequence[MotionClip], test: Sequence[MotionClip]) -> list[Tensor]:
    """Return true motion of another moment: the training data's, from its beginning on."""
    pose_NP = torch.cat([recording.pose_TP for recording in train])
    moved, begin = [], 0
    for recording in test:
        rows = (begin + torch.arange(len(recording))) % len(pose_NP)
        moved.append(pose_NP[rows])
        begin += len(recording)
    return moved


def ridge(
    train: Sequence[MotionClip], test: Sequence[MotionClip], predictor: PosePredictor
) -> list[Tensor]:
    """Return the poses of a ridge regression on the same features, a quarter second around."""
    x_ND = np.concatenate([_heard(recording, predictor) for recording in train])
    y_NP = np.concatenate([recording.pose_TP.numpy() for recording in train]).astype(np.float64)
    mean_D, std_D = x_ND.mean(0), x_ND.std(0).clip(min=1e-3)
    mean_P = y_NP.mean(0)
    x_ND, y_NP = (x_ND - mean_D) / std_D, y_NP - mean_P
    kept = len(x_ND) * 4 // 5
    scale_P = y_NP.std(0).clip(min=1e-2)

    def error(penalty: float) -> float:
        weights = _solve(x_ND[:kept], y_NP[:kept], penalty)
        return float(np.square((x_ND[kept:] @ weights - y_NP[kept:]) / scale_P).mean())

    weights_DP = _solve(x_ND, y_NP, min(PENALTIES, key=error))
    poses = [
        mean_P + (_heard(recording, predictor) - mean_D) / std_D @ weights_DP for recording in test
    ]
    return [torch.from_numpy(pose_TP).float() for pose_TP in poses]


def _heard(recording: MotionClip, predictor: PosePredictor) -> np.ndarray:
    """Return features (T, 13 F): each frame with its neighbours."""
    prior_F = predictor.network.voice_mean.numpy()
    features_TF = normalised_features(recording.audio_S, predictor.features, prior_F)
    padded = np.pad(features_TF[: len(recording)], ((REACH, REACH), (0, 0)), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * REACH + 1, axis=0)
    return windows.reshape(len(windows), -1).astype(np.float64)


def _solve(x_ND: np.ndarray, y_NP: np.ndarray, penalty: float) -> np.ndarray:
    gram = x_ND.T @ x_ND
    gram[np.diag_indices(len(gram))] += penalty
    return np.linalg.solve(gram, x_ND.T @ y_NP)
