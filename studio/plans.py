"""Plans: words, gestures and motion of a speech, to be previewed and edited before it is rendered.

plan.json          length, waveform, words, phones, a timeline of gestures for each take
poses_SEED.npy     (T, 106) float32, motion before gestures
audio.wav          16 kHz
"""

import dataclasses
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from speech2video.data.gestures.timeline import Timeline
from speech2video.models.pipelines.body_video import BodySpeaker, insert_gestures, project_points
from speech2video.options.inference import BodyVideoOptions
from speech2video.util.audio.audio_io import load_audio
from speech2video.util.body.pose_vector import POSE_SIZE
from speech2video.util.body.skeleton import POINTS
from speech2video.util.errors import DataError
from speech2video.util.files import atomic_write, read_json, typed_fields, write_json
from speech2video.util.rendering.skeleton_maps import skeleton_lines
from speech2video.util.text.phones import Phone
from speech2video.util.text.speech_source import Speech
from speech2video.util.text.transcript import Word, checked_words
from speech2video.util.timing import FPS, SAMPLES_PER_FRAME, frame_count

PLAN_FILE, AUDIO_FILE = "plan.json", "audio.wav"
MAX_WORDS = 100_000
SUBPIXELS = 8  # of the points that previews are drawn from
NO_POINT = -32768  # coordinates of a point that is not drawn


@dataclass(frozen=True)
class Plan:
    """A speech as planned. `waveform` holds the peak 0..1 of each of its frames."""

    speaker: str
    seconds: float
    frames: int
    waveform: tuple[float, ...]
    words: tuple[Word, ...]
    phones: tuple[Phone, ...] | None
    seeds: tuple[int, ...]

    @classmethod
    def load(cls, folder: Path) -> "Plan":
        """Return the plan of a folder; raises `DataError` where there is none."""
        values = typed_fields(read_json(folder / PLAN_FILE, what="a plan"), Plan, where="plan")
        words = tuple(Word(**word) for word in values["words"])
        phones = values["phones"]
        phones = None if phones is None else tuple(Phone(**phone) for phone in phones)
        return cls(**values | {"words": words, "phones": phones})

    def speech(self, folder: Path, words: Sequence[Word] | None = None) -> Speech:
        """Return the speech of a plan's folder; words move gestures, and lips keep the phones."""
        phones = None if self.phones is None else [*self.phones]
        spoken = self.words if words is None else words
        return Speech(folder.name, folder / AUDIO_FILE, [*spoken], phones)


def make_plan(speaker: BodySpeaker, speech: Speech, folder: Path, *, seeds: Sequence[int]) -> Plan:
    """Write the plan of a speech into a folder, with a take for each seed, and return it.

    Raises:
        DataError: no audio, or one that cannot be read.
    """
    assert speech.audio is not None
    audio_S = load_audio(speech.audio, whole=True)
    frames = frame_count(len(audio_S))
    for seed in seeds:
        options = BodyVideoOptions(name=speaker.name, audio=speech.audio, seed=seed)
        plain = dataclasses.replace(speech, words=None)  # gestures come later
        poses_TP = speaker.predict_poses(plain, options).numpy().astype(np.float32)
        with atomic_write(_poses_path(folder, seed)) as partial, partial.open("wb") as file:
            np.save(file, poses_TP, allow_pickle=False)
    padded_S = np.pad(np.abs(audio_S), (0, frames * SAMPLES_PER_FRAME - len(audio_S)))
    peaks_T = padded_S.reshape(frames, SAMPLES_PER_FRAME).max(1)
    plan = Plan(
        speaker.name,
        len(audio_S) / (SAMPLES_PER_FRAME * FPS),
        frames,
        tuple(round(float(peak), 3) for peak in peaks_T),
        tuple(speech.words or ()),
        None if speech.phones is None else tuple(speech.phones),
        tuple(seeds),
    )
    write_json(folder / PLAN_FILE, dataclasses.asdict(plan), indent=None)
    return plan


