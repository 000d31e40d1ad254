"""Who else is in the picture, looked for once a second, and who is the largest."""

import cv2
import numpy as np

from speech2video.data.preprocessing.mediapipe_graphs import BodyFound, FaceCounter

LARGER = 1.3  # times as wide a face makes somebody the larger person
STEADY = 2  # looks in a row that must agree before the body's tracker turns to somebody else
STEADY_SHARE = 0.25  # of all looks in which a number of faces must be seen to be counted
SMALLEST = 0.3  # of the widest face; smaller ones are pictures on walls and people far off
HEAD = 1.8  # sides of a head's box in sides of its face's
_FACE_OF_POSE = range(11)  # nose, eyes, ears, mouth


class Onlookers:
    """Counts faces now and then, and says when the tracked person is not the largest.

    Attributes:
        looks: how many faces each look counted.
    """

    def __init__(self, every: int) -> None:
        self._faces = FaceCounter()
        self._every = max(1, every)
        self._owner_T: list[int] = []  # how often the tracker had turned to somebody, per frame
        self._wrong = 0
        self.looks: list[int] = []

    def look(self, image_HW3: np.ndarray, person: BodyFound | None) -> np.ndarray | None:
        """Take note of the next frame.

        Returns:
            None; or, where the tracker is to turn to a larger person, the frame with everybody
            else's head hidden.
        """
        turn = self._owner_T[-1] if self._owner_T else 0
        self._owner_T.append(turn)
        if (len(self._owner_T) - 1) % self._every:
            return None
        boxes_N4 = self._faces(image_HW3)
        boxes_N4 = boxes_N4[boxes_N4[:, 2] > SMALLEST * boxes_N4[:1, 2]]
        self.looks.append(len(boxes_N4))
        if person is None or len(boxes_N4) < 2 or not _is_another(boxes_N4, person):
            self._wrong = 0
            return None
        self._wrong += 1
        if self._wrong < STEADY and len(self._owner_T) > 1:
            return None
        self._wrong = 0
        self._owner_T[-1] = turn + 1
        return _without_heads(image_HW3, boxes_N4[1:])

    @property
    def people(self) -> int:
        """How many people are steadily in the picture, the tracked one among them."""
        counts = np.array(self.looks or [0])
        steady = [n for n in range(2, counts.max() + 1) if (counts >= n).mean() >= STEADY_SHARE]
        return max(steady, default=1)

    def main_person(self) -> np.ndarray:
        """Return in which frames (T,) the tracker followed whom it followed longest."""
        owner_T = np.array(self._owner_T, int)
        return owner_T == np.bincount(owner_T).argmax() if len(owner_T) else owner_T.astype(bool)


def _is_another(boxes_N4: np.ndarray, person: BodyFound) -> bool:
    """Return whether the widest face is clearly wider than the tracked person's and not theirs."""
    middle_2 = person.pose_333[_FACE_OF_POSE, :2].mean(0)
    distance_N = np.linalg.norm(boxes_N4[:, :2] + boxes_N4[:, 2:] / 2 - middle_2, axis=1)
    theirs = int(distance_N.argmin())
    return theirs != 0 and boxes_N4[0, 2] > LARGER * boxes_N4[theirs, 2]


def _without_heads(image_HW3: np.ndarray, boxes_N4: np.ndarray) -> np.ndarray:
    """Return the picture with grey over some heads."""
    hidden_HW3 = image_HW3.copy()
    for box in boxes_N4:
        middle_2, half_2 = box[:2] + box[2:] / 2, HEAD / 2 * box[2:]
        low, high = (tuple(int(v) for v in middle_2 + sign * half_2) for sign in (-1, 1))
        cv2.rectangle(hidden_HW3, low, high, (128, 128, 128), cv2.FILLED)
    return hidden_HW3
