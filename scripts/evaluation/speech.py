"""Evaluation of a speaker end to end: videos generated from speech, compared with recordings.

Lip openings are of these systems:
  generated  detected in the generated video
  pose       of the predicted pose: audio2pose without the renderer
  real       detected in the recording (without landmarks, of the fitted pose)

They are correlated with the recording's, with ground truth and with the loudness of the speech.
Correlations are independent of scale, so the recording may be of another person. With --phones they
are also compared with the viseme rules': in 3D those of the pose, as projected the detected ones.
"""

import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from evaluation import lip_sync, speech_trials
from evaluation.lip_sync import mouth_metrics, sync_metrics
from evaluation.speech_trials import GeneratedVideo, Trial, memory_map
from evaluation.tables import REAL, Metrics, file_name, mean_row
from evaluation.video_baselines import real_frames
from evaluation.video_metrics import (
    detect_points,
    detected_hand_speed,
    detection_rates,
    image_metrics,
)
from speech2video.models.pipelines.body_video import POSE2VIDEO, BodySpeaker
from speech2video.models.pose2video.renderer import read_renderer_options
from speech2video.options.evaluation import EvaluateSpeechOptions
from speech2video.options.inference import BodyVideoOptions
from speech2video.util.audio.audio_io import load_audio
from speech2video.util.body.skeleton import indices
from speech2video.util.checkpoint_folder import OPTIONS_FILE, resolve_checkpoint
from speech2video.util.metrics.motion import (
    EYE_CORNERS,
    hand_energy_ratio,
    lip_opening,
    mean_derivative,
)
from speech2video.util.timing import FPS
from speech2video.util.video.reader import read_frames
from speech2video.util.video.writer import write_video

GENERATED, POSE, GROUND_TRUTH = "generated", "pose", "ground_truth"
WRISTS = indices(("left_wrist", "right_wrist"))
INFERENCE_OPTIONS = (  # that are the same in test.py
    "name", "checkpoints", "body", "gestures", "seed", "smooth", "face_motion_scale",
    "device", "precision", "threads",
)  # fmt: skip
MIN_HANDS = 0.3  # share of a recording's frames with a hand from which hand motion is compared

Systems = Mapping[str, np.ndarray]


class TrialMetrics(NamedTuple):
    """Measurements of one speech.

    Attributes:
        frames: number of frames, T.
        openings: lip openings (T,) by system and, where known, of ground truth.
        curves: lag curves by reference and system.
        tables: metrics by table and system.
        rules: comparison with the viseme rules by system, where the phones are known.
    """

    frames: int
    openings: dict[str, np.ndarray]
    curves: dict[str, dict[str, np.ndarray]]
    tables: dict[str, dict[str, Metrics]]
    rules: dict[str, Metrics]


def evaluate(options: EvaluateSpeechOptions) -> Metrics:
    """Return metrics of lips, mouth, hands and image; write plots and videos.

    Without --render the metrics are those of the poses.

    Raises:
        DataError: no such speaker or dataset, or an invalid clip or audio file.
        UserError: MediaPipe is not installed.
    """
    renderer = options.checkpoints / options.name / POSE2VIDEO
    trained = None
    if options.render or renderer.is_dir():
        trained = read_renderer_options(resolve_checkpoint(renderer) / OPTIONS_FILE)
    dataset = speech_trials.find_dataset(options, trained)
    has_words = bool(options.words) or (dataset is not None and any(dataset.glob("*/words.csv")))
    inference = BodyVideoOptions(
        audio=options.output,  # a placeholder: each trial has its own audio
        words=dataset or options.output if has_words else None,
        skeleton=not options.render,
        **{name: getattr(options, name) for name in INFERENCE_OPTIONS},
    )
    loaded = BodySpeaker.load(inference, torch.device(options.device))
    evaluator = _SpeechEvaluator(options)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for trial in speech_trials.load_trials(options, dataset, trained, loaded, folder):
            made = speech_trials.generate(loaded, trial, inference, options.output, folder)
            evaluator.add(trial, made)
    about = {
        "speaker": loaded.provenance,
        "speeches": " ".join(evaluator.trials),
        "seconds": sum(one.frames for one in evaluator.trials.values()) / FPS,
        "size": f"{loaded.size[0]}x{loaded.size[1]}",
        "seed": options.seed,
        "lags": "frames by which the lips are late",
        "mouth": "mean opening relative to its own range",
        "landmarks": "MediaPipe" if evaluator.detects else "none: lips of the poses",
    }
    return {"about": about} | evaluator.metrics()


