"""Live rendering: frames of audio that arrives in real time, with bounded delay and memory.

with speaker.live(seed=1) as renderer:
    renderer.push(samples)                             # from the thread of a microphone
    for seconds, frame in renderer.frames(): ...       # in another thread

audio    pushed, of any length                         waits for the first thread
motion   of all of the audio, since it is recurrent    waits for the second, is left out if late
frames   (H, W, 3) uint8                               wait to be taken, two at most

A source drives the renderer: where it stops, the frames stop, and nothing is filled in.
"""

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from speech2video.util.audio.mel import check_audio
from speech2video.util.timing import FPS, SAMPLE_RATE, SAMPLES_PER_FRAME

if TYPE_CHECKING:
    from typing_extensions import Self  # in typing from Python 3.11 on

MAX_DELAY = 0.4  # seconds
AUDIO_SECONDS = 2.0  # that audio may wait longer than motion before it is left out
CHUNK = SAMPLE_RATE // 10  # samples that short pushes are joined to where they wait
READY_FRAMES = 2  # that wait to be taken
DELAY_FRAMES = 25  # that the delay is the mean of
RATE_SECONDS = 2.0  # that frames are counted over
MIDDLE = SAMPLES_PER_FRAME // 2  # of a frame's samples, the moment that it shows


@dataclass(frozen=True)
class StreamParts:
    """A speaker's `stream` in two parts, between which items may be left out.

    Attributes:
        motion: chunks of audio (S,) to one item for each frame, as they arrive.
        render: items to a frame (H, W, 3 or 4) uint8 for each.
    """

    motion: Callable[[Iterable[np.ndarray]], Iterator[Any]]
    render: Callable[[Iterable[Any]], Iterator[np.ndarray]]


class LiveSpeaker(Protocol):
    """What can be rendered live."""

    def split_stream(self, *, seed: int = 0, background: str | None = None) -> StreamParts:
        """Return the parts of the speaker's `stream`."""
        ...


class _Audio(NamedTuple):
    position: int  # of its first sample among all that were pushed
    samples: np.ndarray
    pushed: float  # when, by the clock


class _Origin(NamedTuple):
    frame: int  # its number in the audio
    pushed: float  # when its audio was


class _Item(NamedTuple):
    origin: _Origin
    released: float  # when the audio was pushed that it had to wait for
    value: Any


class _Closed(Exception):
    """Raised in a thread to end it."""


