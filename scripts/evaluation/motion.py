"""Speech to pose on held-out clips, from free rollout, beside baselines and the truth itself."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from evaluation import motion_baselines
from evaluation.motion_gestures import gesture_metrics, points_of
from evaluation.tables import Metrics
from speech2video.data.audio2pose.dataset import MotionClip, load_motion_clips
from speech2video.data.gestures.insertion import GestureInserter
from speech2video.data.motion_io import read_motion
from speech2video.data.splits import split_clips
from speech2video.models.audio2pose.predictor import PosePredictor
from speech2video.models.evaluators.gesture_distance import GestureDistance
from speech2video.options.audio2pose import TrainAudio2PoseOptions
from speech2video.options.evaluation import EvaluateMotionOptions
from speech2video.util.body.body_model import Body
from speech2video.util.body.pose_vector import vector_to_smplx
from speech2video.util.checkpoint_folder import OPTIONS_FILE, resolve_checkpoint
from speech2video.util.errors import DataError
from speech2video.util.metrics import motion as metrics
from speech2video.util.metrics.motion import beat_constancy, joint_speeds, speech_onsets
from speech2video.util.metrics.points import (
    LIPS,
    align_heads,
    lip_opening,
    lip_vertex_error,
)
from speech2video.util.metrics.statistics import (
    best_lag,
    bootstrap_interval,
    correlation,
    lag_correlations,
)
from speech2video.util.timing import FPS

LONGEST_LAG = 5  # frames
BLOCK = 25  # frames that the bootstrap draws together

Motions = dict[str, list[Tensor]]  # poses of each held-out clip, by who made them


def evaluate(options: EvaluateMotionOptions) -> Metrics:
    """Return one table of all systems, what is beaten for sure, and how the dictionary did.

    Raises:
        DataError: no such run or data set, or nothing held out.
    """
    folder = options.checkpoints / options.name / TrainAudio2PoseOptions.KIND
    predictor = PosePredictor.load(
        folder, body=options.body, face_motion_scale=options.face_motion_scale
    )
    train, test = _recordings(options, predictor.body)
    motions: Motions = {"truth": [recording.pose_TP for recording in test]}
    plain = [
        predictor.predict_from_audio(recording.audio_S, seed=options.seed, smooth=options.smooth)[
            : len(recording)
        ]
        for recording in test
    ]
    figures: Metrics = {}
    if options.gestures is None:
        motions["ours"] = plain
    else:
        inserter = GestureInserter.load(options.gestures, predictor.body)
        timelines = [inserter.plan(r.words, frames=len(r), seed=options.seed) for r in test]
        motions["ours"] = [
            inserter.apply(pose_TP, timeline)
            for pose_TP, timeline in zip(plain, timelines, strict=True)
        ]
        motions["ours_without_gestures"] = plain
        figures["gestures"] = gesture_metrics(inserter, test, plain, predictor.body)
    motions |= _baselines(train, test, predictor)
    table = {name: judge(poses, test, predictor.body) for name, poses in motions.items()}
    distances = gesture_distances(motions, test, predictor.body)
    for name, distance in distances.items():
        table[name] |= distance
    return {
        "held_out": {r.name: {"seconds": len(r) / FPS, "words": len(r.words)} for r in test},
        "systems": table,
        "ours_less_baseline": compare(motions, test, predictor.body, options),
        **figures,
    }


def judge(poses: Sequence[Tensor], test: Sequence[MotionClip], body: Body) -> Metrics:
    """Return the means over clips, weighted by their lengths, of all that is measured on each."""
    rows = [_judge_one(pose, recording, body) for pose, recording in zip(poses, test, strict=True)]
    weights = np.array([len(recording) for recording in test], float)
    return {name: _weighted([row[name] for row in rows], weights) for name in rows[0]}


def _judge_one(pose_TP: Tensor, recording: MotionClip, body: Body) -> dict[str, float]:
    points, truth = (points_of(pose, body) for pose in (pose_TP, recording.pose_TP))
    gap_T, true_gap_T = lip_opening(points), lip_opening(truth)
    lag, best = best_lag(lag_correlations(true_gap_T, gap_T, LONGEST_LAG))
    rotations, true_rotations = (
        vector_to_smplx(pose, body.hands).rotations.double().numpy()
        for pose in (pose_TP, recording.pose_TP)
    )
    error = metrics.joint_position_error(points, truth)
    faces = [align_heads(points, truth)[:, LIPS], truth[:, LIPS]]
    return {
        "lip_correlation": correlation(true_gap_T, gap_T),
        "lip_best_correlation": best,
        "lip_lag_frames": np.nan if lag is None else float(lag),
        "lip_range": float(gap_T.std() / true_gap_T.std()) if true_gap_T.std() else np.nan,
        "lip_gap_error_mm": 1000 * float(np.abs(gap_T - true_gap_T).mean()),
        "lip_vertex_error_mm": 1000 * lip_vertex_error(*faces),
        **{f"{part}_mm": 1000 * value for part, value in error.items()},
        "lvd_talkshow_mm": 1000 * metrics.lvd_talkshow(*faces),
        "lvd_emage": metrics.lvd_emage(*(face.reshape(len(face), -1) for face in faces)),
        "beat_constancy": _beats(rotations, true_rotations, recording),
        "l1_diversity": metrics.l1_diversity(rotations.reshape(len(rotations), -1)),
        "srgr": metrics.srgr(rotations, true_rotations),
        "hand_energy": metrics.hand_energy_ratio(points, truth),
        "acceleration": metrics.derivative_ratio(points, truth, order=2),
        "jerk": metrics.derivative_ratio(points, truth, order=3),
        "frames_over_limits": metrics.limit_violations(rotations),
    }


def gesture_distances(
    motions: Motions, test: Sequence[MotionClip], body: Body
) -> dict[str, Metrics]:
    """Return each system's Fréchet gesture distance, with its floor and ceiling beside it."""
    distance = GestureDistance.load(body.hands)
    try:
        truth = motions["truth"]
        found = {name: distance.compare(poses, truth) for name, poses in motions.items()}
    except DataError:  # clips shorter than its windows
        return {}
    return {
        name: {"fgd": one.distance, "fgd_floor": one.floor, "fgd_ceiling": one.ceiling}
        for name, one in found.items()
    }


