"""A speaker as a whole: from the sound of held-out clips to videos, beside the recordings.

Videos are judged as anybody sees them, from the finished file. Lip openings are those of
  generated  lips found in the made video
  pose       the pose that was painted in it: what speech to pose does without the painter
  real       lips found in the recording (those of the fitted pose, without landmarks)
and go, or do not, with the recording's, the truth and the loudness of the speech. Correlations mind
no scale, so the recording may be of anybody who says the same.
"""

import tempfile
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch

from evaluation.lip_sync import sync_metrics, write_plot
from evaluation.speech_metrics import (
    GENERATED,
    Measured,
    in_a_row,
    kept_on_disk,
    mean,
    measure,
    recorded_frames,
)
from evaluation.speech_trials import Made, Trial, dataset_of, file_name, make, trials
from evaluation.tables import REAL, Metrics
from evaluation.video_landmarks import found_points
from speech2video.models.pipelines.body_video import POSE2VIDEO, BodySpeaker
from speech2video.models.pose2video.renderer import read_renderer_options
from speech2video.options.evaluation import EvaluateSpeechOptions
from speech2video.options.inference import BodyVideoOptions
from speech2video.util.audio.audio_io import load_audio
from speech2video.util.checkpoint_folder import OPTIONS_FILE, resolve_checkpoint
from speech2video.util.timing import FPS
from speech2video.util.video.reader import read_frames
from speech2video.util.video.writer import write_video

Lists = dict[str, dict[str, list]]


def evaluate(options: EvaluateSpeechOptions) -> Metrics:
    """Return tables of lips, mouth, hands and picture; write plots and videos.

    Raises:
        DataError: no such speaker or data set, or a clip or sound that is not right.
        UserError: MediaPipe is not installed.
    """
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    painter = options.checkpoints / options.name / POSE2VIDEO
    trained = read_renderer_options(resolve_checkpoint(painter) / OPTIONS_FILE)
    dataset = dataset_of(options, trained)
    how = _how(options, dataset)
    loaded = BodySpeaker.load(how, torch.device(options.device))
    judge = _Judge(options)
    with tempfile.TemporaryDirectory() as folder:
        for trial in trials(options, dataset, trained, loaded, Path(folder)):
            judge.see(trial, make(loaded, trial, how, options.output, Path(folder)))
    return _about(options, loaded, judge) | judge.figures()


class _Judge:
    """What is said of all speeches together."""

    def __init__(self, options: EvaluateSpeechOptions) -> None:
        self._options = options
        self.measured: dict[str, Measured] = {}
        self._plots: dict[str, str] = {}
        self._videos: dict[str, str] = {}

    def see(self, trial: Trial, made: Made) -> None:
        """Measure one speech, draw its plot, and show it beside its recording."""
        name, output = trial.speech.stem, self._options.output
        audio_S = load_audio(trial.speech.audio)
        with tempfile.TemporaryFile() as one, tempfile.TemporaryFile() as other:
            count = len(made.points_TK3)
            if trial.video is not None:
                count = min(count, len(trial.video))
            frames = {GENERATED: kept_on_disk(one, read_frames(made.video, fps=FPS), most=count)}
            if trial.video is not None:
                frames[REAL] = kept_on_disk(other, recorded_frames(trial.video), most=count)
            found = {}
            if self._options.landmarks:
                found = {system: found_points(video) for system, video in frames.items()}
            self.measured[name] = measure(trial, made, frames, found, audio_S)
            self._videos[name] = f"{file_name(name)}.mp4"
            if trial.video is not None:
                pairs = zip(frames[REAL], frames[GENERATED], strict=True)
                beside = (np.concatenate(pair, axis=2) for pair in pairs)
                path, audio = output / self._videos[name], trial.speech.audio
                write_video(path, beside, fps=FPS, audio=audio)
        self._plots[name] = f"{file_name(name)}.svg"
        write_plot(output / self._plots[name], audio_S, self.measured[name].openings)

    def figures(self) -> Metrics:
        """Return tables over all speeches, one of each speech, and what there is to be seen."""
        curves, tables = _by_system(self.measured.values())
        lips = {
            f"lips_with_{reference}": {
                system: sync_metrics(found) for system, found in systems.items()
            }
            for reference, systems in curves.items()
        }
        others = {
            table: {system: _means(rows) for system, rows in systems.items()}
            for table, systems in tables.items()
        }
        each = {
            "speeches": {name: in_a_row(one) for name, one in self.measured.items()},
            "lip_openings": self._plots,
            "real_and_generated": self._videos,
        }
        return lips | others | each


def _by_system(measured: Iterable[Measured]) -> tuple[Lists, Lists]:
    """Return all speeches' lag curves by reference and system, and figures by table and system."""
    curves: Lists = defaultdict(lambda: defaultdict(list))
    tables: Lists = defaultdict(lambda: defaultdict(list))
    for one in measured:
        for lists, found in ((curves, one.curves), (tables, one.figures)):
            for name, systems in found.items():
                for system, value in systems.items():
                    lists[name][system].append(value)
    return curves, tables


def _means(rows: list[Metrics]) -> Metrics:
    """Return the mean over speeches of each figure, of those that have it."""
    names = dict.fromkeys(name for row in rows for name in row)
    values = {name: [row[name] for row in rows if row.get(name) is not None] for name in names}
    return {name: mean(np.array(known, float)) for name, known in values.items()}


def _how(options: EvaluateSpeechOptions, dataset: Path | None) -> BodyVideoOptions:
    """Return how `test.py` would be asked to say it."""
    says = dataset is not None and any(dataset.glob("*/words.csv"))
    return BodyVideoOptions(
        name=options.name,
        checkpoints=options.checkpoints,
        body=options.body,
        audio=options.output,  # in place of which each speech comes with a sound of its own
        words=dataset if says else None,
        gestures=options.gestures,
        seed=options.seed,
        smooth=options.smooth,
        face_motion_scale=options.face_motion_scale,
        device=options.device,
        precision=options.precision,
        threads=options.threads,
    )


def _about(options: EvaluateSpeechOptions, loaded: BodySpeaker, judge: _Judge) -> Metrics:
    frames = sum(one.frames for one in judge.measured.values())
    return {
        "about": {
            "speaker": loaded.provenance,
            "speeches": " ".join(judge.measured),
            "seconds": frames / FPS,
            "size": f"{loaded.size[0]}x{loaded.size[1]}",
            "seed": options.seed,
            "lags": "frames by which the lips are late",
            "mouth": "mean opening as a share of its own range",
            "landmarks": "MediaPipe" if options.landmarks else "--no-landmarks: lips of the poses",
        }
    }
