"""A loaded speaker: speech in, video out. The interface of body videos and talking faces.

speaker = load_speaker("demo")
speaker.speak("speech.wav", "speech.mp4", seed=1)
for frame in speaker.stream(audio_chunks): ...              # (H, W, 3) uint8 as audio arrives
renderer = speaker.live(seed=1)                             # the same with bounded delay: live.py
"""

import abc
import functools
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

import numpy as np
import torch

from speech2video.models.pipelines.live import LiveRenderer, StreamParts
from speech2video.models.registry import SPEAKERS, load_class
from speech2video.options.inference import SPEECH2FACE, SPEECH2VIDEO, InferenceOptions
from speech2video.util import distributed
from speech2video.util.errors import DataError, UserError
from speech2video.util.iteration import open_bar, progress_bar
from speech2video.util.process_pool import run_tasks
from speech2video.util.text.speech_source import Speech, recorded_speech
from speech2video.util.timing import FPS, SAMPLE_RATE
from speech2video.util.video.content_credentials import VideoSigner
from speech2video.util.video.writer import GENERATED, write_video

if TYPE_CHECKING:
    from typing_extensions import Self  # in typing from Python 3.11 on

LEAD = 2 * SAMPLE_RATE  # samples at the start of a stream that loudness and voice are measured on

OptionsType = TypeVar("OptionsType", bound=InferenceOptions)
OnProgress = Callable[[int, int], object]  # called with what is done, and the total


class Speaker(abc.ABC, Generic[OptionsType]):
    """Networks of checkpoints/NAME, ready to make videos.

    Attributes:
        OPTIONS: class of the options.
        name: name of the folder.
        provenance: names and hashes of the checkpoints, for the metadata of videos.
    """

    OPTIONS: ClassVar[type[InferenceOptions]]
    name: str
    provenance: str

    @classmethod
    @abc.abstractmethod
    def load(cls, options: OptionsType, device: torch.device) -> "Self":
        """Return the speaker that the options name, with the parts that they need.

        Raises:
            DataError: no such speaker; a part is missing, broken, of another version, or does not
                fit the options.
        """

    @abc.abstractmethod
    def make_video(
        self,
        speech: Speech,
        options: OptionsType,
        *,
        bar: bool = True,
        on_progress: OnProgress | None = None,
        fragmented: bool = False,
    ) -> int:
        """Write `options.outputs(speech.stem)`; return the video's number of frames.

        The files are complete or absent: an error in any thread ends all of them.

        Args:
            bar: whether to show a progress bar.
            on_progress: called with the frames made so far and their total; what it raises ends
                the video.
            fragmented: as of `write_video`.

        Raises:
            DataError: unusable input, or an output that is an input or cannot be written.
        """

    @abc.abstractmethod
    def stream(
        self, chunks: Iterable[np.ndarray], *, seed: int = 0, background: str | None = None
    ) -> Iterator[np.ndarray]:
        """Yield RGB frames (H, W, 3) uint8, 25 a second, of audio that arrives in chunks.

        Frames follow the audio with the delay of the networks' look-ahead. A talking face measures
        the voice on the first two seconds before its first frame.

        Args:
            chunks: samples (S,) float32 at 16 kHz, of any length each.
            seed: random seed of the motion.
            background: of bodies, as test.py's --background; with "transparent" frames are
                (H, W, 4), with straight alpha.

        Raises:
            UserError: no audio, or a background that cannot be read or that the speaker has not.
        """

    def split_stream(self, *, seed: int = 0, background: str | None = None) -> StreamParts:
        """Return the parts of `stream`: the motion, which needs all audio, and its rendering.

        By default all is done by the first part.

        Raises:
            UserError: as `stream`.
        """
        return StreamParts(
            lambda chunks: self.stream(chunks, seed=seed, background=background), iter
        )

    def live(self, **options: Any) -> LiveRenderer:
        """Return a renderer of audio that is pushed in real time; see `LiveRenderer`.

        Args:
            options: seed, background, max_delay of `LiveRenderer`.

        Raises:
            UserError: a background that cannot be read, or a part that the speaker has not.
        """
        return LiveRenderer(self, **options)

    def read_speech(self, audio: Path | None, options: OptionsType) -> Speech:
        """Return the speech of an audio file with its words; without audio, of a given motion."""
        assert audio is not None
        return recorded_speech(
            audio,
            words=options.words,
            transcript=options.transcript,
            recognise=options.recognise,
            language=options.language,
        )

    def speak(self, audio: Path | str, output: Path | str, *, seed: int = 0, **more: Any) -> int:
        """Write a video of an audio file; return its number of frames.

        Args:
            audio: any file with audio.
            output: the video to write: mp4, mov, mkv, webm, gif, apng, or a new folder.
            seed: random seed of the motion.
            more: further options of test.py that concern one video (words, emotion, save_pose,
                background).

        Raises:
            UserError: unusable options or files.
        """
        options: Any = self.OPTIONS(
            name=self.name, audio=Path(audio), output=Path(output), seed=seed, **more
        )
        return self.make_video(self.read_speech(options.audio, options), options, bar=False)

    def _write_video(
        self,
        path: Path,
        frames: Iterable[np.ndarray],
        audio: Path | None,
        comment: str,
        options: OptionsType,
        *,
        fragmented: bool = False,
    ) -> int:
        """Write frames with audio, and provenance in the metadata; return their number."""
        given: dict[str, Any] = {"metadata": {"comment": f"{self.provenance}; {comment}"}}
        given |= {"alpha": options.has_alpha, "fragmented": fragmented}
        if options.c2pa_certificate and options.c2pa_key:
            given["signer"] = VideoSigner(options.c2pa_certificate, options.c2pa_key)
        return write_video(path, frames, fps=FPS, audio=audio, **given, **GENERATED)


