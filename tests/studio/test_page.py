"""The studio's page in a real browser, with a server of made-up answers."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

for module in ("playwright.sync_api", "fastapi", "uvicorn", "multipart"):
    pytest.importorskip(module, reason=f"the page is tested with {module}")

from playwright.sync_api import (  # noqa: E402
    BrowserContext,
    FilePayload,
    Locator,
    Page,
    ViewportSize,
    expect,
    sync_playwright,
)

from tests.studio.fake_api import (  # noqa: E402
    FRAMES,
    HTML_NAME,
    SPEAKERS,
    WORDS,
    FakeApi,
    make_files,
    serve,
)

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no chromium to test the page with")
FLAGS = ["--no-sandbox", "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]
TABS = ("speak", "direct", "live", "train", "speakers")
WIDE, NARROW = ViewportSize(width=1280, height=900), ViewportSize(width=390, height=844)


expect.set_options(30_000)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[FakeApi, str]]:
    folder = tmp_path_factory.mktemp("job")
    make_files(folder)
    fake = FakeApi(folder)
    with serve(fake) as url:
        yield fake, url


@pytest.fixture(scope="module")
def context(server: tuple[FakeApi, str]) -> Iterator[BrowserContext]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=FLAGS)
        context = browser.new_context(base_url=server[1], permissions=["microphone"])
        context.new_page().set_default_timeout(30_000)  # on a busy machine
        yield context
        browser.close()


@pytest.fixture
def fake(server: tuple[FakeApi, str]) -> FakeApi:
    server[0].reset()
    return server[0]


@pytest.fixture
def page(server: tuple[FakeApi, str], fake: FakeApi, context: BrowserContext) -> Iterator[Page]:
    """The page; at the end, no error in its console and no request to another origin."""
    url, page = server[1], context.pages[0]
    errors: list[str] = []
    asked: list[str] = []
    listeners: dict[Any, Any] = {
        "console": lambda one: errors.append(one.text) if one.type == "error" else None,
        "pageerror": lambda error: errors.append(str(error)),
        "request": lambda request: asked.append(request.url),
    }
    for event, listener in listeners.items():
        page.on(event, listener)
    page.set_viewport_size(WIDE)
    page.emulate_media(color_scheme="light", reduced_motion="no-preference")
    open_page(page)
    yield page
    page.goto("about:blank")
    for event, listener in listeners.items():
        page.remove_listener(event, listener)
    # the browser reports by itself each answer 4xx, and scripts of reports that it does not run
    own = ("Failed to load resource", "Blocked script execution")
    assert [one for one in errors if not any(text in one for text in own)] == []
    assert asked and [one for one in asked if not one.startswith((f"{url}/", f"blob:{url}/"))] == []


def open_page(page: Page) -> None:
    page.goto("about:blank")  # or the address of a tab would stay
    page.goto("/")
    page.wait_for_selector("html[data-ready]")


def go(page: Page, tab: str) -> Locator:
    page.locator(f"#tab-{tab}").click()
    return page.locator(f"#{tab}")


def write_text(part: Locator, text: str) -> None:
    part.locator(".segments").get_by_text("Text").click()
    part.get_by_label("Text", exact=True).nth(-1).fill(text)


def open_plan(page: Page, fake: FakeApi, seeds: tuple[int, ...] = (3, 4)) -> Locator:
    """Open a finished plan in Direct."""
    fake.add_job("plan", "demo", "A speech", seeds=list(seeds))
    for _ in range(3):
        fake.advance()
    open_page(page)
    direct = go(page, "direct")
    expect(direct.locator(".gesture")).to_have_count(3)
    return direct


def drawn(canvas: Locator) -> int:
    """Return the number of pixels of a canvas that are not background."""
    return canvas.evaluate(
        """canvas => {
          const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
          let count = 0;
          for (let at = 0; at < data.length; at += 4) count += data[at] > 60 || data[at + 1] > 60;
          return count;
        }"""
    )


def asked_soon(page: Page, fake: FakeApi, path: str, number: int = 1) -> dict[str, Any]:
    """Return the values of the newest request to a path, once there are that many."""
    for _ in range(400):
        if len(fake.asked(path)) >= number:
            break
        page.wait_for_timeout(50)
    assert len(fake.asked(path)) >= number
    return fake.asked(path)[-1]


def test_video_of_a_text_is_asked_for_with_the_chosen_fields_and_plays(
    page: Page, fake: FakeApi
) -> None:
    speak = page.locator("#speak")
    write_text(speak, "Hello there")
    speak.get_by_label("Seed", exact=True).fill("7")
    speak.locator("[name=face_motion_scale]").fill("1.5")
    speak.locator("[name=backdrop]").select_option("transparent")
    assert speak.locator("[name=format]").input_value() == "webm"  # mp4 has no alpha
    assert speak.locator("option[value=mp4]").is_disabled()
    speak.get_by_role("button", name="Make video").click()
    video = speak.locator("#speak-result video")
    expect(video).to_have_attribute("src", "/api/jobs/job0/files/video.mp4")
    assert fake.asked("/api/videos") == [
        {
            "speaker": "demo",
            "seed": "7",
            "text": "Hello there",
            "format": "webm",
            "background": "transparent",
            "face_motion_scale": "1.5",
        }
    ]
    video.evaluate("video => { video.muted = true; return video.play(); }")
    assert video.evaluate("video => video.videoWidth") == 64
    links = speak.locator(".downloads a").evaluate_all("all => all.map(one => one.download)")
    assert {"video.mp4", "motion.npz", "motion.bvh", "timeline.json", "captions.srt"} <= {*links}


def test_a_face_speaker_offers_emotions_and_no_takes(page: Page, fake: FakeApi) -> None:
    speak = page.locator("#speak")
    expect(speak.locator("[name=emotion]")).to_be_hidden()
    speak.locator("[name=speaker]").select_option("face")
    speak.locator("[name=emotion]").select_option("happy")
    expect(speak.get_by_role("button", name="Preview takes")).to_be_hidden()
    expect(speak.locator("[name=face_motion_scale]")).to_be_hidden()
    write_text(speak, "Hello")
    speak.get_by_role("button", name="Make video").click()
    assert asked_soon(page, fake, "/api/videos")["emotion"] == "happy"


def test_recording_and_background_file_are_sent(page: Page, fake: FakeApi, tmp_path: Path) -> None:
    speak = page.locator("#speak")
    speak.get_by_role("button", name="Record").click()
    expect(speak.locator(".clock").first).to_have_text("0:01")
    speak.get_by_role("button", name="Stop").click()
    expect(speak.locator("audio").first).to_be_visible()
    speak.locator("[name=transcript]").fill("beep")
    image = tmp_path / "wall.png"
    image.write_bytes(b"made up")
    speak.locator("[name=backdrop]").select_option("file")
    speak.get_by_label("Image or video behind the speaker").set_input_files(image)
    speak.get_by_role("button", name="Make video").click()
    values = asked_soon(page, fake, "/api/videos")
    name, kind, length = values["audio"]
    assert (name, kind) == ("recording.webm", "audio/webm") and length > 500
    assert values["transcript"] == "beep"
    assert values["background_file"] == ("wall.png", "image/png", 7)


def test_dropped_file_is_sent(page: Page, fake: FakeApi) -> None:
    speak = page.locator("#speak")
    speak.locator(".segments").get_by_text("File").click()
    speak.locator(".drop").evaluate(
        """drop => {
          const dataTransfer = new DataTransfer();
          dataTransfer.items.add(new File(["sound"], "a b.wav", { type: "audio/wav" }));
          drop.dispatchEvent(new DragEvent("drop", { dataTransfer, bubbles: true }));
        }"""
    )
    expect(speak.locator(".drop")).to_contain_text("a b.wav")
    speak.get_by_role("button", name="Make video").click()
    assert asked_soon(page, fake, "/api/videos")["audio"] == ("a b.wav", "audio/wav", 5)


def test_takes_are_drawn_in_time_with_the_audio_and_one_is_rendered(
    page: Page, fake: FakeApi
) -> None:
    speak = page.locator("#speak")
    write_text(speak, "Hello")
    speak.get_by_label("Seed", exact=True).fill("5")
    speak.get_by_role("button", name="Preview takes").click()
    takes = speak.locator(".take")
    expect(takes).to_have_count(4)
    assert asked_soon(page, fake, "/api/plans")["seeds"] == "5,6,7,8"
    asked_soon(page, fake, "/api/plans/job0/points", 4)
    cut_off = """all => all.filter(one => [...one.querySelectorAll("*")].some(
      part => part.getBoundingClientRect().right > one.getBoundingClientRect().right + 1)).length"""
    assert takes.evaluate_all(cut_off) == 0
    page.wait_for_timeout(200)
    canvas = takes.nth(3).locator("canvas")
    assert drawn(canvas) > 50
    before = canvas.evaluate("canvas => canvas.toDataURL()")
    speak.get_by_role("button", name="Play").click()
    for _ in range(400):
        if canvas.evaluate("canvas => canvas.toDataURL()") != before:
            break
        page.wait_for_timeout(50)
    assert canvas.evaluate("canvas => canvas.toDataURL()") != before
    expect(speak.get_by_label("Position")).not_to_have_value("0")
    speak.locator("[name=backdrop]").select_option("colour")
    speak.get_by_label("Colour of the background").fill("#102030")
    takes.nth(2).get_by_role("button", name="Render this take").click()
    values = asked_soon(page, fake, "/api/videos")
    assert (values["plan"], values["seed"], values["background"]) == ("job0", "7", "#102030")
    assert json.loads(values["timeline"])["seed"] == 7
    expect(speak.locator("#speak-result video")).to_have_count(1)


def test_jobs_survive_a_reload_and_are_cancelled_and_removed(page: Page, fake: FakeApi) -> None:
    fake.hold = True
    write_text(page.locator("#speak"), "A long speech")
    page.get_by_role("button", name="Make video").click()
    result = page.locator("#speak-result")
    expect(result).to_contain_text("33 %, 1 min 20 s left")
    assert result.locator("progress").evaluate("bar => bar.value / bar.max") == pytest.approx(1 / 3)
    expect(result.get_by_role("status")).to_have_text("25 % done")
    open_page(page)
    job = page.locator(".job")
    expect(job).to_contain_text("A long speech")
    job.get_by_role("button", name="Cancel").click()
    expect(job).to_contain_text("Cancelled")
    assert fake.jobs[0]["state"] == "cancelled"
    job.get_by_role("button", name="Remove").click()
    expect(job).to_have_count(0)
    expect(page.get_by_text("Nothing has been made yet.")).to_be_visible()


def test_names_with_html_are_shown_as_text(page: Page, fake: FakeApi) -> None:
    fake.add_job("video", HTML_NAME, HTML_NAME, state="failed", error=HTML_NAME, total=0)
    fake.errors["/api/videos"] = HTML_NAME
    open_plan(page, fake)
    expect(page.locator("#lane-words")).to_contain_text("<i>up</i>")
    go(page, "speakers")
    expect(page.locator(".card h2").nth(1)).to_have_text(HTML_NAME)
    page.locator(".card").nth(1).get_by_text("Model card").click()
    expect(page.locator(".card pre").nth(1)).to_have_text(f"{HTML_NAME}\nis a name.")
    speak = go(page, "speak")
    expect(page.locator(".job").last).to_contain_text(HTML_NAME)
    write_text(speak, "Hello")
    speak.get_by_role("button", name="Make video").click()
    expect(speak.locator("#speak-form > .error")).to_have_text(HTML_NAME)
    assert page.locator("body b, body i, img[src=x]").count() == 0


def test_a_speaker_shows_its_newest_video_or_makes_a_sample(page: Page, fake: FakeApi) -> None:
    fake.add_job("video", "demo", "A speech")
    for _ in range(3):
        fake.advance()
    open_page(page)
    cards = go(page, "speakers").locator(".card")
    expect(cards.filter(has_text="demo").locator("video")).to_have_count(1)
    other = cards.filter(has=page.get_by_role("heading", name="face", exact=True))
    expect(other.locator("video")).to_have_count(0)
    other.get_by_role("button", name="Make a sample of face").click()
    values = asked_soon(page, fake, "/api/videos")
    assert values["speaker"] == "face" and values["text"].startswith("Hello")
    for _ in range(3):
        fake.advance()
    expect(other.locator("video")).to_have_count(1)


def test_gesture_switched_off_is_sent_as_skipped(page: Page, fake: FakeApi) -> None:
    direct = open_plan(page, fake)
    canvas, points = direct.locator("#direct-canvas"), "/api/plans/job0/points"
    before = asked_soon(page, fake, points)
    assert [one["skipped"] for one in before["timeline"]["insertions"]] == ["", "", "chance"]
    page.wait_for_timeout(200)
    length = drawn(canvas)
    direct.get_by_role("button", name="Gesture two").click()
    direct.get_by_role("switch", name="On").click()
    after = asked_soon(page, fake, points, 2)
    assert [one["skipped"] for one in after["timeline"]["insertions"]] == ["", "off", "chance"]
    page.wait_for_timeout(200)
    assert drawn(canvas) < length - 50  # the preview follows
    direct.get_by_role("button", name="Render video").click()
    values = asked_soon(page, fake, "/api/videos")
    assert json.loads(values["timeline"]) == after["timeline"]
    assert (values["plan"], values["seed"], values["speaker"]) == ("job0", "3", "demo")
    assert "words" not in values  # they are the plan's
    expect(direct.locator("#direct-result video")).to_have_count(1)
    direct.get_by_role("button", name="Undo").click()
    assert asked_soon(page, fake, points, 3)["timeline"] == before["timeline"]


def test_gesture_moves_by_keys_and_drag_and_is_swapped(page: Page, fake: FakeApi) -> None:
    direct = open_plan(page, fake)
    points = "/api/plans/job0/points"
    first = asked_soon(page, fake, points)["timeline"]["insertions"][1]
    names = ("start", "arrival", "key", "hold_end", "end")
    gesture = direct.get_by_role("button", name="Gesture two")
    gesture.press("Shift+ArrowRight")
    moved = asked_soon(page, fake, points, 2)["timeline"]["insertions"][1]
    assert [moved[name] - first[name] for name in names] == pytest.approx([0.2] * 5)
    expect(gesture).to_be_focused()

    box = gesture.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 5)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2 - 60, box["y"] + 5, steps=4)
    page.mouse.up()
    dragged = asked_soon(page, fake, points, 3)["timeline"]["insertions"][1]
    scale = direct.locator("#track").evaluate("track => track.clientWidth") / (FRAMES / 25)
    shifts = [dragged[name] - moved[name] for name in names]
    assert shifts == pytest.approx([-60 / scale] * 5, abs=0.01)

    direct.locator("#inspector select").select_option("hello")
    swapped = asked_soon(page, fake, points, 4)["timeline"]["insertions"][1]
    assert swapped == dragged | {"entry": "hello"}


def test_word_edits_plan_gestures_anew_and_keep_changes(page: Page, fake: FakeApi) -> None:
    direct = open_plan(page, fake)
    direct.get_by_role("button", name="Gesture hello").press("Delete")
    word = direct.get_by_role("button", name="Word two")
    word.click()
    inspector = direct.locator("#inspector")
    inspector.get_by_label("Start, s").fill("0.7")
    inspector.get_by_label("Start, s").press("Enter")
    asked = asked_soon(page, fake, "/api/plans/job0/timeline")
    assert asked["seed"] == 3
    assert asked["words"][1] == {"text": "two", "start": 0.7, "end": 1.1}
    page.wait_for_timeout(300)
    rows = fake.asked("/api/plans/job0/points")[-1]["timeline"]["insertions"]
    assert rows[0]["skipped"] == "off" and rows[1]["key"] == pytest.approx(0.8)

    inspector.get_by_label("Start, s").fill("0.1")  # Hello ends at 0.6
    inspector.get_by_label("Start, s").press("Enter")
    expect(inspector.get_by_role("alert")).to_contain_text("0.6 to 1.1 s")
    assert len(fake.asked("/api/plans/job0/timeline")) == 1

    box = word.bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] - 2, box["y"] + 10
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 40, y, steps=4)
    page.mouse.up()
    words = asked_soon(page, fake, "/api/plans/job0/timeline", 2)["words"]
    assert words[1]["start"] == 0.7 and words[1]["end"] > 1.15 and words[2] == WORDS[2]
    direct.get_by_role("button", name="Render video").click()
    assert json.loads(asked_soon(page, fake, "/api/videos")["words"]) == words


def test_timeline_is_saved_and_loaded(page: Page, fake: FakeApi, tmp_path: Path) -> None:
    direct = open_plan(page, fake)
    first = asked_soon(page, fake, "/api/plans/job0/points")["timeline"]
    with page.expect_download() as download:
        direct.get_by_role("button", name="Save timeline").click()
    saved = tmp_path / "timeline.json"
    download.value.save_as(saved)
    assert json.loads(saved.read_text()) == first
    edited = first | {"insertions": first["insertions"][:1]}
    saved.write_text(json.dumps(edited))
    direct.get_by_label("Load timeline").set_input_files(saved)
    expect(direct.locator(".gesture")).to_have_count(1)
    assert asked_soon(page, fake, "/api/plans/job0/points", 2)["timeline"] == edited
    assert fake.asked("/api/plans/job0/timeline") == [{"timeline": edited}]
    error = direct.locator("#direct-error")
    for broken in ("[", "[]", "null", '{"format": 1}', '{"insertions": 1}'):
        saved.write_text(broken)
        direct.get_by_label("Load timeline").set_input_files(saved)
        expect(error).to_contain_text("This file is no timeline")
        saved.write_text(json.dumps(edited))
        direct.get_by_label("Load timeline").set_input_files(saved)
        expect(error).to_be_hidden()
    fake.errors["/api/plans/job0/timeline"] = "insertion 1: no gesture 'wave'"
    direct.get_by_label("Load timeline").set_input_files(saved)
    expect(error).to_have_text("insertion 1: no gesture 'wave'")
    expect(direct.locator(".gesture")).to_have_count(1)


def test_takes_keep_their_edits_and_the_time_line_zooms(page: Page, fake: FakeApi) -> None:
    direct = open_plan(page, fake)
    direct.get_by_role("button", name="Gesture two").press("Delete")
    expect(direct.locator(".gesture.skipped")).to_have_count(2)
    direct.get_by_label("Take").select_option("4")
    expect(direct.locator(".gesture.skipped")).to_have_count(1)
    direct.get_by_label("Take").select_option("3")
    expect(direct.locator(".gesture.skipped")).to_have_count(2)
    scroll = direct.locator("#track-scroll")
    width = "one => one.scrollWidth / one.clientWidth"
    assert scroll.evaluate(width) == pytest.approx(1, abs=0.02)
    direct.get_by_role("button", name="Zoom in").click()
    assert scroll.evaluate(width) > 1.3
    direct.get_by_role("button", name="Fit").click()
    assert scroll.evaluate(width) == pytest.approx(1, abs=0.02)


def test_new_performance_is_planned_and_opened(page: Page, fake: FakeApi) -> None:
    direct = go(page, "direct")
    form = direct.locator("#direct-form")
    assert "face" not in form.locator("[name=speaker]").inner_text().split()  # has no skeleton
    write_text(form, "Hello two up")
    form.get_by_label("Seed", exact=True).fill("9")
    form.get_by_role("button", name="Plan the performance").click()
    expect(direct.locator(".gesture")).to_have_count(3)
    assert asked_soon(page, fake, "/api/plans")["seeds"] == "9"
    expect(direct.get_by_label("Performance")).to_have_value("job0")


def test_live_shows_frames_and_numbers_and_says_texts(page: Page, fake: FakeApi) -> None:
    pytest.importorskip("aiortc")
    live = go(page, "live")
    live.get_by_role("button", name="Go live").click()
    expect(live.locator("#live-stage video")).to_be_visible()
    expect(live.locator("[data-number=fps]")).to_have_text("24.6")
    expect(live.locator("[data-number=delay]")).to_have_text("312 ms")
    expect(live.locator("[data-number=dropped]")).to_have_text("3")
    asked = asked_soon(page, fake, "/api/live")
    assert asked["muted"] is True and asked["speaker"] == "demo" and asked["seed"] == 0
    assert "a=candidate" in asked["sdp"]  # nothing trickles
    for _ in range(400):
        if live.locator("video").evaluate("video => video.videoWidth"):
            break
        page.wait_for_timeout(50)
    assert live.locator("video").evaluate("video => video.videoWidth") == 640
    live.get_by_label("Say a text").fill("Good day")
    live.get_by_role("button", name="Say it").click()
    assert asked_soon(page, fake, "/api/live/live/text") == {"text": "Good day"}
    live.get_by_role("button", name="Stop").click()
    expect(live.get_by_role("button", name="Go live")).to_be_visible()
    page.wait_for_timeout(200)
    assert len(fake.asked("/api/live/live", "DELETE")) == 1


def test_live_without_a_microphone_says_texts(page: Page, fake: FakeApi) -> None:
    pytest.importorskip("aiortc")
    live = go(page, "live")
    live.get_by_label("Listen to the microphone").uncheck()
    expect(live.get_by_label("With audio")).to_be_checked()
    live.get_by_role("button", name="Go live").click()
    expect(live.locator("#live-stage video")).to_be_visible()
    asked = asked_soon(page, fake, "/api/live")
    assert asked["muted"] is False
    assert "m=video" in asked["sdp"] and not re.search("a=send(only|recv)", asked["sdp"])
    live.get_by_label("Say a text").fill("Guten Tag")
    live.get_by_label("Language of the text").select_option("German")
    live.get_by_role("button", name="Say it").click()
    said = asked_soon(page, fake, "/api/live/live/text")
    assert said == {"text": "Guten Tag", "language": "de"}
    live.get_by_role("button", name="Stop").click()
    expect(live.get_by_role("button", name="Go live")).to_be_visible()


def test_a_declined_microphone_leaves_texts(page: Page, fake: FakeApi) -> None:
    pytest.importorskip("aiortc")
    page.evaluate(
        """() => { navigator.mediaDevices.getUserMedia = () =>
             Promise.reject(new DOMException("no", "NotAllowedError")); }"""
    )
    live = go(page, "live")
    live.get_by_role("button", name="Go live").click()
    expect(live.get_by_role("status")).to_have_text(
        "Live. The browser does not allow the microphone. Write what the speaker says."
    )
    expect(live.get_by_label("Say a text")).to_be_enabled()
    live.get_by_role("button", name="Stop").click()

    fake.limits |= {"text": False}
    open_page(page)
    page.evaluate(
        """() => { navigator.mediaDevices.getUserMedia = () =>
             Promise.reject(new DOMException("no", "NotFoundError")); }"""
    )
    live = go(page, "live")
    expect(live.get_by_label("Listen to the microphone")).to_be_disabled()
    live.get_by_role("button", name="Go live").click()
    expect(live.locator("#live-form > .error").first).to_have_text("There is no microphone.")


def test_languages_and_voices_are_offered(page: Page, fake: FakeApi) -> None:
    speak = page.locator("#speak")
    write_text(speak, "Guten Tag")
    speak.get_by_text("Language and voice").click()
    language = speak.locator("[name=language]")
    assert language.locator("option").all_inner_texts() == ["English", "German", "Japanese"]
    language.select_option("German")
    voice = speak.locator("[name=voice]")
    offered = voice.evaluate("one => [...one.list.options].map(option => option.value)")
    assert offered == ["en-us", "flite:slt"]
    speak.get_by_role("button", name="Make video").click()
    assert asked_soon(page, fake, "/api/videos")["language"] == "de"


def test_recordings_are_sent_and_the_new_speaker_can_be_used(page: Page, fake: FakeApi) -> None:
    train = go(page, "train")
    files = [
        FilePayload(name=name, mimeType=kind, buffer=b"made up")
        for name, kind in (("a.mp4", "video/mp4"), ("a.txt", "text/plain"), ("b.mov", ""))
    ]
    train.locator("#train-files").set_input_files(files)
    train.get_by_role("button", name="Leave out b.mov").click()
    expect(train.locator("#train-list li")).to_have_count(2)
    train.get_by_label("Name of the new speaker").fill("anna")
    train.locator("#train-lengths").get_by_text("Steps").click()
    train.get_by_label("Steps of each training").fill("300")
    fake.seconds = 2.0  # the button may be pressed before the new speaker is listed
    train.get_by_role("button", name="Start training").click()
    values = asked_soon(page, fake, "/api/trainings")
    assert values["recordings"] == ["a.mp4", "a.txt"]
    assert (values["name"], values["steps"], values["size"]) == ("anna", "300", "256")
    assert values["pretrained"] == "demo"
    expect(train.get_by_role("heading", name="anna")).to_be_visible()
    expect(train.locator("#train-list li")).to_have_count(0)
    train.get_by_role("button", name="Speak with anna").click(timeout=60_000)
    expect(page.locator("#speak [name=speaker]")).to_have_value("anna")
    expect(go(page, "speakers").get_by_role("heading", name="anna")).to_be_visible()
    assert "anna" in page.locator("#direct-form [name=speaker]").inner_text()


def test_a_training_is_stopped_continued_and_removed_by_two_clicks(
    page: Page, fake: FakeApi
) -> None:
    fake.hold = True
    fake.add_training("anna", notes=["b.mp4: no person found"])
    open_page(page)
    train = go(page, "train")
    view = train.locator("#training")
    expect(view).to_contain_text("1,000 of 4,000 recordings, 8 min 20 s left")
    expect(view).to_contain_text("b.mp4: no person found")
    assert view.locator("progress").evaluate("bar => bar.value / bar.max") == 0.25
    view.get_by_role("button", name="Stop").click()
    expect(view.locator(".training-head")).to_contain_text("Stopped")
    open_page(page)  # what a closed tab leaves
    go(page, "train")
    view.get_by_role("button", name="Go on").click()
    expect(view.locator(".training-head")).to_contain_text("Training")
    calls = [path for method, path, _ in fake.requests if method == "POST"]
    assert calls == ["/api/trainings/training0/stop", "/api/trainings/training0/continue"]
    fake.set_training("training0", "failed")["error"] = HTML_NAME
    expect(view.locator(".error").first).to_have_text(HTML_NAME)
    view.get_by_role("button", name="Remove").click()
    assert len(fake.trainings) == 1
    view.get_by_role("button", name="Remove for good").click()
    expect(view).to_contain_text("A few minutes of video")
    assert fake.trainings == []
    assert page.locator("body b, img[src=x]").count() == 0


def test_reports_are_embedded_without_their_scripts(page: Page, fake: FakeApi) -> None:
    fake.hold = True
    fake.add_training("anna")
    for _ in range(3):
        fake.advance_training()
    title = page.title()
    open_page(page)
    train = go(page, "train")
    report = train.frame_locator("iframe")
    heading = report.locator("h1")
    expect(heading).to_have_text("Speech to pose")  # the newest
    assert heading.evaluate("one => getComputedStyle(one).color") == "rgb(1, 2, 3)"
    width = report.locator("img").evaluate("async one => (await one.decode(), one.naturalWidth)")
    assert width == 32
    report.locator("html").evaluate("one => one.scrollTo(0, 500)")
    fake.trainings[0]["reports"][1]["changed"] += 1
    expect(train.locator("iframe")).to_have_attribute("title", "Report: Speech to pose")
    with page.expect_request("**/audio2pose/index.html*"):
        pass
    page.wait_for_timeout(300)
    assert report.locator("html").evaluate("one => one.scrollTop") == 500
    train.get_by_role("button", name="Preprocessing").click()
    expect(heading).to_have_text("Preprocessing")
    assert page.title() == title
    fake.advance_training()  # a newer report does not replace the chosen one
    expect(train.get_by_role("button", name="Pose to video")).to_be_visible()
    expect(heading).to_have_text("Preprocessing")


def test_what_cannot_be_trained_is_said(page: Page, fake: FakeApi) -> None:
    train = go(page, "train")
    start = train.get_by_role("button", name="Start training")
    start.click()
    expect(train.locator("#train-error")).to_have_text("Name: the new speaker needs one.")
    train.get_by_label("Name of the new speaker").fill("anna")
    start.click()
    expect(train.locator("#train-error")).to_have_text("Choose recordings first.")
    big = FilePayload(name="a.mp4", mimeType="video/mp4", buffer=b"0" * 1_000_001)
    odd = FilePayload(name="<b>.exe", mimeType="", buffer=b"0")
    train.locator("#train-files").set_input_files([big, odd])
    expect(train.locator("#train-files-error")).to_contain_text("<b>.exe: neither")
    start.click()
    expect(train.locator("#train-error")).to_contain_text("at most 1 MB")
    assert fake.asked("/api/trainings") == []
    train.locator("#train-sources").get_by_text("Folder").click()
    assert train.locator("[name=folder] option").all_inner_texts()[1].startswith(HTML_NAME)
    fake.errors["/api/trainings"] = "name anna: there is a speaker of this name"
    start.click()
    expect(train.locator("#train-error")).to_have_text(fake.errors["/api/trainings"])
    fake.errors.clear()
    start.click()
    assert asked_soon(page, fake, "/api/trainings")["folder"] == "talks"
    fake.limits["training"] |= {"problem": "mediapipe is not installed", "folders": {}}
    open_page(page)
    go(page, "train")
    expect(train.locator("#train-error")).to_have_text("mediapipe is not installed")
    assert start.is_disabled() and train.locator("#train-sources").is_hidden()


def test_errors_are_shown_where_they_arise(page: Page, fake: FakeApi) -> None:
    speak = page.locator("#speak")
    make = speak.get_by_role("button", name="Make video")
    make.click()
    expect(speak.locator(".speech .error")).to_have_text("Record something first.")
    speak.locator(".segments").get_by_text("File").click()
    make.click()
    expect(speak.locator(".speech .error")).to_have_text("Choose a file.")
    big = FilePayload(name="big.wav", mimeType="audio/wav", buffer=b"0" * 1_000_001)
    speak.locator(".drop input").set_input_files(big)
    expect(speak.locator(".speech .error")).to_contain_text("big.wav: 1 MB; at most 1 MB")
    write_text(speak, "Hello")
    speak.locator("[name=face_motion_scale]").fill("9")
    make.click()
    expect(speak.locator(".options .error")).to_contain_text("from 0 to 4")
    speak.locator("[name=face_motion_scale]").fill("")
    speak.get_by_label("Seed", exact=True).fill("1.5")
    make.click()
    expect(speak.locator("#speak-form > .error")).to_contain_text("whole number")
    assert fake.asked("/api/videos") == []
    speak.get_by_label("Seed", exact=True).fill("1")
    fake.errors["/api/videos"] = "the queue is full"
    make.click()
    expect(speak.locator("#speak-form > .error")).to_have_text("the queue is full")
    expect(make).to_be_enabled()
    fake.errors.clear()
    make.click()
    expect(speak.locator("#speak-form > .error")).to_be_hidden()
    expect(speak.locator("#speak-result video")).to_have_count(1)

    fake.errors["/api/live"] = "two viewers are already there"
    live = go(page, "live")
    live.get_by_role("button", name="Go live").click()
    expect(live.locator("#live-form > .error").first).to_have_text("two viewers are already there")


def test_failed_edit_is_taken_back(page: Page, fake: FakeApi) -> None:
    direct = open_plan(page, fake)
    fake.errors["/api/plans/job0/timeline"] = "words: out of order"
    direct.get_by_role("button", name="Word two").press("ArrowLeft")
    expect(direct.locator("#direct-error")).to_have_text("words: out of order")
    direct.get_by_role("button", name="Word two").click()
    expect(direct.get_by_label("Start, s")).to_have_value("0.80")


def test_a_server_that_does_not_start_is_said(page: Page, fake: FakeApi) -> None:
    fake.errors["/api/speakers"] = "checkpoints: no such folder"
    page.reload()
    expect(page.locator("#banner")).to_have_text("checkpoints: no such folder")


@pytest.mark.parametrize("tab", TABS)
def test_nothing_is_wider_than_a_phone(page: Page, fake: FakeApi, tab: str) -> None:
    page.set_viewport_size(NARROW)
    fake.add_training("anna", log=["== a command" * 20])
    fake.advance_training()
    fake.set_training("training0", "failed")["error"] = HTML_NAME
    open_plan(page, fake)
    part = go(page, tab)
    for summary in part.locator("summary").all():
        summary.click()
    if tab == "speak":
        part.locator(".job-name").click()
        expect(page.locator(".take")).to_have_count(2)
    wide = page.evaluate(
        """() => [...document.querySelectorAll("body *")].filter(one => {
          const box = one.getBoundingClientRect();
          return box.width && !one.closest(".track-scroll, .sprite")
            && (box.right > innerWidth + 0.5 || box.left < -0.5);
        }).map(one => one.outerHTML.slice(0, 80))"""
    )
    assert wide == []
    assert page.evaluate("document.documentElement.scrollWidth") == NARROW["width"]


CONTRASTS = """() => {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d");
  const style = getComputedStyle(document.documentElement);
  const light = name => {
    canvas.fillStyle = style.getPropertyValue(name);
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].map(value => {
      const share = value / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  return PAIRS.map(([a, b]) => {
    const [dark, bright] = [light(a), light(b)].sort((x, y) => x - y);
    return (bright + 0.05) / (dark + 0.05);
  });
}"""


def test_dark_and_light_differ_and_both_can_be_read(page: Page) -> None:
    texts = [
        (ink, ground)
        for ink in ("--ink", "--muted", "--accent", "--error")
        for ground in ("--page", "--panel", "--well")
    ] + [("--on-accent", "--accent"), ("--on-gesture", "--gesture"), ("--accent", "--tint")]
    grounds = []
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        grounds.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
        found = page.evaluate(CONTRASTS.replace("PAIRS", json.dumps(texts)))
        assert {pair: x for pair, x in zip(texts, found, strict=True) if x < 4.5} == {}
    assert grounds[0] != grounds[1]


def test_reduced_motion_has_no_transitions(page: Page) -> None:
    seconds = "getComputedStyle(document.querySelector('.primary')).transitionDuration"
    assert page.evaluate(seconds) != "0s"
    page.emulate_media(reduced_motion="reduce")
    assert page.evaluate(seconds) == "0s"


@pytest.mark.parametrize("tab", TABS)
def test_tab_key_reaches_every_control_with_a_visible_focus(
    page: Page, fake: FakeApi, tab: str
) -> None:
    fake.add_training("anna", state="failed")
    open_plan(page, fake)
    part = go(page, tab)
    for summary in part.locator("summary").all():
        summary.click()
    if tab == "direct":
        part.locator(".gesture").first.click()
    page.wait_for_timeout(200)
    # a group of radio buttons, and each lane of the time line, is one stop: arrows go on from there
    wanted = part.evaluate(
        """part => [...part.querySelectorAll("a, button, input, select, textarea, summary")]
          .filter(one => !one.disabled && one.tabIndex >= 0 && one.checkVisibility())
          .filter(one => one.type !== "radio" || one.checked)
          .map((one, index) => one.dataset.stop = String(index))"""
    )
    page.locator(f"#tab-{tab}").focus()
    reached, unseen = set(), []
    for _ in range(3 * len(wanted) + 20):
        page.keyboard.press("Tab")
        stop = page.evaluate("document.activeElement.dataset.stop")
        if stop is None and reached:
            continue
        reached.add(stop)
        ringed = page.evaluate(
            """() => {
              const ring = one => one && getComputedStyle(one).outlineStyle !== "none";
              const one = document.activeElement;
              return ring(one) || ring(one.closest("label"));
            }"""
        )
        unseen += [] if ringed else [page.evaluate("document.activeElement.outerHTML")]
        if reached >= {*wanted}:
            break
    assert set(wanted) <= reached
    assert unseen == []
    unnamed = part.evaluate(
        """part => [...part.querySelectorAll("button, input, select, textarea")].filter(one =>
          !(one.ariaLabel || one.labels?.length || one.textContent.trim()))
          .map(one => one.outerHTML)"""
    )
    assert unnamed == []


def test_arrow_keys_choose_tabs_and_the_address_keeps_them(page: Page) -> None:
    page.locator("#tab-speak").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#tab-direct")).to_be_focused()
    expect(page.locator("#direct")).to_be_visible()
    page.keyboard.press("End")
    expect(page.locator("#speakers")).to_be_visible()
    page.reload()
    expect(page.locator("#speakers")).to_be_visible()
    page.get_by_role("button", name="Try face").click()
    expect(page.locator("#speak").locator("[name=speaker]")).to_have_value("face")
    assert len(SPEAKERS) == page.locator(".card").count()
    page.go_back()
    expect(page.locator("#speakers")).to_be_visible()


def test_what_is_not_installed_cannot_be_chosen(page: Page, fake: FakeApi) -> None:
    fake.limits |= {"live": False, "text": False}
    open_page(page)
    assert page.locator("#speak [type=radio][value=text]").is_disabled()
    live = go(page, "live")
    assert live.get_by_role("button", name="Go live").is_disabled()
    expect(live).to_contain_text("Live mode is not installed here.")