class _SpeechEvaluator:
    """Collects the metrics of all trials."""

    def __init__(self, options: EvaluateSpeechOptions) -> None:
        self._options = options
        self.detects = options.render and options.landmarks
        self.trials: dict[str, TrialMetrics] = {}
        self._plots: dict[str, str] = {}
        self._videos: dict[str, str] = {}

    def add(self, trial: Trial, generated: GeneratedVideo) -> None:
        """Measure one speech, and write its plot and its video next to the recording."""
        name, output, audio = trial.speech.stem, self._options.output, trial.speech.audio
        assert audio is not None
        audio_S = load_audio(audio)
        with tempfile.TemporaryFile() as generated_file, tempfile.TemporaryFile() as real_file:
            count = len(generated.points_TK3)
            if trial.video is not None:
                count = min(count, len(trial.video))
            frames = {}
            if generated.video is not None:
                made = read_frames(generated.video, fps=FPS)
                frames[GENERATED] = memory_map(generated_file, made, most=count)
                count = len(frames[GENERATED])
            if generated.video is not None and trial.video is not None:
                frames[REAL] = memory_map(real_file, real_frames(trial.video), most=count)
            detected = {}
            if self.detects:
                detected = {system: detect_points(video) for system, video in frames.items()}
            self.trials[name] = measure(trial, generated, frames, detected, audio_S, count=count)
            if frames:
                self._videos[name] = f"{file_name(name)}.mp4"
            if REAL in frames:
                pairs = zip(frames[REAL], frames[GENERATED], strict=True)
                columns = (np.concatenate(pair, axis=2) for pair in pairs)
                write_video(output / self._videos[name], columns, fps=FPS, audio=audio)
        self._plots[name] = f"{file_name(name)}.svg"
        lip_sync.write_plot(output / self._plots[name], audio_S, self.trials[name].openings)

    def metrics(self) -> Metrics:
        """Return tables over all speeches, a summary of each, and the plots and videos."""
        curves = _by_system((one.curves for one in self.trials.values()), sync_metrics)
        return {
            **{f"lips_with_{reference}": systems for reference, systems in curves.items()},
            **_by_system((one.tables for one in self.trials.values()), mean_row),
            **self._rules(),
            "speeches": {name: _summary(one) for name, one in self.trials.items()},
            "lip_openings": self._plots,
            **({"real_and_generated": self._videos} if self._videos else {}),
        }

    def _rules(self) -> Metrics:
        """Return a table for each system: its comparison with the rules by speech, and the mean."""
        tables: dict[str, Metrics] = defaultdict(dict)
        for name, one in self.trials.items():
            for system, row in one.rules.items():
                tables[f"{system}_lips_with_rules"][name] = row
        return {name: rows | {"mean": mean_row([*rows.values()])} for name, rows in tables.items()}


def measure(
    trial: Trial,
    generated: GeneratedVideo,
    frames: Systems,
    detected: Systems,
    audio_S: np.ndarray,
    *,
    count: int,
) -> TrialMetrics:
    """Measure one speech.

    Args:
        trial: the speech with recording and ground truth, where available.
        generated: the speaker's video and pose.
        frames: (T, 3, H, W) uint8 of the generated video and the recording, if rendered.
        detected: points (T, 144, 2) in them; empty without detection.
        audio_S: 16 kHz.
        count: number of frames, T.
    """
    points = {GENERATED: generated.points_TK2[:count]}
    openings = {system: lip_opening(detected_TK2) for system, detected_TK2 in detected.items()}
    openings[POSE] = lip_opening(points[GENERATED])
    if trial.video is not None:
        points[REAL] = trial.video.points_TK2[:count]
        openings.setdefault(REAL, lip_opening(points[REAL]))
    loudness_T = lip_sync.loudness(audio_S, count)
    references = {"loudness": loudness_T}
    if REAL in openings:
        references[REAL] = openings[REAL]
    plotted = {}
    if trial.true_opening_T is not None:
        plotted[GROUND_TRUTH] = references[GROUND_TRUTH] = trial.true_opening_T[:count]
    curves = {
        reference: {
            system: lip_sync.lag_curve(reference_T, opening_T)
            for system, opening_T in openings.items()
            if system != reference
        }
        for reference, reference_T in references.items()
    }
    silent_T = lip_sync.silences(loudness_T)
    tables = {
        "mouth": {system: mouth_metrics(o_T, silent_T) for system, o_T in openings.items()},
        "hands": _hand_metrics(trial, generated, detected, count),
    }
    if frames:
        tables["image"] = {s: image_metrics(video, points[s]) for s, video in frames.items()}
    if detected:
        tables["detected"] = {system: detection_rates(d_TK2) for system, d_TK2 in detected.items()}
    rules = _rules_metrics(trial, generated, openings, count) if trial.phones else {}
    return TrialMetrics(count, plotted | openings, curves, tables, rules)