def show_progress(
    frames: Iterable[np.ndarray],
    total: int,
    *,
    bar: str = "",
    on_progress: OnProgress | None = None,
) -> Iterator[np.ndarray]:
    """Yield the frames, under a progress bar of a name if there is one."""
    shown = progress_bar(frames, total=total, name=bar) if bar else frames
    for number, frame in enumerate(shown, 1):
        yield frame
        if on_progress:
            on_progress(number, total)


def load_speaker(
    name: str,
    *,
    model: str | None = None,
    checkpoints: Path | str = "checkpoints",
    device: str = "auto",
    **more: Any,
) -> Speaker:
    """Return the speaker of checkpoints/NAME.

    Args:
        model: "speech2video" or "speech2face"; by default the one that the folder holds.
        device: "auto" (a GPU where there is one), "cpu" or "cuda".
        more: further options of test.py that concern loading (precision, gestures, body).

    Raises:
        UserError: no such speaker, or unusable options.
    """
    if model is None:
        is_face = (Path(checkpoints) / name / SPEECH2FACE).is_dir()
        model = SPEECH2FACE if is_face else SPEECH2VIDEO
    kind: type[Speaker] = load_class(SPEAKERS, model)
    options = kind.OPTIONS(name=name, checkpoints=Path(checkpoints), device=device, **more)
    return kind.load(options, distributed.start(device))


def read_lead(chunks: Iterable[np.ndarray]) -> tuple[np.ndarray, Iterator[np.ndarray]]:
    """Return the first seconds (S,) of a stream of audio, and the whole stream again.

    Raises:
        DataError: there are no samples.
    """
    source, lead, samples = iter(chunks), [], 0
    while samples < LEAD and (chunk_S := next(source, None)) is not None:
        lead.append(chunk_S)
        samples += len(chunk_S)
    if not samples:
        raise DataError("the audio is empty")
    return np.concatenate(lead)[:LEAD], chain(lead, source)


def list_speakers(checkpoints: Path, model: str) -> str:
    """Return the names of the folders that hold a model, for an error message."""
    found = sorted(path.parent.name for path in checkpoints.glob(f"*/{model}"))
    return f"there are: {', '.join(found) or 'none'}"


def print_note(text: str) -> None:
    """Print a note that does not end the command."""
    print(f"note: {text}", file=sys.stderr)


KILLED = "not made, as a process was killed (fewer --jobs need less memory)"


def make_videos(
    audio_files: Sequence[Path], options: InferenceOptions, device: torch.device
) -> list[str]:
    """Make a video of each audio file; return the error messages, in one line each.

    An unusable file does not keep the others from being made.

    Raises:
        UserError: the speaker cannot be loaded.
    """
    kind: type[Speaker] = load_class(SPEAKERS, options.model)
    speaker = kind.load(options, device)
    if options.jobs == 1 or len(audio_files) < 2:
        messages = [_make_video(speaker, options, audio) for audio in audio_files]
    else:
        threads = options.threads or max(1, torch.get_num_threads() // options.jobs)
        start = functools.partial(_start_worker, kind, options, device, threads)
        with open_bar(total=len(audio_files), name=options.name, unit="video") as bar:
            messages = run_tasks(
                start,
                audio_files,
                jobs=options.jobs,
                on_progress=lambda done: bar.update(done - bar.n),
                on_killed=lambda audio: f"{audio}: {KILLED}",
            )
    return [message for message in messages if message]


def _make_video(
    speaker: Speaker, options: InferenceOptions, audio: Path, *, bar: bool = True
) -> str:
    """Make one video; return the error message, "" on success."""
    try:
        speaker.make_video(speaker.read_speech(audio, options), options, bar=bar)
    except UserError as error:
        return str(error)
    except OSError as error:
        return f"{error.filename or audio}: {error.strerror or error}"
    return ""


def _start_worker(
    kind: type[Speaker], options: InferenceOptions, device: torch.device, threads: int
) -> Callable[[Path, Callable[[float], None]], str]:
    torch.set_num_threads(threads)
    speaker = kind.load(options, device)

    def make(audio: Path, progress: Callable[[float], None]) -> str:
        message = _make_video(speaker, options, audio, bar=False)
        progress(1.0)
        return message

    return make