def describe_plan(plan: Plan, speaker: BodySpeaker) -> dict[str, Any]:
    """Return what the page shows of a plan, as values of json."""
    entries = speaker.gestures.dictionary.entries if speaker.gestures else ()
    return {
        "speaker": plan.speaker,
        "seconds": plan.seconds,
        "frames": plan.frames,
        "fps": FPS,
        "width": speaker.size[0],
        "height": speaker.size[1],
        "waveform": plan.waveform,
        "words": [dataclasses.asdict(word) for word in plan.words],
        "gestures": [
            {
                "name": entry.name,
                "word": ", ".join(entry.words),
                "seconds": sum((entry.ramp_in, entry.lead, entry.hold, entry.ramp_out)),
                "parts": entry.parts,
            }
            for entry in entries
        ],
        "takes": [
            {"seed": seed, "timeline": plan_timeline(plan, speaker, plan.words, seed).to_json()}
            for seed in plan.seeds
        ],
    }


def plan_timeline(plan: Plan, speaker: BodySpeaker, words: Sequence[Word], seed: int) -> Timeline:
    """Return the gestures of a take at words."""
    if speaker.gestures is None:
        return Timeline((), seed)
    return speaker.gestures.plan(words, frames=plan.frames, seed=seed)


def parse_words(values: Any, *, seconds: float) -> list[Word]:
    """Return the words of values of json: [{"text", "start", "end"}].

    Raises:
        DataError: anything else, words out of order, or past the end.
    """
    if not isinstance(values, list) or len(values) > MAX_WORDS:
        raise DataError(f"words: a list of at most {MAX_WORDS} words is needed")
    words = [Word(**typed_fields(row, Word, where=f"word {n}")) for n, row in enumerate(values, 1)]
    if late := [word for word in words if word.start >= seconds]:
        raise DataError(f"words: {late[0].text!r} starts after the end, {seconds:.2f} s")
    return checked_words("words", words)


def preview_points(
    plan: Plan, folder: Path, speaker: BodySpeaker, *, seed: int, timeline: Timeline | None
) -> bytes:
    """Return the points of a take's frames: little-endian int16 (T, 144, 2), eighths of a pixel.

    A point that cannot be drawn has `NO_POINT` twice.

    Raises:
        DataError: no such take, or an unknown gesture.
    """
    if seed not in plan.seeds:
        takes = ", ".join(map(str, plan.seeds))
        raise DataError(f"seed {seed}: not planned; the plan has {takes}")
    poses_TP = np.load(_poses_path(folder, seed), allow_pickle=False)
    if poses_TP.ndim != 2 or poses_TP.shape[1] != POSE_SIZE:
        raise DataError("plan: broken; make it again")
    chunks = torch.from_numpy(poses_TP).split(FPS)
    poses = insert_gestures(chunks, speaker.gestures, timeline)
    points = [*project_points(poses, speaker.body, speaker.camera())]
    points_TK2 = np.stack(points) if points else np.zeros((0, len(POINTS), 2))
    limit = -NO_POINT - 1
    scaled_TK2 = np.round(points_TK2 * SUBPIXELS)
    there_TK1 = np.all(np.abs(scaled_TK2) <= limit, -1, keepdims=True)  # False for NaN
    return np.where(there_TK1, scaled_TK2, NO_POINT).astype("<i2").tobytes()


def skeleton_edges() -> list[tuple[int, int, str]]:
    """Return the lines that a preview is drawn with: two points and a colour #rrggbb each."""
    return [
        (int(start), int(end), "#{:02x}{:02x}{:02x}".format(*colour))
        for points, closed, colour in skeleton_lines()
        for start, end in itertools.pairwise([*points, *points[:1]] if closed else points)
    ]


def _poses_path(folder: Path, seed: int) -> Path:
    return folder / f"poses_{seed}.npy"
