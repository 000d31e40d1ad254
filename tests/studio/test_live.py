"""Live sessions between two peers in one process: video comes, follows the audio, and is freed."""

import asyncio
import json
import threading
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

pytest.importorskip("aiortc", reason="the extra `studio` is not installed")

from aiortc import (
    MediaStreamTrack,
    RTCConfiguration,
    RTCPeerConnection,
    RTCSessionDescription,
)

from speech2video.models.pipelines.live import StreamParts
from speech2video.models.pipelines.speaker import Speaker, load_speaker
from speech2video.studio import live
from speech2video.studio.live import LiveSessions
from speech2video.util.errors import DataError
from speech2video.util.metrics.motion import lip_opening
from speech2video.util.text.synthesis import synthesise
from tests.tiny_speaker import NAME, SIZE, voice

RATE = 48_000
PATIENCE = 300.0  # seconds; on the slowest machine


@pytest.fixture(scope="module")
def speaker(checkpoints: Path) -> Speaker:
    return load_speaker(NAME, checkpoints=checkpoints, device="cpu")


class Microphone(MediaStreamTrack):
    """Stereo at 48 kHz: noise like syllables, or silence."""

    kind = "audio"

    def __init__(self, *, silent: bool) -> None:
        super().__init__()
        self._samples = voice(2.0, rate=RATE) * (0 if silent else 1)
        self._sent, self._begin = 0, time.monotonic()

    async def recv(self) -> av.AudioFrame:
        await asyncio.sleep(self._begin + self._sent / RATE - time.monotonic())
        samples = self._samples[np.arange(self._sent, self._sent + 960) % len(self._samples)]
        pcm = np.repeat((samples * 32767).astype(np.int16), 2)[None]
        frame = av.AudioFrame.from_ndarray(pcm, "s16", "stereo")
        frame.sample_rate, frame.pts, frame.time_base = RATE, self._sent, Fraction(1, RATE)
        self._sent += 960
        return frame


class Viewer:
    """A peer as the page is one."""

    def __init__(self, microphone: Microphone | None = None, *, listens: bool = True) -> None:
        self.peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.tracks: dict[str, MediaStreamTrack] = {}
        self.messages: list[dict[str, Any]] = []
        self.id = ""
        self.peer.on("track", lambda track: self.tracks.update({track.kind: track}))
        direction = "sendrecv" if listens else "sendonly"
        if microphone is not None:
            self.peer.addTransceiver(microphone, direction)
        elif listens:
            self.peer.addTransceiver("audio", "recvonly")
        self.peer.addTransceiver("video", "recvonly")
        channel = self.peer.createDataChannel("status")
        channel.on("message", lambda text: self.messages.append(json.loads(text)))

    async def join(self, sessions: LiveSessions, speaker: Any, **options: Any) -> None:
        await self.peer.setLocalDescription(await self.peer.createOffer())
        offer = self.peer.localDescription
        self.id, sdp, kind = await sessions.answer(speaker, offer.sdp, offer.type, **options)
        await self.peer.setRemoteDescription(RTCSessionDescription(sdp, kind))

    async def frames(self, count: int) -> list[av.VideoFrame]:
        return [await self.tracks["video"].recv() for _ in range(count)]


def within_patience(test: Callable[[], Coroutine]) -> None:
    """Run a test's coroutine; nothing of a session may be left."""
    before = {thread for thread in threading.enumerate() if "live" in thread.name}
    asyncio.run(asyncio.wait_for(test(), PATIENCE))
    left = {thread for thread in threading.enumerate() if "live" in thread.name} - before
    assert not left, left


