"""What is measured of a clip's videos: lips, who it is, what they feel, the picture."""

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from evaluation.face_systems import SystemVideos
from evaluation.lip_sync import (
    lag_curve,
    loudness,
    mouth_metrics,
    mouth_range,
    silences,
    sync_metrics,
)
from evaluation.tables import REAL, ClipTable, Metrics, mean
from evaluation.video_landmarks import landmark_scores
from speech2video.data.preprocessing.detection.mediapipe_networks import FACEMESH_IBUG68
from speech2video.data.preprocessing.faces import FaceMesh
from speech2video.data.speech2face.clip import FaceRecording
from speech2video.models.evaluators.face_classifier import (
    FaceClassifier,
    Prediction,
    load_or_train_classifier,
)
from speech2video.models.evaluators.image_metrics import (
    FaceRecognitionNetwork,
    ImageNetworks,
    inception_scores,
)
from speech2video.options.evaluation import EvaluateFaceOptions
from speech2video.util.body.skeleton import IBUG68, POINTS
from speech2video.util.metrics import image as metrics
from speech2video.util.metrics.points import lip_opening
from speech2video.util.metrics.recognition import centroids, cosines, macro_f1, one_of_two
from speech2video.util.metrics.statistics import MIN_OVERLAP, frechet_distance

# The landmarks that MediaPipe finds in aligned faces, beside those that a clip brings along.

WINDOWS = (1.0, 1.5)  # sides of the picture that the mesh looks into: all of it, then more around
FACE = len(FACEMESH_IBUG68)


class LipReader:
    """MediaPipe's face mesh on aligned faces, each picture by itself.

    Raises:
        UserError: MediaPipe is not installed.
    """

    def __init__(self) -> None:
        self._mesh = FaceMesh()

    def points(self, frames_T3HW: np.ndarray) -> np.ndarray:
        """Return iBUG landmarks (T, 68, 2) in pixels of square frames, NaN where no face is found.

        A picture equal to the one before it is not looked at again.
        """
        found = np.full((len(frames_T3HW), FACE, 2), np.nan)
        for t, frame_3HW in enumerate(frames_T3HW):
            if t and np.array_equal(frame_3HW, frames_T3HW[t - 1]):
                found[t] = found[t - 1]
            else:
                found[t] = self._find(np.ascontiguousarray(frame_3HW.transpose(1, 2, 0)))
        return found

    def _find(self, picture_HW3: np.ndarray) -> np.ndarray | float:
        side = picture_HW3.shape[0]
        for window in WINDOWS:
            points_K2 = self._mesh(picture_HW3, np.full(2, side / 2), window * side)
            if points_K2 is not None:
                return points_K2 - 0.5  # whole numbers are pixels' middles
        return np.nan


def opening(points_TK2: np.ndarray) -> np.ndarray:
    """Return how far the inner lips are apart (T,), as a share of the eyes' outer distance."""
    return lip_opening(among_all(points_TK2))


def among_all(points_TK2: np.ndarray) -> np.ndarray:
    """Return iBUG landmarks (T, 68, 2) as the points (T, 144, 2) of a whole body, the rest NaN."""
    whole = np.full((len(points_TK2), len(POINTS), 2), np.nan)
    whole[:, list(IBUG68)] = points_TK2
    return whole


def lip_metrics(
    found_TK2: np.ndarray, real_TK2: np.ndarray, loudness_T: np.ndarray
) -> dict[str, float]:
    """Return what one clip's lips say beside those of the recording, NaN where nothing is known.

    found  share of frames in which a face is found
    mouth_distance  of the lips' 20 points, centred, in shares of the eyes' outer distance
    opening_correlation, _within_1  with the recording's opening, at lag 0, and at best 1 off
    opening_range  5th to 95th percentile, as a share of the recording's
    open_in_silence  mean opening in silence, 0 the clip's own most closed, 1 its most open
    steps_in_silence  mean step from frame to frame in silence, as a share of that in speech

    A mouth that does not move, or is not found, correlates with nothing: 0.
    """
    own_T, real_T = opening(found_TK2), opening(real_TK2)
    curve_L = lip_curve(found_TK2, real_TK2)
    if mouth_range(real_T) is not None and np.isfinite(real_T).sum() >= MIN_OVERLAP:
        curve_L = np.nan_to_num(curve_L)
    middle = len(curve_L) // 2
    silent_T = silences(loudness_T)
    limits, real_limits = mouth_range(own_T), mouth_range(real_T)
    silence = mouth_metrics(own_T, silent_T)["in_silence"]
    wide = np.nan
    if real_limits is not None:
        wide = (limits[1] - limits[0] if limits else 0.0) / (real_limits[1] - real_limits[0])
    return {
        "found": float(np.isfinite(own_T).mean()),
        "mouth_distance": _known_mean(
            landmark_scores(*map(among_all, (found_TK2, real_TK2, real_TK2)))["mouth_error"]
        ),
        "opening_correlation": float(curve_L[middle]),
        "opening_within_1": float(curve_L[middle - 1 : middle + 2].max()),
        "opening_range": wide,
        "open_in_silence": np.nan if silence is None else silence,
        "steps_in_silence": _steps_in_silence(own_T, silent_T),
    }


