"""Let a speaker say what a microphone records, as it records it.

python scripts/live.py --name demo                                     # microphone to window
python scripts/live.py --name demo --input speech.wav --output live.mp4
arecord -f S16_LE -r 16000 -c 1 -t raw | python scripts/live.py --name demo --input - --camera

Ctrl-C, or q in the window, ends it, with a complete file. The microphone needs the package
sounddevice, the camera pyvirtualcam and a device of v4l2loopback (Linux) or OBS.
"""

import contextlib
import os
import select
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator

import _checkout  # noqa: F401
import av
import cv2
import numpy as np

from speech2video.models.pipelines.live import LiveRenderer
from speech2video.models.pipelines.speaker import Speaker, load_speaker
from speech2video.options.studio import PIPE, LiveOptions
from speech2video.util import distributed
from speech2video.util.audio.audio_io import read_audio
from speech2video.util.errors import DataError, run_command, stop_requests
from speech2video.util.iteration import open_bar
from speech2video.util.timing import FPS, SAMPLE_RATE
from speech2video.util.video.formats import video_format
from speech2video.util.video.writer import AUDIO_RATE, GENERATED, write_video

PIECE = SAMPLE_RATE // 25  # samples of audio that are pushed at once
POLL_SECONDS = 0.1  # between questions whether to stop
TITLE = "speech2video"
QUIT_KEYS = (ord("q"), 27)  # of a window; 27 is escape

Frames = Iterator[tuple[float, np.ndarray]]
Stops = Callable[[], bool]


def main() -> None:
    options = LiveOptions.parse()
    with contextlib.ExitStack() as stack:
        source = stack.enter_context(open_source(options))  # what is missing is noticed at once
        shows = [stack.enter_context(open_window())] if options.shows_window else []
        if options.camera:
            shows.append(stack.enter_context(Camera()).show)
        distributed.start(options.device, threads=options.threads)
        speaker = load_speaker(options.name, checkpoints=options.checkpoints, device=options.device)
        stop = stack.enter_context(stop_requests())
        renderer = stack.enter_context(
            speaker.live(
                seed=options.seed, background=options.background, max_delay=options.max_delay
            )
        )
        recording = Recording() if records_audio(options) else None
        feeder = Feeder(renderer, source, recording, options.seconds, lambda: bool(stop.signal))
        stack.callback(feeder.end)
        frames = show_progress(renderer, feeder)
        for show in shows:
            frames = passed(frames, show, feeder.end)
        feeder.start()
        if options.output is None:
            count = sum(1 for _ in frames)
        else:
            count = write(frames, recording, speaker, options)
    where = options.output or "live"
    print(f"{where}: {count} frames, {renderer.dropped} left out")


def records_audio(options: LiveOptions) -> bool:
    """Return whether there is an output that holds audio."""
    if options.output is None:
        return False
    kind = video_format(options.output, alpha=options.has_alpha)
    return kind is None or bool(kind.audio)


def write(frames: Frames, audio: "Recording | None", speaker: Speaker, options: LiveOptions) -> int:
    """Write frames at 25 a second with the audio; return their number."""
    assert options.output is not None
    comment = f"{speaker.provenance}; live, seed {options.seed}"
    images = (image.transpose(2, 0, 1) for image in without_gaps(frames))
    return write_video(
        options.output,
        images,
        audio=audio,
        metadata={"comment": comment},
        alpha=options.has_alpha,
        **GENERATED,
    )


def without_gaps(frames: Frames) -> Iterator[np.ndarray]:
    """Yield the images, each again for those that were left out after it."""
    number, last = 0, None
    for seconds, image in frames:
        while number < round(seconds * FPS):
            yield image if last is None else last
            number += 1
        yield image
        number, last = number + 1, image


def show_progress(renderer: LiveRenderer, feeder: "Feeder") -> Frames:
    """Yield the frames under a line with rate, delay, and the number of those left out.

    Raises:
        UserError: what reading the audio raised, or there was none.
    """
    with open_bar(total=None, name="live", unit="frame") as bar:
        for taken in renderer.frames():
            bar.set_postfix_str(
                f"{renderer.frames_per_second:.1f} frames/s, delay {renderer.delay:.2f} s, "
                f"{renderer.dropped} left out",
                refresh=False,
            )
            bar.update()
            yield taken
    feeder.check()


