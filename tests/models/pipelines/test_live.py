"""Live rendering: frames of the stream, late ones left out, everything bounded and freed."""

import math
import queue
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest

from speech2video.models.pipelines.live import AUDIO_SECONDS, LiveRenderer, StreamParts
from speech2video.models.pipelines.speaker import Speaker, load_speaker
from speech2video.util.errors import DataError
from tests.shared import ROOT
from tests.tiny_speaker import NAME, voice

FRAME = np.zeros(640, np.float32)
STEP, LIMIT = 1 / 32, 8 / 32  # seconds that are exact in binary
TIMEOUT = 60  # seconds; only a hang takes so long


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Toy:
    """A speaker whose motion is the number of a frame; its threads wait for the test."""

    def __init__(self, *, waits: str = "render") -> None:
        self.waits, self.samples = waits, 0
        self.started: queue.Queue[int] = queue.Queue()  # what is being rendered
        self.moved: queue.Queue[int] = queue.Queue()  # what waits for rendering
        self.gate = threading.Semaphore(0)

    def split_stream(self, *, seed: int = 0, background: str | None = None) -> StreamParts:
        return StreamParts(self._motion, self._render)

    def open(self) -> None:
        self.gate.release(10_000)

    def _motion(self, chunks: Iterable[np.ndarray]) -> Iterator[int]:
        number = 0
        for chunk in chunks:
            if self.waits == "motion":
                self.moved.put(-1)
                assert self.gate.acquire(timeout=TIMEOUT)
            self.samples += len(chunk)
            while number < self.samples // 640:
                yield number
                self.moved.put(number)
                number += 1

    def _render(self, numbers: Iterable[int]) -> Iterator[np.ndarray]:
        for number in numbers:
            self.started.put(number)
            if self.waits == "render":
                assert self.gate.acquire(timeout=TIMEOUT)
            yield np.full((2, 2, 3), number % 256, np.uint8)


def numbers(renderer: LiveRenderer) -> list[int]:
    return [round(25 * seconds) for seconds, _ in renderer.frames()]


@pytest.mark.parametrize("size", [500, 16_000])
def test_with_nothing_behind_frames_are_the_stream_s(checkpoints: Path, size: int) -> None:
    speaker = load_speaker(NAME, checkpoints=checkpoints, device="cpu", precision="fp32")
    audio_S = voice(0.8)[:-100]
    chunks = np.split(audio_S, range(size, len(audio_S), size))
    expected = list(speaker.stream(chunks, seed=2))
    with speaker.live(seed=2, clock=Clock()) as renderer:  # no time passes
        for chunk in chunks:
            renderer.push(chunk)
        renderer.finish()
        found = list(renderer.frames())
    assert [seconds for seconds, _ in found] == [n / 25 for n in range(len(expected))]
    assert np.array_equal([image for _, image in found], expected) and renderer.dropped == 0


def test_pushed_samples_may_be_overwritten_by_the_source() -> None:
    kept: list[np.ndarray] = []
    toy = Toy()
    toy.open()
    parts = StreamParts(lambda chunks: (kept.append(c) or 0 for c in chunks), toy._render)
    toy.split_stream = lambda **_: parts
    with LiveRenderer(toy, clock=Clock()) as renderer:
        buffer = np.ones(640, np.float32)
        renderer.push(buffer)
        buffer[:] = 0
        renderer.finish()
        list(renderer.frames())
    assert np.concatenate(kept).sum() == 640


def test_late_motion_is_left_out_and_counted() -> None:
    clock, toy = Clock(), Toy()
    with LiveRenderer(toy, max_delay=LIMIT, clock=clock) as renderer:
        for number in range(21):
            clock.now = number * STEP
            renderer.push(FRAME)
            assert toy.moved.get(timeout=TIMEOUT) == number
            if number == 0:
                assert toy.started.get(timeout=TIMEOUT) == 0  # and is slow
        toy.open()
        renderer.finish()
        # motion that came more than 8 steps before the 20th is gone
        assert numbers(renderer) == [0, *range(12, 21)]
        assert renderer.dropped == 11


def test_the_newest_motion_is_rendered_however_late() -> None:
    clock, toy = Clock(), Toy()
    with LiveRenderer(toy, max_delay=LIMIT, clock=clock) as renderer:
        for number in range(3):
            renderer.push(FRAME)
            assert toy.moved.get(timeout=TIMEOUT) == number
            if number == 0:
                assert toy.started.get(timeout=TIMEOUT) == 0
        clock.now = 100
        toy.open()
        renderer.finish()
        assert numbers(renderer) == [0, 2] and renderer.dropped == 1


