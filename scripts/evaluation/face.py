"""Evaluation of speech2face on held-out clips against baselines and controls.

Identity and emotion are classified by networks trained on real clips only, not by the teachers;
lips are detected by MediaPipe. The row `real` gives the accuracy of both on recordings.

  model                 speech only
  speech_and_reference  baseline with a reference image of the speaker
  reference_image       that image, static
  mean_face             mean image of the recognised training speaker
  other_speech          control: speech of another speaker with another emotion
  late_speech           control: speech delayed by 10 frames
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from evaluation.face_disentanglement import (
    EmotionControl,
    contrasting_pairs,
    probe_metrics,
    voice_metrics,
)
from evaluation.face_metrics import FRECHET, FaceClassifiers, FaceMetrics
from evaluation.face_systems import (
    LATE,
    SPEECH_AND_REFERENCE,
    Run,
    Systems,
    balanced_subset,
    contrasting_clip,
    load_runs,
    load_split,
)
from evaluation.tables import MODEL, REAL, Metrics, file_name
from evaluation.user_study import Pair, UserStudy
from speech2video.data.speech2face.clip import FaceRecording, FaceSplit
from speech2video.models.evaluators.image_metrics import ImageNetworks
from speech2video.options.evaluation import EvaluateFaceOptions
from speech2video.util.audio.audio_io import write_audio
from speech2video.util.timing import FPS
from speech2video.util.video.writer import write_video

COLUMNS = (REAL, MODEL, SPEECH_AND_REFERENCE)  # of the written videos
STUDY_PAIRS = ((REAL, MODEL), (MODEL, SPEECH_AND_REFERENCE))
NETWORK_METRICS = ("lpips", "fid")
OBSERVED, UNSEEN = "observed_speakers", "unseen_speakers"


def evaluate(options: EvaluateFaceOptions) -> Metrics:
    """Return metrics of all systems; write videos and the page of the user study.

    Raises:
        DataError: no such run or dataset, incompatible runs, or an invalid network file.
        UserError: MediaPipe or torchmetrics is not installed.
    """
    model, others = load_runs(options)
    split = _cut(load_split(options, model.size), options.frames)
    seeds = range(options.seed, options.seed + options.seeds)
    classifiers = FaceClassifiers(split.training, options)
    systems = Systems(split.training, model, others, seeds)
    networks = ImageNetworks(options.networks, device=options.device)
    evaluator = _FaceEvaluator(options, classifiers, networks, systems)
    metrics: Metrics = {"about": _about(options, model, split)}
    if split.observed:
        table, face_metrics = evaluator.run(split.observed, people=split.training, write=True)
        metrics[OBSERVED] = table
        codes = [systems.encode(clip) for clip in split.observed]
        metrics["voices"] = voice_metrics(systems, split.observed, codes)
        trained = split.training, systems.codes
        metrics["probes"] = probe_metrics(trained, (split.observed, codes))
        if classifiers.identity is not None and classifiers.emotion is not None:
            control = EmotionControl(model, classifiers, face_metrics, options.seed)
            metrics |= _emotion_metrics(options, control, split.observed)
    if split.unseen:
        write = not split.observed
        metrics[UNSEEN], _ = evaluator.run(split.unseen, people=split.unseen, write=write)
    unavailable = classifiers.unavailable | {
        name: reason for name, reason in networks.unavailable.items() if name in NETWORK_METRICS
    }
    if "fid" in unavailable:
        unavailable["fid"] += f"; see {FRECHET}, which is comparable within this report only"
    summary = {"summary": _summary(metrics)}
    return summary | metrics | evaluator.files() | {"unavailable": unavailable}


class _FaceEvaluator:
    """Generates and measures the videos of clips, and writes some of them."""

    def __init__(
        self,
        options: EvaluateFaceOptions,
        classifiers: FaceClassifiers,
        networks: ImageNetworks,
        systems: Systems,
    ) -> None:
        self._options, self._classifiers, self._networks = options, classifiers, networks
        self._systems = systems
        self._videos: dict[str, str] = {}
        self._study = UserStudy(options.output, seed=options.seed) if options.study_clips else None

    def run(
        self, clips: Sequence[FaceRecording], *, people: Sequence[FaceRecording], write: bool
    ) -> tuple[Metrics, FaceMetrics]:
        """Return the tables of held-out clips, and their collected metrics.

        Args:
            clips: held out.
            people: real clips of all speakers to be recognised.
            write: whether to write videos and pairs of the user study.
        """
        options = self._options
        face_metrics = FaceMetrics(self._classifiers, self._networks, options, people)
        chosen = balanced_subset(clips, options.clips)
        shown = {id(clip) for clip in balanced_subset(chosen, options.video_clips)}
        studied = {id(clip) for clip in balanced_subset(chosen, options.study_clips)}
        candidates = list(clips) if len(clips) > 1 else list(people)
        for clip in tqdm(chosen, desc="clips", disable=None):
            place = next((i for i, one in enumerate(candidates) if one is clip), 0)
            kept: dict[str, np.ndarray] = {}
            for generated in self._systems.generate(clip, contrasting_clip(candidates, place)):
                face_metrics.add(clip, generated)
                if generated.system in COLUMNS:
                    kept[generated.system] = generated.videos[0]
            if write:
                self._write(clip, kept, show=id(clip) in shown, study=id(clip) in studied)
        metrics, table = face_metrics.metrics(), face_metrics.table
        intervals = table.intervals(draws=options.bootstrap_samples, seed=options.seed)
        return {
            "clips": len(chosen),
            "frames": sum(map(len, chosen)),
            **metrics,
            "model_by_speaker": table.by_speaker(),
            "model_intervals": intervals,
            "model_by_seed": table.by_seed(options.seed),
        }, face_metrics

    def files(self) -> Metrics:
        """Return the written videos, and write the page of the user study."""
        metrics: Metrics = {"real_model_and_baseline": self._videos} if self._videos else {}
        if self._study is not None and (self._options.output / "study").is_dir():
            metrics["user_study"] = self._study.finish()
        return metrics

    def _write(
        self, clip: FaceRecording, videos: dict[str, np.ndarray], *, show: bool, study: bool
    ) -> None:
        with tempfile.TemporaryDirectory() as folder:
            audio = Path(folder) / "audio.wav"
            write_audio(audio, clip.audio_S)
            if show:
                name = f"{file_name(clip.name)}.mp4"
                columns = np.concatenate([videos[s] for s in COLUMNS if s in videos], axis=3)
                write_video(self._options.output / name, columns, fps=FPS, audio=audio)
                self._videos[clip.name] = name
            for first, second in STUDY_PAIRS if study else ():
                if self._study is not None and {first, second} <= set(videos):
                    pair = (first, second), (videos[first], videos[second])
                    self._study.add(Pair(clip.name, *pair, audio))


def _emotion_metrics(
    options: EvaluateFaceOptions, control: EmotionControl, clips: Sequence[FaceRecording]
) -> Metrics:
    metrics: Metrics = {}
    if options.emotion_clips:
        chosen = balanced_subset(clips, options.emotion_clips)
        metrics["named_emotions"] = control.named_emotions(chosen, clips)
    if options.emotion_pairs:
        pairs = contrasting_pairs(clips, balanced_subset(clips, options.emotion_pairs))
        if pairs:
            metrics["emotion_transfer"] = control.transferred_emotions(pairs)
    return metrics


def _cut(split: FaceSplit, frames: int | None) -> FaceSplit:
    """Return a split with at most `frames` frames of each held-out clip."""
    if frames is None:
        return split
    held_out = ([clip.part(0, frames) for clip in part] for part in (split.observed, split.unseen))
    return FaceSplit(split.training, *held_out)


def _summary(metrics: Metrics) -> Metrics:
    """Return the main metrics of observed speakers."""
    places = {
        "voice_to_face_top_1": (OBSERVED, "identity", "top_1", MODEL),
        "emotion_accuracy_relative_to_real": (
            OBSERVED, "emotion", "accuracy_relative_to_real", MODEL,
        ),
        "lip_correlation": (OBSERVED, "lips", "lip_correlation", MODEL),
        "lip_correlation_with_reference_image": (
            OBSERVED, "lips", "lip_correlation", SPEECH_AND_REFERENCE,
        ),
        "speaker_in_emotion_code_times_chance": (
            "probes", "speaker_in_emotion_code", "times_chance",
        ),
        "named_emotion_recognised": ("named_emotions", "all", "recognised"),
        "identity_drop_with_named_emotion": ("named_emotions", "all", "identity_drop"),
    }  # fmt: skip
    found = {}
    for name, place in places.items():
        value = metrics
        for key in place:
            value = value.get(key, {})
        if isinstance(value, float) and np.isfinite(value):
            found[name] = value
    return found


def _about(options: EvaluateFaceOptions, model: Run, split: FaceSplit) -> Metrics:
    return {
        "run": options.name,
        "size": f"{model.size}x{model.size}",
        "fps": FPS,
        "training_speakers": len({clip.speaker for clip in split.training}),
        "training_clips": len(split.training),
        "held_out_clips_of_observed_speakers": len(split.observed),
        "clips_of_unseen_speakers": len(split.unseen),
        "seeds": " ".join(str(options.seed + i) for i in range(options.seeds)),
        "late_speech": f"{LATE} frames",
        "lags": "frames by which the lips are late",
        "landmarks": "MediaPipe" if options.landmarks else "--no-landmarks",
    }