def lip_curve(found_TK2: np.ndarray, real_TK2: np.ndarray) -> np.ndarray:
    """Return the correlation of the openings at each lag of the found lips, −12 to 12 frames.

    NaN where it cannot be known, or where lips do not move.
    """
    return lag_curve(opening(real_TK2), opening(found_TK2))


def _steps_in_silence(own_T: np.ndarray, silent_T: np.ndarray) -> float:
    step_T = np.abs(np.diff(own_T))
    both_T = silent_T[1:] & silent_T[:-1]
    speaking = _known_mean(step_T[~silent_T[1:]])
    return _known_mean(step_T[both_T]) / speaking if speaking else np.nan


def _known_mean(values: np.ndarray) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")


FACE_SEED, EMOTION_SEED = 7001, 7002  # of the judges: no training of a teacher has them
PICTURE_STEP = 5  # frames from one to the next whose pixels are compared: few hold much news
FEATURE_STEP = 2  # looks of a judge, likewise, that count in a distance of distributions
FID_STEP = 10  # likewise for Inception, which takes its time
FRECHET = "frechet_distance_of_judge"  # what stands in for FID, by its own name


class SystemVideo(NamedTuple):
    """A system, and which of its videos of each clip: those of a seed are judged together."""

    system: str
    number: int = 0


class FaceClassifiers:
    """The judges that were trained on the training split's real clips, and what they know.

    Attributes:
        face, emotion: None where the training split has fewer than two people, or two emotions.
        absent: why a table cannot be had, by its name.
    """

    def __init__(self, training: Sequence[FaceRecording], options: EvaluateFaceOptions) -> None:
        self.absent: dict[str, str] = {}
        self._folder = options.judges or options.output / "judges"
        self._how = {"steps": options.judge_steps, "device": options.device}
        self.face = self._judge(training, "speaker", FACE_SEED)
        felt = [r for r in training if r.emotion]
        self.emotion = self._judge(felt, "emotion", EMOTION_SEED)

    def _judge(
        self, training: Sequence[FaceRecording], of: str, seed: int
    ) -> FaceClassifier | None:
        labels = [getattr(recording, of) for recording in training]
        if len(set(labels)) < 2:
            table = "identity" if of == "speaker" else of
            self.absent[table] = f"{len(set(labels))} {of}s in the training split; two are needed"
            return None
        return load_or_train_classifier(self._folder / of, training, labels, seed=seed, **self._how)