def test_nothing_is_left_out_without_a_limit() -> None:
    clock, toy = Clock(), Toy()
    with LiveRenderer(toy, max_delay=math.inf, clock=clock) as renderer:
        for number in range(200):
            clock.now = number
            renderer.push(FRAME)
        toy.open()
        renderer.finish()
        assert numbers(renderer) == list(range(200)) and renderer.dropped == 0


def test_audio_is_left_out_where_motion_falls_behind() -> None:
    clock, toy = Clock(), Toy(waits="motion")
    with LiveRenderer(toy, max_delay=LIMIT, clock=clock) as renderer:
        for number in range(1000):
            clock.now = number * STEP
            renderer.push(FRAME)
            if number == 0:
                assert toy.moved.get(timeout=TIMEOUT) == -1  # the first is taken, and is slow
        toy.open()
        renderer.finish()
        found = numbers(renderer)
        kept = 1 + round((LIMIT + AUDIO_SECONDS) / STEP) + 1
        assert toy.samples == kept * 640
        assert found[-1] == 999 and found == sorted(set(found))
        assert renderer.dropped == 1000 - len(found)


def test_frames_that_no_one_takes_wait_in_small_numbers() -> None:
    clock, toy = Clock(), Toy()
    toy.open()
    with LiveRenderer(toy, max_delay=LIMIT, clock=clock) as renderer:
        for number in range(1000):
            clock.now = number * STEP
            renderer.push(FRAME)
            assert toy.moved.get(timeout=TIMEOUT) == number
        renderer.finish()
        found = numbers(renderer)
        assert len(found) < 20 and found[-1] == 999 and renderer.dropped == 1000 - len(found)


def test_delay_and_rate_are_measured() -> None:
    clock, toy = Clock(), Toy()
    toy.open()
    with LiveRenderer(toy, clock=clock) as renderer:
        assert renderer.delay == renderer.frames_per_second == 0
        frames = renderer.frames()
        for number in range(150):
            clock.now = number / 32
            renderer.push(FRAME)
            clock.now += 1 / 64
            assert next(frames)[0] == number / 25
        assert renderer.delay == 1 / 64
        assert renderer.frames_per_second == pytest.approx(32, abs=1)
        clock.now += 10
        assert renderer.frames_per_second == 0


@pytest.mark.parametrize("part", ["motion", "render"])
def test_an_error_is_raised_where_frames_are_taken(part: str) -> None:
    def fail(items: Iterable[object]) -> Iterator[object]:
        yield next(iter(items))
        raise DataError("out of order")

    toy = Toy()
    toy.open()
    parts = toy.split_stream()
    failing = {"motion": parts.motion, "render": parts.render, part: fail}
    if part == "motion":
        failing["render"] = lambda items: (np.zeros((2, 2, 3), np.uint8) for _ in items)
    toy.split_stream = lambda **_: StreamParts(**failing)
    with LiveRenderer(toy, clock=Clock()) as renderer:
        renderer.push(FRAME)
        frames = renderer.frames()
        next(frames)
        with pytest.raises(DataError, match="out of order"):
            next(frames)
        renderer.push(FRAME)  # is not kept


@pytest.mark.parametrize(
    "bad", [np.zeros((2, 640), np.float32), np.zeros(640, np.int16), np.full(3, np.nan, np.float32)]
)
def test_unusable_audio_is_refused_where_it_is_pushed(bad: np.ndarray) -> None:
    with LiveRenderer(Toy(), clock=Clock()) as renderer, pytest.raises(DataError):
        renderer.push(bad)


def test_closing_ends_the_threads_and_whoever_waits(checkpoints: Path) -> None:
    before = set(threading.enumerate())
    speaker = load_speaker(NAME, checkpoints=checkpoints, device="cpu")
    renderer = speaker.live()
    taken: list[object] = []
    taker = threading.Thread(target=lambda: taken.extend(renderer.frames()))
    taker.start()
    renderer.push(voice(0.1))
    renderer.close()
    taker.join(TIMEOUT)
    assert not taken and set(threading.enumerate()) <= before
    renderer.push(voice(1.0))
    renderer.close()
    assert list(renderer.frames()) == []


def test_a_background_that_is_none_is_refused(checkpoints: Path) -> None:
    speaker = load_speaker(NAME, checkpoints=checkpoints, device="cpu")
    with pytest.raises(DataError, match=r"nowhere\.png"):
        speaker.live(background="nowhere.png")


@pytest.mark.slow
def test_a_talking_face_renders_all_in_its_first_part() -> None:
    speaker: Speaker = load_speaker("demo_face", checkpoints=ROOT / "checkpoints", device="cpu")
    audio_S = voice(2.2)
    expected = list(speaker.stream([audio_S], seed=1))
    with speaker.live(seed=1, clock=Clock()) as renderer:
        renderer.push(audio_S)
        renderer.finish()
        assert np.array_equal([image for _, image in renderer.frames()], expected)
