"""MediaPipe's networks without their log output: body and face, hands, palms, face detection.

Body and face are parts of Holistic, connected without its hands, which `hands` detects itself: the
same numbers in half the time. The wheel of version 0.10.14 includes the weights; later wheels do
not. Importing this module does not import MediaPipe.
"""

import contextlib
import importlib.util
import os
import sys
import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from speech2video.util.body.skeleton import IBUG68, indices
from speech2video.util.errors import UserError
from speech2video.util.rendering.openpose import PART_POINTS

CROP = 224  # pixels; input of the hand network
_SILENCE = threading.RLock()  # two threads at once would leave standard error closed

# MediaPipe's landmarks of the body's points (`skeleton.POINTS`), numbered as in
# https://ai.google.dev/edge/mediapipe: pose (33), hand (21), FaceMesh (468, then 10 of the irises).
# Left and right are the person's own.
_SIDED_POSE = ("ear", "shoulder", "elbow", "wrist", "hip", "knee", "ankle", "heel", "big_toe")
_SIDED_INDICES = (7, 11, 13, 15, 23, 25, 27, 29, 31)  # on the left; the next is on the right
_POSE_NAMES = {"nose": 0, "left_eye_point": 2, "right_eye_point": 5} | {
    f"{side}_{name}": index + step
    for name, index in zip(_SIDED_POSE, _SIDED_INDICES, strict=True)
    for step, side in enumerate(("left", "right"))
}
POSE_SOURCE = list(_POSE_NAMES.values())
POSE_TARGET = indices(tuple(_POSE_NAMES))

# Left and right: shoulder, elbow, wrist, root of the little finger, root of the index finger.
POSE_ARMS = ((11, 13, 15, 17, 19), (12, 14, 16, 18, 20))

# FaceMesh vertices of iBUG 68.
FACEMESH_IBUG68 = (
    *(162, 234, 93, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 323, 454, 389),  # contour
    *(70, 63, 105, 66, 107, 336, 296, 334, 293, 300),  # brows
    *(168, 197, 5, 4, 98, 97, 2, 326, 327),  # nose
    *(33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380),  # eyes
    *(61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181),  # outer lips
    *(78, 82, 13, 312, 308, 317, 14, 87),  # inner lips
)
FACE_SOURCE = [*FACEMESH_IBUG68, 468, 473]  # then the pupils: right, left
FACE_TARGET = [*IBUG68, *indices(("right_eye", "left_eye"))]

# A hand is the wrist, then four points of each finger from root to tip, thumb first.
HAND_ROOTS = [5, 9, 13]  # the knuckles where index, middle and ring finger begin
HAND_MIDDLE_ROOT = 9
HAND_TARGETS = [PART_POINTS["left_hand_213"], PART_POINTS["right_hand_213"]]  # indices in `POINTS`


def require_mediapipe(alternative: str = "") -> None:
    """Raise `UserError`, with the alternative, where MediaPipe is not installed."""
    if not importlib.util.find_spec("mediapipe"):
        how = "pip install 'speech2video[preprocess]'"
        if sys.version_info >= (3, 13):
            how = "it has packages for Python 3.10 to 3.12 alone; use one of these"
        raise UserError(f"mediapipe is not installed: {how}{alternative}")


def import_mediapipe() -> Any:
    """Return the module `mediapipe`; raises `UserError` if it is missing or has no weights."""
    warnings.filterwarnings("ignore", r"SymbolDatabase\.GetPrototype", UserWarning)
    os.environ.setdefault("GLOG_minloglevel", "2")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    try:
        with silenced():
            import mediapipe
    except ImportError as error:
        raise UserError(
            f"mediapipe cannot be imported ({error}); pip install 'speech2video[preprocess]', "
            "or give keypoints from OpenPose"
        ) from None
    if not hasattr(mediapipe, "solutions"):
        raise UserError(f"mediapipe {mediapipe.__version__} has no weights; 0.10.14 is needed")
    return mediapipe


@contextlib.contextmanager
def silenced() -> Iterator[None]:
    """Discard what MediaPipe's C++ and Python code write to standard error."""
    with _SILENCE, warnings.catch_warnings(), open(os.devnull, "wb") as null:
        warnings.simplefilter("ignore")
        kept = os.dup(2)
        os.dup2(null.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)


@dataclass(frozen=True)
class PersonDetection:
    """One person in one frame.

    Attributes:
        pose_333: (33, 3) x and y in pixels, visibility in [0, 1].
        world_333: (33, 3) metres from the hips' centre: x right, y down, z away from the viewer.
        face_K2: (478, 2) pixels of the face mesh and the irises, or None without a face.
    """

    pose_333: np.ndarray
    world_333: np.ndarray
    face_K2: np.ndarray | None


