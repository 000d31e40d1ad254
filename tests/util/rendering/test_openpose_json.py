"""OpenPose json: what is written is read, what is missing is zeros, what is wrong is one line.

One person is written in the layout and the json of each tool, and read back as the same points.
"""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from speech2video.util.errors import DataError
from speech2video.util.rendering.openpose import BODY_25, OpenPoseFrame
from speech2video.util.rendering.openpose_json import (
    BODY_25B,
    COCO_17,
    COCO_18,
    FEET,
    HALPE_26,
    MPI_15,
    OpenPoseRecording,
    read_openpose,
)
from tests.shared import DATA, FIXTURES, cases

COUNTS = {
    "pose_keypoints_2d": 25,
    "face_keypoints_2d": 70,
    "hand_left_keypoints_2d": 21,
    "hand_right_keypoints_2d": 21,
}


def random_person(seed: int, size_px: float = 300.0) -> dict[str, list[float]]:
    random = np.random.default_rng(seed)
    return {
        key: (random.uniform(0.1, 1, (count, 3)) * (size_px, size_px, 1)).ravel().tolist()
        for key, count in COUNTS.items()
    }


def all_values(value: str) -> str:
    """Return a file's text in which every number of the body reads so."""
    return f'{{"people": [{{"pose_keypoints_2d": [{", ".join([value] * 75)}]}}]}}'


def write(path: Path, *people: Any) -> Path:
    path.write_text(json.dumps({"version": 1.3, "people": people}))
    return path


def test_numbers_come_back_unchanged(tmp_path: Path) -> None:
    person = random_person(0)
    frame = read_openpose(write(tmp_path / "a.json", person))
    arrays = (frame.body_253, frame.face_703, frame.left_hand_213, frame.right_hand_213)
    for array, values in zip(arrays, person.values(), strict=True):
        np.testing.assert_array_equal(array.ravel(), values)
    assert len(BODY_25) == len(set(BODY_25)) == len(frame.body_253)


@pytest.mark.parametrize("key", COUNTS)
def test_an_empty_list_is_zeros_and_touches_nothing_else(tmp_path: Path, key: str) -> None:
    person = random_person(1)
    whole = read_openpose(write(tmp_path / "a.json", person))
    frame = read_openpose(write(tmp_path / "b.json", person | {key: []}))
    parts = ("body_253", "face_703", "left_hand_213", "right_hand_213")
    for part, its_key in zip(parts, COUNTS, strict=True):
        expected = getattr(whole, part) * (its_key != key)
        np.testing.assert_array_equal(getattr(frame, part), expected)
    assert frame.left_hand_listed == (key != "hand_left_keypoints_2d")


