"""Metrics of generated face videos: lips, identity, emotion and image quality."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from evaluation import lip_sync
from evaluation.tables import REAL, ClipTable, Metrics
from evaluation.video_metrics import join_outputs, landmark_metrics, load_face_network
from speech2video.data.preprocessing.detection.mediapipe_networks import FACEMESH_IBUG68
from speech2video.data.preprocessing.faces import FaceMesh
from speech2video.data.speech2face.clip import FaceRecording
from speech2video.models.evaluators import face_classifier
from speech2video.models.evaluators.face_classifier import FaceClassifier, Prediction
from speech2video.models.evaluators.image_metrics import ImageNetworks, inception_metrics
from speech2video.options.evaluation import EvaluateFaceOptions
from speech2video.util.body.skeleton import IBUG68, POINTS
from speech2video.util.metrics.image import flicker, jitter, psnr, sharpness, ssim
from speech2video.util.metrics.motion import lip_opening
from speech2video.util.metrics.recognition import centroids, cosines, macro_f1, one_of_two
from speech2video.util.metrics.statistics import MIN_OVERLAP, finite_mean, frechet_distance

MESH_WINDOWS = (1.0, 1.5)  # sizes of the face mesh's input relative to the image, tried in turn
LANDMARKS = len(FACEMESH_IBUG68)
IDENTITY_SEED, EMOTION_SEED = 7001, 7002  # of the classifiers; no teacher is trained with them
IMAGE_STEP = 5  # every fifth frame is compared by pixels
FEATURE_STEP = 2  # every second classified frame counts for the Fréchet distance
INCEPTION_STEP = 10  # every tenth frame, because Inception is slow
FRECHET = "frechet_classifier_distance"  # FID with the features of the identity classifier

Video = tuple[str, int]  # system, and number of its seed


class FaceClassifiers:
    """Identity and emotion classifiers, trained on the training split's real clips.

    Attributes:
        identity, emotion: None with fewer than two speakers or emotions in the training split.
        unavailable: reason by table name.
    """

    def __init__(self, training: Sequence[FaceRecording], options: EvaluateFaceOptions) -> None:
        self.unavailable: dict[str, str] = {}
        self._options = options
        self.identity = self._train("identity", "speaker", training, IDENTITY_SEED)
        labelled = [clip for clip in training if clip.emotion]
        self.emotion = self._train("emotion", "emotion", labelled, EMOTION_SEED)

    def _train(
        self, name: str, attribute: str, clips: Sequence[FaceRecording], seed: int
    ) -> FaceClassifier | None:
        labels = [getattr(clip, attribute) for clip in clips]
        classes = len(set(labels))
        if classes < 2:
            self.unavailable[name] = f"{classes} {attribute}s in the training split; two needed"
            return None
        options = self._options
        folder = (options.classifiers or options.output / "classifiers") / attribute
        return face_classifier.load_or_train_classifier(
            folder, clips, labels, seed=seed, steps=options.classifier_steps, device=options.device
        )


class FaceDetector:
    """MediaPipe's face mesh on aligned faces, applied to each frame.

    Raises:
        UserError: MediaPipe is not installed.
    """

    def __init__(self) -> None:
        self._mesh = FaceMesh()

    def points(self, frames_T3HW: np.ndarray) -> np.ndarray:
        """Return iBUG landmarks (T, 68, 2) in pixels of square frames, NaN without a face."""
        side, found = frames_T3HW.shape[2], np.full((len(frames_T3HW), LANDMARKS, 2), np.nan)
        for t, frame_3HW in enumerate(frames_T3HW):
            if t and np.array_equal(frame_3HW, frames_T3HW[t - 1]):
                found[t] = found[t - 1]
                continue
            image_HW3 = np.ascontiguousarray(frame_3HW.transpose(1, 2, 0))
            for window in MESH_WINDOWS:
                points_K2 = self._mesh(image_HW3, np.full(2, side / 2), window * side)
                if points_K2 is not None:
                    found[t] = points_K2 - 0.5  # whole numbers are centres of pixels
                    break
        return found


class FaceMetrics:
    """Collects the metrics of all systems' videos, clip by clip.

    Args:
        classifiers: of identity and emotion.
        networks: of LPIPS and FID.
        options: of the evaluation.
        people: real clips of all speakers to be recognised.

    Attributes:
        table: values of all clips but for those over all frames.
    """

    def __init__(
        self,
        classifiers: FaceClassifiers,
        networks: ImageNetworks,
        options: EvaluateFaceOptions,
        people: Sequence[FaceRecording],
    ) -> None:
        self.classifiers, self._networks, self._options = classifiers, networks, options
        self.table = ClipTable()
        self._detector = FaceDetector() if options.landmarks else None
        self._face_network = load_face_network(options)
        self._speakers = sorted({clip.speaker for clip in people})
        self._faces_CD = np.zeros((len(self._speakers), 1))
        if classifiers.identity is not None:
            classifier = classifiers.identity
            faces_ND = np.stack([classifier.predict(c.frames_T3HW).embedding_D for c in people])
            numbers_N = np.array([self._speakers.index(clip.speaker) for clip in people])
            self._faces_CD = centroids(faces_ND, numbers_N, len(self._speakers))
        self._curves: dict[str, list[np.ndarray]] = defaultdict(list)
        self._emotions: dict[str, list[list[str]]] = defaultdict(list)  # by system, clip, seed
        self._true_emotions: list[str] = []
        self._features: dict[Video, list[np.ndarray]] = defaultdict(list)
        self._inception: dict[Video, list] = defaultdict(list)

    def add(self, clip: FaceRecording, system: str, videos: Sequence[np.ndarray]) -> None:
        """Measure a system's videos of a clip; the recording comes first."""
        measured = [self._measure(clip, (system, i), video) for i, video in enumerate(videos)]
        for part in measured[0]:
            self.table.add_clip(part, system, clip.speaker, [one[part] for one in measured])
        classifier = self.classifiers.emotion
        if classifier is not None and clip.emotion in classifier.classes:
            labels = [classifier.predict(video).label for video in videos]
            hits = [{"accuracy": float(label == clip.emotion)} for label in labels]
            self.table.add_clip("emotion", system, clip.speaker, hits)
            self._emotions[system].append(labels)
            if system == REAL:
                self._true_emotions.append(clip.emotion)

    def metrics(self) -> Metrics:
        """Return the tables over all clips, by part, metric and system."""
        metrics = self.table.means()
        for system, curves in self._curves.items():
            sync = lip_sync.sync_metrics(curves)
            for metric in ("lag_frames", "best_correlation"):
                metrics["lips"].setdefault(metric, {})[system] = sync[metric]
        if self._emotions:
            metrics["emotion"] |= self._emotion_metrics(metrics["emotion"]["accuracy"])
        metrics.setdefault("image", {}).update(self._distribution_metrics())
        return metrics

    def identity_metrics(self, clip: FaceRecording, prediction: Prediction) -> dict[str, float]:
        """Return how well a classified face matches a clip's speaker."""
        number = self._speakers.index(clip.speaker)
        scores_1C = cosines(prediction.embedding_D[None], self._faces_CD)
        metrics = {}
        classifier = self.classifiers.identity
        if classifier is not None and clip.speaker in classifier.classes:
            metrics["top_1"] = float(prediction.label == clip.speaker)
        return metrics | {
            "one_of_two": float(one_of_two(scores_1C, np.array([number]))[0]),
            "cosine_to_speaker": float(scores_1C[0, number]),
        }

    def _measure(
        self, clip: FaceRecording, key: Video, video: np.ndarray
    ) -> dict[str, dict[str, float]]:
        system = key[0]
        parts = {"image": self._image_metrics(clip, key, video)}
        if self._detector is not None:
            points_TK2 = self._detector.points(video)
            loudness_T = lip_sync.loudness(clip.audio_S, len(clip))
            parts["lips"] = lip_metrics(points_TK2, clip.points_TK2, loudness_T)
            self._curves[system].append(lip_curve(points_TK2, clip.points_TK2))
        if self.classifiers.identity is not None:
            prediction = self.classifiers.identity.predict(video)
            self._features[key].append(prediction.features_TD[::FEATURE_STEP])
            parts["identity"] = self.identity_metrics(clip, prediction)
            if self._face_network is not None and system != REAL:
                similarity_T = self._face_network.similarity(video, clip.frames_T3HW)
                parts["identity"]["face_network_cosine"] = float(similarity_T.mean())
        return parts

    def _image_metrics(
        self, clip: FaceRecording, key: Video, video: np.ndarray
    ) -> dict[str, float]:
        pair = video[::IMAGE_STEP], clip.frames_T3HW[::IMAGE_STEP]
        values = {
            "flicker": flicker(video, clip.frames_T3HW),
            "jitter": jitter(video),
            "sharpness": sharpness(pair[0]),
        }
        if key[0] != REAL:
            values |= {"psnr": psnr(*pair), "ssim": ssim(*pair)}
            lpips_T = self._networks.lpips(*pair)
            if lpips_T is not None:
                values["lpips"] = lpips_T
        features = self._networks.inception(video[::INCEPTION_STEP])
        if features is not None:
            self._inception[key].append(features)
        return {name: finite_mean(values_T) for name, values_T in values.items()}

    def _emotion_metrics(self, accuracy: Metrics) -> Metrics:
        """Return accuracy and F1, and both relative to those of real clips."""
        true = np.array(self._true_emotions)
        f1 = {
            system: float(np.mean([macro_f1(np.array(s), true) for s in zip(*clips, strict=True)]))
            for system, clips in self._emotions.items()
        }
        rows: Metrics = {"accuracy": accuracy, "macro_f1": f1}
        for metric, row in list(rows.items()):
            rows[f"{metric}_relative_to_real"] = {
                system: value / row[REAL] if row[REAL] else float("nan")
                for system, value in row.items()
            }
        return rows

    def _distribution_metrics(self) -> Metrics:
        """Return distances of all frames to all real ones, averaged over seeds."""
        found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        features = {key: np.concatenate(parts) for key, parts in self._features.items()}
        real_ND = features.get((REAL, 0), np.zeros((0, 1)))
        for (system, _), own_ND in features.items() if len(real_ND) > 1 else ():
            found[FRECHET][system].append(frechet_distance(own_ND, real_ND))
        outputs = {key: join_outputs(parts) for key, parts in self._inception.items()}
        real = outputs.get((REAL, 0))
        if real is not None and len(real[0]) > 1:
            for (system, _), own in outputs.items():
                for metric, value in inception_metrics(own, real, seed=self._options.seed).items():
                    found[metric][system].append(value)
        return {
            metric: {system: float(np.mean(values)) for system, values in row.items()}
            for metric, row in found.items()
        }