class BodyNetwork:
    """Holistic's pose and face mesh, tracking one person from frame to frame.

    Its temporal smoothing is off, as it lags by a frame. The wheel includes the network "full"
    (complexity 1); "lite" and "heavy" would have to be downloaded.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Start tracking anew."""
        outputs = ["pose", "world", "face"]
        self._graph = _graph("body", outputs, complexity=1, yes=True, no=False)
        with silenced():
            self(np.zeros((CROP, CROP, 3), np.uint8))

    def __call__(self, image_HW3: np.ndarray) -> PersonDetection | None:
        """Return the person in the next frame (RGB, contiguous), or None."""
        size = np.array(image_HW3.shape[1::-1])
        found = self._graph.process({"image": image_HW3})
        if found.pose is None or found.world is None:
            return None
        pose = _landmarks(found.pose)[:, :2] * size
        visible = np.array([point.visibility for point in found.pose.landmark])
        face = None if found.face is None else _landmarks(found.face)[:, :2] * size
        return PersonDetection(np.column_stack([pose, visible]), _landmarks(found.world), face)


class HandNetwork:
    """MediaPipe's hand landmarks in a given crop."""

    def __init__(self) -> None:
        self._graph = _graph("hand", ["hand", "world", "side"], complexity=1)
        from mediapipe.framework.formats.rect_pb2 import NormalizedRect  # pyright: ignore

        self._whole = NormalizedRect(x_center=0.5, y_center=0.5, width=1, height=1, rotation=0)
        with silenced():
            self(np.zeros((CROP, CROP, 3), np.uint8))

    def __call__(self, crop_HW3: np.ndarray) -> tuple[np.ndarray, np.ndarray, float] | None:
        """Return the hand in a square RGB crop of it, or None.

        Returns:
            points (21, 2) as shares of the crop, world (21, 3) metres from the wrist, and the
            confidence that it is a left hand, 0 to 1.
        """
        found = self._graph.process({"image": crop_HW3, "roi": self._whole})
        if found.hand is None:
            return None
        world_213 = _landmarks(found.world)
        guess = found.side.classification[0]  # assumes mirrored images
        left = guess.score if guess.label == "Right" else 1 - guess.score
        return _landmarks(found.hand)[:, :2], world_213 - world_213[0], left


class PalmNetwork:
    """MediaPipe's detection of hands at any place and rotation."""

    def __init__(self) -> None:
        solutions = import_mediapipe().solutions
        with silenced():
            self._hands = solutions.hands.Hands(
                static_image_mode=True, max_num_hands=2, min_detection_confidence=0.3
            )
            self(np.zeros((CROP, CROP, 3), np.uint8))

    def __call__(self, crop_HW3: np.ndarray) -> list[np.ndarray]:
        """Return the points (21, 2) of up to two hands as shares of the crop's sides."""
        found = self._hands.process(crop_HW3).multi_hand_landmarks or []
        return [_landmarks(hand)[:, :2] for hand in found]


class FaceDetector:
    """MediaPipe's face detector."""

    def __init__(self) -> None:
        solutions = import_mediapipe().solutions
        with silenced():
            self._faces = solutions.face_detection.FaceDetection(
                model_selection=1, min_detection_confidence=0.6
            )
            self(np.zeros((CROP, CROP, 3), np.uint8))

    def __call__(self, image_HW3: np.ndarray) -> np.ndarray:
        """Return boxes (N, 4) of faces: left, top, width, height in pixels, the widest first."""
        height, width = image_HW3.shape[:2]
        found = self._faces.process(image_HW3).detections or []
        boxes = [face.location_data.relative_bounding_box for face in found]
        boxes_N4 = np.array([(b.xmin, b.ymin, b.width, b.height) for b in boxes]).reshape(-1, 4)
        boxes_N4 = boxes_N4 * (width, height, width, height)
        return boxes_N4[np.argsort(-boxes_N4[:, 2])]


def _graph(name: str, outputs: list[str], **side_inputs: bool | int) -> Any:
    """Return a running graph of MediaPipe's calculators, described in the file `name`.pbtxt."""
    import_mediapipe()
    from google.protobuf import text_format
    from mediapipe.framework.calculator_pb2 import CalculatorGraphConfig  # pyright: ignore
    from mediapipe.python.solution_base import SolutionBase

    text = Path(__file__).with_name(f"{name}.pbtxt").read_text(encoding="utf-8")
    config = text_format.Parse(text, CalculatorGraphConfig())
    with silenced():
        return SolutionBase(graph_config=config, side_inputs=side_inputs, outputs=outputs)


def _landmarks(found: Any) -> np.ndarray:
    """Return a list of landmarks as (K, 3): x, y, z in MediaPipe's units."""
    return np.array([(point.x, point.y, point.z) for point in found.landmark])
