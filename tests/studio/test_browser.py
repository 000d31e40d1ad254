"""The studio as people use it: its real server, the demo speaker, and the page in a browser."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import numpy as np
import pytest
from torch import Tensor

for module in ("playwright.sync_api", "fastapi", "uvicorn", "multipart", "aiortc"):
    pytest.importorskip(module, reason=f"the studio is tested with {module}")

from benchmarks.live import (  # noqa: E402
    find_browser,
    mouth_box,
    open_page,
    open_server,
    utterances,
    watch_live,
)

from speech2video.data.motion_io import read_motion  # noqa: E402
from speech2video.models.pipelines.body_video import BodySpeaker  # noqa: E402
from speech2video.models.pipelines.speaker import load_speaker  # noqa: E402
from speech2video.util.audio.audio_io import write_audio  # noqa: E402
from speech2video.util.text.synthesis import synthesise  # noqa: E402
from speech2video.util.timing import FPS, SAMPLE_RATE  # noqa: E402
from tests.shared import ROOT  # noqa: E402

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_browser() is None, reason="no chromium to test the studio with"),
]
DEMO = "demo"
SILENCE, SPEECH = (0.3, 0.9), (1.1, 1.5)  # seconds of the recording
LIGHT = """
async (video, { box, times }) => {
  const canvas = new OffscreenCanvas(24, 24);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const [x0, y0, x1, y1] = box;
  const [w, h] = [video.videoWidth, video.videoHeight];
  const found = [];
  video.pause();
  for (const time of times) {
    const shown = new Promise((done) => video.addEventListener("seeked", done, { once: true }));
    video.currentTime = time;
    await shown;
    context.drawImage(video, x0 * w, y0 * h, (x1 - x0) * w, (y1 - y0) * h, 0, 0, 24, 24);
    const { data } = context.getImageData(0, 0, 24, 24);
    let light = 0;
    for (let at = 0; at < data.length; at += 4) light += data[at] + data[at + 1] + data[at + 2];
    found.push(light / (3 * 24 * 24));
  }
  return found;
}
"""


@pytest.fixture(scope="module")
def box() -> tuple[float, float, float, float]:
    speaker = load_speaker(DEMO, checkpoints=ROOT / "checkpoints", device="cpu")
    assert isinstance(speaker, BodySpeaker)
    return mouth_box(speaker)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Any]]:
    folder = tmp_path_factory.mktemp("studio")
    with open_server(folder, ROOT / "checkpoints") as found:
        yield found


@pytest.fixture
def page(server: tuple[str, Any], tmp_path: Path) -> Iterator[Any]:
    microphone = tmp_path / "microphone.wav"
    write_audio(microphone, utterances(60))
    with open_page(server[0], microphone=microphone) as page:
        yield page


def test_a_recording_becomes_a_video_that_plays_and_whose_lips_move(
    page: Any, box: tuple[float, float, float, float], tmp_path: Path
) -> None:
    audio_S = np.zeros(2 * SAMPLE_RATE, np.float32)
    spoken_S = synthesise("Ah!").audio_S[: SAMPLE_RATE // 2]
    audio_S[SAMPLE_RATE : SAMPLE_RATE + len(spoken_S)] = spoken_S
    write_audio(tmp_path / "ah.wav", audio_S)
    speak = page.locator("#speak")
    speak.locator("#speak-form select[name=speaker]").select_option(DEMO)
    speak.locator("#speak-form label:has(input[value=file])").click()
    speak.locator("#speak-form .drop input[type=file]").set_input_files(str(tmp_path / "ah.wav"))
    speak.get_by_role("button", name="Make video").click()
    video = speak.locator("#speak-result video")
    video.wait_for(timeout=300_000)
    page.wait_for_function(
        "() => document.querySelector('#speak-result video').readyState >= 2", timeout=60_000
    )
    video.evaluate("async (video) => { video.muted = true; await video.play(); }")
    page.wait_for_function(
        "() => document.querySelector('#speak-result video').currentTime > 0.2", timeout=60_000
    )
    times = [np.arange(start, end, 1 / FPS).tolist() for start, end in (SILENCE, SPEECH)]
    shut, spoken = (video.evaluate(LIGHT, {"box": list(box), "times": one}) for one in times)
    assert np.mean(shut) - np.min(spoken) > 5 * np.std(shut) + 3  # an open mouth is darker


def test_a_gesture_switched_off_is_gone_from_the_rendered_motion(
    page: Any, server: tuple[str, Any]
) -> None:
    direct = page.locator("#direct")
    page.locator("#tab-direct").click()
    form = direct.locator("#direct-form")
    form.locator("select[name=speaker]").select_option(DEMO)
    form.locator(".segments").get_by_text("Text").click()
    form.get_by_label("Text", exact=True).nth(-1).fill("A huge welcome to both of you.")
    form.get_by_role("button", name="Plan the performance").click()
    gestures = direct.locator(".gesture")
    gestures.first.wait_for(timeout=120_000)
    render = direct.locator("#direct-render")
    render.get_by_label("Skeleton").check()
    first = render_video(page, server[0], render)
    index, inserted = next(
        (index, one) for index, one in enumerate(first.insertions) if not one["skipped"]
    )
    gestures.nth(index).click()
    direct.get_by_role("switch", name="On").click()
    second = render_video(page, server[0], render)
    expected = [dict(one) for one in first.insertions]
    expected[index]["skipped"] = "off"
    assert second.insertions == expected
    changed_T = (first.rotations - second.rotations).abs().amax((1, 2))
    begin, end = (max(round(inserted[name] * FPS), 0) for name in ("start", "end"))
    assert changed_T[begin:end].max() > 0.05  # radians
    assert (changed_T[:begin] < 1e-4).all() and (changed_T[end + 1 :] < 1e-4).all()


def test_live_frames_arrive_and_the_mouth_opens_with_the_microphone(
    page: Any, server: tuple[str, Any], box: tuple[float, float, float, float]
) -> None:
    """How fast is for the benchmark; here an answer within its longest wait is enough."""
    url, process = server
    found = watch_live(page, process, DEMO, box, seconds=20)
    assert url and found["frames_per_second"] > 0
    assert found["utterances"] >= 4 and found["utterances_seen"] >= found["utterances"] / 2


class Rendered(NamedTuple):
    """What a video was made of."""

    insertions: list[dict[str, Any]]
    rotations: Tensor  # (T, 55, 3)


def render_video(page: Any, url: str, form: Any) -> Rendered:
    """Press the form's button, and wait for its video."""
    with httpx.Client(base_url=url, timeout=60) as api:
        before = {job["id"] for job in api.get("/api/jobs").json()}
        form.get_by_role("button", name="Render video").click()
        job: dict[str, Any] = {}
        while job.get("state") != "done":
            page.wait_for_timeout(250)
            assert job.get("state") not in ("failed", "interrupted"), job
            new = [one for one in api.get("/api/jobs").json() if one["id"] not in before]
            job = new[0] if new else {}
        files = f"/api/jobs/{job['id']}/files"
        timeline = api.get(f"{files}/timeline.json").json()
        with tempfile.TemporaryDirectory() as scratch:
            motion = Path(scratch) / "motion.npz"
            motion.write_bytes(api.get(f"{files}/motion.npz").content)
            return Rendered(timeline["insertions"], read_motion(motion).smplx.rotations)
