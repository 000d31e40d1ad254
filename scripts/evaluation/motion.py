"""Evaluation of audio2pose on held-out clips in free rollout, compared with baselines."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from evaluation.motion_gestures import body_points, gesture_metrics
from evaluation.tables import BLOCK, Metrics
from speech2video.data.audio2pose import dataset
from speech2video.data.audio2pose.dataset import MotionClip
from speech2video.data.gestures.insertion import GestureInserter
from speech2video.data.motion_io import read_motion
from speech2video.data.splits import split_clips
from speech2video.models.audio2pose.predictor import PosePredictor
from speech2video.models.evaluators.gesture_distance import GestureDistance
from speech2video.options.audio2pose import TrainAudio2PoseOptions
from speech2video.options.evaluation import EvaluateMotionOptions
from speech2video.util.audio.normalisation import speech_features
from speech2video.util.body.body_model import Body
from speech2video.util.body.pose_vector import vector_to_smplx
from speech2video.util.checkpoint_folder import OPTIONS_FILE, resolve_checkpoint
from speech2video.util.errors import DataError
from speech2video.util.metrics import motion, statistics
from speech2video.util.metrics.motion import LIPS, align_heads, lip_opening, lip_vertex_error
from speech2video.util.metrics.statistics import correlation
from speech2video.util.timing import FPS

MAX_LAG = 5  # frames
BEAT_SECTION = 4 * FPS  # frames over which beat constancy is measured for its interval
CONTEXT = 6  # frames of features on either side for the ridge regression
PENALTIES = (1e1, 1e2, 1e3, 1e4, 1e5)  # selected on the last fifth of the training frames

GROUND_TRUTH, MODEL, WITHOUT_GESTURES = "ground_truth", "model", "model_without_gestures"

Clips = Sequence[MotionClip]
Motions = dict[str, list[Tensor]]  # pose vectors of each held-out clip, by system


def evaluate(options: EvaluateMotionOptions) -> Metrics:
    """Return the metrics of all systems, improvements over baselines, and gesture metrics.

    Raises:
        DataError: no such run or dataset, or nothing held out.
    """
    folder = options.checkpoints / options.name / TrainAudio2PoseOptions.KIND
    predictor = PosePredictor.load(
        folder, body=options.body, face_motion_scale=options.face_motion_scale
    )
    body = predictor.body
    train, test = _load_clips(options, body)
    predict, seed = predictor.predict_from_audio, options.seed
    predicted = [predict(c.audio_S, seed=seed, smooth=options.smooth)[: len(c)] for c in test]
    motions: Motions = {GROUND_TRUTH: [clip.pose_TP for clip in test], MODEL: predicted}
    metrics: Metrics = {}
    if options.gestures is not None:
        inserter = GestureInserter.load(options.gestures, body)
        motions[MODEL] = [
            inserter.apply(pose_TP, inserter.plan(clip.words, frames=len(clip), seed=seed))
            for pose_TP, clip in zip(predicted, test, strict=True)
        ]
        motions[WITHOUT_GESTURES] = predicted
        metrics["gestures"] = gesture_metrics(inserter, test, predicted, body)
    baselines = {
        "mean_pose": mean_pose(train, test),
        "ridge": ridge_regression(train, test, predictor),
        "shuffled": shuffled(train, test),
    }
    motions |= baselines
    distances = gesture_distances(motions, body)
    return {
        "held_out": {c.name: {"seconds": len(c) / FPS, "words": len(c.words)} for c in test},
        "systems": {
            name: system_metrics(poses, test, body) | distances.get(name, {})
            for name, poses in motions.items()
        },
        "improvement_over_baselines": improvements(motions, tuple(baselines), test, body, options),
        **metrics,
    }


def system_metrics(poses: Sequence[Tensor], test: Clips, body: Body) -> Metrics:
    """Return a system's metrics, averaged over clips weighted by length."""
    rows = [_clip_metrics(pose, clip, body) for pose, clip in zip(poses, test, strict=True)]
    weights = np.array([len(clip) for clip in test], float)
    means = {}
    for name in rows[0]:
        values = np.array([row[name] for row in rows])
        known = np.isfinite(values)
        means[name] = (
            float(np.average(values[known], weights=weights[known])) if known.any() else np.nan
        )
    return means