def passed(frames: Frames, show: Callable[[np.ndarray], bool], end: Callable[[], None]) -> Frames:
    """Yield frames that are shown, and end the audio once showing says so."""
    goes_on = True
    for seconds, image in frames:
        goes_on = goes_on and show(image)
        if not goes_on:
            end()
        yield seconds, image


class Recording:
    """The audio so far, as blocks (1, n) at 48 kHz for `write_video`; silence where there is none.

    Each is kept until the video has come to it.
    """

    def __init__(self) -> None:
        self._blocks = deque([np.zeros((1, 0), np.float32)])
        self._resampler = av.AudioResampler("fltp", "mono", AUDIO_RATE)

    def __iter__(self) -> "Recording":
        return self

    def __next__(self) -> np.ndarray:
        return self._blocks.popleft() if self._blocks else np.zeros((1, PIECE), np.float32)

    def push(self, samples: np.ndarray) -> None:
        """Take samples (S,) at 16 kHz."""
        self._blocks.extend(resample(self._resampler, samples, SAMPLE_RATE))


class Feeder(threading.Thread):
    """Push a source's audio to a renderer and a recording, until its end or a request to stop."""

    def __init__(
        self,
        renderer: LiveRenderer,
        source: Iterator[np.ndarray],
        recording: Recording | None,
        seconds: float | None,
        stops: Stops,
    ) -> None:
        super().__init__(name="live-audio", daemon=True)
        self._renderer, self._source, self._recording = renderer, source, recording
        self._left = None if seconds is None else round(SAMPLE_RATE * seconds)
        self._stops, self._ended, self._is_empty = stops, threading.Event(), True
        self._error: Exception | None = None

    def end(self) -> None:
        """End the audio; the frames of what there is follow."""
        self._ended.set()

    def check(self) -> None:
        """Raise what reading the audio raised, and `DataError` if there was none."""
        if self._error is not None:
            raise self._error
        if self._is_empty:
            raise DataError("no audio arrived")

    def run(self) -> None:
        try:
            for samples in self._source:
                if self._stops() or self._ended.is_set():
                    break
                self._push(samples[: self._left])
                if self._left is not None:
                    self._left -= len(samples)
                    if self._left <= 0:
                        break
        except Exception as error:
            self._error = error
        finally:
            self._renderer.finish()

    def _push(self, samples: np.ndarray) -> None:
        if len(samples):
            self._is_empty = False
            if self._recording is not None:
                self._recording.push(samples)
            self._renderer.push(samples)


@contextlib.contextmanager
def open_source(options: LiveOptions) -> Iterator[Iterator[np.ndarray]]:
    """Give the audio (S,) as it arrives; empty now and then, where nothing does."""
    if options.input is None:
        with open_microphone() as chunks:
            yield chunks
    elif options.input == PIPE:
        yield read_pipe(options.rate)
    else:
        assert options.input_file is not None
        audio = read_audio(options.input_file, whole=True)
        first = next(audio, None)
        if first is None:
            raise DataError(f"{options.input}: the audio is empty")
        yield at_its_pace(first, audio)


@contextlib.contextmanager
def open_microphone() -> Iterator[Iterator[np.ndarray]]:
    """Give the audio of the default microphone.

    Raises:
        DataError: the package is not installed, or there is no microphone.
    """
    try:
        import sounddevice  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise DataError(
            "the microphone needs the package sounddevice (pip install sounddevice); or give "
            "--input FILE or --input -"
        ) from None
    except OSError as error:
        raise DataError(
            f"the microphone: {error} (on Debian: apt install libportaudio2); or give --input "
            "FILE or --input -"
        ) from None
    arrived: deque[np.ndarray] = deque(maxlen=10 * FPS)  # of ten seconds: while a speaker loads
    there = threading.Event()

    def keep(data: np.ndarray, *_: object) -> None:
        arrived.append(data[:, 0].copy())
        there.set()

    def chunks() -> Iterator[np.ndarray]:
        arrived.clear()  # what was said before
        while True:
            there.wait(POLL_SECONDS)
            there.clear()
            yield np.concatenate([np.zeros(0, np.float32), *take_all(arrived)])

    try:
        stream = sounddevice.InputStream(
            SAMPLE_RATE, PIECE, channels=1, dtype="float32", callback=keep
        )
    except sounddevice.PortAudioError as error:
        raise DataError(f"no microphone ({error}); or give --input FILE or --input -") from None
    with stream:
        yield chunks()


