"""Speech to face on held-out sentences, beside what it must beat, by judges of its own.

Whoever is seen and whatever is felt is judged by networks trained here on real clips alone, which
are not the teachers; `real` says how far they can be believed. Lips are found again in the pictures
by MediaPipe, `real` says how well that is done.

  model             speech alone
  speech_and_still  the baseline that is given a picture of the person, too
  still             that picture, which does not move
  mean_face         the mean picture of the person whose voice it is taken for
  other_speech      the model says what another person says in another mood: a control
  late_speech       the model hears everything 10 frames late: a control
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from evaluation.face_disentanglement import (
    emotion_swap_metrics,
    named_emotion_metrics,
    pairs_of,
    probe_metrics,
    voice_metrics,
)
from evaluation.face_metrics import FRECHET, FaceClassifiers, FaceMetrics
from evaluation.face_study import Pair, Study
from evaluation.face_systems import (
    LATE,
    SPEECH_AND_REFERENCE,
    FaceSpeaker,
    Systems,
    contrasting_clip,
    load_runs,
    load_split,
    spread,
)
from evaluation.speech_trials import file_name
from evaluation.tables import MODEL, REAL, Metrics
from speech2video.data.speech2face.clip import FaceRecording, FaceSplit
from speech2video.models.evaluators.image_metrics import ImageNetworks
from speech2video.options.evaluation import EvaluateFaceOptions
from speech2video.util.audio.audio_io import write_audio
from speech2video.util.timing import FPS
from speech2video.util.video.writer import write_video

SHOWN = (REAL, MODEL, SPEECH_AND_REFERENCE)  # beside each other in the videos
PAIRS = ((REAL, MODEL), (MODEL, SPEECH_AND_REFERENCE))  # that raters choose between
WITH_NETWORKS = ("lpips", "fid")  # scores that may be absent
OBSERVED, UNSEEN = "observed_people", "unseen_people"


def evaluate(options: EvaluateFaceOptions) -> Metrics:
    """Return tables of the model and what it must beat; write videos and the study's page.

    Raises:
        DataError: no such run or data set, runs that do not fit, or a network's file that is none.
        UserError: MediaPipe or torchmetrics is not installed.
    """
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    run, others = load_runs(options)
    split = _cut(load_split(options, run.size), options.frames)
    seeds = range(options.seed, options.seed + options.seeds)
    judges = FaceClassifiers(split.training, options)
    cast = Systems(split.training, run, others, seeds)
    networks = ImageNetworks(options.networks, device=options.device)
    stage = _Stage(options, judges, networks, cast)
    figures: Metrics = {"about": _about(options, run, split)}
    if split.observed:
        figures[OBSERVED] = stage.play(split.observed, people=split.training, show=True)
        figures |= _voices(cast, split)
        bench = stage.bench
        figures |= _wishes(options, run, judges, bench, split.observed)
    if split.unseen:
        first = not split.observed
        figures[UNSEEN] = stage.play(split.unseen, people=split.unseen, show=first)
    absent = judges.absent | {n: why for n, why in networks.absent.items() if n in WITH_NETWORKS}
    if "fid" in absent:
        absent["fid"] += f"; see {FRECHET}, which compares with nothing but itself"
    return {"summary": _summary(figures)} | figures | stage.shown() | {"absent": absent}


class _Stage:
    """Plays clips to a bench, keeps some of what was played.

    Attributes:
        bench: of what was played last.
    """

    bench: FaceMetrics

    def __init__(
        self,
        options: EvaluateFaceOptions,
        judges: FaceClassifiers,
        networks: ImageNetworks,
        cast: Systems,
    ) -> None:
        self._options, self._judges, self._networks = options, judges, networks
        self._cast = cast
        self._videos: dict[str, str] = {}
        self._study = Study(options.output, seed=options.seed) if options.study else None

    def play(
        self, clips: Sequence[FaceRecording], *, people: Sequence[FaceRecording], show: bool
    ) -> Metrics:
        """Return the tables of some clips.

        Args:
            clips: held out.
            people: real recordings of the people that faces are compared with.
            show: write videos and the study of these clips.
        """
        options = self._options
        self.bench = FaceMetrics(self._judges, self._networks, options, people)
        judged = spread(clips, options.clips)
        shown = {id(clip) for clip in spread(judged, options.shown)} if show else set()
        asked = {id(clip) for clip in spread(judged, options.study)} if show else set()
        everybody = list(clips) if len(clips) > 1 else list(people)
        for clip in tqdm(judged, desc="clips", disable=None):
            place = next((i for i, one in enumerate(everybody) if one is clip), 0)
            kept: dict[str, np.ndarray] = {}
            for takes in self._cast.perform(clip, contrasting_clip(everybody, place)):
                self.bench.see(clip, takes)
                if takes.system in SHOWN:
                    kept[takes.system] = takes.videos[0]
            self._keep(clip, kept, show=id(clip) in shown, ask=id(clip) in asked)
        figures = self.bench.figures()
        table = self.bench.table
        return (
            {"clips": len(judged), "frames": sum(map(len, judged))}
            | figures
            | {
                "model_by_person": table.by_person(),
                "model_for_sure": table.intervals(draws=options.draws, seed=options.seed),
                "model_by_seed": table.seeds(options.seed),
            }
        )

    def shown(self) -> Metrics:
        """Return what there is to be seen, and write the study's page."""
        figures: Metrics = {"real_model_and_baseline": self._videos} if self._videos else {}
        if self._study is not None and (self._options.output / "study").is_dir():
            figures["user_study"] = self._study.finish()
        return figures

    def _keep(
        self, clip: FaceRecording, kept: dict[str, np.ndarray], *, show: bool, ask: bool
    ) -> None:
        with tempfile.TemporaryDirectory() as folder:
            audio = Path(folder) / "sound.wav"
            write_audio(audio, clip.audio_S)
            if show:
                name = f"{file_name(clip.name)}.mp4"
                beside = np.concatenate([kept[s] for s in SHOWN if s in kept], axis=3)
                write_video(self._options.output / name, beside, fps=FPS, audio=audio)
                self._videos[clip.name] = name
            for names in PAIRS if ask and self._study is not None else ():
                if set(names) <= set(kept):
                    videos = tuple(kept[name] for name in names)
                    self._study.add(Pair(clip.name, names, videos, audio))


