"""How lips go with what they are to go with, and whether they close in silence."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from dominate import svg, tags
from dominate.util import raw

from speech2video.util.files import atomic_write, write_errors
from speech2video.util.metrics.statistics import lag_correlations
from speech2video.util.timing import FPS, SAMPLES_PER_FRAME

LONGEST_LAG = 12  # frames, about half a second
FAINT = 50.0  # dB under the loud; what is fainter is not told apart
LEAST_CONTRAST = 10.0  # dB between the loud and the faint; a sound with less has no silence
SILENT_SHARE = 0.25  # of that contrast: what is no further above the faint is silence
SILENT_FRAMES = 8  # a shorter silence belongs to a sound: the closure of a p takes a few frames
MARGIN = 2  # frames at both ends of a silence in which lips close, and open again beforehand
EXTREMES = (5, 95)  # percentiles between which lips have their range, and sounds their contrast

LipMetrics = dict[str, float | None]


def loudness(audio_S: np.ndarray, frames: int) -> np.ndarray:
    """Return how loud each frame's 640 samples are (T,), dB over the faint; at least 0.

    The loud is the 95th percentile; all that is `FAINT` below it counts as 0. Beyond the end of the
    sound it is silent.
    """
    audio_S = np.asarray(audio_S[: frames * SAMPLES_PER_FRAME], np.float64)
    audio_S = np.pad(audio_S, (0, frames * SAMPLES_PER_FRAME - len(audio_S)))
    power_T = np.square(audio_S).reshape(-1, SAMPLES_PER_FRAME).mean(1)
    loud = np.percentile(power_T, EXTREMES[1])
    if loud <= 0:
        return np.zeros(frames)
    least = loud * 10 ** (-FAINT / 10)
    return 10 * np.log10(np.maximum(power_T, least) / least)


def silences(loudness_T: np.ndarray) -> np.ndarray:
    """Return which frames (T,) lie well inside a silence in which lips have time to close."""
    faint, loud = np.percentile(loudness_T, EXTREMES)
    if loud - faint < LEAST_CONTRAST:
        return np.zeros(len(loudness_T), bool)
    quiet_T = loudness_T <= faint + SILENT_SHARE * (loud - faint)
    edges = np.flatnonzero(np.diff(quiet_T.astype(int), prepend=0, append=0))
    silent_T = np.zeros_like(quiet_T)
    for begin, end in edges.reshape(-1, 2):
        if end - begin >= SILENT_FRAMES:
            first = begin + MARGIN if begin else 0  # nobody has spoken before the beginning
            silent_T[first : end - MARGIN if end < len(quiet_T) else end] = True
    return silent_T


def lag_curve(reference_T: np.ndarray, opening_T: np.ndarray) -> np.ndarray:
    """Return the correlation at each lag of the lips behind a reference, −12 to 12 frames."""
    return lag_correlations(reference_T, opening_T, LONGEST_LAG)


def sync_metrics(curves: Sequence[np.ndarray]) -> LipMetrics:
    """Return what lag curves of several clips say together.

    `correlation` and `within_1_frame` are means over clips, the latter of each clip's best at lags
    −1, 0 and 1. The lag is that at which the mean of the curves is highest, since a clip of a few
    seconds may have its best anywhere by chance; `best_correlation` is the mean there. Positive lag
    means that the lips are late.
    """
    known = [curve for curve in curves if np.isfinite(curve).all()]
    if not known:
        return dict.fromkeys(("lag_frames", "best_correlation", "correlation", "within_1_frame"))
    curves_CL = np.stack(known)
    mean_L = curves_CL.mean(0)
    by_size = sorted(range(-LONGEST_LAG, LONGEST_LAG + 1), key=abs)  # the smaller of equal lags
    lag = max(by_size, key=lambda lag: mean_L[lag + LONGEST_LAG])
    near_CL = curves_CL[:, LONGEST_LAG - 1 : LONGEST_LAG + 2]
    return {
        "lag_frames": lag,
        "best_correlation": float(mean_L[lag + LONGEST_LAG]),
        "correlation": float(mean_L[LONGEST_LAG]),
        "within_1_frame": float(near_CL.max(1).mean()),
    }


def mouth_range(opening_T: np.ndarray) -> tuple[float, float] | None:
    """Return from where to where lips open, the extremes cut off; None where they never move."""
    known_N = opening_T[np.isfinite(opening_T)]
    if not len(known_N):
        return None
    low, high = np.percentile(known_N, EXTREMES)
    return (float(low), float(high)) if high > low else None


def mouth_metrics(opening_T: np.ndarray, silent_T: np.ndarray) -> LipMetrics:
    """Return how far lips open in silence and in speech on average, as shares of their own range.

    0 is as closed, 1 as open as they ever are; `range` is in the opening's own unit.
    """
    limits = mouth_range(opening_T)
    if limits is None:
        return dict.fromkeys(("in_silence", "in_speech", "range"))
    low, high = limits
    share_T = (opening_T - low) / (high - low)
    return {
        "in_silence": _mean(share_T[silent_T]),
        "in_speech": _mean(share_T[~silent_T]),
        "range": high - low,
    }


def _mean(values: np.ndarray) -> float | None:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else None


# Lip openings under the waveform: a picture of how a video is in step with its sound.

ROW_SECONDS = 8
ROWS = 8  # at most: a minute
WIDTH, SOUND, LIPS, GAP, LEGEND = 1000, 40, 80, 26, 22  # pixels
COLUMNS = 1000  # of the waveform, in a row
COLOURS = {"truth": "#3a3", "real": "#246", "pose": "#c93", "generated": "#c22"}
STYLE = """
text { font: 12px sans-serif; } .sound { stroke: #99a; fill: none; }
.silence { fill: #eee; } .lips { fill: none; stroke-width: 1.4; } .axis { stroke: #999; }
"""


def write_plot(path: Path, audio_S: np.ndarray, openings: Mapping[str, np.ndarray]) -> None:
    """Write an svg of lip openings (T,), each drawn in its own range, and the sound over them.

    Args:
        path: of the file.
        audio_S: the sound, 640 samples a frame.
        openings: by whose lips they are: keys of `COLOURS`. Opening goes down, as a jaw does.
            Where the sound is silent, it is shaded.

    Raises:
        DataError: the file cannot be written.
    """
    row_frames = ROW_SECONDS * FPS
    count = max(map(len, openings.values()))
    silent_T = silences(loudness(audio_S, count))
    rows = min(ROWS, -(-count // row_frames))
    height = LEGEND + rows * (SOUND + LIPS + GAP)
    plot = svg.svg(xmlns="http://www.w3.org/2000/svg", viewBox=f"0 0 {WIDTH} {height}", width=WIDTH)
    plot.add(tags.style(raw(STYLE)))
    for place, name in enumerate(openings):
        plot.add(svg.text(name, x=4 + 110 * place, y=14, fill=COLOURS[name]))
    peak = max(float(np.abs(audio_S).max(initial=0)), 1e-6)
    for row in range(rows):
        begin = row * row_frames
        part = slice(begin, begin + row_frames)
        with plot, svg.g(transform=f"translate(0 {LEGEND + row * (SOUND + LIPS + GAP)})"):
            _silence(silent_T[part])
            wave = (
                audio_S[begin * SAMPLES_PER_FRAME : (begin + row_frames) * SAMPLES_PER_FRAME] / peak
            )
            svg.path(d="".join(_outline(wave)), cls="sound")
            for name, opening_T in openings.items():
                line = "".join(_line(_share(opening_T)[part]))
                svg.path(d=line, cls="lips", stroke=COLOURS[name])
            _axis(row * ROW_SECONDS)
    with atomic_write(path) as partial, write_errors(path):
        partial.write_text(plot.render(), encoding="utf-8")


def _share(opening_T: np.ndarray) -> np.ndarray:
    limits = mouth_range(opening_T)
    if limits is None:
        return np.full(len(opening_T), np.nan)
    return ((opening_T - limits[0]) / (limits[1] - limits[0])).clip(-0.1, 1.2)


def _silence(silent_T: np.ndarray) -> None:
    edges = np.flatnonzero(np.diff(silent_T.astype(int), prepend=0, append=0))
    for begin, end in edges.reshape(-1, 2):
        left, right = _x(begin), _x(end)
        svg.rect(x=_px(left), y=0, width=_px(right - left), height=SOUND + LIPS, cls="silence")


def _outline(audio_S: np.ndarray) -> Iterator[str]:
    """Yield strokes from the least to the most in each column."""
    step = ROW_SECONDS * FPS * SAMPLES_PER_FRAME // COLUMNS
    for begin in range(0, len(audio_S), step):
        column = audio_S[begin : begin + step]
        x = _px(begin / step * WIDTH / COLUMNS)
        y = [_px(SOUND / 2 * (1 - value)) for value in (column.max(), column.min())]
        yield f"M{x} {y[0]}V{y[1]}"


def _line(share_T: np.ndarray) -> Iterator[str]:
    """Yield the points of a line that is broken where a value is missing."""
    drawn = False
    for t, share in enumerate(share_T):
        if known := bool(np.isfinite(share)):
            y = SOUND + LIPS * (0.1 + 0.7 * share)
            yield f"{'L' if drawn else 'M'}{_px(_x(t + 0.5))} {_px(y)}"
        drawn = known


def _axis(first: int) -> None:
    bottom = SOUND + LIPS
    for second in range(ROW_SECONDS):
        x = _x(second * FPS)
        svg.line(x1=_px(x), x2=_px(x), y1=bottom, y2=bottom + 4, cls="axis")
        svg.text(f"{first + second} s", x=_px(x + 3), y=bottom + 14)


def _x(frame: float) -> float:
    return frame / (ROW_SECONDS * FPS) * WIDTH


def _px(value: float) -> str:
    return f"{value:.1f}"
