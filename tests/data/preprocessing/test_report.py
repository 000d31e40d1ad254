"""The report: metrics of clips with known errors, and the pages."""

import json
from dataclasses import asdict, replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch

from speech2video.data.clip import Clip, ClipInfo
from speech2video.data.keypoints import Keypoints
from speech2video.data.motion import motion_from_pose
from speech2video.data.motion_io import write_motion
from speech2video.data.preprocessing.clip_metrics import (
    EVALUATED_POINTS,
    ClipMetrics,
    ClipSignals,
    compute_clip_metrics,
    find_bad_frames,
)
from speech2video.data.preprocessing.cuts import CUT_NOTE
from speech2video.data.preprocessing.report import assess, medians, write_report
from speech2video.util.audio.audio_io import write_audio
from speech2video.util.body.body_model import Body
from speech2video.util.body.pose_vector import POSE_SIZE, POSE_SLICES
from speech2video.util.body.skeleton import IBUG68
from speech2video.util.errors import DataError
from speech2video.util.rendering.camera import Camera
from speech2video.util.video.writer import write_video

FRAMES, SIZE = 120, 96
LAG = 5  # frames by which the audio is late
NOISE = 3.0  # pixels of error of every detected point
NO_FACE = slice(40, 50)
NO_LEFT_HAND = slice(0, 30)
LOST = slice(80, 83)  # frames with the body far off


def make_clip(folder: Path, body: Body, *, lag: int = LAG) -> Clip:
    """Write a clip whose noise, gaps and lag are known."""
    clip, rng = Clip(folder), np.random.default_rng(0)
    folder.mkdir(parents=True)
    opening_T = np.abs(np.convolve(rng.normal(size=FRAMES), np.hanning(7), "same")) * 0.15
    pose = torch.zeros(FRAMES, POSE_SIZE)
    pose[:, POSE_SLICES["jaw"].start] = torch.from_numpy(opening_T).float()
    camera = Camera.framing(body.points(pose), width=SIZE * 10, height=SIZE * 10)
    write_motion(clip.pose, motion_from_pose(pose, body, camera=camera))
    pixels_TK2 = camera.project(body.points(pose)).numpy()
    detect(pixels_TK2).save(clip.keypoints)
    moving_T = np.abs(np.gradient(opening_T))
    loudness_T = np.roll(moving_T / moving_T.max(), lag)
    tone_S = np.sin(np.arange(FRAMES * 640) * (2 * np.pi * 200 / 16_000))
    write_audio(clip.audio, (np.repeat(loudness_T, 640) * tone_S * 0.5).astype(np.float32))
    write_video(clip.video, (np.full((3, SIZE, SIZE), 90, np.uint8) for _ in range(FRAMES)))
    clip.write_info(ClipInfo("a.mp4", FRAMES, SIZE, SIZE, "mediapipe", "open", notes=("a <note>",)))
    return clip


def detect(pixels_TK2: np.ndarray) -> Keypoints:
    """Return the keypoints of a detector with known faults: all points lie `NOISE` to the right."""
    points_TK3 = np.ones((*pixels_TK2.shape[:2], 3), np.float32)
    points_TK3[..., :2] = pixels_TK2 + (NOISE, 0)
    points_TK3[LOST, EVALUATED_POINTS["body"], 0] += 200
    gone_TK = np.zeros(points_TK3.shape[:2], bool)
    gone_TK[NO_FACE, list(IBUG68)] = True
    gone_TK[NO_LEFT_HAND, EVALUATED_POINTS["hands"][0]] = True
    points_TK3[gone_TK] = np.nan, np.nan, 0
    world_TK3 = np.full_like(points_TK3, np.nan)
    return Keypoints(points_TK3, world_TK3, SIZE * 10, SIZE * 10, 25, "mediapipe")


def metrics_of(clip: Clip, body: Body) -> ClipMetrics:
    return compute_clip_metrics(clip, ClipSignals.read(clip, body))


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory, body: Body) -> Clip:
    return make_clip(tmp_path_factory.mktemp("report") / "demo" / "one & only", body)