def _voices(cast: Systems, split: FaceSplit) -> Metrics:
    """Return what codes tell of held-out sentences, and what they should not."""
    codes = [cast.codes_of(clip) for clip in split.observed]
    trained = split.training, cast.codes
    return {
        "voices": voice_metrics(cast, split.observed, codes),
        "probes": probe_metrics(trained, (split.observed, codes)),
    }


def _wishes(
    options: EvaluateFaceOptions,
    run: FaceSpeaker,
    judges: FaceClassifiers,
    bench: FaceMetrics,
    clips: Sequence[FaceRecording],
) -> Metrics:
    """Return how emotions asked for by name, or taken from another voice, are shown."""
    if judges.face is None or judges.emotion is None:
        return {}
    figures: Metrics = {}
    if options.named:
        chosen = spread(clips, options.named)
        how = {"real": clips, "emotions": run.emotions, "seed": options.seed}
        figures["named_emotions"] = named_emotion_metrics(run, judges, bench, chosen, **how)
    pairs = pairs_of(clips, spread(clips, options.swaps)) if options.swaps else []
    if pairs:
        figures["emotion_of_another"] = emotion_swap_metrics(
            run, judges, bench, pairs, seed=options.seed
        )
    return figures


def _cut(split: FaceSplit, frames: int | None) -> FaceSplit:
    """Return a split with no more frames of each held-out clip."""
    if frames is None:
        return split
    held_out = ([r.part(0, frames) for r in part] for part in (split.observed, split.unseen))
    return FaceSplit(split.training, *held_out)


def _summary(figures: Metrics) -> Metrics:
    """Return the few figures that matter most, of people who were trained on."""
    places = {
        "voice_to_face_top_1": (OBSERVED, "identity", "top_1", MODEL),
        "emotion_accuracy_of_real": (OBSERVED, "emotion", "accuracy_of_real", MODEL),
        "opening_correlation": (OBSERVED, "lips", "opening_correlation", MODEL),
        "opening_correlation_with_still": (
            OBSERVED, "lips", "opening_correlation", SPEECH_AND_REFERENCE,
        ),
        "speaker_in_emotion_code_times_chance": (
            "probes", "speaker_in_emotion_code", "times_chance",
        ),
        "named_emotion_recognised": ("named_emotions", "all", "recognised"),
        "identity_falls_with_named_emotion_by": ("named_emotions", "all", "identity_falls_by"),
    }  # fmt: skip
    found = {name: _cell(figures, *place) for name, place in places.items()}
    return {name: value for name, value in found.items() if value is not None}


def _cell(figures: Metrics, *names: str) -> float | None:
    for name in names:
        if name not in figures:
            return None
        figures = figures[name]
    return figures


def _about(options: EvaluateFaceOptions, run: FaceSpeaker, split: FaceSplit) -> Metrics:
    return {
        "run": options.name,
        "size": f"{run.size}x{run.size}",
        "fps": FPS,
        "people_trained_on": len({r.speaker for r in split.training}),
        "training_clips": len(split.training),
        "held_out_clips_of_observed_people": len(split.observed),
        "clips_of_unseen_people": len(split.unseen),
        "seeds": " ".join(str(options.seed + i) for i in range(options.seeds)),
        "late_speech": f"{LATE} frames",
        "lags": "frames by which the lips are late",
        "landmarks": "MediaPipe" if options.landmarks else "--no-landmarks",
    }