def _rules_metrics(
    trial: Trial, generated: GeneratedVideo, openings: Systems, count: int
) -> dict[str, Metrics]:
    """Compare the lips of the pose, and those detected in the video, with the viseme rules'."""
    points_TK3, ruled_TK3, ruled_TK2 = (
        generated.points_TK3,
        generated.ruled_TK3,
        generated.ruled_TK2,
    )
    assert ruled_TK3 is not None and ruled_TK2 is not None
    pairs = {POSE: (lip_opening(points_TK3), lip_opening(ruled_TK3))}
    if GENERATED in openings:
        eyes_TE3 = points_TK3[:, EYE_CORNERS]
        unit = float(np.linalg.norm(eyes_TE3[:, 0] - eyes_TE3[:, 1], axis=1).mean())
        pairs[GENERATED] = (unit * openings[GENERATED], unit * lip_opening(ruled_TK2))
    return {
        system: lip_sync.rules_metrics(opening_T[:count], ruled_T[:count], trial.phones)
        for system, (opening_T, ruled_T) in pairs.items()
    }


def _hand_metrics(
    trial: Trial, generated: GeneratedVideo, detected: Systems, count: int
) -> dict[str, Metrics]:
    """Return the speed of wrists in the poses (m/s) and of hands detected in the videos."""
    poses = {GENERATED: generated.points_TK3[:count]}
    if trial.recorded_TK3 is not None:
        poses[REAL] = trial.recorded_TK3[:count]
    rows: dict[str, Metrics] = {}
    for system, points_TK3 in poses.items():
        speed = mean_derivative(points_TK3[:, WRISTS], order=1, fps=FPS)
        rows[system] = {"wrist_speed": speed}
        if detected:
            rows[system]["detected_hand_speed"] = detected_hand_speed(detected[system])
    rates = detection_rates(detected[REAL]) if REAL in detected else {}
    visible = max(rates.get("left_hand", 1), rates.get("right_hand", 1)) >= MIN_HANDS
    if REAL in poses and visible:
        rows[GENERATED]["energy_ratio"] = hand_energy_ratio(poses[GENERATED], poses[REAL])
    return rows


def _summary(one: TrialMetrics) -> Metrics:
    system = GENERATED if GENERATED in one.openings else POSE
    row: Metrics = {"seconds": one.frames / FPS}
    for reference, systems in one.curves.items():
        sync = sync_metrics([systems[system]])
        row[f"{reference}_lag"] = sync["lag_frames"]
        row[f"{reference}_within_1"] = sync["within_1_frame"]
    mouth = one.tables["mouth"][system]
    return row | {name: mouth[name] for name in ("in_silence", "in_speech")}


def _by_system(
    trials: Iterable[Mapping[str, Mapping]], summarise: Callable[[list], Metrics]
) -> dict[str, Metrics]:
    """Summarise the values of all trials by table and system."""
    lists: dict[str, dict[str, list]] = defaultdict(lambda: defaultdict(list))
    for tables in trials:
        for name, systems in tables.items():
            for system, value in systems.items():
                lists[name][system].append(value)
    return {
        name: {system: summarise(values) for system, values in systems.items()}
        for name, systems in lists.items()
    }
