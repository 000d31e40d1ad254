"""Live sessions over WebRTC: a viewer's microphone or texts in, the speaker's video out.

sessions = LiveSessions(viewers=2)
session_id, sdp, kind = await sessions.answer(speaker, offer.sdp, offer.type, seed=1)
await sessions.say(session_id, "A huge welcome to both of you.")
await sessions.close(session_id)

microphone or text -> 16 kHz, 50 times a second -> LiveRenderer -> YUV in a thread -> video track
                                                -> late by the renderer's delay    -> audio track

All but the renderer's threads and the one of YUV runs in the event loop.
Connections use this machine's own addresses; no other host is asked for them.
"""

import asyncio
import contextlib
import json
import secrets
import threading
import time
from collections.abc import Callable, Coroutine
from fractions import Fraction
from functools import partial
from typing import Any

import av
import numpy as np
from aiortc import (
    MediaStreamTrack,
    RTCConfiguration,
    RTCDataChannel,
    RTCPeerConnection,
    RTCSessionDescription,
)
from aiortc.mediastreams import MediaStreamError

from speech2video.models.pipelines.live import LiveRenderer, LiveSpeaker
from speech2video.util.audio.audio_io import load_audio
from speech2video.util.errors import DataError, UserError, one_line
from speech2video.util.text.speech_source import synthesised_speech
from speech2video.util.timing import SAMPLE_RATE

TICK = 0.02  # seconds between two pushes to the renderer
GAP = 0.5  # seconds without a microphone's samples from which on silence takes their place
CONNECT_SECONDS = 30.0  # in which a viewer has to connect
STATUS_SECONDS = 1.0
MAX_OFFER, MAX_SECTIONS = 100_000, 8  # characters and media sections of an offer
NEEDED = "ice-ufrag", "ice-pwd", "fingerprint", "mid"  # of an offer
MAX_TEXT = 2000  # characters of a text
MAX_SPEECH = 300 * SAMPLE_RATE  # samples of texts that wait to be spoken
MAX_MICROPHONE = SAMPLE_RATE  # samples that are taken in one tick
VIDEO_CLOCK = 90_000  # Hz
READY_FRAMES = 2  # in YUV, that wait to be encoded
AUDIO_FRAME = SAMPLE_RATE // 50  # samples
RING = 8 * SAMPLE_RATE  # samples that can be played late
DRIFT = 0.05  # seconds by which audio and video may disagree before audio jumps
DRIFT_MEMORY = 0.95  # share of the last disagreement that is kept: samples arrive in bursts


class NoSuchSession(DataError):
    """Raised where a session is not, or no longer, there."""


class TooManyViewers(DataError):
    """Raised where as many viewers are there as are allowed."""


class LiveSessions:
    """Sessions of viewers, up to a limit; each has a renderer of its own.

    All methods belong to one event loop.

    Args:
        viewers: number of sessions at the same time.
    """

    def __init__(self, viewers: int) -> None:
        self.viewers = viewers
        self._sessions: dict[str, _Session] = {}

    def __len__(self) -> int:
        return len(self._sessions)

    async def answer(
        self,
        speaker: LiveSpeaker,
        offer_sdp: str,
        offer_type: str = "offer",
        seed: int = 0,
        muted: bool = False,
    ) -> tuple[str, str, str]:
        """Start a session; return its id, and the sdp and type of the answer.

        The offer has a video section that receives; an audio section that sends is the microphone,
        without one silence and texts are spoken; if it also receives, it gets the delayed audio,
        unless `muted`. To the data channels that the viewer opens go the texts
        {"fps", "delay_ms", "dropped"} once a second, and {"error"} where rendering fails.

        Args:
            speaker: loaded; sessions may share it.

        Raises:
            TooManyViewers: as many viewers as allowed are there.
            DataError: an offer that is none.
        """
        if len(self) >= self.viewers:
            raise TooManyViewers(f"live: {self.viewers} viewers at most; try again later")
        check_offer(offer_sdp, offer_type)
        session_id = secrets.token_hex(12)
        session = _Session(speaker, seed, muted, lambda: self._sessions.pop(session_id, None))
        self._sessions[session_id] = session  # counts from now on
        try:
            description = await session.answer(RTCSessionDescription(offer_sdp, offer_type))
        except BaseException:
            await session.close()
            raise
        return session_id, description.sdp, description.type

    async def say(
        self,
        session_id: str,
        text: str,
        *,
        voice: str | None = None,
        language: str | None = None,
    ) -> float:
        """Speak a text in a session, after those before; return its seconds.

        The microphone is not listened to meanwhile.

        Raises:
            NoSuchSession: it is not there.
            DataError: too much text, none that can be spoken, or no such voice or language.
        """
        session = self._session(session_id)
        if len(text) > MAX_TEXT:
            raise DataError(f"the text: {len(text)} characters; {MAX_TEXT} at most")
        samples = await asyncio.to_thread(_synthesise, text, voice, language)
        self._session(session_id)  # it may have ended meanwhile
        session.say(samples)
        return len(samples) / SAMPLE_RATE

    async def close(self, session_id: str) -> None:
        """End a session, and free all that it has.

        Raises:
            NoSuchSession: it is not there.
        """
        await self._session(session_id).close()

    async def close_all(self) -> None:
        """End all sessions."""
        await asyncio.gather(*(session.close() for session in [*self._sessions.values()]))

    def _session(self, session_id: str) -> "_Session":
        if session_id not in self._sessions:
            raise NoSuchSession(f"live {session_id:.40}: no such session")
        return self._sessions[session_id]


