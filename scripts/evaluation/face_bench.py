"""What is measured of a clip's videos: lips, who it is, what they feel, the picture."""

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from evaluation.face_landmarks import LipReader, lip_curve, lip_figures
from evaluation.face_speakers import Takes
from evaluation.face_table import ClipTable
from evaluation.page import Figures
from evaluation.speech_lips import loudness, sync_figures
from evaluation.video_table import REAL, mean
from speech2video.data.face_recording import FaceRecording
from speech2video.models.face_judges import FaceJudge, Opinion, judge_of
from speech2video.models.image_networks import ImageNetworks
from speech2video.models.image_scores import FaceNetwork, inception_scores
from speech2video.options.evaluate_face_options import EvaluateFaceOptions
from speech2video.util.metrics import image as metrics
from speech2video.util.metrics.classification import macro_f1
from speech2video.util.metrics.frechet import frechet_distance
from speech2video.util.metrics.identity import centroids, cosines, one_of_two

FACE_SEED, EMOTION_SEED = 7001, 7002  # of the judges: no training of a teacher has them
PICTURE_STEP = 5  # frames from one to the next whose pixels are compared: few hold much news
FEATURE_STEP = 2  # looks of a judge, likewise, that count in a distance of distributions
FID_STEP = 10  # likewise for Inception, which takes its time
FRECHET = "frechet_distance_of_judge"  # what stands in for FID, by its own name


class Take(NamedTuple):
    """A system, and which of its videos of each clip: those of a seed are judged together."""

    system: str
    number: int = 0


class Judges:
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

    def _judge(self, training: Sequence[FaceRecording], of: str, seed: int) -> FaceJudge | None:
        labels = [getattr(recording, of) for recording in training]
        if len(set(labels)) < 2:
            table = "identity" if of == "speaker" else of
            self.absent[table] = f"{len(set(labels))} {of}s in the training split; two are needed"
            return None
        return judge_of(self._folder / of, training, labels, seed=seed, **self._how)


class Bench:
    """Measures videos of clips, one clip after the other.

    Args:
        judges: of identity and emotion.
        networks: for LPIPS and FID.
        options: what to measure.
        people: real recordings of the people in question, by whom "who is it" is asked.
    """

    def __init__(
        self,
        judges: Judges,
        networks: ImageNetworks,
        options: EvaluateFaceOptions,
        people: Sequence[FaceRecording],
    ) -> None:
        self._judges, self._networks, self._options = judges, networks, options
        self.table = ClipTable()
        self._mesh = LipReader() if options.landmarks else None
        self._face_network = None
        if options.face_network is not None:
            self._face_network = FaceNetwork(
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
        self._features: dict[Take, list[np.ndarray]] = defaultdict(list)
        self._inception: dict[Take, list] = defaultdict(list)

    def see(self, clip: FaceRecording, takes: Takes) -> None:
        """Measure a system's videos of a clip; the recording itself comes first."""
        measured = [
            self._measure(clip, Take(takes.system, number), video)
            for number, video in enumerate(takes.videos)
        ]
        for part in measured[0]:
            self.table.add(part, takes.system, clip.speaker, [one[part] for one in measured])
        if self._judges.emotion is not None and clip.emotion in self._judges.emotion.classes:
            self._ask_for_emotion(clip, takes)

    def figures(self) -> Figures:
        """Return the tables over all clips, by part, measure and system."""
        figures = self.table.means()
        for system, curves in self._curves.items():
            for measure in ("lag_frames", "best_correlation"):
                row = figures["lips"].setdefault(measure, {})
                row[system] = sync_figures(curves)[measure]
        if self._felt:
            figures["emotion"] |= self._emotions(figures["emotion"]["accuracy"])
        figures.setdefault("picture", {}).update(self._distributions())
        return figures

    def identity(self, clip: FaceRecording, opinion: Opinion) -> dict[str, float]:
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
        self, clip: FaceRecording, take: Take, video: np.ndarray
    ) -> dict[str, dict[str, float]]:
        system = take.system
        parts = {"picture": self._picture(clip, take, video)}
        if self._mesh is not None:
            points_TK2 = self._mesh.points(video)
            sound_T = loudness(clip.wave_S, len(clip))
            parts["lips"] = lip_figures(points_TK2, clip.points_TK2, sound_T)
            self._curves[system].append(lip_curve(points_TK2, clip.points_TK2))
        if self._judges.face is not None:
            opinion = self._judges.face.look(video)
            self._features[take].append(opinion.features_TD[::FEATURE_STEP])
            parts["identity"] = self.identity(clip, opinion) | self._likeness(clip, system, video)
        return parts

    def _ask_for_emotion(self, clip: FaceRecording, takes: Takes) -> None:
        judge = self._judges.emotion
        said = [judge.says(judge.look(video)) for video in takes.videos]
        hits = [{"accuracy": float(one == clip.emotion)} for one in said]
        self.table.add("emotion", takes.system, clip.speaker, hits)
        self._felt[takes.system].append(said)
        if takes.system == REAL:
            self._true.append(clip.emotion)

    def _emotions(self, accuracy: Figures) -> Figures:
        """Return the rest of the table: F1, and shares of what the judge says of real clips."""
        scores = {
            system: [
                macro_f1(np.array(one), np.array(self._true)) for one in zip(*said, strict=True)
            ]
            for system, said in self._felt.items()
        }
        rows: Figures = {
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

    def _picture(self, clip: FaceRecording, take: Take, video: np.ndarray) -> dict[str, float]:
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

    def _distributions(self) -> Figures:
        """Return distances of all frames from all real ones, means over seeds."""
        found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        clouds = {take: np.concatenate(parts) for take, parts in self._features.items()}
        real_ND = clouds.get(Take(REAL), ())
        for take, cloud_ND in clouds.items() if len(real_ND) > 1 else ():
            found[FRECHET][take.system].append(frechet_distance(cloud_ND, real_ND))
        looks = {
            take: tuple(map(np.concatenate, zip(*parts, strict=True)))
            for take, parts in self._inception.items()
        }
        real = looks.get(Take(REAL), ((),))
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
