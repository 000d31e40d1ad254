"""The page of a training run: plots of its curves, tables of its pictures and videos."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from dominate import document, svg, tags
from dominate.util import raw

PLOT_WIDTH, PLOT_HEIGHT = 420, 150  # pixels
PLOT_POINTS = 140  # of one line at most
SHOWN_PERCENTILES = (0.5, 99.5)  # of a plot's values; what lies beyond is cut off at its edge
LOGARITHMIC_RATIO = 50.0  # of the largest value to the smallest, from which a plot is logarithmic

_STYLE = """
body { font: 14px/1.4 sans-serif; max-width: 1360px; margin: 1.5em auto; padding: 0 1em; }
.plots { display: flex; flex-wrap: wrap; gap: 1em; }
figure { margin: 0; width: 430px; } figcaption { font-weight: bold; }
svg { width: 100%; background: #fafafa; font-size: 11px; }
polyline { fill: none; stroke-width: 1.3; stroke-linecap: round; }
.train { stroke: #37a; } .validation { stroke: #d50; } .frame { fill: none; stroke: #ccc; }
b.train { color: #37a; } b.validation { color: #d50; }
td, th { padding: 2px; text-align: left; font-weight: normal; }
td img, video { max-width: 320px; display: block; }
"""

Curves = Mapping[str, Sequence[Sequence[float]]]


def render_page(title: str, curves: Curves, shows: Sequence[Mapping[str, Any]]) -> str:
    """Return the page as html.

    Args:
        curves: (step, value) pairs by name; "train/x" and "validation/x" share a plot.
        shows: per validation, in order: "step"; "tables" of "title", "columns" and "rows" of paths;
            "videos" of "name" and "path".
    """
    page = document(title=title)
    page.head.add(tags.meta(charset="utf-8"), tags.style(raw(_STYLE)))
    page.body.add(tags.h1(title), tags.div([_plot(*plot) for plot in _plots(curves)], cls="plots"))
    page.body.add(_show(show) for show in reversed(shows))
    return page.render()


def thinned(curve: Sequence[Sequence[float]], count: int) -> list[list[float]]:
    """Return at most `count` (step, value) points: means over even spans, and the last point."""
    if len(curve) <= count:
        return [list(point) for point in curve]
    points_N2 = np.array(curve[:-1], float)
    first, last = points_N2[[0, -1], 0]
    bin_N = ((points_N2[:, 0] - first) / (last - first + 1) * (count - 1)).astype(int)
    number = np.bincount(bin_N)
    filled = number > 0
    steps, values = (np.bincount(bin_N, points_N2[:, k])[filled] / number[filled] for k in (0, 1))
    means = zip(steps.round().tolist(), values.tolist(), strict=True)
    return [[int(step), value] for step, value in means] + [list(curve[-1])]


def _plots(curves: Curves) -> list[tuple[str, dict[str, np.ndarray]]]:
    """Return (name, {"train" or "validation": points (N, 2)}) for each plot."""
    plots: dict[str, dict[str, np.ndarray]] = {}
    for name, points in curves.items():
        kind, _, figure = name.partition("/")
        if points:
            plots.setdefault(figure or kind, {})[kind] = np.array(
                thinned(points, PLOT_POINTS), float
            )
    return list(plots.items())


def _plot(name: str, lines: dict[str, np.ndarray]) -> tags.figure:
    points_N2 = np.concatenate(list(lines.values()))
    steps = points_N2[:, 0].min(), points_N2[:, 0].max()
    low, high = np.percentile(points_N2[:, 1], SHOWN_PERCENTILES)
    scale = np.log if low > 0 and high / low > LOGARITHMIC_RATIO else np.asarray
    plot = svg.svg(viewBox=f"0 -14 {PLOT_WIDTH} {PLOT_HEIGHT + 30}", role="img")
    with plot:
        svg.rect(x=0, y=0, width=PLOT_WIDTH, height=PLOT_HEIGHT, cls="frame")
        for kind, line in lines.items():
            x = _scaled(line[:, 0], *steps) * PLOT_WIDTH
            shown = scale(line[:, 1].clip(low, high))
            y = (1 - _scaled(shown, scale(low), scale(high))) * PLOT_HEIGHT
            places = list(map("{:.1f},{:.1f}".format, x, y))
            svg.polyline(points=" ".join(places + places[-1:]), cls=kind)  # one point is a dot
        svg.text(f"{high:.4g}" + (" (logarithmic)" if scale is np.log else ""), x=2, y=-3)
        svg.text(f"{low:.4g}", x=2, y=PLOT_HEIGHT + 12)
        svg.text(f"step {steps[1]:.0f}", x=PLOT_WIDTH - 2, y=PLOT_HEIGHT + 12, text_anchor="end")
    last = [tags.b(f" {line[-1, 1]:.4g}", cls=kind, title=kind) for kind, line in lines.items()]
    return tags.figure(tags.figcaption(name, *last), plot)


def _scaled(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Return values as shares of a range, cut off at its ends."""
    return ((values - low) / (high - low)).clip(0, 1) if high > low else np.full(len(values), 0.5)


def _show(show: Mapping[str, Any]) -> tags.section:
    section = tags.section(tags.h2(f"after step {show['step']}"))
    for table in show["tables"]:
        if table["title"]:
            section.add(tags.h3(table["title"]))
        head = tags.tr(tags.th(column) for column in table["columns"])
        section.add(tags.table(tags.thead(head), tags.tbody(_row(row) for row in table["rows"])))
    section.add(
        tags.figure(
            tags.figcaption(video["name"]),
            tags.video(src=video["path"], controls=True, loop=True, preload="metadata"),
        )
        for video in show["videos"]
    )
    return section


def _row(paths: Sequence[str]) -> tags.tr:
    return tags.tr(tags.td(tags.img(src=path, loading="lazy") if path else "") for path in paths)
