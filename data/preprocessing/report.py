"""A data set's report: report.html for a person, the same figures in report.json."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from dominate import document, tags
from dominate.util import raw

from speech2video.data.clip import clips_of
from speech2video.data.motion import FPS
from speech2video.data.preprocessing.clip_figures import LAGS, ClipFigures, best_lag, figures_of
from speech2video.data.preprocessing.clip_series import ClipSeries
from speech2video.data.preprocessing.report_pictures import jaw_plot, overlays
from speech2video.util.body.body_model import Body
from speech2video.util.files import replacing, writing

ENOUGH_MINUTES = 3.0
HAND_SEEN = 0.3  # share of the frames from which a hand can be learned
FACE_PIXELS = 40.0  # distance of the eyes' outer corners
STEP_FRAMES = 2  # the sound may lie this far off
LAG_TRUSTED = 0.2  # correlation from which a lag of all clips together is believed
LAG_CLEAR = 0.25  # more correlation than in step, from which a single clip is out of step
LAG_FRAMES = 250  # ten seconds: in less, loudness and lips agree at any lag by chance

_STYLE = """
body { font: 15px/1.5 sans-serif; max-width: 1320px; margin: 2em auto; padding: 0 1em; }
table { border-collapse: collapse; }
th, td { padding: .2em .7em; border-bottom: 1px solid #ddd; text-align: right; }
th:first-child, td:first-child { text-align: left; }
.good::before { content: "✓ "; color: #070; } .poor::before { content: "✗ "; color: #c00; }
.unknown::before { content: "? "; color: #777; }
ul.verdict { list-style: none; padding: 0; font-size: 1.15em; }
img { max-width: 24%; margin-right: .5%; }
.plot { width: 100%; font-size: 11px; } .plot .bad { fill: #f8c8c0; }
.plot .sound { stroke: #679; } .plot .jaw { fill: none; stroke: #c30; stroke-width: 1.2; }
.plot .axis { stroke: #999; }
"""


@dataclass(frozen=True)
class Verdict:
    """One plain sentence; `good` is None where it could not be told."""

    good: bool | None
    sentence: str


def write_report(dataset: Path, *, body: Body) -> Path:
    """Write report.json and report.html of all of a data set's clips and return the latter's path.

    Raises:
        DataError: no clips, a broken one, or the folder takes no files.
    """
    all_figures, sections = [], []
    for clip in clips_of(dataset):
        series = ClipSeries.read(clip, body)
        figures = figures_of(clip, series)
        all_figures.append(figures)
        sections.append(
            _clip_section(
                figures,
                overlays(clip, series.fitted_TK2),
                jaw_plot(series, figures.throw_away),
            )
        )
    verdicts = verdict(all_figures)
    values = {
        "verdict": [asdict(one) for one in verdicts],
        "all": medians([asdict(figures) for figures in all_figures]),
        "clips": [asdict(figures) for figures in all_figures],
    }
    page = _page(dataset.resolve().name, verdicts, all_figures, sections)
    _write(dataset / "report.json", json.dumps(values, indent=2, allow_nan=False) + "\n")
    _write(dataset / "report.html", page.render())
    return dataset / "report.html"


def _write(path: Path, text: str) -> None:
    with replacing(path) as partial, writing(path):
        partial.write_text(text, encoding="utf-8")


def medians(clips: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the median over clips of each figure that is a number, in the figures' own order.

    None where no clip has it; a dictionary's are taken inside it.
    """
    result: dict[str, Any] = {}
    for name in dict.fromkeys(name for clip in clips for name in clip):
        values = [clip[name] for clip in clips if clip.get(name) is not None]
        if values and isinstance(values[0], dict):
            result[name] = medians(values)
        elif all(isinstance(value, int | float) for value in values):
            result[name] = float(np.median(values)) if values else None
    return result


def verdict(clips: list[ClipFigures]) -> list[Verdict]:
    """Return what a person should know first: minutes, hands, face, sound."""
    return [_minutes(clips), _hands(clips), _face(clips), _sound(clips)]


def _minutes(clips: list[ClipFigures]) -> Verdict:
    minutes = sum(clip.frames - clip.frames_thrown_away for clip in clips) / FPS / 60
    lost = sum(clip.frames_thrown_away for clip in clips) / FPS
    what = f"{minutes:.1f} minutes in {len(clips)} {'clip' if len(clips) == 1 else 'clips'}"
    what += f", {lost:.1f} s worth throwing away left out" if lost else ""
    if minutes >= ENOUGH_MINUTES:
        return Verdict(True, f"Enough to learn from: {what}.")
    return Verdict(False, f"Too little: {what}; {ENOUGH_MINUTES:.0f} and more are good.")


def _hands(clips: list[ClipFigures]) -> Verdict:
    looked = [clip for clip in clips if clip.found]
    if not looked:
        return Verdict(None, "No detector has looked for hands.")
    weights = [clip.frames for clip in looked]
    left, right = (
        float(np.average([clip.found[f"{side}_hand"] for clip in looked], weights=weights))
        for side in ("left", "right")
    )
    seen = f"left hand in {left:.0%} of the frames, right hand in {right:.0%}"
    if min(left, right) >= HAND_SEEN:
        return Verdict(True, f"Hands are visible: {seen}.")
    return Verdict(False, f"Hands are seldom visible: {seen}; {HAND_SEEN:.0%} and more are good.")


def _face(clips: list[ClipFigures]) -> Verdict:
    sizes = {clip.name: clip.eye_distance for clip in clips if clip.eye_distance is not None}
    if not sizes:
        return Verdict(None, "No face was seen, so its size is not known.")
    small = [name for name, size in sizes.items() if size < FACE_PIXELS]
    middle = f"{np.median(list(sizes.values())):.0f} pixels between the eyes' outer corners"
    if not small:
        return Verdict(True, f"The face is large enough: {middle}.")
    where = _named(small, len(clips))
    return Verdict(
        False, f"The face is small {where}: {middle}; {FACE_PIXELS:.0f} and more are good."
    )


def _sound(clips: list[ClipFigures]) -> Verdict:
    """Judge all clips' sound together: one of a few seconds tells little."""
    curves_CL = np.array([clip.lag_correlations for clip in clips], float)
    known = np.isfinite(curves_CL).all(1)
    lag = correlation = None
    if known.any():
        weights = np.array([clip.frames for clip in clips])[known]
        lag, correlation = best_lag(np.average(curves_CL[known], axis=0, weights=weights))
    if correlation is None or correlation < LAG_TRUSTED:
        unsure = "cannot be told: they hardly go together"
        return Verdict(None, f"Whether sound and lips are in step {unsure}.")
    frames = "1 frame" if abs(lag) == 1 else f"{abs(lag)} frames"
    usual = f"the sound is {frames} {'early' if lag < 0 else 'late'}"
    usual = usual if lag else "neither is late"
    off = [clip.name for clip in clips if _clearly_off(clip)]
    if abs(lag) > STEP_FRAMES:
        needed = f"up to {STEP_FRAMES} are good"
        return Verdict(False, f"Sound and lips are out of step: {usual}; {needed}.")
    if off:
        where = _named(off, len(clips))
        return Verdict(False, f"Sound and lips seem out of step {where}; in all, {usual}.")
    return Verdict(True, f"Sound and lips are in step: {usual}.")


def _clearly_off(clip: ClipFigures) -> bool:
    """Return whether a clip's sound fits its lips far better out of step than in step."""
    if clip.lag_correlation is None or abs(clip.lag) <= STEP_FRAMES:
        return False
    in_step = [
        value
        for lag, value in zip(LAGS, clip.lag_correlations, strict=True)
        if abs(lag) <= STEP_FRAMES and value is not None
    ]
    return clip.lag_correlation > max(in_step, default=0) + LAG_CLEAR


def _named(names: list[str], count: int) -> str:
    """Return where something is the matter: in so many clips, the first few by name."""
    more = ", …" if len(names) > 3 else ""
    return f"in {len(names)} of {count} clips ({', '.join(names[:3])}{more})"


_COLUMNS: tuple[tuple[str, Callable[[ClipFigures], str]], ...] = (
    ("clip", lambda clip: clip.name),
    ("seconds", lambda clip: f"{clip.seconds:.1f}"),
    ("body found", lambda clip: _percent(clip.found.get("body"))),
    ("face", lambda clip: _percent(clip.found.get("face"))),
    ("left hand", lambda clip: _percent(clip.found.get("left_hand"))),
    ("right hand", lambda clip: _percent(clip.found.get("right_hand"))),
    ("eye distance, px", lambda clip: _number(clip.eye_distance)),
    ("body error, px", lambda clip: _error(clip, "body")),
    ("face error", lambda clip: _error(clip, "face")),
    ("hand error", lambda clip: _error(clip, "hands")),
    ("lips seen ~ fitted", lambda clip: _number(clip.lips_correlation, 3)),
    ("sound late, frames", lambda clip: _number(clip.lag, 0)),
    ("lips move ~ loudness", lambda clip: _number(clip.lag_correlation, 2)),
    ("frames to throw away", lambda clip: str(clip.frames_thrown_away)),
)


def _page(
    name: str, verdicts: list[Verdict], clips: list[ClipFigures], sections: list[tags.section]
) -> document:
    page = document(title=f"{name}: report")
    page.head.add(tags.meta(charset="utf-8"), tags.style(raw(_STYLE)))
    classes = {True: "good", False: "poor", None: "unknown"}
    sentences = [tags.li(one.sentence, cls=classes[one.good]) for one in verdicts]
    heads = tags.tr(tags.th(title) for title, _ in _COLUMNS)
    rows = [tags.tr(tags.td(cell(clip)) for _, cell in _COLUMNS) for clip in clips]
    page.body.add(
        tags.h1(name),
        tags.ul(sentences, cls="verdict"),
        tags.table(tags.thead(heads), tags.tbody(rows)),
        tags.p(
            "Errors are the median distance of seen and fitted points, the 90th percentile, and "
            "the median as a share of the eye distance; – is what could not be told."
        ),
        *sections,
    )
    return page


def _clip_section(
    figures: ClipFigures, pictures: list[tuple[int, str]], plot: tags.html_tag
) -> tags.section:
    section = tags.section(tags.h2(figures.name))
    section.add(tags.p(note) for note in figures.notes)
    section.add(
        tags.img(src=url, alt=f"frame {number}", title=f"frame {number}")
        for number, url in pictures
    )
    section.add(plot)
    if figures.throw_away:
        runs = (
            f"{run.first / FPS:.2f}–{(run.last + 1) / FPS:.2f} s "
            f"(frames {run.first} to {run.last}): {run.why}"
            for run in figures.throw_away
        )
        section.add(tags.p("Worth throwing away:"), tags.ul(tags.li(run) for run in runs))
    return section


def _number(value: float | None, digits: int = 1) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.0%}"


def _error(clip: ClipFigures, part: str) -> str:
    error = clip.errors[part]
    if error.median is None:
        return "–"
    of_eyes = "" if error.of_eye_distance is None else f", {error.of_eye_distance:.1%}"
    return f"{error.median:.2f} ({error.p90:.1f}{of_eyes})"
