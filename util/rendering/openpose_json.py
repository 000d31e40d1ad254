"""Read OpenPose keypoints from json: of OpenPose, and of tools that write something like it.

A recording is a folder with one file a frame, or one file with all frames. Read are OpenPose's own
"people", DWPose and ControlNet (canvas_width, coordinates from 0 to 1, candidate and subset),
mmpose (instance_info, keypoint_scores), AlphaPose and COCO results (image_id), lists of frames, and
objects by frame number. A body's layout follows from its number of points.

Shapes: N points of one list, as x, y and a confidence.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from speech2video.util.errors import DataError, note
from speech2video.util.files import check_file
from speech2video.util.rendering.openpose import (
    BODY_25,
    FACE_POINTS,
    FARTHEST_PX,
    HAND_POINTS,
    PART_POINTS,
    OpenPoseFrame,
)

MAX_BYTES = 64 * 2**20  # of a file; parsed, it takes up to 25 times as much
MAX_ROWS = 1_000_000  # of one file: people or frames, of ten hours
MAX_PEOPLE = 1000  # in a frame
MAX_LEAD = 50  # frames; a first number that is larger is that of a section of a longer recording
SPARSEST = 20  # times as many frames as files: numbers farther apart do not count frames
FEW = 250  # frames that any few files may be spread over
FARTHEST_FRAME = 10**18
TIME_STAMPS = 8  # numbers from which even steps show that they are times
COUNTED_DIGITS = 12  # of the numbers in OpenPose's own names, which count from 0
SAMPLED = 20  # frames that distinguish BODY_25B from BODY_25
NORMALISED = 2.0  # coordinates up to here are shares of the image, not pixels
NECK_OFF = 0.25  # of the shoulders' distance, from their middle: then a point is no neck

_LIMBS = "LShoulder RShoulder LElbow RElbow LWrist RWrist LHip RHip LKnee RKnee LAnkle RAnkle"
COCO_17 = ("Nose", "LEye", "REye", "LEar", "REar", *_LIMBS.split())
FEET = ("LBigToe", "LSmallToe", "LHeel", "RBigToe", "RSmallToe", "RHeel")
_ARMS = "RShoulder RElbow RWrist LShoulder LElbow LWrist"
_LEGS = "RHip RKnee RAnkle LHip LKnee LAnkle"
COCO_18 = ("Nose", "Neck", *_ARMS.split(), *_LEGS.split(), "REye", "LEye", "REar", "LEar")
MPI_15 = ("HeadTop", "Neck", *_ARMS.split(), *_LEGS.split(), "Chest")
HALPE_26 = (*COCO_17, "Head", "Neck", "MidHip", *(FEET[k] for k in (0, 3, 1, 4, 2, 5)))
BODY_25B = (*COCO_17, "UpperNeck", "HeadTop", *FEET)
BODIES = {len(names): names for names in (MPI_15, COCO_17, COCO_18, BODY_25[:19], HALPE_26)}
BODIES |= {len(BODY_25): BODY_25, len(COCO_17 + FEET): COCO_17 + FEET}
WHOLE_BODIES = {  # number of points: those of the body, then where the other parts are
    133: (COCO_17 + FEET, {"face": (23, 91), "left_hand": (91, 112), "right_hand": (112, 133)}),
    134: (COCO_18 + FEET, {"face": (24, 92), "left_hand": (92, 113), "right_hand": (113, 134)}),
    135: (BODY_25B, {"left_hand": (25, 45), "right_hand": (45, 65), "face": (65, 135)}),
    136: (HALPE_26, {"face": (26, 94), "left_hand": (94, 115), "right_hand": (115, 136)}),
}
MIDDLES = {"Neck": ("LShoulder", "RShoulder"), "MidHip": ("LHip", "RHip")}

COUNTS = {
    "body": (len(BODY_25), *BODIES, *WHOLE_BODIES),
    "face": (FACE_POINTS, FACE_POINTS - 2),
    "left_hand": (HAND_POINTS,),
    "right_hand": (HAND_POINTS,),
    "feet": (len(FEET),),
}
KEYS = {
    "body": ("pose_keypoints_2d", "pose_keypoints", "keypoints", "body_keypoints_2d", "joints"),
    "face": ("face_keypoints_2d", "face_keypoints", "face_kpts"),
    "left_hand": ("hand_left_keypoints_2d", "hand_left_keypoints", "lefthand_kpts"),
    "right_hand": ("hand_right_keypoints_2d", "hand_right_keypoints", "righthand_kpts"),
    "feet": ("foot_keypoints_2d", "foot_keypoints", "foot_kpts"),
}
PERSON_KEYS = frozenset(key for keys in KEYS.values() for key in keys)
PEOPLE_KEYS = ("people", "persons", "instances", "bodies", "predictions")
FRAMES_KEYS = ("frames", "instance_info", "annotations", "results", "data")
NUMBER_KEYS = ("frame", "frame_id", "frame_index", "frame_idx", "frame_number", "image_id", "index")
NUMBER_KEYS += ("image_name", "image_path", "file_name", "filename")


class NoPersonError(DataError):
    """Raised for a frame whose list of people is empty."""


class OpenPoseRecording:
    """The frames of a recording, by number; each is read when it is asked for.

    A number in the names of files, or stated in one file, is that of the frame, so that frames
    without a file are missing and move no other. Names without numbers that count are taken in
    order.

    Args:
        path: a folder of json files, or one file.
        size: width and height in pixels of the image that the points are for. Shares of the image,
            and points of a canvas of another size, are scaled to it.
        frames: number of frames of the recording, if known.

    Raises:
        DataError: no files, a broken one, or numbers that cannot be those of frames.
    """

    def __init__(
        self, path: Path, *, size: tuple[int, int] | None = None, frames: int | None = None
    ) -> None:
        self.path, self._size = Path(path), size
        names, entries, from_zero = self._entries()
        numbers = _frame_numbers(names) or range(len(entries))
        index = _count_from(self.path, sorted(numbers), from_zero, frames)
        self._entries_by_frame = {index[n]: e for n, e in zip(numbers, entries, strict=True)}
        self._count = max(self._entries_by_frame) + 1
        self._is_25b = False
        self._is_25b = self._finds_25b()

    def __len__(self) -> int:
        return self._count

    @property
    def given(self) -> int:
        """Number of frames that the folder or the file has."""
        return len(self._entries_by_frame)

    def frame(self, number: int) -> OpenPoseFrame | None:
        """Return the largest person of a frame, None without one; raises `DataError`."""
        if number not in self._entries_by_frame:
            return None
        entry = self._entries_by_frame[number]
        where = entry if isinstance(entry, Path) else f"{self.path}: frame {number}"
        try:
            return _read_frame(where, self._content(entry), self._size, is_25b=self._is_25b)
        except NoPersonError:
            return None

    def held(self) -> Iterator[OpenPoseFrame]:
        """Yield all frames; one without a person shows the frame before, or else the first person.

        Raises:
            DataError: at once where no frame has a person, or one is broken.
        """
        found = [n for n in sorted(self._entries_by_frame) if self.frame(n) is not None]
        if not found:
            raise DataError(f"{self.path}: no person found in {len(self)} frames")
        if missing := len(self) - len(found):
            held = "the frame before is shown"
            note(f"{self.path}: {missing} of {len(self)} frames without a person; {held}")
        return self._held(found[0])

    def _held(self, first: int) -> Iterator[OpenPoseFrame]:
        held = self.frame(first)
        for number in range(len(self)):
            held = self.frame(number) or held
            assert held is not None
            yield held

    def _entries(self) -> tuple[list[Any], list[Any], int | None]:
        """Return the names, the frames, and the least first number that may count from 0."""
        folder = self.path
        if not folder.is_dir():
            if folder.suffix.lower() == ".json" or folder.is_file():
                return (*_split(folder, read_openpose_json(folder)), 2)
            raise DataError(f"{folder}: no json files; a folder of OpenPose frames is needed")
        # macOS puts a hidden ._0.json next to 0.json on foreign disks
        paths = [p for p in folder.iterdir() if p.suffix.lower() == ".json" and p.name[0] != "."]
        paths = sorted(filter(Path.is_file, paths), key=_natural_order)
        if not paths:
            raise DataError(f"{folder}: no json files; a folder of OpenPose frames is needed")
        if len(paths) == 1:
            return (*_split(paths[0], read_openpose_json(paths[0])), 2)
        numbered = [path for path in paths if re.search(r"\d", path.stem)]
        if numbered and len(numbered) < len(paths):
            left = f"{len(paths) - len(numbered)} json files without a number in the name"
            note(f"{folder}: {left} are left out")
        paths = numbered or paths
        counted = bool(re.search(rf"(?<!\d)\d{{{COUNTED_DIGITS}}}(?!\d)", paths[0].stem))
        return [path.stem for path in paths], paths, 1 if counted else None

    def _content(self, entry: Any) -> Any:
        if not isinstance(entry, Path):
            return entry
        _, frames = _split(entry, read_openpose_json(entry), one=True)
        if len(frames) != 1:
            raise DataError(f"{entry}: {len(frames)} frames; in a folder, a file holds one")
        return frames[0]

    def _finds_25b(self) -> bool:
        """Return whether 25 points of a body are BODY_25B's, of frames from the whole recording."""
        numbers = sorted(self._entries_by_frame)
        votes = 0
        for number in numbers[:: max(1, len(numbers) // SAMPLED)]:
            frame = self.frame(number)
            votes += 0 if frame is None else _vote_25b(frame.body_253)
        return votes > 0


def read_openpose(path: Path) -> OpenPoseFrame:
    """Return the largest person of a json file with one frame.

    Raises:
        DataError: not json, no person in it, lists of a wrong length, values that are no number.
    """
    _, frames = _split(path, read_openpose_json(path), one=True)
    if len(frames) != 1:
        raise DataError(f"{path}: {len(frames)} frames; one is needed")
    return _read_frame(path, frames[0], None, is_25b=False)


def read_openpose_json(path: Path) -> Any:
    """Return a json file's content, in any of Unicode's encodings; raises `DataError`."""
    check_file(path, what="OpenPose's json")
    if (size := path.stat().st_size) > MAX_BYTES:
        limit = f"up to {MAX_BYTES >> 20} MB, or a folder with one file a frame, is needed"
        raise DataError(f"{path}: {size >> 20} MB of json; {limit}")
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not json ({error})") from None


def _split(path: Path, content: Any, *, one: bool = False) -> tuple[list[Any], list[Any]]:
    """Return names and frames of a file; `one`: people without a frame's number are one frame's."""
    if isinstance(content, list | dict) and len(content) > MAX_ROWS:
        raise DataError(f"{path}: {len(content)} frames or people; at most {MAX_ROWS} are read")
    if isinstance(content, dict):
        if "canvas_width" in content or any(key in content for key in PEOPLE_KEYS):
            return [0], [content]
        for key in FRAMES_KEYS:
            inner = content.get(key)
            nested = isinstance(inner, dict) and not inner.keys().isdisjoint(FRAMES_KEYS)
            if isinstance(inner, list | dict) and not nested:
                names, frames = _split(path, inner)
                images = content.get("images")
                return _file_names(names, images) if isinstance(images, list) else names, frames
        if PERSON_KEYS.intersection(content):
            return [0], [content]
        if content and all(re.search(r"\d", name) for name in content):
            return list(content), list(content.values())
    if not isinstance(content, list) or not content:
        raise DataError(f'{path}: no list "people"; an OpenPose json file is needed')
    names = [_number_of(item, number) for number, item in enumerate(content)]
    if all(name is None or isinstance(name, int | str) for name in names):
        grouped: dict[Any, list[Any]] = {}
        for name, item in zip(names, content, strict=True):
            grouped.setdefault(name, []).append(item)
        frames = [items[0] if len(items) == 1 else items for items in grouped.values()]
        people = all(isinstance(item, dict) and PERSON_KEYS & item.keys() for item in content)
        if one and people and not any(_stated_number(item) is not None for item in content):
            return [0], [content]
        return list(grouped), frames
    raise DataError(f"{path}: frame numbers that are neither numbers nor names")


def _stated_number(item: Any) -> Any:
    return next((item[key] for key in NUMBER_KEYS if isinstance(item, dict) and key in item), None)


def _number_of(item: Any, place: int) -> Any:
    """Return a frame's stated number or name, or else its place in the list."""
    stated = _stated_number(item)
    if isinstance(stated, float) and stated.is_integer():
        stated = int(stated)
    return place if stated is None or isinstance(stated, bool) else stated


def _file_names(names: Sequence[Any], images: Sequence[Any]) -> list[Any]:
    """Return the file names of COCO's images, for their ids."""
    rows = [row for row in images if isinstance(row, dict) and isinstance(row.get("id"), int | str)]
    known = {row["id"]: row.get("file_name", row["id"]) for row in rows}
    return [known.get(name, name) for name in names]


def _read_frame(
    where: object, frame: Any, size: tuple[int, int] | None, *, is_25b: bool
) -> OpenPoseFrame:
    """Return the largest person of a frame; raises `NoPersonError`, and `DataError` in one line."""
    try:
        people = _people(frame)
        if not people:
            raise NoPersonError("no person in this frame; one is needed")
        if len(people) > MAX_PEOPLE:
            raise DataError(f"{len(people)} people; at most {MAX_PEOPLE} are read")
        parts = [_person(person, is_25b=is_25b) for person in people]
        scale = _scale(frame, parts, size)
        return max((_scaled(*one, scale) for one in parts), key=_extent)
    except NoPersonError as error:
        raise NoPersonError(f"{where}: {error}") from None
    except DataError as error:
        raise DataError(f"{where}: {error}") from None


def _people(frame: Any) -> list[Any]:
    """Return the people of a frame, which is an object, a list of people, or null."""
    if isinstance(frame, dict):
        if isinstance(bodies := frame.get("bodies"), dict):
            return _dwpose_people(frame, bodies)
        key = next((key for key in PEOPLE_KEYS if key in frame), None)
        if key is None and not PERSON_KEYS & frame.keys() and "canvas_width" in frame:
            raise DataError('no list "people"; people are needed, not animals')
        frame = [frame] if key is None else frame[key]
        frame = list(frame.values()) if isinstance(frame, dict) else frame
    if frame is None:
        return []
    if not isinstance(frame, list):
        raise DataError('no list "people"; an OpenPose json file is needed')
    if len(frame) == 1 and isinstance(frame[0], list):  # mmpose puts the frame's people in a batch
        frame = frame[0]
    return [person for person in frame if person is not None]


def _dwpose_people(frame: Mapping[str, Any], bodies: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the people of DWPose's own arrays: all points, and who has which."""
    candidate, subset = bodies.get("candidate"), bodies.get("subset")
    if not isinstance(candidate, list) or not isinstance(subset, list):
        raise DataError("bodies without the lists candidate and subset")
    rows = [row[: len(COCO_18)] if isinstance(row, list) else None for row in subset]
    hands, faces = (frame.get(key) or [] for key in ("hands", "faces"))
    if not isinstance(hands, list) or not isinstance(faces, list):
        raise DataError("hands and faces: lists are needed")
    people = []
    for number, row in enumerate(rows):
        if row is None or not all(type(k) in (int, float) and k < len(candidate) for k in row):
            raise DataError("subset: numbers of points in candidate are needed")
        # all left hands come before all right ones
        left, right = (hands[k : k + 1] for k in (number, number + len(rows)))
        person = {
            "pose_keypoints_2d": [candidate[int(k)] if k >= 0 else None for k in row],
            "face_keypoints_2d": next(iter(faces[number : number + 1]), None),
            "hand_left_keypoints_2d": next(iter(left), None),
            "hand_right_keypoints_2d": next(iter(right), None),
        }
        people.append(person)
    return people


Parts = tuple[dict[str, np.ndarray], bool]  # points (N, 3) by part; whether there is a left hand


def _person(person: Any, *, is_25b: bool) -> Parts:
    """Return a person's points (N, 3) in OpenPose's order, in the file's own units."""
    if not isinstance(person, dict) or not PERSON_KEYS & person.keys():
        raise DataError(f'a person without "{KEYS["body"][0]}"')
    lists = {}
    for part, keys in KEYS.items():
        key = next((key for key in keys if key in person), keys[0])
        scores = person.get("keypoint_scores") if part == "body" else None
        lists[part] = _points(person.get(key), key, COUNTS[part], scores)
    body_N3, names = lists["body"], BODIES.get(len(lists["body"]), ())
    if len(body_N3) in WHOLE_BODIES:
        names, places = WHOLE_BODIES[len(body_N3)]
        for part, (start, stop) in places.items():
            lists[part] = lists[part] if len(lists[part]) else body_N3[start:stop]
    if len(body_N3) == len(BODY_25) and is_25b:
        names = BODY_25B
    if names == COCO_17 and len(lists["feet"]):
        names, body_N3 = COCO_17 + FEET, np.concatenate((body_N3, lists["feet"]))
    body_253 = _in_order(body_N3, names)
    parts = {"body_253": body_253, "face_703": np.zeros((FACE_POINTS, 3))}
    parts["face_703"][: len(lists["face"])] = lists["face"]
    for side in ("left", "right"):
        hand_N3 = lists[f"{side}_hand"]
        if len(hand_N3) == HAND_POINTS - 1:  # of BODY_135, whose wrists are the body's
            wrist = BODY_25.index("LWrist" if side == "left" else "RWrist")
            hand_N3 = np.concatenate((body_253[wrist : wrist + 1], hand_N3))
        parts[f"{side}_hand_213"] = hand_N3 if len(hand_N3) else np.zeros((HAND_POINTS, 3))
    return parts, len(lists["left_hand"]) > 0


def _in_order(body_N3: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Return BODY_25 (25, 3) of a body's named points; neck and hips' middle from their sides."""
    if tuple(names) == BODY_25:
        return body_N3
    body_253 = np.zeros((len(BODY_25), 3))
    for name in set(BODY_25).intersection(names):
        body_253[BODY_25.index(name)] = body_N3[names.index(name)]
    for middle, sides in MIDDLES.items():
        left_3, right_3 = (body_253[BODY_25.index(side)] for side in sides)
        if middle not in names and min(left_3[2], right_3[2]) > 0:
            body_253[BODY_25.index(middle)] = (left_3 + right_3) / 2
    return body_253


def _points(values: Any, key: str, counts: Sequence[int], scores: Any = None) -> np.ndarray:
    """Return the (N, 3) points of a list: x, y, confidence, flat or nested, or without confidence.

    A null, empty or absent list has none. Points without a confidence are sure, except those at or
    beyond the upper left corner, which is where tools put missing ones.
    """
    if values is None:
        return np.zeros((0, 3))
    if not isinstance(values, list):
        raise DataError(f"{key} is no list")
    if all(value is None for value in values):
        return np.zeros((0, 3))
    count, nested = len(values), any(isinstance(value, list | dict) for value in values)
    width = 3 if count % 3 == 0 and count // 3 in counts else 2
    if (count if nested else count / width) not in counts:
        seen = f"{count} points" if nested else f"{count} numbers"
        wanted = " or ".join(map(str, sorted(set(counts)))) if len(counts) < 3 else "25 (BODY_25)"
        raise DataError(f"{key} has {seen}, {wanted} points × 3 are needed")
    if nested:
        rows = [_row(value, key) for value in values]
    else:
        rows = [[*values[k : k + width], None][:3] for k in range(0, count, width)]
    if isinstance(scores, list) and len(scores) == len(rows):
        rows = [[row[0], row[1], score] for row, score in zip(rows, scores, strict=True)]
    if not all(_is_number(value) for row in rows for value in row):
        raise DataError(f"{key}: finite numbers up to ±{FARTHEST_PX} are needed")
    return np.array([_complete(row) for row in rows], dtype=np.float64)


def _row(value: Any, key: str) -> list[Any]:
    """Return x, y and confidence (null if there is none) of one point."""
    if value is None:
        return [None, None, None]
    if isinstance(value, dict):
        names = ("confidence", "score", "c", "visibility")
        given = next((value[name] for name in names if name in value), None)
        return [value.get("x"), value.get("y"), given]
    if not isinstance(value, list) or len(value) not in (2, 3):
        raise DataError(f"{key}: x, y and a confidence are needed, not {value!r:.60}")
    return [*value, None][:3]


def _is_number(value: Any) -> bool:
    # false for NaN, too
    return value is None or (type(value) in (int, float) and abs(value) <= FARTHEST_PX)


def _complete(row: Sequence[Any]) -> Sequence[float]:
    x, y, confidence = row
    if x is None or y is None:
        return 0.0, 0.0, 0.0
    if confidence is not None:
        return row
    return (x, y, 1.0) if x > 0 or y > 0 else (0.0, 0.0, 0.0)


def _scale(
    frame: Any, people: Iterable[Parts], size: tuple[int, int] | None
) -> tuple[float, float]:
    """Return the factors on x and y that make pixels of the image from a frame's points."""
    canvas = None
    if isinstance(frame, dict) and {"canvas_width", "canvas_height"} <= frame.keys():
        canvas = frame["canvas_width"], frame["canvas_height"]
        if not all(type(side) in (int, float) and 1 <= side <= FARTHEST_PX for side in canvas):
            raise DataError(f"canvas of {canvas!r:.60}; pixels are needed")
    found = [points for parts, _ in people for points in parts.values()]
    found_K3 = np.concatenate(found)
    found_K3 = found_K3[found_K3[:, 2] > 0]
    if len(found_K3) and np.abs(found_K3[:, :2]).max() <= NORMALISED:
        return size or canvas or (1, 1)
    if canvas and size:
        return size[0] / canvas[0], size[1] / canvas[1]
    return 1, 1


def _scaled(
    parts: Mapping[str, np.ndarray], left_hand_listed: bool, scale: tuple[float, float]
) -> OpenPoseFrame:
    if scale == (1, 1):
        return OpenPoseFrame(**parts, left_hand_listed=left_hand_listed)
    scaled = {name: points_K3 * (*scale, 1) for name, points_K3 in parts.items()}
    return OpenPoseFrame(**scaled, left_hand_listed=left_hand_listed)


def _extent(frame: OpenPoseFrame) -> float:
    """Return the area in pixels² of the box around a person's points."""
    points_K3 = np.concatenate([getattr(frame, part) for part in PART_POINTS])
    found_K2 = points_K3[points_K3[:, 2] > 0, :2]
    return float(np.ptp(found_K2, axis=0).prod()) if len(found_K2) else 0.0


def _vote_25b(body_253: np.ndarray) -> int:
    """Return 1 where an upright person's 25 points can be BODY_25B's only, -1 where BODY_25's."""
    nose, neck, right, left, elbow = (body_253[k] for k in (0, 1, 2, 5, 6))
    if min(point[2] for point in (nose, neck, right, left, elbow)) <= 0:
        return 0
    # in BODY_25B the second and third are eyes, the sixth and seventh shoulders
    head = max(neck[1], right[1]) < nose[1] < min(left[1], elbow[1])
    middle, width = (left[:2] + right[:2]) / 2, np.linalg.norm(left[:2] - right[:2])
    return 1 if head and np.linalg.norm(neck[:2] - middle) > NECK_OFF * width else -1


def _frame_numbers(names: Sequence[Any]) -> list[int] | None:
    """Return the number of each name that counts; None where names have none, or several."""
    if all(type(name) is int for name in names):
        return [max(-FARTHEST_FRAME, min(name, FARTHEST_FRAME)) for name in names]
    texts = [re.sub(r"\.\w+$", "", str(name)) for name in names]
    if len({re.sub(r"\d+", "#", text) for text in texts}) != 1:
        return None
    groups = [re.findall(r"\d+", text) for text in texts]
    columns = [[_number(digits) for digits in column] for column in zip(*groups, strict=True)]
    varying = [column for column in columns if len(set(column)) > 1]
    if len(texts) == 1:
        varying = columns[-1:]
    if len(varying) != 1 or len(set(varying[0])) < len(names):
        return None
    return varying[0]


def _number(digits: str) -> int:
    digits = digits.lstrip("0") or "0"
    return int(digits) if len(digits) < len(str(FARTHEST_FRAME)) else FARTHEST_FRAME


def _count_from(
    path: Path, numbers: Sequence[int], from_zero: int | None, frames: int | None
) -> dict[int, int]:
    """Return the frame of each number, counted from 0; raises `DataError` for absurd ones."""
    first, last = numbers[0], numbers[-1]
    base = first
    known = frames is not None and last <= frames
    if first > 1 and known:
        base = int(last == frames)
    elif from_zero is not None and from_zero <= first and (known or first <= MAX_LEAD):
        base = 0
    elif first > 1:
        note(f"{path}: the first frame is number {first:.6g}; the video begins with it")
    fits = last - base < SPARSEST * len(numbers) + FEW
    if frames is not None and abs(len(numbers) - frames) <= 1 and last - base > frames:
        note(f"{path}: numbers up to {last:.6g}; the {len(numbers)} frames are taken in order")
        return {number: place for place, number in enumerate(numbers)}
    if fits:
        return {number: number - base for number in numbers}
    steps = [after - before for before, after in pairwise(numbers)]
    usual = sorted(steps)[len(steps) // 2] if steps else 0
    if len(numbers) < TIME_STAMPS or max(steps) > 3 * usual:
        needed = "numbers that count frames are needed"
        raise DataError(f"{path}: {len(numbers)} frames numbered {first} to {last:.6g}; {needed}")
    note(f"{path}: numbers {usual:.6g} apart are taken for times, in order")
    return {number: place for place, number in enumerate(numbers)}


def _natural_order(path: Path) -> list[tuple[int, str]]:
    """Return the key that sorts file names by the numbers in them (9 before 10)."""
    return [(int(digits or 0), text) for digits, text in re.findall(r"(\d+)|(\D+)", path.name)]
