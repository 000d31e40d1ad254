"""Disentanglement of identity and emotion: voice recognition, linear probes, emotion control."""

import contextlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from evaluation.face_metrics import FaceMetrics
from evaluation.face_systems import Run, SpeechCodes, Systems, balanced_subset, contrasting_clip
from evaluation.tables import Metrics, mean_row
from speech2video.data.speech2face.clip import EMOTIONS, FaceRecording
from speech2video.options.evaluation import EvaluateFaceOptions
from speech2video.util.errors import DataError
from speech2video.util.metrics import recognition
from speech2video.util.metrics.recognition import accuracy

PROBES = {  # label predicted, and the code it is predicted from
    "speaker_in_emotion_code": ("speaker", "emotion_E"),
    "emotion_in_identity_code": ("emotion", "identity_D"),
    "speaker_in_identity_code": ("speaker", "identity_D"),
    "emotion_in_emotion_code": ("emotion", "emotion_E"),
}

Clips = Sequence[FaceRecording]
Codes = Sequence[SpeechCodes]


def voice_metrics(systems: Systems, clips: Clips, codes: Codes) -> Metrics:
    """Return how well the codes of voices identify training speakers and emotions.

    A voice is assigned to the nearest training voice and to the emotion of the highest logit.
    """
    scores_NC = systems.voice_scores(codes)
    numbers_N = np.array([systems.speakers.index(clip.speaker) for clip in clips])
    metrics: Metrics = {
        "speakers": len(systems.speakers),
        "voice_top_1": float(recognition.top_1(scores_NC, numbers_N).mean()),
        "voice_one_of_two": float(recognition.one_of_two(scores_NC, numbers_N).mean()),
    }
    labelled = [(clip.emotion, one) for clip, one in zip(clips, codes, strict=True) if clip.emotion]
    if labelled:
        predicted_N = np.array([EMOTIONS[int(one.logits_C.argmax())] for _, one in labelled])
        true_N = np.array([emotion for emotion, _ in labelled])
        metrics["emotion_accuracy"] = accuracy(predicted_N, true_N)
        metrics["emotion_macro_f1"] = recognition.macro_f1(predicted_N, true_N)
    return metrics


def probe_metrics(training: tuple[Clips, Codes], held_out: tuple[Clips, Codes]) -> Metrics:
    """Return the accuracy of linear probes on the codes of held-out sentences.

    accuracy         of probes trained on the codes of the training sentences
    within_held_out  of probes trained on other held-out codes, which finds what the encoder hides
                     on its training sentences only
    chance           share of the most frequent class
    times_chance     the larger accuracy divided by chance
    """
    rows: Metrics = {}
    for name, (label, code) in PROBES.items():
        x_ND, y_N = _vectors_and_labels(*training, label, code)
        held_MD, true_M = _vectors_and_labels(*held_out, label, code)
        if min(len(set(y_N)), len(set(true_M))) < 2:
            continue
        predicted_M = recognition.LinearProbe(x_ND, y_N).predict(held_MD)
        found = {"accuracy": accuracy(predicted_M, true_M)}
        fold_M = np.array([int((true_M[:i] == label).sum()) for i, label in enumerate(true_M)])
        if fold_M.max() > 0:  # folds balanced by class
            with contextlib.suppress(DataError):  # a fold leaves one class only
                predicted_M = recognition.cross_validated(held_MD, true_M, fold_M)
                found["within_held_out"] = accuracy(predicted_M, true_M)
        chance = float(np.unique(true_M, return_counts=True)[1].max() / len(true_M))
        rows[name] = found | {"chance": chance, "times_chance": max(found.values()) / chance}
    return rows


def emotion_metrics(
    options: EvaluateFaceOptions, model: Run, face_metrics: FaceMetrics, clips: Clips
) -> Metrics:
    """Return the metrics of named and of transferred emotions, if both classifiers exist."""
    metrics: Metrics = {}
    if face_metrics.classifiers.identity is None or face_metrics.classifiers.emotion is None:
        return metrics
    control = EmotionControl(model, face_metrics, options.seed)
    if options.emotion_clips:
        chosen = balanced_subset(clips, options.emotion_clips)
        metrics["named_emotions"] = control.named_emotions(chosen, clips)
    if options.emotion_pairs:
        pairs = contrasting_pairs(clips, balanced_subset(clips, options.emotion_pairs))
        if pairs:
            metrics["emotion_transfer"] = control.transferred_emotions(pairs)
    return metrics