class FaceMetrics:
    """Measures videos of clips, one clip after the other.

    Args:
        judges: of identity and emotion.
        networks: for LPIPS and FID.
        options: what to measure.
        people: real recordings of the people in question, by whom "who is it" is asked.
    """

    def __init__(
        self,
        judges: FaceClassifiers,
        networks: ImageNetworks,
        options: EvaluateFaceOptions,
        people: Sequence[FaceRecording],
    ) -> None:
        self._judges, self._networks, self._options = judges, networks, options
        self.table = ClipTable()
        self._mesh = LipReader() if options.landmarks else None
        self._face_network = None
        if options.face_network is not None:
            self._face_network = FaceRecognitionNetwork(
                options.face_network, size=options.face_size, device=options.device
            )
        self._names = sorted({r.speaker for r in people})
        self._gallery_CD = None
        if judges.face is not None:
            faces_ND = np.stack([judges.face.look(r.frames_T3HW).embedding_D for r in people])
            numbers_N = np.array([self._names.index(r.speaker) for r in people])
            self._gallery_CD = centroids(faces_ND, numbers_N, len(self._names))
        self._curves: dict[str, list[np.ndarray]] = defaultdict(list)
        self._felt: dict[str, list[list[str]]] = defaultdict(list)  # by system, clip, seed
        self._true: list[str] = []
        self._features: dict[SystemVideo, list[np.ndarray]] = defaultdict(list)
        self._inception: dict[SystemVideo, list] = defaultdict(list)

    def see(self, clip: FaceRecording, takes: SystemVideos) -> None:
        """Measure a system's videos of a clip; the recording itself comes first."""
        measured = [
            self._measure(clip, SystemVideo(takes.system, number), video)
            for number, video in enumerate(takes.videos)
        ]
        for part in measured[0]:
            self.table.add(part, takes.system, clip.speaker, [one[part] for one in measured])
        if self._judges.emotion is not None and clip.emotion in self._judges.emotion.classes:
            self._ask_for_emotion(clip, takes)

    def figures(self) -> Metrics:
        """Return the tables over all clips, by part, measure and system."""
        figures = self.table.means()
        for system, curves in self._curves.items():
            for measure in ("lag_frames", "best_correlation"):
                row = figures["lips"].setdefault(measure, {})
                row[system] = sync_metrics(curves)[measure]
        if self._felt:
            figures["emotion"] |= self._emotions(figures["emotion"]["accuracy"])
        figures.setdefault("picture", {}).update(self._distributions())
        return figures

    def identity(self, clip: FaceRecording, opinion: Prediction) -> dict[str, float]:
        """Return how surely a face is that of a clip's person, by the judge."""
        number = self._names.index(clip.speaker)
        scores_1C = cosines(opinion.embedding_D[None], self._gallery_CD)
        figures = {}
        if clip.speaker in self._judges.face.classes:
            figures["top_1"] = float(self._judges.face.says(opinion) == clip.speaker)
        return figures | {
            "one_of_two": float(one_of_two(scores_1C, np.array([number]))[0]),
            "cosine_to_person": float(scores_1C[0, number]),
        }

    def _measure(
        self, clip: FaceRecording, take: SystemVideo, video: np.ndarray
    ) -> dict[str, dict[str, float]]:
        system = take.system
        parts = {"picture": self._picture(clip, take, video)}
        if self._mesh is not None:
            points_TK2 = self._mesh.points(video)
            sound_T = loudness(clip.audio_S, len(clip))
            parts["lips"] = lip_metrics(points_TK2, clip.points_TK2, sound_T)
            self._curves[system].append(lip_curve(points_TK2, clip.points_TK2))
        if self._judges.face is not None:
            opinion = self._judges.face.look(video)
            self._features[take].append(opinion.features_TD[::FEATURE_STEP])
            parts["identity"] = self.identity(clip, opinion) | self._likeness(clip, system, video)
        return parts

    def _ask_for_emotion(self, clip: FaceRecording, takes: SystemVideos) -> None:
        judge = self._judges.emotion
        said = [judge.says(judge.look(video)) for video in takes.videos]
        hits = [{"accuracy": float(one == clip.emotion)} for one in said]
        self.table.add("emotion", takes.system, clip.speaker, hits)
        self._felt[takes.system].append(said)
        if takes.system == REAL:
            self._true.append(clip.emotion)

    def _emotions(self, accuracy: Metrics) -> Metrics:
        """Return the rest of the table: F1, and shares of what the judge says of real clips."""
        scores = {
            system: [
                macro_f1(np.array(one), np.array(self._true)) for one in zip(*said, strict=True)
            ]
            for system, said in self._felt.items()
        }
        rows: Metrics = {
            "accuracy": accuracy,
            "macro_f1": {system: float(np.mean(values)) for system, values in scores.items()},
        }
        for measure, row in list(rows.items()):
            rows[f"{measure}_of_real"] = {
                system: value / row[REAL] if row[REAL] else None for system, value in row.items()
            }
        return rows

    def _likeness(self, clip: FaceRecording, system: str, video: np.ndarray) -> dict[str, float]:
        """Return the user's own network's similarity to the recording, where there is one."""
        if self._face_network is None or system == REAL:
            return {}
        cosines_T = self._face_network.similarity(np.ascontiguousarray(video), clip.frames_T3HW)
        return {"cosine_of_face_network": float(cosines_T.mean())}

    def _picture(
        self, clip: FaceRecording, take: SystemVideo, video: np.ndarray
    ) -> dict[str, float]:
        figures = {"flicker": _mean(metrics.flicker(video, clip.frames_T3HW))}
        pair = video[::PICTURE_STEP], clip.frames_T3HW[::PICTURE_STEP]
        figures["sharpness"] = _mean(metrics.sharpness(pair[0]))
        if take.system != REAL:
            figures["psnr_db"] = _mean(metrics.psnr(*pair))
            figures["ssim"] = _mean(metrics.ssim(*pair))
            distances_T = self._networks.lpips(*pair)
            if distances_T is not None:
                figures["lpips"] = _mean(distances_T)
        seen = self._networks.inception(video[::FID_STEP])
        if seen is not None:
            self._inception[take].append(seen)
        return figures

    def _distributions(self) -> Metrics:
        """Return distances of all frames from all real ones, means over seeds."""
        found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        clouds = {take: np.concatenate(parts) for take, parts in self._features.items()}
        real_ND = clouds.get(SystemVideo(REAL), ())
        for take, cloud_ND in clouds.items() if len(real_ND) > 1 else ():
            found[FRECHET][take.system].append(frechet_distance(cloud_ND, real_ND))
        looks = {
            take: tuple(map(np.concatenate, zip(*parts, strict=True)))
            for take, parts in self._inception.items()
        }
        real = looks.get(SystemVideo(REAL), ((),))
        for take, look in looks.items() if len(real[0]) > 1 else ():
            scores = inception_scores(look, real, seed=self._options.seed)
            for measure, value in scores.items():
                found[measure][take.system].append(value)
        return {
            measure: {system: float(np.mean(values)) for system, values in row.items()}
            for measure, row in found.items()
        }


def _mean(values: np.ndarray) -> float:
    found = mean(values)
    return np.nan if found is None else found