def check_offer(sdp: str, kind: str) -> None:
    """Raise `DataError` for what is no offer of a viewer; `LiveSessions.answer` says what is."""
    sections = [line.split(" ", 1)[0] for line in sdp.splitlines() if line.startswith("m=")]
    if kind != "offer" or not sdp.startswith("v=0") or len(sdp) > MAX_OFFER:
        raise DataError("live: an offer of WebRTC (sdp) is needed")
    if missing := [name for name in NEEDED if f"\na={name}:" not in sdp]:
        raise DataError(f"live: an offer without {missing[0]}")
    if len(sections) > MAX_SECTIONS or sections.count("m=video") != 1:
        raise DataError("live: an offer with one video section is needed")
    if sections.count("m=audio") > 1:
        raise DataError("live: one audio section at most can be answered")


class _Session:
    """One viewer: connection, renderer, and what joins them."""

    def __init__(self, speaker: LiveSpeaker, seed: int, muted: bool, on_close: Any) -> None:
        self._renderer = LiveRenderer(speaker, seed=seed)
        self._connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._muted, self._on_close = muted, on_close
        self._microphone: list[np.ndarray] = []  # since the last tick
        self._text = np.zeros(0, np.float32)  # that is not yet spoken
        self._has_microphone = False
        self._channels: list[RTCDataChannel] = []
        self._connected = asyncio.Event()
        self._tasks: list[asyncio.Task] = []
        self._closing: asyncio.Task | None = None
        self._video = _VideoTrack()
        self._audio = None if muted else _AudioTrack(self._renderer)
        self._thread = threading.Thread(target=self._convert, name="live-video", daemon=True)

    async def answer(self, offer: RTCSessionDescription) -> RTCSessionDescription:
        """Return the answer to an offer, and start."""
        connection = self._connection
        connection.on("track", self._take_track)
        connection.on("datachannel", self._channels.append)
        connection.on("connectionstatechange", self._follow_connection)
        try:
            await connection.setRemoteDescription(offer)
            connection.addTrack(self._video)
            for transceiver in connection.getTransceivers():
                if transceiver.kind == "video":  # a viewer's video is not taken
                    transceiver.direction = "sendonly"
                elif self._audio is not None:
                    connection.addTrack(self._audio)
            await connection.setLocalDescription(await connection.createAnswer())
        except Exception as error:  # sdp is parsed without checks
            raise DataError(
                f"live: an offer that cannot be answered ({one_line(str(error)):.100})"
            ) from None
        self._loop = asyncio.get_running_loop()
        self._thread.start()
        for work in (self._feed(), self._report(), self._expect_connection()):
            self._start(work)
        return connection.localDescription

    def say(self, samples: np.ndarray) -> None:
        """Speak samples (S,) at 16 kHz after those that wait."""
        if len(self._text) + len(samples) > MAX_SPEECH:
            raise DataError(f"live: texts of {MAX_SPEECH // SAMPLE_RATE} s at most can wait")
        self._text = np.concatenate([self._text, samples])

    async def close(self) -> None:
        """End the session, once; returns when all is freed."""
        await asyncio.shield(self._end())

    def _end(self) -> asyncio.Task:
        if self._closing is None:
            self._closing = asyncio.ensure_future(self._close())
        return self._closing

    async def _close(self) -> None:
        own = asyncio.current_task()
        for task in self._tasks:
            if task is not own:
                task.cancel()
        self._video.stop()
        if self._audio is not None:
            self._audio.stop()
        try:
            await self._connection.close()
        finally:
            await asyncio.to_thread(self._renderer.close)
            if self._thread.ident is not None:
                await asyncio.to_thread(self._thread.join)
            self._on_close()

    def _start(self, work: Coroutine) -> None:
        """Run work next to the session; its failure ends the session."""

        async def run() -> None:
            try:
                await work
            except MediaStreamError:  # the microphone is gone
                pass
            except Exception as error:
                self._fail(error)

        self._tasks.append(asyncio.ensure_future(run()))

    def _fail(self, error: BaseException) -> None:
        """Report an error to the viewer, and end the session."""
        line = one_line(str(error)) if isinstance(error, UserError) else type(error).__name__
        self._send({"error": line})
        self._end()

    def _take_track(self, track: MediaStreamTrack) -> None:
        if track.kind == "audio":
            self._has_microphone = True
            self._start(self._listen(track))

    def _follow_connection(self) -> None:
        if self._connection.connectionState == "connected":
            self._connected.set()
        if self._connection.connectionState in ("failed", "closed"):
            self._end()

    async def _expect_connection(self) -> None:
        try:
            await asyncio.wait_for(self._connected.wait(), CONNECT_SECONDS)
        except asyncio.TimeoutError:  # another class than TimeoutError in Python 3.10
            raise DataError("live: the viewer did not connect") from None

    async def _listen(self, track: MediaStreamTrack) -> None:
        """Keep the microphone's samples."""
        resampler = av.AudioResampler("flt", "mono", SAMPLE_RATE)
        while True:
            frame = await track.recv()
            assert isinstance(frame, av.AudioFrame)
            frame.pts = None  # they follow one another; the resampler fills no gaps
            for block in resampler.resample(frame):
                self._microphone.append(block.to_ndarray()[0])

    async def _feed(self) -> None:
        """Push audio at the pace of the microphone, or else of the clock."""
        await self._connected.wait()
        gap = GAP if self._has_microphone else 0.0
        until = time.monotonic()  # the end of the audio so far
        while True:
            await asyncio.sleep(TICK)
            now = time.monotonic()
            if self._microphone:
                samples = np.concatenate(self._microphone)[-MAX_MICROPHONE:]
                self._microphone.clear()
                until = now
            elif now - until > gap:
                count = min(round((now - until) * SAMPLE_RATE), MAX_MICROPHONE)
                samples, until = np.zeros(count, np.float32), now
            else:
                continue
            spoken, self._text = self._text[: len(samples)], self._text[len(samples) :]
            if len(spoken):
                samples = np.pad(spoken, (0, len(samples) - len(spoken)))
            self._renderer.push(samples)
            if self._audio is not None:
                self._audio.push(samples)

    async def _report(self) -> None:
        """Send numbers to the viewer."""
        while True:
            await asyncio.sleep(STATUS_SECONDS)
            renderer = self._renderer
            self._send(
                {
                    "fps": round(renderer.frames_per_second, 1),
                    "delay_ms": round(1000 * renderer.delay),
                    "dropped": renderer.dropped,
                }
            )

    def _send(self, message: dict[str, Any]) -> None:
        for channel in self._channels:
            if channel.readyState == "open" and channel.bufferedAmount == 0:
                channel.send(json.dumps(message))

    def _convert(self) -> None:
        """Turn frames into YUV as fast as they are encoded; runs in a thread."""
        end: Callable[[], object] = self._end
        try:
            for seconds, image in self._renderer.frames():
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), "rgb24")
                frame = frame.reformat(format="yuv420p")
                frame.pts, frame.time_base = round(seconds * VIDEO_CLOCK), Fraction(1, VIDEO_CLOCK)
                if not self._video.put(frame, self._loop):
                    break
        except BaseException as error:
            end = partial(self._fail, error)
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(end)


