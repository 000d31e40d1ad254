"""HTML pages and SVG charts: the one writer of all reports, with one style (report.css).

    write_page(path, "Title", section("Clips", table(rows, columns=["clip", "seconds"])))

Content is text, which is escaped, or a tag: what the functions here and the constructors in `tags`
return.
"""

import base64
from collections.abc import Iterable, Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import cv2
import dominate
import dominate.svg
import dominate.tags
import numpy as np
from dominate.dom_tag import dom_tag
from dominate.util import raw

from speech2video.util.files import write_text
from speech2video.util.timing import FPS, SAMPLES_PER_FRAME

JPEG_QUALITY = 85
CHART_WIDTH, CHART_HEIGHT = 420, 150  # pixels, of a line chart
SHOWN_PERCENTILES = (0.5, 99.5)  # of a chart's values; what lies beyond is cut off at its edge
LOGARITHMIC_RATIO = 50.0  # of the largest value to the smallest, from which a chart is logarithmic
AUDIO_WIDTH, WAVEFORM_HEIGHT, CURVE_HEIGHT, AXIS_HEIGHT, LEGEND_HEIGHT = 1000, 50, 90, 26, 22
TICKS = 10  # at most this many times are written under a row
TICK_SECONDS = (1, 2, 5, 10, 30, 60, 120, 300, 600, 1800)
COLOURS = ("#2a6fb0", "#d9541a", "#3a9a4a", "#8a4fa8", "#b03a5b", "#777777")
_STYLE, _SVG_STYLE = (
    Path(__file__).with_name(name).read_text("utf-8") for name in ("report.css", "chart.css")
)

Tag = dom_tag
Content = Tag | str
tags: Any = dominate.tags  # without the types of its constructors, which checkers misread
svg: Any = dominate.svg


def write_page(path: Path, title: str, *content: Content, script: str = "") -> None:
    """Write a page atomically: its title as heading, then the content; `script` is JavaScript.

    Raises `DataError` where the file cannot be written.
    """
    made: Any = dominate.document(title=title)
    made.head.add(tags.meta(charset="utf-8"), tags.style(raw(_STYLE + _SVG_STYLE)))
    made.body.add(tags.h1(title), *content)
    if script:
        made.body.add(tags.script(raw(script)))
    # names of files may hold bytes that are no UTF-8
    write_text(path, made.render().encode("utf-8", "backslashreplace").decode())


def write_svg(path: Path, chart: Tag) -> None:
    """Write a chart as a file of its own, atomically. Raises `DataError` as `write_page` does."""
    chart["xmlns"] = "http://www.w3.org/2000/svg"
    chart.add(tags.style(raw(_SVG_STYLE)))
    write_text(path, chart.render())


def section(heading: str, *content: Content) -> Tag:
    """Return a part of a page under a heading."""
    return tags.section(tags.h2(heading), *content)


def table(rows: Iterable[Sequence[Content]], columns: Sequence[str] = ()) -> Tag:
    """Return a table: a row's first cell names it; `columns` head all of its cells."""
    head = [tags.thead(tags.tr(map(tags.th, columns)))] if columns else []
    return tags.table(*head, tags.tbody(tags.tr(map(tags.td, row)) for row in rows))


def figure(media: Content, *caption: Content) -> Tag:
    """Return an image, video or chart over its caption."""
    return tags.figure(media, tags.figcaption(*caption))


def image(source: str | np.ndarray, alt: str, **attributes: object) -> Tag:
    """Return an image from its address, or from RGB (H, W, 3) uint8, embedded as `data_url`."""
    address = source if isinstance(source, str) else data_url(source)
    return tags.img(src=address, alt=alt, title=alt, loading="lazy", **attributes)


def video(address: str, *, loop: bool = False) -> Tag:
    """Return a video with controls."""
    return tags.video(src=address, controls=True, preload="metadata", loop=loop)