def lip_metrics(
    points_TK2: np.ndarray, real_TK2: np.ndarray, loudness_T: np.ndarray
) -> dict[str, float]:
    """Return a clip's lip metrics compared with the recording's, NaN where unknown.

    detected  share of frames with a face
    mouth_error  of the 20 centred lip points, in distances of the outer eye corners
    lip_correlation, _within_1  with the recording's opening at lag 0, and the best at lags -1 to 1
    lip_range  5th to 95th percentile of the opening, relative to the recording's
    opening_in_silence  mean, from 0 the most closed to 1 the most open
    motion_in_silence  mean change between frames in silence, relative to speech

    A static or undetected mouth has correlation 0.
    """
    own_T, real_T = face_lip_opening(points_TK2), face_lip_opening(real_TK2)
    curve_L = lip_curve(points_TK2, real_TK2)
    limits, real_limits = lip_sync.mouth_range(own_T), lip_sync.mouth_range(real_T)
    relative_range = np.nan
    if real_limits is not None:
        if np.isfinite(real_T).sum() >= MIN_OVERLAP:
            curve_L = np.nan_to_num(curve_L)
        own_range = limits[1] - limits[0] if limits else 0.0
        relative_range = own_range / (real_limits[1] - real_limits[0])
    middle = len(curve_L) // 2
    silent_T = lip_sync.silences(loudness_T)
    own, real = to_body_points(points_TK2), to_body_points(real_TK2)
    return {
        "detected": float(np.isfinite(own_T).mean()),
        "mouth_error": finite_mean(landmark_metrics(own, real, real)["mouth_error"]),
        "lip_correlation": float(curve_L[middle]),
        "lip_correlation_within_1": float(curve_L[middle - 1 : middle + 2].max()),
        "lip_range": relative_range,
        "opening_in_silence": lip_sync.mouth_metrics(own_T, silent_T)["in_silence"],
        "motion_in_silence": _motion_in_silence(own_T, silent_T),
    }


def lip_curve(points_TK2: np.ndarray, real_TK2: np.ndarray) -> np.ndarray:
    """Return the correlations with the real lip opening at lags of −12 to 12 frames."""
    return lip_sync.lag_curve(face_lip_opening(real_TK2), face_lip_opening(points_TK2))


def face_lip_opening(points_TK2: np.ndarray) -> np.ndarray:
    """Return the lip opening (T,) of iBUG landmarks in distances of the outer eye corners."""
    return lip_opening(to_body_points(points_TK2))


def to_body_points(points_TK2: np.ndarray) -> np.ndarray:
    """Return iBUG landmarks (T, 68, 2) as body points (T, 144, 2), the others NaN."""
    whole = np.full((len(points_TK2), len(POINTS), 2), np.nan)
    whole[:, list(IBUG68)] = points_TK2
    return whole


def _motion_in_silence(opening_T: np.ndarray, silent_T: np.ndarray) -> float:
    change_T = np.abs(np.diff(opening_T))
    both_T = silent_T[1:] & silent_T[:-1]
    in_speech = finite_mean(change_T[~silent_T[1:]])
    return finite_mean(change_T[both_T]) / in_speech if in_speech else np.nan