class EmotionControl:
    """Measures emotions requested by name or transferred from other speech.

    Args:
        model: the evaluated run.
        face_metrics: with the speakers' faces and both classifiers.
        seed: of all videos.
    """

    def __init__(self, model: Run, face_metrics: FaceMetrics, seed: int) -> None:
        classifiers = face_metrics.classifiers
        assert classifiers.identity is not None and classifiers.emotion is not None
        self._model, self._seed, self._face_metrics = model, seed, face_metrics
        self._identity, self._emotion = classifiers.identity, classifiers.emotion

    def named_emotions(self, clips: Clips, real: Clips) -> Metrics:
        """Return for each emotion how often it is recognised when requested by name.

        Also how often it is recognised in real clips, and how much the similarity to the speaker
        drops compared with the emotion of the speech.

        Args:
            clips: speech to generate from.
            real: held-out recordings, for the classifier's own accuracy.
        """
        known = [name for name in self._emotion.classes if name in self._model.emotions]
        rows: dict[str, list[dict[str, float]]] = {name: [] for name in known}
        for clip in clips:
            video = self._model.generate(clip.audio_S, seed=self._seed)
            own = self._identity_metrics(clip, video)["cosine_to_speaker"]
            for name, row in rows.items():
                video = self._model.generate(clip.audio_S, emotion=name, seed=self._seed)
                identity = self._identity_metrics(clip, video)
                metrics = {
                    "recognised": float(self._emotion.predict(video).label == name),
                    "cosine_to_speaker": identity["cosine_to_speaker"],
                    "identity_drop": own - identity["cosine_to_speaker"],
                }
                row.append(metrics | {k: v for k, v in identity.items() if k == "top_1"})
        means: Metrics = {name: mean_row(row) for name, row in rows.items()}
        predict = self._emotion.predict
        for name in rows:
            hits = [predict(r.frames_T3HW).label == name for r in real if r.emotion == name]
            means[name]["recognised_in_real"] = float(np.mean(hits)) if hits else float("nan")
        means["all"] = mean_row([metrics for row in rows.values() for metrics in row])
        return means

    def transferred_emotions(self, pairs: Sequence[tuple[FaceRecording, FaceRecording]]) -> Metrics:
        """Return identity and emotion with the emotion of other speech, and without.

        Args:
            pairs: clips A for content and identity, B for emotion.
        """
        transferred = [self._compare(a, b, emotion_audio_S=b.audio_S) for a, b in pairs]
        original = [self._compare(a, b) for a, b in pairs]
        return {"transferred": mean_row(transferred), "original": mean_row(original)}

    def _compare(self, a: FaceRecording, b: FaceRecording, **options: Any) -> dict[str, float]:
        video = self._model.generate(a.audio_S, seed=self._seed, **options)
        prediction, emotion = self._identity.predict(video), self._emotion.predict(video).label
        identity = self._face_metrics.identity_metrics(a, prediction)
        return {
            "identity_of_a": float(prediction.label == a.speaker),
            "identity_of_b": float(prediction.label == b.speaker),
            "emotion_of_a": float(emotion == a.emotion),
            "emotion_of_b": float(emotion == b.emotion),
            "cosine_to_a": identity["cosine_to_speaker"],
        }

    def _identity_metrics(self, clip: FaceRecording, video: np.ndarray) -> dict[str, float]:
        return self._face_metrics.identity_metrics(clip, self._identity.predict(video))


def contrasting_pairs(clips: Clips, chosen: Clips) -> list[tuple[FaceRecording, FaceRecording]]:
    """Return each chosen clip with one of another speaker and emotion, where there is one."""
    places = {id(clip): index for index, clip in enumerate(clips)}
    pairs = [(clip, contrasting_clip(clips, places[id(clip)])) for clip in chosen]
    return [(a, b) for a, b in pairs if a.speaker != b.speaker and a.emotion != b.emotion]


def _vectors_and_labels(
    clips: Clips, codes: Codes, label: str, code: str
) -> tuple[np.ndarray, np.ndarray]:
    pairs = [(getattr(one, code), getattr(c, label)) for c, one in zip(clips, codes, strict=True)]
    known = [(vector, name) for vector, name in pairs if name]
    vectors = np.stack([vector for vector, _ in known]) if known else np.zeros((0, 1))
    return vectors, np.array([name for _, name in known])
