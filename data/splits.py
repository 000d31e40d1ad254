"""The clips of a run: which are held out, which frames are left out, and whether all are there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np

from speech2video.data.clip import join_names
from speech2video.data.keypoints import find_runs
from speech2video.util import distributed
from speech2video.util.errors import DataError, note
from speech2video.util.files import read_json, typed_fields, write_json
from speech2video.util.timing import FPS

CLIPS_FILE = "clips.json"  # in a run's folder
MIN_FRAMES = 2  # of a held-out part: motion takes two
MIN_PART = 25  # frames between two bad ones that are trained on
MIN_TRAINING_SHARE = 3  # a clip is cut only if it is more than so many times as long as the part


class SplittableClip(Protocol):
    """A clip in memory with its frames."""

    @property
    def name(self) -> str: ...

    @property
    def bad_T(self) -> np.ndarray | None: ...

    def __len__(self) -> int: ...

    def part(self, begin: int, end: int) -> Any: ...


Clips = TypeVar("Clips", bound=SplittableClip)


def split_clips(
    clips: Sequence[Clips], *, held_out: Sequence[str], seconds: float
) -> tuple[list[Clips], list[Clips]]:
    """Return the training clips and the held-out ones.

    Args:
        held_out: names of clips to hold out whole.
        seconds: without names, length of the part to hold out at each clip's end; of short clips,
            nothing is held out.

    Raises:
        DataError: a name without a clip, or no clips on either side.
    """
    names = sorted({clip.name for clip in clips})
    if unknown := sorted(set(held_out) - set(names)):
        raise DataError(f"--held_out {unknown[0]}: no such clip; there are {join_names(names)}")
    if held_out:
        train = [clip for clip in clips if clip.name not in held_out]
        test = [clip for clip in clips if clip.name in held_out]
    else:
        train, test, frames = [], [], round(seconds * FPS)
        for clip in clips:
            count = len(clip)
            if frames >= MIN_FRAMES and count > MIN_TRAINING_SHARE * frames:
                test.append(clip.part(count - frames, count))
                clip = clip.part(0, count - frames)
            train.append(clip)
    if not train or not test:
        what = "nothing to train on" if not train else "nothing held out to validate on"
        raise DataError(f"{what}: {len(clips)} clips, --held_out {' '.join(held_out) or None}")
    return train, test


def leave_out_bad_frames(
    training: Sequence[Clips], held_out: Sequence[Clips]
) -> tuple[list[Clips], list[Clips]]:
    """Return clips without their bad frames: the parts between them are clips of their own.

    Parts of less than a second are left out, too. A note says how many frames are left out. Clips
    without bad frames are returned as they are; so are held-out ones if nothing of them is left.

    Raises:
        DataError: nothing is left to train on.
    """
    parts = _good_parts(training)
    if not parts:
        raise DataError("nothing to train on: all frames are bad; --use_all_frames trains on them")
    total = sum(map(len, training))
    note_left_out(total - sum(map(len, parts)), total)
    return parts, _good_parts(held_out) or list(held_out)


def _good_parts(clips: Sequence[Clips]) -> list[Clips]:
    parts = []
    for clip in clips:
        runs = good_runs(clip.bad_T, len(clip), shortest=MIN_PART)
        whole = runs == [slice(0, len(clip))]
        parts += [clip] if whole else [clip.part(run.start, run.stop) for run in runs]
    return parts


def good_runs(bad_T: np.ndarray | None, frames: int, *, shortest: int) -> list[slice]:
    """Return the runs of at least `shortest` good frames of a clip; all of it if none is bad."""
    if bad_T is None or not bad_T.any():
        return [slice(0, frames)]
    return [run for run in find_runs(~bad_T) if run.stop - run.start >= shortest]


def note_left_out(left_out: int, frames: int) -> None:
    """Say, once for all processes, how many of the frames are left out of training."""
    if left_out and distributed.is_main():
        why = "no person, or a fit that is far off; --use_all_frames takes them"
        note(f"{left_out} of {frames} frames are left out of training: {why}")


@dataclass(frozen=True)
class RunClips:
    """Content of a run's clips.json: the data set's folder, and each clip's name and frames."""

    dataset: str
    names: tuple[str, ...]
    frames: tuple[int, ...]


def remember_clips(
    run: Path, dataset: Path, frames_by_name: Mapping[str, int], *, resumed: bool
) -> None:
    """Keep a list of a run's clips in its folder; for a resumed run, compare it with that first.

    Clips that are new, longer or shorter, or no longer chosen are a note. So is another data set.

    Raises:
        DataError: the folder of a clip is gone, or the list is broken.
    """
    path = run / CLIPS_FILE
    names, frames = tuple(frames_by_name), tuple(frames_by_name.values())
    now = RunClips(str(dataset.resolve()), names, frames)
    if resumed and path.is_file():
        values = read_json(path, what="the list of a run's clips")
        then = RunClips(**typed_fields(values, RunClips, where=str(path)))
        if then == now:
            return
        _compare(path, dataset, then, now)
    if distributed.is_main():
        values = {"dataset": now.dataset, "names": list(names), "frames": list(frames)}
        write_json(path, values)


def _compare(path: Path, dataset: Path, then: RunClips, now: RunClips) -> None:
    if then.dataset != now.dataset:
        changes = [f"the run was started with {then.dataset}"]
    else:
        before, after = (dict(zip(one.names, one.frames, strict=False)) for one in (then, now))
        missing = [name for name in before if name not in after]
        if gone := [name for name in missing if not (dataset / name).is_dir()]:
            raise DataError(
                f"{dataset}: {join_names(gone)}: gone, and this run was started with it; put it "
                f"back, choose another --name, or delete {path} to go on without it"
            )
        kinds = {
            "new": [name for name in after if name not in before],
            "left out": missing,
            "of another length": [n for n in after if before.get(n, after[n]) != after[n]],
        }
        changes = [f"{kind}: {join_names(found)}" for kind, found in kinds.items() if found]
    if changes and distributed.is_main():
        what = "the clips are not those that the run was started with"
        note(f"{dataset}: {what}: {'; '.join(changes)}")