@pytest.fixture(scope="module")
def metrics(clip: Clip, body: Body) -> ClipMetrics:
    return metrics_of(clip, body)


def test_known_noise_is_the_error(metrics: ClipMetrics) -> None:
    for error in metrics.errors.values():
        assert error.median == pytest.approx(NOISE, abs=1e-2)
        assert error.of_eye_distance == pytest.approx(error.median / metrics.eye_distance)


def test_detection_rates(metrics: ClipMetrics) -> None:
    assert metrics.found == pytest.approx(
        {"body": 1, "face": 1 - 10 / FRAMES, "left_hand": 1 - 30 / FRAMES, "right_hand": 1}
    )
    assert metrics.frames == FRAMES and metrics.seconds == FRAMES / 25


def test_bad_frames_are_named(metrics: ClipMetrics) -> None:
    runs = [(run.first, run.last, run.reason) for run in metrics.bad_frames]
    assert runs == [(40, 49, "no face"), (80, 82, "body far off")]
    assert metrics.num_bad_frames == 13


def test_bad_frames_are_kept_with_the_clip(clip: Clip, body: Body) -> None:
    write_report(clip.folder.parent, body=body)
    assert clip.bad_frames.read_text() == ("first,last,reason\n40,49,no face\n80,82,body far off\n")
    assert clip.bad_mask(FRAMES).nonzero()[0].tolist() == [*range(40, 50), *range(80, 83)]


def test_hands_that_blur_for_a_few_frames_are_not_bad(clip: Clip) -> None:
    detected_TK3 = Keypoints.load(clip.keypoints).points_TK3
    fitted_TK2 = detected_TK3[..., :2].copy()
    fitted_TK2[60:65, EVALUATED_POINTS["hands"]] += 300
    fitted_TK2[100:106, EVALUATED_POINTS["hands"]] += 300
    runs = find_bad_frames(detected_TK3, fitted_TK2)
    assert [(run.first, run.last) for run in runs if run.reason == "hands far off"] == [(100, 105)]


@pytest.mark.parametrize("lag", [-7, 0])
def test_known_lag_is_found(lag: int, tmp_path: Path, body: Body) -> None:
    assert metrics_of(make_clip(tmp_path / "clip", body, lag=lag), body).lag == lag


def test_late_audio_and_short_duration_are_reported(metrics: ClipMetrics) -> None:
    assert metrics.lag == LAG and metrics.lag_correlation > 0.9
    assert metrics.lip_correlation == pytest.approx(1, abs=1e-3)
    minutes, hands, face, audio = assess([metrics])[:4]
    assert minutes.good is False and "0.1 minutes" in minutes.sentence
    assert hands.good and face.good is (metrics.eye_distance >= 40)
    assert audio.good is False and f"{LAG} frames late" in audio.sentence


@pytest.mark.parametrize(
    ("quarters", "words"),
    [(1, "90° counterclockwise"), (2, "180°"), (3, "90° clockwise")],
)
def test_a_turned_person_is_reported(clip: Clip, body: Body, quarters: int, words: str) -> None:
    upright = ClipSignals.read(clip, body)
    turned_TK3 = upright.detected_TK3.copy()
    for _ in range(quarters):  # clockwise: x right, y down
        turned_TK3[..., 0], turned_TK3[..., 1] = -turned_TK3[..., 1], turned_TK3[..., 0].copy()
    for detected_TK3, good in ((upright.detected_TK3, True), (turned_TK3, False)):
        signals = replace(upright, detected_TK3=detected_TK3)
        verdict = assess([compute_clip_metrics(clip, signals)])[4]
        assert verdict.good is good and (words in verdict.sentence) is not good


def test_parts_of_recordings_with_cuts_are_reported(metrics: ClipMetrics) -> None:
    part = replace(metrics, name="talk_1", notes=(f"{CUT_NOTE} talk.mp4, whose view changes",))
    assert "split" not in assess([metrics])[6].sentence
    verdict = assess([metrics, part])[6]
    assert verdict.good and "were split" in verdict.sentence and "talk_1" in verdict.sentence