def test_the_largest_person_is_taken_in_any_order(tmp_path: Path) -> None:
    small, large = random_person(2, 40), random_person(3, 200)
    empty = {key: [] for key in COUNTS}
    for people in ((small, large, empty), (empty, large, small)):
        frame = read_openpose(write(tmp_path / "a.json", *people))
        np.testing.assert_array_equal(frame.body_253.ravel(), large["pose_keypoints_2d"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not json"),
        ("\xff", "not json"),
        ("[" * 100_000, "not json"),
        ("[]", "people"),
        ('{"people": 3}', "people"),
        ('{"people": []}', "no person"),
        ('{"people": [7]}', "pose_keypoints_2d"),
        ('{"people": [{}]}', "pose_keypoints_2d"),
        ('{"people": [{"pose_keypoints_2d": 1}]}', "no list"),
        ('{"people": [{"pose_keypoints_2d": [1, 2, 3]}]}', "3 numbers"),
        (all_values("NaN"), "finite"),
        (all_values('"1"'), "finite"),
        (all_values("1e9"), "finite"),
        (all_values("1" * 400), "finite"),
    ],
)
def test_a_wrong_file_is_named_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "bad.json"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(DataError, match=message) as error:
        read_openpose(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_frames_go_by_the_number_in_the_name_and_gaps_hold_the_frame_before(tmp_path: Path) -> None:
    numbers = [0, 2, 9, 10, 11, 100]
    for number in reversed(numbers):
        write(tmp_path / f"clip2_{number}_keypoints.json", random_person(number))
    recording = OpenPoseRecording(tmp_path)
    assert (len(recording), recording.given) == (101, len(numbers))
    held = list(recording.held())
    for number in range(101):
        body = random_person(max(n for n in numbers if n <= number))["pose_keypoints_2d"]
        np.testing.assert_array_equal(held[number].body_253.ravel(), body)
        assert (recording.frame(number) is None) == (number not in numbers)


def test_a_folder_without_frames_is_refused_at_once(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "absent"):
        with pytest.raises(DataError, match="no json"):
            OpenPoseRecording(folder)


@pytest.mark.parametrize("folder", cases(DATA, "**/openpose") + cases(FIXTURES, "skeleton_maps"))
def test_real_files_are_read(folder: Path) -> None:
    frames = list(OpenPoseRecording(folder).held())
    assert len(frames) == len(list(folder.glob("*.json")))
    assert all(frame.face_703[:, 2].mean() > 0.5 for frame in frames)


SIZE = (640, 480)
NAMES = sorted({*BODY_25, *BODY_25B, *HALPE_26, *MPI_15})


def named_points(shift: float = 0.0) -> dict[str, list[float]]:
    """Return a plausible upright person: places of all tools' points, in pixels."""
    random = np.random.default_rng(0)
    places = {name: random.uniform((250, 300), (400, 460)) for name in NAMES}
    places |= {"Nose": (320, 100), "Neck": (320, 180), "MidHip": (320, 330)}
    places |= {"REye": (308, 90), "LEye": (332, 90), "REar": (295, 95), "LEar": (345, 95)}
    places |= {"RShoulder": (250, 180), "LShoulder": (390, 180)}
    places |= {"RHip": (280, 330), "LHip": (360, 330)}
    return {name: [float(x) + shift, float(y), 0.9] for name, (x, y) in places.items()}


def part(count: int, seed: int) -> list[list[float]]:
    places = np.random.default_rng(seed).uniform((200, 60), (440, 440), (count, 2))
    return [[*place, 0.8] for place in places.tolist()]


def pick(names: Any, shift: float = 0.0) -> list[list[float]]:
    points = named_points(shift)
    return [points[name] for name in names]


def flat(points: list[list[float]], width: int = 3) -> list[float]:
    return [value for point in points for value in point[:width]]


def read_one(folder: Path, content: Any, size: tuple[int, int] | None = SIZE) -> OpenPoseFrame:
    path = folder / "one.json"
    path.write_text(json.dumps(content))
    frame = OpenPoseRecording(path, size=size).frame(0)
    assert frame is not None
    return frame


def assert_body(
    frame: OpenPoseFrame, names: Any, confidence: float = 0.9, rtol: float = 1e-7
) -> None:
    """Assert that all named points are found; others are missing, or middles of their sides."""
    known = set(BODY_25).intersection(names) | {"Neck", "MidHip"}
    for number, name in enumerate(BODY_25):
        x, y, c = named_points()[name] if name in known else (0, 0, 0)
        expected = (x, y, confidence if c else 0)
        np.testing.assert_allclose(frame.body_253[number], expected, rtol, err_msg=name)


LAYOUTS = {
    "MPI-15": MPI_15,
    "COCO-17": COCO_17,
    "COCO-18": COCO_18,
    "BODY_19": BODY_25[:19],
    "COCO with feet": COCO_17 + FEET,
    "BODY_25": BODY_25,
    "BODY_25B": BODY_25B,
    "Halpe-26": HALPE_26,
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("width", [2, 3])
@pytest.mark.parametrize("nested", [False, True])
def test_the_number_of_points_gives_the_layout(
    tmp_path: Path, layout: str, width: int, nested: bool
) -> None:
    names = LAYOUTS[layout]
    points = [point[:width] for point in pick(names)]
    body = points if nested else flat(points, width)
    frame = read_one(tmp_path, {"people": [{"pose_keypoints_2d": body}]})
    assert_body(frame, names, 0.9 if width == 3 else 1.0)
    assert not frame.face_703.any() and not frame.left_hand_listed


HANDS = {"left_hand": part(21, 1), "right_hand": part(21, 2)}
WHOLE = {
    "COCO-WholeBody 133": (COCO_17 + FEET, 68, ("face", "left_hand", "right_hand"), 0),
    "DWPose 134": (COCO_18 + FEET, 68, ("face", "left_hand", "right_hand"), 0),
    "BODY_135": (BODY_25B, 70, ("left_hand", "right_hand", "face"), 1),
    "Halpe-136": (HALPE_26, 68, ("face", "left_hand", "right_hand"), 0),
}


@pytest.mark.parametrize("layout", WHOLE)
def test_a_whole_body_in_one_list_has_face_and_hands(tmp_path: Path, layout: str) -> None:
    names, face_points, order, first = WHOLE[layout]
    parts = {"face": part(face_points, 3), **{k: v[first:] for k, v in HANDS.items()}}
    points = pick(names) + [point for name in order for point in parts[name]]
    frame = read_one(tmp_path, {"people": [{"keypoints": flat(points)}]})
    assert_body(frame, names)
    np.testing.assert_array_equal(frame.face_703[:face_points], parts["face"])
    assert not frame.face_703[face_points:].any()
    for hand_213, name, wrist in (
        (frame.left_hand_213, "left_hand", "LWrist"),
        (frame.right_hand_213, "right_hand", "RWrist"),
    ):
        root = named_points()[wrist] if first else HANDS[name][0]
        np.testing.assert_array_equal(hand_213, [root, *HANDS[name][1:]])


def in_frames(*frames: Any) -> dict[str, Any]:
    """Return the same frames as each tool writes them: lists of people, 17 points each."""
    people = [[{"keypoints": flat(pick(COCO_17, x))} for x in shifts] for shifts in frames]
    instances = [
        [
            {
                "keypoints": [p[:2] for p in pick(COCO_17, x)],
                "keypoint_scores": [0.9] * 17,
                "bbox": [[0, 0, 9, 9]],
            }
            for x in shifts
        ]
        for shifts in frames
    ]
    numbered = [
        {"image_id": f"img_{t:04d}.jpg", "category_id": 1, "score": 2.5, **person}
        for t, those in enumerate(people)
        for person in those
    ]
    ids = [{**row, "image_id": 900 - int(row["image_id"][4:8])} for row in numbered]
    images = [{"id": 900 - t, "file_name": f"a/img_{t:04d}.jpg"} for t in range(len(frames))]
    return {
        "list": [{"people": those} for those in people],
        "frames": {"version": 1, "frames": [{"people": those} for those in people]},
        "frames by number": {"frames": {str(t): those for t, those in enumerate(people)}},
        "by number": {f"{t}": {"people": those} for t, those in enumerate(people)},
        "by image": {f"img_{t}.png": {"bodies": those} for t, those in enumerate(people)},
        "lists": people,
        "alphapose": numbered,
        "coco": {"images": images, "annotations": ids},
        "mmpose": {
            "meta_info": {},
            "instance_info": [
                {"frame_id": t + 1, "instances": those} for t, those in enumerate(instances)
            ],
        },
        "mmpose list": [{"frame_id": t, "instances": those} for t, those in enumerate(instances)],
    }


@pytest.mark.parametrize("tool", in_frames([0.0]))
def test_one_file_holds_all_frames(tmp_path: Path, tool: str) -> None:
    path = tmp_path / "all.json"
    path.write_text(json.dumps(in_frames([0.0], [5.0], [], [3.0])[tool]))
    recording = OpenPoseRecording(path, size=SIZE)
    nose = [None if f is None else f.body_253[0, 0] for f in map(recording.frame, range(4))]
    assert (nose, len(recording)) == ([320, 325, None, 323], 4)
    assert_body(next(recording.held()), COCO_17)
    (tmp_path / "folder").mkdir()
    path.rename(tmp_path / "folder" / "all.json")
    assert len(OpenPoseRecording(tmp_path / "folder", size=SIZE)) == 4


def dwpose(candidate: list[list[float]], face: Any, hands: Any) -> dict[str, Any]:
    subset = [list(range(18)), [*range(18, 35), -1]]
    return {"bodies": {"candidate": candidate, "subset": subset}, "hands": hands, "faces": face}


def test_dwposes_arrays_from_0_to_1_become_pixels(tmp_path: Path) -> None:
    small = [[x / 4, y / 4] for x, y, _ in pick(COCO_18)]
    places = np.array([point[:2] for point in pick(COCO_18)] + small) / SIZE
    faces = (np.array(part(68, 3))[None, :, :2] / SIZE).tolist()
    hands = [(np.array(HANDS[side])[:, :2] / SIZE).tolist() for side in HANDS]
    content = dwpose(places.tolist(), [*faces, None], [hands[0], None, hands[1], None])
    frame = read_one(tmp_path, [content])
    assert_body(frame, COCO_18, 1.0, rtol=1e-9)
    for points_K3, expected in (
        (frame.face_703[:68], part(68, 3)),
        (frame.left_hand_213, HANDS["left_hand"]),
        (frame.right_hand_213, HANDS["right_hand"]),
    ):
        np.testing.assert_allclose(points_K3[:, :2], np.array(expected)[:, :2])


@pytest.mark.parametrize("canvas", [None, (1280, 960), (320, 960)])
@pytest.mark.parametrize("normalised", [True, False])
def test_points_of_a_canvas_are_scaled_to_the_image(
    tmp_path: Path, canvas: tuple[int, int] | None, normalised: bool
) -> None:
    unit = SIZE if normalised else (1, 1)
    scale = (1, 1) if normalised or not canvas else (canvas[0] / SIZE[0], canvas[1] / SIZE[1])
    body = (np.array(pick(COCO_18)) / (*unit, 1) * (*scale, 1)).ravel().tolist()
    content: dict[str, Any] = {"people": [{"pose_keypoints_2d": body, "face_keypoints_2d": None}]}
    if canvas:
        content |= {"canvas_width": canvas[0], "canvas_height": canvas[1]}
    assert_body(read_one(tmp_path, content), COCO_18, rtol=1e-9)
    if normalised and canvas:
        nose = read_one(tmp_path, content, size=None).body_253[0, :2]
        np.testing.assert_allclose(nose, np.array((320, 100)) / SIZE * canvas)


def test_null_is_missing_for_a_person_a_part_and_a_point(tmp_path: Path) -> None:
    whole = {"pose_keypoints_2d": pick(BODY_25), "hand_left_keypoints_2d": None}
    holed = pick(BODY_25)
    for number, hole in enumerate((None, [None, None, 0.5], {"x": None, "y": None})):
        holed[number] = hole  # type: ignore[call-overload]
    frame = read_one(tmp_path, {"people": [None, whole | {"pose_keypoints_2d": holed}]})
    assert not frame.body_253[:3].any() and frame.body_253[3:].all()
    values: list[float | None] = [*flat(pick(BODY_25))]
    values[:3] = None, None, None
    frame = read_one(tmp_path, {"people": [whole | {"pose_keypoints_2d": values}]})
    assert not frame.body_253[0].any() and frame.body_253[1:].all()
    path = tmp_path / "null.json"
    for nobody in ({"people": None}, {"people": []}, [None], {"people": [None]}):
        path.write_text(json.dumps(nobody))
        assert OpenPoseRecording(path).frame(0) is None
        with pytest.raises(DataError, match="no person found"):
            OpenPoseRecording(path).held()


def names_of(folder: Path, names: list[str]) -> Path:
    folder.mkdir()
    for number, name in enumerate(names):
        write(folder / f"{name}.json", random_person(number))
    return folder


NUMBERED = {  # names, frames of the recording if known: frame of each file, number of frames
    "OpenPose's from 0": ([f"a_{n:012d}_keypoints" for n in (3, 4)], None, [3, 4], 5),
    "from 1": (["f1", "f2", "f4"], None, [0, 1, 3], 4),
    "a section": (["f100", "f101"], None, [0, 1], 2),
    "missing at first": (["f5", "f9"], 10, [5, 9], 10),
    "missing at first, from 1": (["f5", "f10"], 10, [4, 9], 10),
    "no numbers": (["a", "b"], None, [0, 1], 2),
    "two numbers": (["1_0", "1_1", "2_0"], None, [0, 1, 2], 3),
    "a number that stays": (["v2_3_2d", "v2_5_2d"], None, [0, 2], 3),
    "times": ([f"{1_600_000_000_000 + 40 * n}" for n in range(40)], None, [*range(40)], 40),
}


@pytest.mark.parametrize("case", NUMBERED)
def test_numbers_that_count_place_frames(tmp_path: Path, case: str) -> None:
    names, known, places, count = NUMBERED[case]
    recording = OpenPoseRecording(names_of(tmp_path / "x", names), frames=known)
    found = [t for t in range(len(recording)) if recording.frame(t) is not None]
    assert (found, len(recording)) == (places, count)
    frame = recording.frame(places[-1])
    assert frame is not None
    last = random_person(len(names) - 1)["pose_keypoints_2d"]
    np.testing.assert_array_equal(frame.body_253.ravel(), last)


def test_absurd_numbers_of_frames_are_refused(tmp_path: Path) -> None:
    folder = names_of(tmp_path / "x", ["f0", "f1", f"f{10**12}"])
    everything = {"0": {"people": []}, "1" * 400: {"people": []}}
    stated = [{"frame": n, "people": []} for n in (0, 10**300)]
    (tmp_path / "a.json").write_text(json.dumps(everything))
    (tmp_path / "b.json").write_text(json.dumps(stated))
    for path in (folder, tmp_path / "a.json", tmp_path / "b.json"):
        with pytest.raises(DataError, match="count frames") as error:
            OpenPoseRecording(path)
        assert str(path) in str(error.value) and len(str(error.value)) < 300


def test_what_is_beside_the_frames_is_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = names_of(tmp_path / "x", ["f0", "f1", "info"])
    (folder / "._f0.json").write_bytes(b"\0\5")
    os.mkfifo(folder / "f7.json")
    (folder / "f8.json").mkdir()
    assert len(OpenPoseRecording(folder)) == 2
    assert capsys.readouterr().err.count("without a number") == 1


WRONG = {
    "a 3D list": ({"people": [{"pose_keypoints_2d": [[1, 2, 3, 4]] * 25}]}, "confidence"),
    "a text in a point": ({"people": [{"pose_keypoints_2d": [["1", 2, 3]] * 25}]}, "finite"),
    "another count": ({"people": [{"pose_keypoints_2d": [[1, 2]] * 24}]}, "24 points"),
    "a face of 98": ({"people": [{"face_keypoints_2d": [1.0] * 294}]}, "68 or 70"),
    "an empty list": ([], "people"),
    "a crowd": ({"people": [{"keypoints": []}] * 2000}, "2000 people"),
    "a long list": ({"people": [{"keypoints": [1, 2, 3] * 100_000}]}, "300000 numbers"),
    "a number": (7, "people"),
    "frames of numbers": ({"frames": [1, 2]}, "people"),
    "nested frames": ({"frames": {"frames": [{"people": []}]}}, "people"),
    "animals": ({"animals": [], "canvas_width": 9, "canvas_height": 9}, "people"),
    "no canvas": ({"canvas_width": 0, "canvas_height": 9, "people": [random_person(0)]}, "canvas"),
    "a subset past the end": (dwpose([[0.5, 0.5]], [], []), "subset"),
    "a list as number": ([{"frame": [1], "people": []}], "frame numbers"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_read_is_one_line(tmp_path: Path, case: str) -> None:
    content, message = WRONG[case]
    path = tmp_path / "wrong.json"
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match=message) as error:
        OpenPoseRecording(path).held()
    assert str(path) in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_other_encodings_are_read(tmp_path: Path, encoding: str) -> None:
    text = json.dumps({"people": [random_person(0)]})
    (tmp_path / "0.json").write_text(text, encoding=encoding)
    assert read_openpose(tmp_path / "0.json").body_253.any()


def test_files_larger_than_memory_are_refused(tmp_path: Path) -> None:
    with open(tmp_path / "large.json", "wb") as file:
        file.truncate(2**40)
    with pytest.raises(DataError, match="MB of json"):
        OpenPoseRecording(tmp_path / "large.json")