def _clip_metrics(pose_TP: Tensor, clip: MotionClip, body: Body) -> dict[str, float]:
    points, true_points = (body_points(pose, body) for pose in (pose_TP, clip.pose_TP))
    opening_T, true_opening_T = lip_opening(points), lip_opening(true_points)
    lag_curve = statistics.lag_correlations(true_opening_T, opening_T, MAX_LAG)
    lag, best = statistics.best_lag(lag_curve)
    true_range = true_opening_T.std()
    rotations, true_rotations = _rotations(pose_TP, body), _rotations(clip.pose_TP, body)
    error = motion.joint_position_error(points, true_points)
    lips, true_lips = align_heads(points, true_points)[:, LIPS], true_points[:, LIPS]
    return {
        "lip_correlation": correlation(true_opening_T, opening_T),
        "lip_best_correlation": best,
        "lip_lag_frames": np.nan if lag is None else float(lag),
        "lip_range": float(opening_T.std() / true_range) if true_range else np.nan,
        "lip_opening_error_mm": 1000 * float(np.abs(opening_T - true_opening_T).mean()),
        "lip_vertex_error_mm": 1000 * lip_vertex_error(lips, true_lips),
        **{f"{part}_mm": 1000 * value for part, value in error.items()},
        "lvd_talkshow_mm": 1000 * motion.lvd_talkshow(lips, true_lips),
        "lvd_emage": motion.lvd_emage(*(p.reshape(len(p), -1) for p in (lips, true_lips))),
        "beat_constancy": _beat_constancy(rotations, true_rotations, clip),
        "l1_diversity": motion.l1_diversity(rotations.reshape(len(rotations), -1)),
        "srgr": motion.srgr(rotations, true_rotations),
        "hand_energy": motion.hand_energy_ratio(points, true_points),
        "acceleration": motion.derivative_ratio(points, true_points, order=motion.ACCELERATION),
        "jerk": motion.derivative_ratio(points, true_points, order=motion.JERK),
        "frames_over_limits": motion.limit_violations(rotations),
    }


def gesture_distances(motions: Motions, body: Body) -> dict[str, Metrics]:
    """Return each system's Fréchet gesture distance with those of real motion and noise."""
    distance = GestureDistance.load(body.hands)
    try:
        true = motions[GROUND_TRUTH]
        found = {name: distance.compare(poses, true) for name, poses in motions.items()}
    except DataError:  # clips shorter than a window
        return {}
    return {
        name: {"fgd": d.distance, "fgd_real": d.real_distance, "fgd_noise": d.noise_distance}
        for name, d in found.items()
    }


def improvements(
    motions: Motions,
    baselines: Sequence[str],
    test: Clips,
    body: Body,
    options: EvaluateMotionOptions,
) -> Metrics:
    """Return the model's improvements over each baseline, with 95 % bootstrap intervals.

    Frames are drawn in paired blocks of a second. Beat constancy is compared by its distance to
    that of ground truth, over sections of four seconds.
    """
    openings, beats = {}, {}
    for name, poses in motions.items():
        openings[name] = np.concatenate([lip_opening(body_points(pose, body)) for pose in poses])
        sections = [_beat_sections(p, clip, body) for p, clip in zip(poses, test, strict=True)]
        beats[name] = np.concatenate(sections)
    comparisons: dict[str, tuple[Callable[..., float], dict[str, np.ndarray], int]] = {
        "lip_correlation": (_correlation_gain, openings, BLOCK),
        "lip_error_mm": (_error_gain, openings, BLOCK),
        "beat_constancy": (_beat_gain, beats, 1),
    }
    rows: Metrics = {baseline: {} for baseline in baselines}
    for baseline, row in rows.items():
        for name, (gain, values, block) in comparisons.items():
            samples = (values[GROUND_TRUTH], values[MODEL], values[baseline])
            block, draws = min(block, len(samples[0])), options.bootstrap_samples
            found = statistics.bootstrap_interval(gain, *samples, block=block, draws=draws)
            names = (f"{name}_{end}" for end in ("improvement", "low", "high"))
            row |= dict(zip(names, found, strict=True))
    return rows


def mean_pose(train: Clips, test: Clips) -> list[Tensor]:
    """Return the static mean pose of the training data."""
    mean_P, _ = dataset.pose_statistics(train)
    return [mean_P.expand(len(clip), -1) for clip in test]


def shuffled(train: Clips, test: Clips) -> list[Tensor]:
    """Return true motion of other speech: the training data's, from its start."""
    pose_NP = torch.cat([clip.pose_TP for clip in train])
    motions, begin = [], 0
    for clip in test:
        motions.append(pose_NP[(begin + torch.arange(len(clip))) % len(pose_NP)])
        begin += len(clip)
    return motions