class _VideoTrack(MediaStreamTrack):
    """Frames as they are made; its `put` waits where encoding is slower."""

    kind = "video"

    def __init__(self) -> None:
        super().__init__()
        self._frames: asyncio.Queue[av.VideoFrame | None] = asyncio.Queue()
        self._room = threading.Semaphore(READY_FRAMES)

    def put(self, frame: av.VideoFrame, loop: asyncio.AbstractEventLoop) -> bool:
        """Give the next frame from another thread; return false once the track has ended."""
        self._room.acquire()
        if self.readyState != "live":
            return False
        try:
            loop.call_soon_threadsafe(self._frames.put_nowait, frame)
        except RuntimeError:  # the loop has ended
            return False
        return True

    async def recv(self) -> av.VideoFrame:
        """Return the next frame."""
        frame = await self._frames.get() if self.readyState == "live" else None
        if frame is None:
            raise MediaStreamError
        self._room.release()
        return frame

    def stop(self) -> None:
        """End the track, and what waits for it."""
        super().stop()
        self._frames.put_nowait(None)
        self._room.release()


class _AudioTrack(MediaStreamTrack):
    """The audio that was pushed, as much later as the renderer's frames are.

    Where the renderer's delay changes by more than `DRIFT`, it jumps, and fades.
    """

    kind = "audio"

    def __init__(self, renderer: LiveRenderer) -> None:
        super().__init__()
        self._renderer = renderer
        self._ring = np.zeros(RING, np.float32)
        self._pushed = self._place = 0  # samples so far, and the next to play
        self._pushed_at = 0.0
        self._drift, self._sent, self._begin = 0.0, 0, 0.0

    def push(self, samples: np.ndarray) -> None:
        """Take the next samples (S,) at 16 kHz."""
        places = np.arange(self._pushed, self._pushed + len(samples)) % RING
        self._ring[places] = samples
        self._pushed += len(samples)
        self._pushed_at = time.monotonic()

    async def recv(self) -> av.AudioFrame:
        """Return the next 20 ms, when they are due."""
        if self.readyState != "live":
            raise MediaStreamError
        self._begin = self._begin or time.monotonic()
        await asyncio.sleep(self._begin + self._sent / SAMPLE_RATE - time.monotonic())
        samples = self._next(time.monotonic())
        pcm = (samples.clip(-1, 1) * 32767).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(pcm[None], "s16", "mono")
        frame.sample_rate, frame.pts = SAMPLE_RATE, self._sent
        frame.time_base = Fraction(1, SAMPLE_RATE)
        self._sent += AUDIO_FRAME
        return frame

    def _next(self, now: float) -> np.ndarray:
        """Return the samples (S,) to be played now; silence before the first frame."""
        delay = self._renderer.delay
        if not delay:
            return np.zeros(AUDIO_FRAME, np.float32)
        target = self._pushed + round((now - self._pushed_at - delay) * SAMPLE_RATE)
        drift = target - self._place
        far = abs(drift) > RING // 2
        self._drift = drift if far else DRIFT_MEMORY * self._drift + (1 - DRIFT_MEMORY) * drift
        before = self._at(self._place)
        if abs(self._drift) > DRIFT * SAMPLE_RATE:
            self._place += round(self._drift)
            self._drift = 0.0
            fade = np.linspace(0, 1, AUDIO_FRAME, dtype=np.float32)
            samples = (1 - fade) * before + fade * self._at(self._place)
        else:
            samples = before
        self._place += AUDIO_FRAME
        return samples

    def _at(self, place: int) -> np.ndarray:
        """Return samples (S,) from a place on; silence where there are none."""
        places = np.arange(place, place + AUDIO_FRAME)
        there = (places >= max(self._pushed - RING, 0)) & (places < self._pushed)
        return np.where(there, self._ring[places % RING], np.float32(0))


def _synthesise(text: str, voice: str | None, language: str | None) -> np.ndarray:
    """Return a text as samples (S,) at 16 kHz."""
    with synthesised_speech(text, voice=voice, language=language) as speech:
        assert speech.audio is not None
        return load_audio(speech.audio)