class LiveRenderer:
    """Frames of a speaker for audio that is pushed as it arrives.

    Two threads turn audio into motion, and motion into frames. Where rendering falls behind,
    motion that waits for longer than `max_delay` is left out, so that neither delay nor memory
    grows; the newest is always rendered. With nothing behind, frames are those of
    `speaker.stream`, bit for bit, and the first follows the networks' look-ahead as there.

    A speaker whose `split_stream` renders along with the motion (a talking face) renders all, and
    what is late is left out afterwards.

    Args:
        speaker: a loaded one; several renderers may share it.
        seed: random seed of the motion.
        background: as of `Speaker.stream`.
        max_delay: seconds that motion may wait for; infinity leaves nothing out.
        clock: returns seconds.

    Attributes:
        dropped: number of frames so far that were left out.

    Raises:
        UserError: a background that cannot be read, or a part that the speaker has not.
    """

    def __init__(
        self,
        speaker: LiveSpeaker,
        *,
        seed: int = 0,
        background: str | None = None,
        max_delay: float = MAX_DELAY,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        parts = speaker.split_stream(seed=seed, background=background)
        self.dropped = 0
        self._max_delay, self._clock = max_delay, clock
        self._changed = threading.Condition()  # guards all that follows
        self._audio: deque[_Audio] = deque()
        self._origins: deque[_Origin] = deque()  # of frames without motion yet
        self._items: deque[_Item] = deque()
        self._frames: deque[tuple[_Origin, np.ndarray]] = deque()
        self._pushed = self._next_frame = 0
        self._released = 0.0
        self._finished = self._moved = self._rendered = self._closed = False
        self._error: BaseException | None = None
        self._delays: deque[float] = deque(maxlen=DELAY_FRAMES)
        self._taken: deque[float] = deque(maxlen=round(2 * RATE_SECONDS * FPS))
        work = {"motion": self._move, "frames": self._render}
        self._threads = [
            threading.Thread(target=run, args=(parts,), name=f"live-{name}", daemon=True)
            for name, run in work.items()
        ]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> "Self":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def push(self, samples: np.ndarray) -> None:
        """Take the next samples (S,) float32 at 16 kHz, -1..1; never waits.

        Audio that waits for more than `AUDIO_SECONDS` longer than `max_delay`, as motion itself
        falls behind, is left out. After `finish` or `close` nothing is taken.

        Raises:
            DataError: another shape, whole numbers, or NaN.
        """
        samples = check_audio(np.array(samples), first=self._pushed).astype(np.float32)
        with self._changed:
            if self._finished or self._closed or not len(samples):
                return
            now = self._clock()
            self._audio.append(_Audio(self._pushed, samples, now))
            self._pushed += len(samples)
            while now - self._audio[0].pushed > self._max_delay + AUDIO_SECONDS:
                self._audio.popleft()
            self._changed.notify_all()

    def finish(self) -> None:
        """End the audio: the frames that are left come, and `frames` ends."""
        with self._changed:
            self._finished = True
            self._changed.notify_all()

    def close(self) -> None:
        """End at once, and wait for the threads to end."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join()
        with self._changed:
            for queue in (self._audio, self._origins, self._items, self._frames):
                queue.clear()

    def frames(self) -> Iterator[tuple[float, np.ndarray]]:
        """Yield each frame's time in the audio (s, of its first sample) and (H, W, 3) uint8 image.

        Waits for frames, until `finish` or `close`. With the background "transparent" images are
        (H, W, 4).

        Raises:
            UserError: what rendering raised.
        """
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._frames or self._rendered or self._closed)
                if self._closed:
                    return
                if not self._frames:
                    if self._error is not None:
                        raise self._error
                    return
                (number, pushed), image = self._frames.popleft()
                now = self._clock()
                self.dropped += number - self._next_frame
                self._next_frame = number + 1
                self._delays.append(now - pushed)
                self._taken.append(now)
                self._changed.notify_all()
            yield number / FPS, image

    @property
    def delay(self) -> float:
        """Seconds from when audio was pushed to when its frame was taken, of the last second."""
        with self._changed:
            return sum(self._delays) / max(len(self._delays), 1)

    @property
    def frames_per_second(self) -> float:
        """Frames that were taken, a second, of the last two seconds."""
        with self._changed:
            if not self._taken:
                return 0.0
            now = self._clock()
            recent = sum(now - taken <= RATE_SECONDS for taken in self._taken)
            return recent / min(RATE_SECONDS, max(now - self._taken[0], 1.0))

    def _move(self, parts: StreamParts) -> None:
        """Make motion of the audio; runs in a thread."""
        with self._ending("_moved"):
            for value in parts.motion(self._chunks()):
                with self._changed:
                    self._check_open()
                    item = _Item(self._origins.popleft(), self._released, value)
                    self._items.append(item)
                    self._leave_out()
                    self._changed.notify_all()

    def _chunks(self) -> Iterator[np.ndarray]:
        """Yield the audio as it arrives, and note the frames that it is of."""
        consumed = frames = last = 0
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._audio or self._finished or self._closed)
                self._check_open()
                if not self._audio:
                    break
                chunks = [self._audio.popleft()]
                while self._audio and sum(len(c.samples) for c in chunks) < CHUNK:
                    chunks.append(self._audio.popleft())
                for position, samples, self._released in chunks:
                    end = consumed + len(samples)
                    while (middle := frames * SAMPLES_PER_FRAME + MIDDLE) < end:
                        last = (position + middle - consumed) // SAMPLES_PER_FRAME
                        self._origins.append(_Origin(last, self._released))
                        frames += 1
                    consumed = end
            yield np.concatenate([chunk.samples for chunk in chunks])
        with self._changed:
            if consumed > frames * SAMPLES_PER_FRAME:  # the last frame is less than half filled
                self._origins.append(_Origin(last + 1 if frames else 0, self._released))

    def _render(self, parts: StreamParts) -> None:
        """Make frames of the motion; runs in a thread."""
        with self._ending("_rendered"):
            origins: deque[_Origin] = deque()
            for image in parts.render(self._take_items(origins)):
                with self._changed:
                    self._changed.wait_for(lambda: len(self._frames) < READY_FRAMES or self._closed)
                    self._check_open()
                    self._frames.append((origins.popleft(), image))
                    self._changed.notify_all()

    def _take_items(self, origins: "deque[_Origin]") -> Iterator[Any]:
        """Yield the motion that is not late, and note the frames that it is of."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._items or self._moved or self._closed)
                self._check_open()
                if not self._items:
                    return
                self._leave_out()
                item = self._items.popleft()
                origins.append(item.origin)
            yield item.value

    def _leave_out(self) -> None:
        """Forget the motion that has waited for too long, but for the newest."""
        now = self._clock()
        while len(self._items) > 1 and now - self._items[0].released > self._max_delay:
            self._items.popleft()

    def _check_open(self) -> None:
        if self._closed:
            raise _Closed

    @contextlib.contextmanager
    def _ending(self, name: str) -> Iterator[None]:
        """Note the end of a thread's work, and an error for where frames are taken."""
        try:
            yield
        except _Closed:
            pass
        except BaseException as error:
            with self._changed:
                self._error = self._error or error
                self._audio.clear()
                self._finished = True  # further audio is not kept
        finally:
            with self._changed:
                setattr(self, name, True)
                self._changed.notify_all()