def test_a_poor_fit_is_reported(clip: Clip, body: Body) -> None:
    signals = ClipSignals.read(clip, body)
    for part, share in (("body", 0.4), ("face", 0.15)):
        fitted_TK2 = signals.fitted_TK2.copy()
        assert assess([compute_clip_metrics(clip, signals)])[5].good
        fitted_TK2[:, EVALUATED_POINTS[part]] += share * signals.eye_distance
        poor = compute_clip_metrics(clip, replace(signals, fitted_TK2=fitted_TK2))
        verdict = assess([poor])[5]
        assert verdict.good is False and "one & only" in verdict.sentence


def test_the_saved_projection_is_used(tmp_path: Path, body: Body) -> None:
    clip = make_clip(tmp_path / "clip", body)
    pixels_TK2 = Keypoints.load(clip.keypoints).points_TK3[..., :2]
    np.savez(clip.projection, projected=pixels_TK2)
    assert metrics_of(clip, body).errors["face"].median == 0
    np.savez(clip.projection, projected=pixels_TK2[1:])
    with pytest.raises(DataError, match="119 frames of fitted points"):
        metrics_of(clip, body)
    clip.projection.write_bytes(b"PK\x03\x04 torn")
    with pytest.raises(DataError, match="projected"):
        metrics_of(clip, body)


def test_a_clip_without_keypoints_has_no_detection_rates(tmp_path: Path, body: Body) -> None:
    clip = make_clip(tmp_path / "clip", body)
    clip.keypoints.unlink()
    metrics = metrics_of(clip, body)
    assert metrics.found == {} and metrics.bad_frames == () and metrics.eye_distance is None
    assert metrics.errors["body"].median is None and metrics.lag == LAG
    assert [one.good for one in assess([metrics])][1:3] == [None, None]


def test_page_and_json_have_the_same_metrics(clip: Clip, metrics: ClipMetrics, body: Body) -> None:
    dataset = clip.folder.parent
    path = write_report(dataset, body=body)
    assert path == dataset / "report.html"
    page = Page()
    page.feed(path.read_text(encoding="utf-8"))
    assert not page.open and page.count["img"] == 4 and page.count["svg"] == 1
    assert {"one & only", "a <note>"} <= set(page.texts)
    assert "&quot;" not in page.style
    values = json.loads((dataset / "report.json").read_text())
    assert values["all"]["errors"]["face"]["median"] == metrics.errors["face"].median
    assert values["clips"] == json.loads(json.dumps([asdict(metrics)]))
    sentences = [one["sentence"] for one in values["verdict"]]
    assert sentences == [one.sentence for one in assess([metrics])]
    assert set(sentences) <= set(page.texts)
    assert sorted(file.name for file in dataset.iterdir() if file.is_file()) == [
        "report.html",
        "report.json",
    ]


def test_medians_over_clips() -> None:
    clips = [
        {"name": "a", "lag": 1, "errors": {"face": {"median": 1.0}}, "runs": ()},
        {"name": "b", "lag": 2, "errors": {"face": {"median": 2.0}}, "runs": ()},
        {"name": "c", "lag": None, "errors": {"face": {"median": 6.0}}, "runs": ()},
    ]
    assert medians(clips) == {"lag": 1.5, "errors": {"face": {"median": 2.0}}}
    assert medians([{"lag": None}]) == {"lag": None}


def test_an_empty_dataset_is_an_error(tmp_path: Path, body: Body) -> None:
    with pytest.raises(DataError, match="no clips"):
        write_report(tmp_path, body=body)


class Page(HTMLParser):
    """A page's texts and tags; `open` holds tags that were not closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.count: dict[str, int] = {}
        self.texts: list[str] = []
        self.style = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.count[tag] = self.count.get(tag, 0) + 1
        if tag not in ("img", "meta"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data.strip())
        if self.open and self.open[-1] == "style":
            self.style += data
