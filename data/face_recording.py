"""Face clips in memory, and their division: trained on, observed people, unseen people."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from speech2video.data.face_clip import FaceClip, FaceInfo, face_clips_of
from speech2video.util.audio import load_wave
from speech2video.util.errors import DataError
from speech2video.util.log_mels import FRAME
from speech2video.util.video_reader import read_frames

FPS = 25
HELD_OUT = 0.2  # of a speaker's sentences, where none are named
NAMED = 8  # names, in a message


@dataclass(frozen=True, eq=False)
class FaceRecording:
    """A face clip in memory.

    Attributes:
        name: of the clip.
        speaker: who speaks.
        emotion: one of `EMOTIONS`, or "".
        sentence: what is said; the clip's name where that is not known.
        frames_T3HW: uint8 RGB.
        wave_S: float32 at 16 kHz, 640 samples a frame.
        points_TK2: iBUG landmarks (T, 68, 2) float32 in these pictures' pixels, NaN: not found.
    """

    name: str
    speaker: str
    emotion: str
    sentence: str
    frames_T3HW: np.ndarray
    wave_S: np.ndarray
    points_TK2: np.ndarray

    def __len__(self) -> int:
        """The number of frames."""
        return len(self.frames_T3HW)

    def part(self, begin: int, end: int) -> "FaceRecording":
        """Return frames `begin` to `end` with their sound, as a recording of its own."""
        return replace(
            self,
            frames_T3HW=self.frames_T3HW[begin:end],
            wave_S=self.wave_S[FRAME * begin : FRAME * end],
            points_TK2=self.points_TK2[begin:end],
        )


@dataclass(frozen=True)
class FaceSplit:
    """Recordings to train on, and those to judge by.

    Attributes:
        training: what is trained on.
        observed: people trained on, who say sentences that nobody in training says.
        unseen: people who are not trained on at all.
    """

    training: list[FaceRecording]
    observed: list[FaceRecording]
    unseen: list[FaceRecording]


def load_face_recordings(dataset: Path, *, size: int) -> list[FaceRecording]:
    """Return a data set's clips, pictures of `size` pixels, in name order.

    Raises:
        DataError: no clips, or one whose parts are missing, broken or of different lengths.
    """
    return [load_face_recording(clip, size=size) for clip in face_clips_of(Path(dataset))]


def load_face_recording(clip: FaceClip, *, size: int) -> FaceRecording:
    """Return one clip, its pictures of `size` pixels; raises `DataError`."""
    info = clip.info()
    frames_T3HW = _pictures(clip, info, size)
    wave_S, points_TK2 = load_wave(clip.audio), clip.points()
    if len(wave_S) != FRAME * info.frames:
        needed = f"{FRAME * info.frames} for {info.frames} frames are needed"
        raise DataError(f"{clip.audio}: {len(wave_S)} samples; {needed}")
    if len(points_TK2) != info.frames:
        raise DataError(f"{clip.landmarks}: {len(points_TK2)} frames; {info.frames} are needed")
    if not info.speaker:
        raise DataError(f"{clip.json}: no speaker; a name is needed")
    name = clip.folder.name
    sentence = info.sentence or name
    scale = size / info.size
    points_TK2 = points_TK2 * np.float32(scale)
    return FaceRecording(
        name, info.speaker, info.emotion, sentence, frames_T3HW, wave_S, points_TK2
    )


def _pictures(clip: FaceClip, info: FaceInfo, size: int) -> np.ndarray:
    """Return the video's frames (T, 3, size, size)."""
    frames = []
    for frame in read_frames(clip.video, fps=FPS):
        if frame.shape[1:] != (info.size, info.size):
            seen = f"{frame.shape[2]} × {frame.shape[1]} pixels"
            raise DataError(f"{clip.video}: {seen}; face.json says {info.size} × {info.size}")
        frames.append(_resized(frame, size))
    if len(frames) != info.frames:
        raise DataError(f"{clip.video}: {len(frames)} frames; face.json says {info.frames}")
    return np.stack(frames)


def _resized(frame_3HW: np.ndarray, size: int) -> np.ndarray:
    if frame_3HW.shape[1] == size:
        return frame_3HW
    way = cv2.INTER_AREA if size < frame_3HW.shape[1] else cv2.INTER_CUBIC
    picture_HW3 = np.ascontiguousarray(frame_3HW.transpose(1, 2, 0))
    return cv2.resize(picture_HW3, (size, size), interpolation=way).transpose(2, 0, 1)


def divide_faces(
    recordings: Sequence[FaceRecording],
    *,
    held_out_sentences: Sequence[str] = (),
    held_out_speakers: Sequence[str] = (),
) -> FaceSplit:
    """Return what is trained on, and what is judged by.

    Args:
        held_out_sentences: said by nobody in training. Without names, each speaker's last fifth
            of sentences in name order is held out, of those who say more than one.
        held_out_speakers: people who are not trained on.

    Raises:
        DataError: a name that is nobody's, or nothing left on either side.
    """
    _check_names("sentence", held_out_sentences, {r.sentence for r in recordings})
    _check_names("speaker", held_out_speakers, {r.speaker for r in recordings})
    unseen = [r for r in recordings if r.speaker in held_out_speakers]
    known = [r for r in recordings if r.speaker not in held_out_speakers]
    if held_out_sentences:
        held = {(r.speaker, r.sentence) for r in known if r.sentence in held_out_sentences}
    else:
        held = _last_sentences(known)
    observed = [r for r in known if (r.speaker, r.sentence) in held]
    training = [r for r in known if (r.speaker, r.sentence) not in held]
    trained = {r.speaker for r in training}
    lost = sorted({r.speaker for r in observed} - trained)
    if not training or lost:
        who = f" of {lost[0]}" if lost and training else ""
        raise DataError(f"nothing{who} left to train on of {len(recordings)} recordings of faces")
    if not observed and not unseen:
        count = len(recordings)
        raise DataError(f"nothing held out to judge by: {count} recordings, one sentence a speaker")
    return FaceSplit(training, observed, unseen)


def _last_sentences(recordings: Sequence[FaceRecording]) -> set[tuple[str, str]]:
    """Return (speaker, sentence) of each speaker's last fifth, at least one of two and more."""
    held = set()
    for speaker in {r.speaker for r in recordings}:
        sentences = sorted({r.sentence for r in recordings if r.speaker == speaker})
        count = max(1, int(HELD_OUT * len(sentences))) if len(sentences) > 1 else 0
        held |= {(speaker, sentence) for sentence in sentences[len(sentences) - count :]}
    return held


def _check_names(kind: str, names: Sequence[str], known: set[str]) -> None:
    unknown = sorted(set(names) - known)
    if unknown:
        few = ", ".join(sorted(known)[:NAMED]) + (", …" if len(known) > NAMED else "")
        raise DataError(f"--held_out_{kind}s {unknown[0]}: no such {kind}; there are {few}")
