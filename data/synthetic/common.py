"""What both synthetic data sets share: motion curves, silence around speech, plans and files."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from speech2video.util.body.rotations import minimum_jerk
from speech2video.util.errors import DataError
from speech2video.util.files import read_json
from speech2video.util.text.synthesis import SynthesisedSpeech
from speech2video.util.timing import SAMPLE_RATE

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

NOISE_WAVES = 8  # sines to a noise: enough to have no audible or visible period
Progress = Callable[[float], None]


def step(times: np.ndarray, start: float, duration: float) -> np.ndarray:
    """Return a minimum-jerk step: 0 until `start`, 1 from `start + duration` on; seconds."""
    return minimum_jerk((times - start) / duration)


def plateau(times: np.ndarray, start: float, end: float, rise: float, fall: float) -> np.ndarray:
    """Return 1 from `start` to `end`, which it reaches in `rise` and leaves in `fall` seconds."""
    return step(times, start - rise, rise) * (1 - step(times, end, fall))


def through_knots(times: np.ndarray, knots: list[tuple[float, float]]) -> np.ndarray:
    """Return the curve that rests at each (time, value) and moves between by minimum jerk.

    Before the first knot and after the last it keeps their values.
    """
    (last_time, last_value), *rest = knots
    curve = np.full(times.shape, last_value)
    for time, value in rest:
        curve = curve + (value - last_value) * step(times, last_time, time - last_time)
        last_time, last_value = time, value
    return curve


def smooth_noise(
    times_T: np.ndarray, random: np.random.Generator, band: tuple[float, float], count: int
) -> np.ndarray:
    """Return noise (T, count) of unit variance in a band of frequencies, Hz, 1/f in amplitude."""
    edges = np.geomspace(*band, NOISE_WAVES + 1)
    hertz = random.uniform(edges[:-1], edges[1:], (count, NOISE_WAVES))
    phase = random.uniform(0, 2 * np.pi, (count, NOISE_WAVES))
    amplitude = 1 / np.sqrt(hertz)
    amplitude *= np.sqrt(2 / (amplitude**2).sum(1, keepdims=True))
    angle = 2 * np.pi * hertz * times_T[:, None, None] + phase
    return (amplitude * np.sin(angle)).sum(-1)


def pad_speech(speech: SynthesisedSpeech, before: int, after: int) -> SynthesisedSpeech:
    """Return speech with so many samples of silence before and after it."""
    late = before / SAMPLE_RATE
    return change_times(
        SynthesisedSpeech(np.pad(speech.audio_S, (before, after)), speech.words, speech.phones),
        lambda seconds: seconds + late,
    )


def change_times(
    speech: SynthesisedSpeech, new_time: Callable[[float], float]
) -> SynthesisedSpeech:
    """Return speech with the start and end of each word and phone mapped to a new time."""
    words = [replace(w, start=new_time(w.start), end=new_time(w.end)) for w in speech.words]
    phones = [replace(p, start=new_time(p.start), end=new_time(p.end)) for p in speech.phones]
    return replace(speech, words=words, phones=phones)


def check_plan(path: Path, plan: "DataclassInstance", item: Path) -> None:
    """Raise `DataError` where `item` was made by another plan, as the plan's file at `path` says.

    Without this, half of one data set and half of another would be mixed.
    """
    if not path.is_file():
        return
    made = read_json(path, what="a plan")
    if not isinstance(made, dict):
        raise DataError(f"{path}: not a plan; delete it and {item} to make them again")
    planned = asdict(plan)
    differing = [key for key in planned if planned[key] != made.get(key)]
    if differing:
        found, needed = (
            " and ".join(f"{key} {values.get(key)}" for key in differing)
            for values in (made, planned)
        )
        raise DataError(f"{item}: made with {found}, not {needed}; choose another folder")


def report_frames(frames: Iterator[np.ndarray], progress: Progress) -> Iterator[np.ndarray]:
    """Yield frames; call `progress` with the number of frames done after each."""
    for count, frame in enumerate(frames, start=1):
        yield frame
        progress(count)