def compare(
    motions: Motions, test: Sequence[MotionClip], body: Body, options: EvaluateMotionOptions
) -> Metrics:
    """Return by how much ours is better than each baseline, with 95 % bootstrap intervals.

    Frames are drawn in blocks of a second, the same for both. Of beats it is how near they come to
    the truth's own constancy, over pieces of four seconds.
    """
    truth = np.concatenate([lip_opening(points_of(r.pose_TP, body)) for r in test])
    gaps = {
        name: np.concatenate([lip_opening(points_of(pose, body)) for pose in poses])
        for name, poses in motions.items()
    }
    beats = {name: _beat_pieces(poses, test, body) for name, poses in motions.items()}
    measures: dict[str, tuple[Callable[..., float], dict[str, np.ndarray], int]] = {
        "lip_correlation": (_correlation_gain, gaps, BLOCK),
        "lip_error_mm": (_error_gain, gaps, BLOCK),
        "beat_constancy": (_beat_gain, beats, 1),
    }
    rows: Metrics = {}
    for baseline in ("mean_pose", "ridge", "shuffled"):
        rows[baseline] = {}
        for name, (gain, values, block) in measures.items():
            true = truth if values is gaps else beats["truth"]
            samples = (true, values["ours"], values[baseline])
            found = bootstrap_interval(
                gain, *samples, block=min(block, len(true)), draws=options.draws
            )
            rows[baseline] |= {
                f"{name}_better_by": found.value,
                f"{name}_low": found.low,
                f"{name}_high": found.high,
            }
    return _finite(rows)


def _recordings(
    options: EvaluateMotionOptions, body: Body
) -> tuple[list[MotionClip], list[MotionClip]]:
    """Return what the run trained on and what it held out; the latter with its truth if given."""
    folder = options.checkpoints / options.name / TrainAudio2PoseOptions.KIND
    trained = TrainAudio2PoseOptions.load(resolve_checkpoint(folder) / OPTIONS_FILE)
    recordings = load_motion_clips(options.dataset or trained.dataset, body)
    how = {
        "held_out": options.held_out or trained.held_out,
        "seconds": trained.held_out_seconds,
    }
    train, test = split_clips(recordings, **how)
    if options.truth is not None:
        true = [
            replace(r, pose_TP=_truth(options.truth / r.name, len(r), body)) for r in recordings
        ]
        _, test = split_clips(true, **how)
    return train, test


def _truth(folder: Path, frames: int, body: Body) -> Tensor:
    pose_TP = read_motion(folder / "pose.npz").resample().pose_vector(body)
    if abs(len(pose_TP) - frames) > 1:
        raise DataError(f"{folder}: {len(pose_TP)} frames of truth; the clip has {frames}")
    return torch.cat((pose_TP, pose_TP[-1:]))[:frames]


def _baselines(
    train: Sequence[MotionClip], test: Sequence[MotionClip], predictor: PosePredictor
) -> Motions:
    return {
        "mean_pose": motion_baselines.mean_pose(train, test),
        "ridge": motion_baselines.ridge(train, test, predictor),
        "shuffled": motion_baselines.shuffled(train, test),
    }


def _beats(rotations: np.ndarray, truth: np.ndarray, recording: MotionClip) -> float:
    onsets = speech_onsets(recording.audio_S)
    if not len(onsets):
        return float("nan")
    usual_J = joint_speeds(truth, fps=FPS).mean(0)
    return beat_constancy(rotations, onsets, fps=FPS, mean_speed_J=usual_J)


def _beat_pieces(poses: Sequence[Tensor], test: Sequence[MotionClip], body: Body) -> np.ndarray:
    """Return the beat constancy of each four seconds."""
    pieces, long = [], 4 * FPS
    for pose_TP, recording in zip(poses, test, strict=True):
        for begin in range(0, max(len(recording) - long // 2, 1), long):
            end = min(begin + long, len(recording))
            part = recording.part(begin, end)
            rotations = [
                vector_to_smplx(p, body.hands).rotations.double().numpy()
                for p in (pose_TP[begin:end], part.pose_TP)
            ]
            pieces.append(_beats(*rotations, part))
    return np.array(pieces)


def _correlation_gain(truth: np.ndarray, ours: np.ndarray, other: np.ndarray) -> float:
    own, others = correlation(truth, ours), correlation(truth, other)
    return own - (others if np.isfinite(others) else 0.0)  # what does not move correlates with 0


def _error_gain(truth: np.ndarray, ours: np.ndarray, other: np.ndarray) -> float:
    return 1000 * float(np.abs(truth - other).mean() - np.abs(truth - ours).mean())


def _beat_gain(truth: np.ndarray, ours: np.ndarray, other: np.ndarray) -> float:
    own, others = (abs(np.nanmean(values) - np.nanmean(truth)) for values in (ours, other))
    return float(others - own)


def _weighted(values: list[float], weights: np.ndarray) -> float | None:
    known = np.isfinite(values)
    if not known.any():
        return None
    return float(np.average(np.array(values)[known], weights=weights[known]))


def _finite(rows: Metrics) -> Metrics:
    return {
        row: {name: value if np.isfinite(value) else None for name, value in values.items()}
        for row, values in rows.items()
    }
