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
from typing import Any, NamedTuple

import numpy as np
from dominate import tags
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
from speech2video.data.speech2face.clip import FaceRecording, FaceSplit
from speech2video.models.evaluators.image_metrics import ImageNetworks
from speech2video.options.evaluation import EvaluateFaceOptions
from speech2video.util.audio.audio_io import write_audio
from speech2video.util.files import write_json
from speech2video.util.html_report import table, video, write_page
from speech2video.util.timing import FPS
from speech2video.util.video.writer import write_video

COLUMNS = (REAL, MODEL, SPEECH_AND_REFERENCE)  # of the written videos
STUDY_PAIRS = ((REAL, MODEL), (MODEL, SPEECH_AND_REFERENCE))
NETWORK_METRICS = ("lpips", "fid")
OBSERVED, UNSEEN = "observed_speakers", "unseen_speakers"
STUDY, STUDY_PAGE, STUDY_KEY = "study", "index.html", "study_key.json"
STUDY_COMMENT = "synthetic or recorded: one of a pair in a user study of speech2video"
STUDY_TITLE = "Two videos"
STUDY_TEXT = "Some of these videos are synthetic. Watch both with audio, then choose one."
STUDY_QUESTION = "Which is more like a recording of a person who says this?"
_STUDY_SCRIPT = """
document.querySelector("button").onclick = () => {
  const answers = Object.fromEntries(new FormData(document.querySelector("form")));
  const missing = document.querySelectorAll("fieldset").length - Object.keys(answers).length;
  document.querySelector("textarea").value = JSON.stringify(answers, null, 2);
  document.querySelector("output").value = missing ? missing + " without an answer" : "complete";
};
"""


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
        metrics[OBSERVED], face_metrics = evaluator.run(
            split.observed, people=split.training, write=True
        )
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
        metrics, values = face_metrics.metrics(), face_metrics.table
        intervals = values.intervals(draws=options.bootstrap_samples, seed=options.seed)
        return {
            "clips": len(chosen),
            "frames": sum(map(len, chosen)),
            **metrics,
            "model_by_speaker": values.by_speaker(),
            "model_intervals": intervals,
            "model_by_seed": values.by_seed(options.seed),
        }, face_metrics

    def files(self) -> Metrics:
        """Return the written videos, and write the page of the user study."""
        metrics: Metrics = {"real_model_and_baseline": self._videos} if self._videos else {}
        if self._study is not None and (self._options.output / STUDY).is_dir():
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
                    self._study.add(StudyPair(clip.name, *pair, audio))


class StudyPair(NamedTuple):
    """One question: clip, names of both systems, their frames (T, 3, H, W), and the audio."""

    clip: str
    names: tuple[str, str]
    videos: tuple[np.ndarray, np.ndarray]
    audio: Path


class UserStudy:
    """Writes pairs of videos with the same audio, then a page for raters and its key.

    Raters get the folder `study` only. Its videos are written alike, and their metadata say that
    they belong to a study with synthetic videos. `study_key.json` maps sides to systems.

    Args:
        folder: of the evaluation.
        seed: of sides and order.
    """

    def __init__(self, folder: Path, *, seed: int) -> None:
        self._folder, self._random = folder, np.random.default_rng(seed)
        self._key: dict[str, dict[str, str]] = {}
        self._codes = [f"{code:04x}" for code in self._random.permutation(1 << 16)]

    def add(self, pair: StudyPair) -> None:
        """Write both videos of a pair on random sides, under random names."""
        code = self._codes[len(self._key)]
        first = int(self._random.integers(2))
        sides = {"left": first, "right": 1 - first}
        for side, index in sides.items():
            write_video(
                self._folder / STUDY / f"{code}_{side}.mp4",
                pair.videos[index],
                fps=FPS,
                audio=pair.audio,
                metadata={"comment": STUDY_COMMENT},
                synthetic=False,
            )
        names = {side: pair.names[index] for side, index in sides.items()}
        self._key[code] = {"clip": pair.clip} | names

    def finish(self) -> dict[str, str | int]:
        """Write page and key; return their description for the report."""
        codes = sorted(self._key)  # random, and so is their order
        content: list[Any] = [
            tags.p(STUDY_TEXT),
            tags.form(*(_question(number, code) for number, code in enumerate(codes, 1))),
            tags.button("Show my answers"),
            tags.output(),
            tags.textarea(readonly=True),
        ]
        write_page(self._folder / STUDY / STUDY_PAGE, STUDY_TITLE, *content, script=_STUDY_SCRIPT)
        write_json(self._folder / STUDY_KEY, self._key)
        return {
            "page": f"{STUDY}/{STUDY_PAGE}",
            "key": STUDY_KEY,
            "pairs": len(codes),
            "result": "not done",
        }


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


def _question(number: int, code: str) -> Any:
    sides = ("left", "right")
    videos = [video(f"{code}_{side}.mp4") for side in sides]
    choices: list[Any] = [
        tags.label(tags.input_(type="radio", name=code, value=side), f" {side}") for side in sides
    ]
    return tags.fieldset(tags.legend(f"{number}. {STUDY_QUESTION}"), table([videos, choices]))
