"""Means and deviations of more clips than fit into memory, added up as NumPy adds up all at once.

Of very many clips some stand for all: see `every_nth`.
"""

import tempfile
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np

SAMPLED_FRAMES = 1 << 20  # of motion and lips, 11 hours; 46 MB
SAMPLED_MEL_FRAMES = 1 << 19  # of log-mels, 5 hours; 671 MB on disk while they are computed
BLOCK = 1 << 14  # columns that NumPy adds up at once
MIN_STD = 0.02  # of a number that hardly moves, in its unit
EXTREME_QUANTILE = 0.002  # beyond which generated motion is clamped


class FaceStatistics(NamedTuple):
    """What items and networks are standardised with.

    Attributes:
        mel_mean_B, mel_std_B: (80,) of log-mels.
        turn_P2: each speaker's median turn and nod.
        motion_mean_M, motion_std_M, motion_lowest_M, motion_highest_M: (7,), the last two without
            extremes.
        lips_std_L: (4,).
    """

    mel_mean_B: np.ndarray
    mel_std_B: np.ndarray
    turn_P2: np.ndarray
    motion_mean_M: np.ndarray
    motion_std_M: np.ndarray
    motion_lowest_M: np.ndarray
    motion_highest_M: np.ndarray
    lips_std_L: np.ndarray


def every_nth(frames: int, sampled: int) -> int:
    """Return n, so that every n-th of clips with so many frames have at most `sampled` frames."""
    return max(-(-frames // sampled), 1)


def row_statistics(rows_NM: np.ndarray, repeat: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and deviation (M,) of rows float32 that are repeated as a whole so many times."""
    count = np.intp(repeat * len(rows_NM))
    mean_M = _divide(_add_rows(rows_NM for _ in range(repeat)), count)
    squares_NM = np.square(rows_NM - mean_M)
    return mean_M, np.sqrt(_divide(_add_rows(squares_NM for _ in range(repeat)), count))


def column_statistics(blocks: Iterable[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and deviation (B,) of log-mels that come in blocks (B, n) float32.

    They lie in a temporary file in between, since deviations are of the mean of all.
    """
    with tempfile.TemporaryFile() as file:
        bands, count = 0, 0
        for block_BN in blocks:
            bands, count = len(block_BN), count + block_BN.shape[1]
            file.write(np.ascontiguousarray(block_BN.T, np.float32).tobytes())

        def columns(change: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
            file.seek(0)

            def read(number: int) -> np.ndarray:
                content = file.read(4 * bands * number)
                return change(np.frombuffer(content, np.float32).reshape(number, bands).T)

            return _divide(_add_columns(read, count), np.intp(count))

        mean_B = columns(np.ascontiguousarray)
        variance_B = columns(
            lambda block_BN: np.square(np.ascontiguousarray(block_BN) - mean_B[:, None])
        )
    return mean_B, np.sqrt(variance_B)


def _add_columns(read: Callable[[int], np.ndarray], count: int) -> np.ndarray:
    """Return the sum (B,) of `count` columns, halved as NumPy halves what it adds up."""
    if count <= BLOCK:
        return np.add.reduce(read(count), axis=1)
    half = count // 2
    half -= half % 8
    return _add_columns(read, half) + _add_columns(read, count - half)


def _add_rows(blocks: Iterator[np.ndarray]) -> np.ndarray:
    """Return the sum (M,) of all rows, one after the other, as NumPy adds them."""
    total_M = np.add.reduce(next(blocks), axis=0)
    for rows_NM in blocks:
        total_M = np.add.reduce(np.concatenate((total_M[None], rows_NM)), axis=0)
    return total_M


def _divide(total: np.ndarray, count: np.intp) -> np.ndarray:
    return np.true_divide(total, count, out=total, casting="unsafe")


def repeated_quantile(rows_NM: np.ndarray, quantile: float, repeat: int) -> np.ndarray:
    """Return the quantile (M,) of rows that are repeated as a whole so many times."""
    place = (repeat * len(rows_NM) - 1) * quantile
    below = int(place)
    above = min(below + 1, repeat * len(rows_NM) - 1)
    numbers = below // repeat, above // repeat
    sorted_NM = np.partition(rows_NM, sorted(set(numbers)), axis=0)
    return np.quantile(sorted_NM[list(numbers)], place - below, axis=0)