def test_video_audio_and_numbers_arrive_and_all_is_freed(speaker: Speaker) -> None:
    async def test() -> None:
        sessions, viewer = LiveSessions(1), Viewer(Microphone(silent=False))
        await viewer.join(sessions, speaker, seed=1)
        frames = await viewer.frames(12)
        assert (frames[0].width, frames[0].height) == (SIZE, SIZE)
        times = [frame.pts * frame.time_base for frame in frames]
        steps = [(b - a) * 25 for a, b in pairwise(times)]
        assert all(step == round(step) >= 1 for step in steps), steps
        loud = 0.0
        while loud < 0.01:  # silence comes before the first frame's audio
            block = await viewer.tracks["audio"].recv()
            loud = float(np.abs(block.to_ndarray() / 32768).max())
        viewer.messages.clear()  # the first may come before all frames
        while not viewer.messages:
            await asyncio.sleep(0.1)
        numbers = viewer.messages[0]
        assert set(numbers) == {"fps", "delay_ms", "dropped"} and numbers["delay_ms"] > 0
        assert sum("live" in thread.name for thread in threading.enumerate()) >= 3
        await sessions.close(viewer.id)
        assert len(sessions) == 0
        assert not [t for t in threading.enumerate() if t.name.startswith("live-")]
        with pytest.raises(DataError, match="no such session"):
            await sessions.close(viewer.id)
        await viewer.peer.close()

    within_patience(test)


class Rendered:
    """The tiny speaker's motion, drawn by a function of points (144, 2)."""

    def __init__(self, speaker: Speaker, render: Callable[[Iterable[Any]], Iterator[Any]]) -> None:
        self._speaker, self._render = speaker, render

    def split_stream(self, **options: Any) -> StreamParts:
        return StreamParts(self._speaker.split_stream(**options).motion, self._render)


