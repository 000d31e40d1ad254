"""Evaluation of speech2face on held-out clips against baselines and controls.

Identity and emotion are classified by networks trained on real clips only, not by the teachers;
lips are detected by MediaPipe. The row `real` gives the accuracy of both on recordings. Of --audio
there is no video, and lips are compared with those that the viseme rules make of --phones.

  model                 speech only
  speech_and_reference  baseline with a reference image of the speaker
  reference_image       that image, static
  mean_face             mean image of the recognised training speaker
  other_speech          control: speech of another speaker with another emotion
  late_speech           control: speech delayed by 10 frames
"""

import tempfile
from collections.abc import Sequence
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import torch
from dominate import tags
from tqdm import tqdm

from evaluation import face_metrics, face_systems
from evaluation.face_disentanglement import emotion_metrics, probe_metrics, voice_metrics
from evaluation.face_metrics import FRECHET, FaceClassifiers, FaceMetrics, face_lip_opening
from evaluation.face_systems import SPEECH_AND_REFERENCE, Run, Systems, balanced_subset
from evaluation.lip_sync import ruled_mouth, rules_metrics, write_plot
from evaluation.tables import MODEL, REAL, Metrics, file_name, file_names, mean_row
from speech2video.data.speech2face.clip import FaceRecording
from speech2video.models.evaluators.image_metrics import ImageNetworks
from speech2video.options.evaluation import EvaluateFaceOptions
from speech2video.util.audio.audio_io import load_audio, write_audio
from speech2video.util.body.body_model import Body
from speech2video.util.body.pose_vector import POSE_SIZE
from speech2video.util.files import write_json
from speech2video.util.html_report import table, video, write_page
from speech2video.util.metrics.motion import EYE_CORNERS, lip_opening
from speech2video.util.text.transcript import read_phones
from speech2video.util.timing import FPS, frame_count
from speech2video.util.video.writer import write_video

COLUMNS = (REAL, MODEL, SPEECH_AND_REFERENCE)  # of the written videos
RULES = "rules"  # the viseme rules' lips
STUDY_PAIRS = ((REAL, MODEL), (MODEL, SPEECH_AND_REFERENCE))
SIDES = ("left", "right")
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
    model, others = face_systems.load_runs(options)
    if options.audio:
        return _evaluate_voices(options, model)
    split = face_systems.load_split(options, model.size)
    evaluator = _FaceEvaluator(options, split.training, model, others)
    metrics: Metrics = {
        "about": {
            "run": options.name,
            "size": f"{model.size}x{model.size}",
            "fps": FPS,
            "training_speakers": len(evaluator.systems.speakers),
            "training_clips": len(split.training),
            "held_out_clips_of_observed_speakers": len(split.observed),
            "clips_of_unseen_speakers": len(split.unseen),
            "seeds": " ".join(map(str, evaluator.seeds)),
            "late_speech": f"{face_systems.LATE} frames",
            "lags": "frames by which the lips are late",
            "landmarks": "MediaPipe" if options.landmarks else "--no-landmarks",
        }
    }
    if split.observed:
        metrics[OBSERVED], face_metrics = evaluator.run(
            split.observed, people=split.training, write=True
        )
        codes = [model.encode(clip.audio_S) for clip in split.observed]
        metrics["voices"] = voice_metrics(evaluator.systems, split.observed, codes)
        trained = split.training, evaluator.systems.codes
        metrics["probes"] = probe_metrics(trained, (split.observed, codes))
        metrics |= emotion_metrics(options, model, face_metrics, split.observed)
    if split.unseen:
        write = not split.observed
        metrics[UNSEEN], _ = evaluator.run(split.unseen, people=split.unseen, write=write)
    unavailable, networks = evaluator.classifiers.unavailable, evaluator.networks.unavailable
    unavailable |= {name: networks[name] for name in NETWORK_METRICS if name in networks}
    if "fid" in unavailable:
        unavailable["fid"] += f"; see {FRECHET}, which is comparable within this report only"
    summary = {"summary": _summary(metrics)}
    return summary | metrics | evaluator.files() | {"unavailable": unavailable}