def data_url(rgb_HW3: np.ndarray, *, lossless: bool = False) -> str:
    """Return an image (H, W, 3) uint8 as a data URL: JPEG, or PNG if `lossless`."""
    kind, options = ("png", []) if lossless else ("jpeg", [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    _, encoded = cv2.imencode(f".{kind}", rgb_HW3[..., ::-1], options)
    return f"data:image/{kind};base64," + base64.b64encode(encoded.tobytes()).decode()


def line_chart(title: str, lines: Mapping[str, np.ndarray]) -> Tag:
    """Return a chart of lines (N, 2) of x and y by name, with their last values as caption.

    Outliers are cut off at the edge; a wide range of positive values is drawn logarithmically.
    """
    points_N2 = np.concatenate(list(lines.values()))
    first, last = points_N2[:, 0].min(), points_N2[:, 0].max()
    low, high = map(float, np.percentile(points_N2[:, 1], SHOWN_PERCENTILES))
    scale = np.log if low > 0 and high / low > LOGARITHMIC_RATIO else np.asarray
    chart = svg.svg(viewBox=f"0 -14 {CHART_WIDTH} {CHART_HEIGHT + 30}", width=CHART_WIDTH)
    captions = [
        tags.span(f" {name} {line[-1, 1]:.4g}", style=f"color: {colour}")
        for (name, line), colour in zip(lines.items(), cycle(COLOURS))
    ]
    with chart:
        svg.rect(x=0, y=0, width=CHART_WIDTH, height=CHART_HEIGHT, cls="frame")
        for line, colour in zip(lines.values(), cycle(COLOURS)):
            x = _share(line[:, 0], first, last) * CHART_WIDTH
            shown = scale(line[:, 1].clip(low, high))
            y = (1 - _share(shown, float(scale(low)), float(scale(high)))) * CHART_HEIGHT
            places = list(map("{:.1f},{:.1f}".format, x, y))
            svg.polyline(points=" ".join(places + places[-1:]), cls="line", stroke=colour)
        svg.text(f"{high:.4g}" + (" (logarithmic)" if scale is np.log else ""), x=2, y=-3)
        svg.text(f"{low:.4g}", x=2, y=CHART_HEIGHT + 12)
        svg.text(f"step {last:.0f}", x=CHART_WIDTH - 2, y=CHART_HEIGHT + 12, text_anchor="end")
    return figure(chart, tags.b(title), *captions)


def audio_chart(
    audio_S: np.ndarray,
    curves: Mapping[str, np.ndarray],
    *,
    shaded: Iterable[tuple[int, int]] = (),
    row_seconds: int | None = None,
    max_rows: int = 8,
) -> Tag:
    """Return the waveform with curves beneath it, over time, in one row or in several.

    Args:
        audio_S: 640 samples a frame.
        curves: (T,) by name: 0 is drawn at the top, 1 at the bottom, NaN as a gap.
        shaded: ranges of frames (first, end) with a coloured background.
        row_seconds: length of a row; None for one row.
        max_rows: most rows that are drawn.
    """
    count = max(map(len, curves.values()))
    row_frames = row_seconds * FPS if row_seconds else count
    rows = range(0, min(count, max_rows * row_frames), row_frames)
    row_height = WAVEFORM_HEIGHT + CURVE_HEIGHT + AXIS_HEIGHT
    height = LEGEND_HEIGHT + len(rows) * row_height
    audio_S = audio_S / max(float(np.abs(audio_S).max(initial=0)), 1e-6)
    chart = svg.svg(viewBox=f"0 0 {AUDIO_WIDTH} {height}", width=AUDIO_WIDTH)
    colours = dict(zip(curves, cycle(COLOURS)))
    with chart:
        for number, (name, colour) in enumerate(colours.items()):
            svg.text(name, x=4 + 160 * number, y=14, fill=colour)
    for number, begin in enumerate(rows):
        top = LEGEND_HEIGHT + number * row_height
        with chart, svg.g(transform=f"translate(0 {top})"):
            for first, end in shaded:
                _shade(first - begin, end - begin, row_frames)
            samples = slice(begin * SAMPLES_PER_FRAME, (begin + row_frames) * SAMPLES_PER_FRAME)
            svg.path(d=_waveform(audio_S[samples], row_frames), cls="waveform")
            for name, curve_T in curves.items():
                line = _curve(curve_T[begin : begin + row_frames], row_frames)
                svg.path(d=line, cls="line", stroke=colours[name])
            _time_axis(begin, row_frames)
    return chart


def _share(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Return values as shares of a range, cut off at its ends."""
    return ((values - low) / (high - low)).clip(0, 1) if high > low else np.full(len(values), 0.5)


def _shade(first: int, end: int, frames: int) -> None:
    left, right = (min(max(frame, 0), frames) * AUDIO_WIDTH / frames for frame in (first, end))
    if right > left:
        height = WAVEFORM_HEIGHT + CURVE_HEIGHT
        svg.rect(x=_px(left), y=0, width=_px(right - left), height=height, cls="shaded")


def _waveform(audio_S: np.ndarray, frames: int) -> str:
    """Return the outline of a waveform: a stroke from the least to the most in each column."""
    width = AUDIO_WIDTH * len(audio_S) / (frames * SAMPLES_PER_FRAME)
    columns = np.array_split(audio_S, max(round(width), 1)) if len(audio_S) else []
    middle, step = WAVEFORM_HEIGHT / 2, width / max(len(columns), 1)
    return "".join(
        f"M{_px(k * step)} {_px(middle * (1 - column.max()))}V{_px(middle * (1 - column.min()))}"
        for k, column in enumerate(columns)
    )


def _curve(curve_T: np.ndarray, frames: int) -> str:
    """Return a line that breaks at NaN; where columns hold several frames, the largest of each."""
    parts = np.array_split(curve_T, min(AUDIO_WIDTH, len(curve_T))) if len(curve_T) else []
    step = AUDIO_WIDTH * len(curve_T) / frames / max(len(parts), 1)
    line, drawn = [], False
    for number, part in enumerate(parts):
        if known := bool(np.isfinite(part).any()):
            y = WAVEFORM_HEIGHT + CURVE_HEIGHT * np.nanmax(part)
            line.append(f"{'L' if drawn else 'M'}{_px((number + 0.5) * step)} {_px(y)}")
        drawn = known
    return "".join(line)


def _time_axis(first: int, frames: int) -> None:
    seconds, bottom = frames / FPS, WAVEFORM_HEIGHT + CURVE_HEIGHT
    step = next((s for s in TICK_SECONDS if seconds / s <= TICKS), TICK_SECONDS[-1])
    for second in range(0, int(np.ceil(seconds)), step):
        x = second / seconds * AUDIO_WIDTH
        svg.line(x1=_px(x), x2=_px(x), y1=bottom, y2=bottom + 4, cls="axis")
        svg.text(f"{first // FPS + second} s", x=_px(x + 3), y=bottom + 14)


def _px(value: float) -> str:
    return f"{value:.1f}"