def ridge_regression(train: Clips, test: Clips, predictor: PosePredictor) -> list[Tensor]:
    """Return the poses of a ridge regression on the model's features with `CONTEXT` frames."""
    x_ND = np.concatenate([_context_features(clip, predictor) for clip in train])
    y_NP = np.concatenate([clip.pose_TP.numpy() for clip in train]).astype(np.float64)
    mean_D, std_D = x_ND.mean(0), x_ND.std(0).clip(min=1e-3)
    mean_P = y_NP.mean(0)
    x_ND, y_NP = (x_ND - mean_D) / std_D, y_NP - mean_P
    kept = len(x_ND) * 4 // 5
    scale_P = y_NP.std(0).clip(min=1e-2)

    def error(penalty: float) -> float:
        weights = _solve_ridge(x_ND[:kept], y_NP[:kept], penalty)
        return float(np.square((x_ND[kept:] @ weights - y_NP[kept:]) / scale_P).mean())

    weights_DP = _solve_ridge(x_ND, y_NP, min(PENALTIES, key=error))
    inputs = ((_context_features(clip, predictor) - mean_D) / std_D for clip in test)
    return [torch.from_numpy(mean_P + x_TD @ weights_DP).float() for x_TD in inputs]


def _context_features(clip: MotionClip, predictor: PosePredictor) -> np.ndarray:
    """Return features (T, 13 F) of each frame and its neighbours."""
    prior_F = predictor.network.voice_mean.numpy()
    features_TF = speech_features(clip.audio_S, predictor.features, prior_F)
    padded = np.pad(features_TF[: len(clip)], ((CONTEXT, CONTEXT), (0, 0)), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * CONTEXT + 1, axis=0)
    return windows.reshape(len(windows), -1).astype(np.float64)


def _solve_ridge(x_ND: np.ndarray, y_NP: np.ndarray, penalty: float) -> np.ndarray:
    gram = x_ND.T @ x_ND
    gram[np.diag_indices(len(gram))] += penalty
    return np.linalg.solve(gram, x_ND.T @ y_NP)


def _load_clips(
    options: EvaluateMotionOptions, body: Body
) -> tuple[list[MotionClip], list[MotionClip]]:
    """Return the run's training and held-out clips, the latter with ground truth if given."""
    folder = options.checkpoints / options.name / TrainAudio2PoseOptions.KIND
    trained = TrainAudio2PoseOptions.load(resolve_checkpoint(folder) / OPTIONS_FILE)
    clips = dataset.load_motion_clips(options.dataset or trained.dataset, body)
    held_out, seconds = options.held_out or trained.held_out, trained.held_out_seconds
    train, test = split_clips(clips, held_out=held_out, seconds=seconds)
    if options.ground_truth is not None:
        true_clips = [
            replace(clip, pose_TP=read_true_pose(options.ground_truth / clip.name, len(clip), body))
            for clip in clips
        ]
        _, test = split_clips(true_clips, held_out=held_out, seconds=seconds)
    return train, test


def read_true_pose(folder: Path, frames: int, body: Body) -> Tensor:
    """Return the pose vectors (T, 106) of a clip's ground truth, which may be a frame off.

    Raises:
        DataError: a missing or broken motion file, or one of another length.
    """
    pose_TP = read_motion(folder / "pose.npz").resample().pose_vector(body)
    if abs(len(pose_TP) - frames) > 1:
        raise DataError(f"{folder}: {len(pose_TP)} frames of ground truth; the clip has {frames}")
    return torch.cat((pose_TP, pose_TP[-1:]))[:frames]


def _rotations(pose_TP: Tensor, body: Body) -> np.ndarray:
    return vector_to_smplx(pose_TP, body.hands).rotations.double().numpy()


def _beat_constancy(rotations: np.ndarray, true: np.ndarray, clip: MotionClip) -> float:
    onsets = motion.speech_onsets(clip.audio_S)
    if not len(onsets):
        return float("nan")
    mean_speed_J = motion.joint_speeds(true, fps=FPS).mean(0)
    return motion.beat_constancy(rotations, onsets, fps=FPS, mean_speed_J=mean_speed_J)


def _beat_sections(pose_TP: Tensor, clip: MotionClip, body: Body) -> np.ndarray:
    """Return the beat constancy of each `BEAT_SECTION` of a clip."""
    found = []
    for begin in range(0, max(len(clip) - BEAT_SECTION // 2, 1), BEAT_SECTION):
        part = clip.part(begin, min(begin + BEAT_SECTION, len(clip)))
        own, true = (_rotations(p, body) for p in (pose_TP[begin:][: len(part)], part.pose_TP))
        found.append(_beat_constancy(own, true, part))
    return np.array(found)


def _correlation_gain(true: np.ndarray, own: np.ndarray, other: np.ndarray) -> float:
    baseline = correlation(true, other)
    # A static opening counts as correlation 0.
    return correlation(true, own) - (baseline if np.isfinite(baseline) else 0.0)


def _error_gain(true: np.ndarray, own: np.ndarray, other: np.ndarray) -> float:
    return 1000 * float(np.abs(true - other).mean() - np.abs(true - own).mean())


def _beat_gain(true: np.ndarray, own: np.ndarray, other: np.ndarray) -> float:
    own_error, error = (abs(np.nanmean(values) - np.nanmean(true)) for values in (own, other))
    return float(error - own_error)