def take_all(queue: "deque[np.ndarray]") -> Iterator[np.ndarray]:
    """Yield and remove what is in a queue."""
    while queue:
        yield queue.popleft()


def read_pipe(rate: int) -> Iterator[np.ndarray]:
    """Yield the samples of 16 bits on standard input, at 16 kHz, as they arrive."""
    resampler, number = av.AudioResampler("fltp", "mono", SAMPLE_RATE), sys.stdin.fileno()
    size, rest = 2 * rate // FPS, b""
    while True:
        if os.name == "posix" and not select.select([number], [], [], POLL_SECONDS)[0]:
            yield np.zeros(0, np.float32)
            continue
        data = os.read(number, size)
        if not data:
            return
        data = rest + data
        whole = len(data) // 2 * 2
        data, rest = data[:whole], data[whole:]
        samples = np.frombuffer(data, "<i2").astype(np.float32) / 32768
        if rate == SAMPLE_RATE:
            yield samples
        else:
            for block in resample(resampler, samples, rate):
                yield block[0]


def resample(resampler: av.AudioResampler, samples: np.ndarray, rate: int) -> list[np.ndarray]:
    """Return blocks (1, n) float32 of the next samples (S,) of a rate."""
    frame = av.AudioFrame.from_ndarray(samples[None].astype(np.float32), "fltp", "mono")
    frame.sample_rate = rate
    return [block.to_ndarray() for block in resampler.resample(frame)]


def at_its_pace(first: np.ndarray, rest: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    """Yield audio in pieces, each when its last sample would have been recorded."""
    begin, count = time.monotonic(), 0
    chunk: np.ndarray | None = first
    while chunk is not None:
        for piece in np.split(chunk, range(PIECE, len(chunk), PIECE)):
            count += len(piece)
            time.sleep(max(begin + count / SAMPLE_RATE - time.monotonic(), 0))
            yield piece
        chunk = next(rest, None)


@contextlib.contextmanager
def open_window() -> Iterator[Callable[[np.ndarray], bool]]:
    """Give a function that shows an image, and returns whether to go on.

    Raises:
        DataError: there is no display.
    """
    displays = "DISPLAY", "WAYLAND_DISPLAY"
    no_display = "no display for a window; give --output FILE.mp4 or --camera"
    if sys.platform.startswith("linux") and not any(map(os.environ.get, displays)):
        raise DataError(no_display)
    try:
        cv2.namedWindow(TITLE, cv2.WINDOW_AUTOSIZE)
    except cv2.error:  # of OpenCV without windows, too
        raise DataError(no_display) from None

    def show(image: np.ndarray) -> bool:
        cv2.imshow(TITLE, image[..., ::-1])
        pressed = cv2.waitKey(1)
        return pressed not in QUIT_KEYS and cv2.getWindowProperty(TITLE, cv2.WND_PROP_VISIBLE) >= 1

    try:
        yield show
    finally:
        cv2.destroyAllWindows()


class Camera(contextlib.ExitStack):
    """A camera that other programs can use, opened with the first image.

    Raises:
        DataError: the package is not installed, or there is no such device.
    """

    def __init__(self) -> None:
        super().__init__()
        try:
            import pyvirtualcam  # pyright: ignore[reportMissingImports]
        except ImportError:
            raise DataError(
                "--camera: the package pyvirtualcam is needed (pip install pyvirtualcam)"
            ) from None
        self._package, self._camera = pyvirtualcam, None

    def show(self, image: np.ndarray) -> bool:
        """Show an image (H, W, 3); return true."""
        if self._camera is None:
            height, width = image.shape[:2]
            try:
                camera = self._package.Camera(width, height, FPS)
            except RuntimeError as error:
                raise DataError(f"--camera: no such device ({error})") from None
            self._camera = self.enter_context(camera)
        self._camera.send(np.ascontiguousarray(image))
        return True


if __name__ == "__main__":
    run_command(main)