def _evaluate_voices(options: EvaluateFaceOptions, model: Run) -> Metrics:
    """Return the lips of --audio compared with the viseme rules; write plots and videos."""
    body, detector = Body.load(), face_metrics.FaceDetector()
    seeds = range(options.seed, options.seed + options.seeds)
    names = file_names([path.stem for path in options.audio])
    loaded = [
        (load_audio(audio), read_phones(p))
        for audio, p in zip(options.audio, options.phones, strict=True)
    ]
    rows: Metrics = {}
    for name, audio, (audio_S, phones) in zip(names, options.audio, loaded, strict=True):
        count = frame_count(len(audio_S))
        ruled_TK3 = body.points(ruled_mouth(torch.zeros(count, POSE_SIZE), phones, body)).numpy()
        eyes_TE3 = ruled_TK3[:, EYE_CORNERS]
        metres = float(np.linalg.norm(eyes_TE3[:, 0] - eyes_TE3[:, 1], axis=1).mean())
        ruled_T = lip_opening(ruled_TK3)
        videos = [model.generate(audio_S, seed=seed) for seed in seeds]
        openings = [metres * face_lip_opening(detector.points(video)) for video in videos]
        rows[name] = mean_row([rules_metrics(o_T, ruled_T, phones) for o_T in openings])
        write_video(options.output / f"{name}.mp4", videos[0], fps=FPS, audio=audio)
        curves = {RULES: ruled_T, MODEL: openings[0]}
        write_plot(options.output / f"{name}.svg", audio_S, curves)
    about = {"run": options.name, "seeds": " ".join(map(str, seeds)), "landmarks": "MediaPipe"}
    return {
        "about": about,
        "lips_with_rules": rows | {"mean": mean_row([*rows.values()])},
        "lip_openings": {name: f"{name}.svg" for name in names},
        "videos": {name: f"{name}.mp4" for name in names},
    }


class _FaceEvaluator:
    """Generates and measures the videos of clips, and writes some of them."""

    def __init__(
        self,
        options: EvaluateFaceOptions,
        training: Sequence[FaceRecording],
        model: Run,
        others: dict[str, Run],
    ) -> None:
        self._options = options
        self.seeds = range(options.seed, options.seed + options.seeds)
        self.classifiers = FaceClassifiers(training, options)
        self.systems = Systems(training, model, others, self.seeds)
        self.networks = ImageNetworks(
            options.networks, device=options.device, trusted=options.trust_torchscript
        )
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
        face_metrics = FaceMetrics(self.classifiers, self.networks, options, people)
        chosen = balanced_subset(clips, options.clips)
        shown = {id(clip) for clip in balanced_subset(chosen, options.video_clips)}
        studied = {id(clip) for clip in balanced_subset(chosen, options.study_clips)}
        candidates = list(clips) if len(clips) > 1 else list(people)
        for clip in tqdm(chosen, desc="clips", disable=None):
            place = next((i for i, one in enumerate(candidates) if one is clip), 0)
            other, kept = face_systems.contrasting_clip(candidates, place), {}
            for system, videos in self.systems.generate(clip, other):
                face_metrics.add(clip, system, videos)
                if system in COLUMNS:
                    kept[system] = videos[0]
            if write:
                self._write(clip, kept, show=id(clip) in shown, study=id(clip) in studied)
        values = face_metrics.table
        return {
            "clips": len(chosen),
            "frames": sum(map(len, chosen)),
            **face_metrics.metrics(),
            "model_by_speaker": values.by_speaker(),
            "model_intervals": values.intervals(options.bootstrap_samples, options.seed),
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
                    pair = {first: videos[first], second: videos[second]}
                    self._study.add(clip.name, pair, audio)


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

    def add(self, clip: str, videos: dict[str, np.ndarray], audio: Path) -> None:
        """Write a clip's videos (T, 3, H, W) of two systems on random sides, randomly named."""
        code = self._codes[len(self._key)]
        names = list(videos)[:: -1 if self._random.integers(2) else 1]
        for side, name in zip(SIDES, names, strict=True):
            write_video(
                self._folder / STUDY / f"{code}_{side}.mp4",
                videos[name],
                fps=FPS,
                audio=audio,
                metadata={"comment": STUDY_COMMENT},
                synthetic=False,
            )
        self._key[code] = {"clip": clip} | dict(zip(SIDES, names, strict=True))

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
    found = {n: reduce(lambda rows, key: rows.get(key, {}), p, metrics) for n, p in places.items()}
    return {n: v for n, v in found.items() if isinstance(v, float) and np.isfinite(v)}


def _question(number: int, code: str) -> Any:
    videos = [video(f"{code}_{side}.mp4") for side in SIDES]
    choices: list[Any] = [
        tags.label(tags.input_(type="radio", name=code, value=side), f" {side}") for side in SIDES
    ]
    return tags.fieldset(tags.legend(f"{number}. {STUDY_QUESTION}"), table([videos, choices]))
