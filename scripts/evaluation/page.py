"""Figures as a person reads them: nested dicts become tables, in a terminal and in a page."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dominate import document, tags
from dominate.util import raw

from speech2video.util.files import replacing

Figures = dict[str, Any]  # numbers, text or None, or dicts of them
Table = tuple[str, list[str], list[list[str]]]  # heading, columns, rows with their names first

_STYLE = """
body { font: 15px/1.5 sans-serif; max-width: 1100px; margin: 2em auto; padding: 0 1em; }
table { border-collapse: collapse; }
th, td { padding: .2em .7em; border-bottom: 1px solid #ddd; text-align: right; }
th:first-child, td:first-child { text-align: left; }
"""


def write_figures(folder: Path, title: str, figures: Figures) -> None:
    """Write metrics.json and report.html into a folder, each complete or not at all.

    Raises:
        DataError: the folder takes no files.
    """
    page = document(title=title)
    with page.head:
        tags.meta(charset="utf-8")
        tags.style(raw(_STYLE))
    page.add(tags.h1(title))
    for heading, columns, rows in tables(figures):
        page.add(tags.h2(heading.replace("_", " ")), _html_table(columns, rows))
    with replacing(folder / "metrics.json") as partial:
        partial.write_text(json.dumps(figures, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    with replacing(folder / "report.html") as partial:
        partial.write_text(page.render(), encoding="utf-8")


def print_figures(figures: Figures) -> None:
    """Print the same tables."""
    for heading, columns, rows in tables(figures):
        lines = [[heading, *columns], *rows]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        for name, *cells in lines:
            padded = [cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True)]
            print("  ".join([name.ljust(widths[0]), *padded]))
        print()


def tables(figures: Figures, heading: str = "") -> Iterator[Table]:
    """Yield a table for each dict whose values are plain, or are dicts of plain values."""
    plain = {key: value for key, value in figures.items() if not isinstance(value, dict)}
    if plain:
        yield heading or "all", ["value"], [[key, _text(value)] for key, value in plain.items()]
    rows = {key: value for key, value in figures.items() if _is_row(value)}
    if rows and heading:
        columns = list(dict.fromkeys(column for row in rows.values() for column in row))
        cells = [
            [key, *(_text(row[c]) if c in row else "" for c in columns)]
            for key, row in rows.items()
        ]
        yield heading, columns, cells
    for key, value in figures.items():
        if isinstance(value, dict) and not (heading and key in rows):
            yield from tables(value, f"{heading}: {key}" if heading else key)


def _is_row(value: Any) -> bool:
    return isinstance(value, dict) and not any(isinstance(v, dict) for v in value.values())


def _text(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _html_table(columns: list[str], rows: list[list[str]]) -> tags.table:
    head = tags.tr(tags.th(), *(tags.th(column.replace("_", " ")) for column in columns))
    body = [tags.tr(*map(_html_cell, row)) for row in rows]
    return tags.table(head, *body)


def _html_cell(text: str) -> tags.td:
    """Return a cell; the name of a video or a plot beside the page becomes that."""
    if text.endswith(".svg"):
        return tags.td(tags.img(src=text, alt=text))
    return tags.td(tags.video(src=text, controls=True) if text.endswith(".mp4") else text)