def draw_opening(points: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Yield images that are as bright as the mouth is open."""
    for points_K2 in points:
        level = 5000 * lip_opening(points_K2[None])[0]
        yield np.full((SIZE, SIZE, 3), level.clip(0, 255), np.uint8)


def test_a_viewer_s_voice_opens_the_mouth(speaker: Speaker) -> None:
    async def motion(*, silent: bool, enough: float) -> float:
        """Return how far the mouth opens and closes in two seconds, or until it is enough."""
        sessions, viewer = LiveSessions(1), Viewer(Microphone(silent=silent), listens=False)
        await viewer.join(sessions, Rendered(speaker, draw_opening), seed=1, muted=True)
        levels, seconds = [], 0.0
        while seconds < 1 or (np.ptp(levels) < enough if enough else seconds < 3):
            (frame,) = await viewer.frames(1)
            seconds = frame.time
            if seconds > 0.8:
                levels.append(frame.to_ndarray(format="rgb24").mean())
        assert "audio" not in viewer.tracks
        await sessions.close_all()
        await viewer.peer.close()
        return float(np.ptp(levels))

    async def test() -> None:
        assert await motion(silent=True, enough=0) < 15
        assert await motion(silent=False, enough=40) >= 40

    within_patience(test)


def test_more_viewers_than_allowed_are_refused(speaker: Speaker) -> None:
    async def test() -> None:
        sessions, first, second = LiveSessions(1), Viewer(), Viewer()
        await first.join(sessions, speaker)
        with pytest.raises(DataError, match="1 viewers at most"):
            await second.join(sessions, speaker)
        await sessions.close(first.id)
        await second.join(sessions, speaker)  # there is room again
        await sessions.close_all()
        for viewer in (first, second):
            await viewer.peer.close()

    within_patience(test)


@pytest.mark.parametrize(
    "change",
    [
        lambda sdp: "",
        lambda sdp: "v=0\r\nm=video",
        lambda sdp: sdp.replace("m=video", "m=text"),
        lambda sdp: sdp.replace("a=fingerprint", "a=nothing"),
        lambda sdp: sdp.replace("a=ice-ufrag", "a=nothing"),
        lambda sdp: sdp.replace("H264", "X").replace("VP8", "Y"),
        lambda sdp: sdp + "a" * 200_000,
        lambda sdp: sdp[: len(sdp) // 2],
        lambda sdp: sdp.replace("m=video", "m=audio"),
    ],
)
def test_an_offer_that_is_none_is_refused(speaker: Speaker, change: Callable[[str], str]) -> None:
    async def test() -> None:
        sessions, viewer = LiveSessions(1), Viewer()
        await viewer.peer.setLocalDescription(await viewer.peer.createOffer())
        sdp = change(viewer.peer.localDescription.sdp)
        with pytest.raises(DataError, match=r"^live: "):
            await sessions.answer(speaker, sdp, "offer")
        assert len(sessions) == 0
        await viewer.peer.close()

    within_patience(test)


def test_a_viewer_who_leaves_or_never_comes_makes_room(
    speaker: Speaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test() -> None:
        sessions, viewer = LiveSessions(2), Viewer()
        await viewer.join(sessions, speaker)
        await viewer.frames(1)
        await viewer.peer.close()
        while len(sessions):
            await asyncio.sleep(0.1)

        monkeypatch.setattr(live, "CONNECT_SECONDS", 0.2)
        absent = Viewer()
        await absent.peer.setLocalDescription(await absent.peer.createOffer())
        await sessions.answer(speaker, absent.peer.localDescription.sdp)
        while len(sessions):
            await asyncio.sleep(0.1)
        await absent.peer.close()

    within_patience(test)


def test_texts_speak_without_a_microphone(
    speaker: Speaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    try:
        synthesise("word")
    except DataError:
        pytest.skip("espeak-ng is not installed")

    async def test() -> None:
        sessions, viewer = LiveSessions(1), Viewer()
        await viewer.join(sessions, speaker)
        await viewer.frames(1)
        for bad in ("", "x" * 2001):
            with pytest.raises(DataError):
                await sessions.say(viewer.id, bad)
        with pytest.raises(DataError, match="no such session"):
            await sessions.say("none", "word")
        assert 0.5 < await sessions.say(viewer.id, "A huge welcome to both of you.") < 6
        loud = 0.0
        while loud < 0.05:
            block = await viewer.tracks["audio"].recv()
            loud = float(np.abs(block.to_ndarray() / 32768).max())
        monkeypatch.setattr(live, "MAX_SPEECH", 16_000)
        with pytest.raises(DataError, match="at most can wait"):
            await sessions.say(viewer.id, "And this one is more than a second long.")
        await sessions.close_all()
        await viewer.peer.close()

    within_patience(test)


def test_a_viewer_without_audio_gets_video_alone(speaker: Speaker) -> None:
    async def test() -> None:
        sessions, viewer = LiveSessions(1), Viewer(listens=False)
        await viewer.join(sessions, speaker)
        assert "m=audio" not in viewer.peer.remoteDescription.sdp
        assert len(await viewer.frames(3)) == 3 and set(viewer.tracks) == {"video"}
        await sessions.close_all()
        await viewer.peer.close()

    within_patience(test)


def test_an_error_of_the_renderer_is_said_and_ends_the_session(speaker: Speaker) -> None:
    def render(items: Iterable[Any]) -> Iterator[np.ndarray]:
        for _, image in zip(range(10), draw_opening(items), strict=False):
            yield image
        raise DataError("the renderer is gone")

    async def test() -> None:
        sessions, viewer = LiveSessions(1), Viewer()
        await viewer.join(sessions, Rendered(speaker, render))
        while len(sessions):
            await asyncio.sleep(0.05)
        assert {"error": "the renderer is gone"} in viewer.messages
        await viewer.peer.close()

    within_patience(test)


class FixedDelay:
    """A renderer of a known delay."""

    delay = 0.3


def test_the_audio_comes_as_late_as_the_video(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(live.time, "monotonic", lambda: now)
    track: Any = live._AudioTrack(FixedDelay())  # pyright: ignore[reportArgumentType]
    pushed = np.sin(np.arange(16_000 * 12) * 0.01).astype(np.float32)
    played = []
    for begin in range(0, len(pushed), 320):
        track.push(pushed[begin : begin + 320])
        if begin == 16_000 * 6:
            track._renderer.delay = 0.5
        played.append(track._next(now))
        now += 0.02
    for seconds, delay in ((4, 0.3), (10, 0.5)):
        part = np.concatenate(played)[16_000 * seconds :][:4000]
        lags = {lag: np.abs(pushed[16_000 * seconds - lag :][:4000] - part).max()
                for lag in range(4000, 9000, 80)}  # fmt: skip
        best = min(lags, key=lambda lag: lags[lag])
        assert abs(best / 16_000 - delay) < 0.06, seconds
