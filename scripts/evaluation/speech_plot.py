"""Lip openings under the waveform: a picture of how a video is in step with its sound."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from dominate import svg, tags
from dominate.util import raw

from evaluation.speech_lips import SAMPLES, loudness, mouth_range, silences
from speech2video.data.motion import FPS
from speech2video.util.files import replacing, writing

ROW_SECONDS = 8
ROWS = 8  # at most: a minute
WIDTH, SOUND, LIPS, GAP, LEGEND = 1000, 40, 80, 26, 22  # pixels
COLUMNS = 1000  # of the waveform, in a row
COLOURS = {"truth": "#3a3", "real": "#246", "pose": "#c93", "generated": "#c22"}
STYLE = """
text { font: 12px sans-serif; } .sound { stroke: #99a; fill: none; }
.silence { fill: #eee; } .lips { fill: none; stroke-width: 1.4; } .axis { stroke: #999; }
"""


def write_plot(path: Path, wave_S: np.ndarray, openings: Mapping[str, np.ndarray]) -> None:
    """Write an svg of lip openings (T,), each drawn in its own range, and the sound over them.

    Args:
        path: of the file.
        wave_S: the sound, 640 samples a frame.
        openings: by whose lips they are: keys of `COLOURS`. Opening goes down, as a jaw does.
            Where the sound is silent, it is shaded.

    Raises:
        DataError: the file cannot be written.
    """
    row_frames = ROW_SECONDS * FPS
    count = max(map(len, openings.values()))
    silent_T = silences(loudness(wave_S, count))
    rows = min(ROWS, -(-count // row_frames))
    height = LEGEND + rows * (SOUND + LIPS + GAP)
    plot = svg.svg(xmlns="http://www.w3.org/2000/svg", viewBox=f"0 0 {WIDTH} {height}", width=WIDTH)
    plot.add(tags.style(raw(STYLE)))
    for place, name in enumerate(openings):
        plot.add(svg.text(name, x=4 + 110 * place, y=14, fill=COLOURS[name]))
    peak = max(float(np.abs(wave_S).max(initial=0)), 1e-6)
    for row in range(rows):
        begin = row * row_frames
        part = slice(begin, begin + row_frames)
        with plot, svg.g(transform=f"translate(0 {LEGEND + row * (SOUND + LIPS + GAP)})"):
            _silence(silent_T[part])
            wave = wave_S[begin * SAMPLES : (begin + row_frames) * SAMPLES] / peak
            svg.path(d="".join(_outline(wave)), cls="sound")
            for name, opening_T in openings.items():
                line = "".join(_line(_share(opening_T)[part]))
                svg.path(d=line, cls="lips", stroke=COLOURS[name])
            _axis(row * ROW_SECONDS)
    with replacing(path) as partial, writing(path):
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


def _outline(wave_S: np.ndarray) -> Iterator[str]:
    """Yield strokes from the least to the most in each column."""
    step = ROW_SECONDS * FPS * SAMPLES // COLUMNS
    for begin in range(0, len(wave_S), step):
        column = wave_S[begin : begin + step]
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
