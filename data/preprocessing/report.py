"""A data set's report: report.html for a person, the same figures in report.json."""

import base64
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from dominate import document, svg, tags
from dominate.util import raw

from speech2video.data.clip import Clip, list_clips
from speech2video.data.preprocessing.clip_metrics import (
    LAGS,
    BadFrames,
    ClipMetrics,
    ClipSignals,
    best_lag,
    compute_clip_metrics,
)
from speech2video.util.body.body_model import Body
from speech2video.util.files import atomic_write, write_errors
from speech2video.util.rendering.skeleton_maps import draw_skeleton_map
from speech2video.util.timing import FPS
from speech2video.util.video.reader import read_frames

# What the report shows of a clip: skeletons over frames, and jaw and sound over time.

OVERLAYS = 4
OVERLAY_WIDTH = 320  # pixels
JPEG_QUALITY = 85
PLOT_WIDTH, SOUND_HEIGHT, JAW_HEIGHT, AXIS_HEIGHT = 1000, 70, 90, 18  # pixels
TICKS = 10  # at most this many times are written under a plot
TICK_SECONDS = (1, 2, 5, 10, 30, 60, 120, 300, 600, 1800)
JAW_LEAST = 5.0  # degrees that the plot spans at least, so that a still jaw looks still


def overlays(clip: Clip, fitted_TK2: np.ndarray) -> list[tuple[int, str]]:
    """Return (frame number, data URL of a jpeg) of skeletons over frames spread over the clip."""
    count = len(fitted_TK2)
    wanted = {int((k + 0.5) * count / OVERLAYS) for k in range(OVERLAYS)}
    found = []
    for number, frame in enumerate(read_frames(clip.video, fps=FPS)):
        if number in wanted:
            picture = _overlay(frame.transpose(1, 2, 0), fitted_TK2[number])
            found.append((number, _data_url(picture)))
        if number >= max(wanted):
            break
    return found


def jaw_plot(series: ClipSignals, bad_frames: tuple[BadFrames, ...]) -> svg.svg:
    """Return a plot of the jaw's opening in degrees under the waveform.

    Frames to throw away are shaded.
    """
    count = len(series.jaw_T)
    seconds, bottom = count / FPS, SOUND_HEIGHT + JAW_HEIGHT
    plot = svg.svg(viewBox=f"0 0 {PLOT_WIDTH} {bottom + AXIS_HEIGHT}", cls="plot", role="img")
    with plot:
        for run in bad_frames:
            x, width = run.first, run.last + 1 - run.first
            scale = PLOT_WIDTH / count
            svg.rect(x=_px(x * scale), y=0, width=_px(width * scale), height=bottom, cls="bad")
        svg.path(d=_sound_path(series), cls="sound")
        low, high = _jaw_range(series.jaw_T)
        svg.polyline(points=_jaw_points(series.jaw_T, low, high), cls="jaw")
        svg.text(f"jaw {low:.0f}° to {high:.0f}°", x=4, y=SOUND_HEIGHT + 12)
        for time in _ticks(seconds):
            x = time / seconds * PLOT_WIDTH
            svg.line(x1=_px(x), x2=_px(x), y1=bottom, y2=bottom + 4, cls="axis")
            svg.text(f"{time} s", x=_px(x + 3), y=bottom + 13)
    return plot


def _overlay(rgb_HW3: np.ndarray, points_K2: np.ndarray) -> np.ndarray:
    scale = OVERLAY_WIDTH / rgb_HW3.shape[1]
    size = OVERLAY_WIDTH, max(1, round(rgb_HW3.shape[0] * scale))
    picture = cv2.resize(rgb_HW3, size, interpolation=cv2.INTER_AREA)
    lines = draw_skeleton_map(points_K2 * scale, width=size[0], height=size[1])
    return np.where(lines.any(2, keepdims=True), lines, picture)


def _data_url(rgb_HW3: np.ndarray) -> str:
    settings = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    _, data = cv2.imencode(".jpg", rgb_HW3[..., ::-1], settings)
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode()


def _sound_path(series: ClipSignals) -> str:
    """Return the outline of the waveform: a stroke from the least to the most in each column."""
    audio_S = series.audio_S / max(np.abs(series.audio_S).max(), 1e-6)
    columns = np.array_split(audio_S, min(PLOT_WIDTH, len(audio_S)))
    middle, step = SOUND_HEIGHT / 2, PLOT_WIDTH / len(columns)
    return "".join(
        f"M{_px(k * step)} {_px(middle * (1 - column.max()))}V{_px(middle * (1 - column.min()))}"
        for k, column in enumerate(columns)
    )


def _jaw_range(jaw_T: np.ndarray) -> tuple[float, float]:
    low = float(jaw_T.min())
    return low, max(float(jaw_T.max()), low + JAW_LEAST)


def _jaw_points(jaw_T: np.ndarray, low: float, high: float) -> str:
    """Return the line of the jaw, opening downwards as it does; the widest in each column."""
    columns = np.array_split(jaw_T, min(PLOT_WIDTH, len(jaw_T)))
    widest = np.array([column.max() for column in columns])
    y = SOUND_HEIGHT + (widest - low) / (high - low) * JAW_HEIGHT
    x = (np.arange(len(widest)) + 0.5) * PLOT_WIDTH / len(widest)
    return " ".join(f"{_px(a)},{_px(b)}" for a, b in zip(x, y, strict=True))


def _ticks(seconds: float) -> range:
    step = next((s for s in TICK_SECONDS if seconds / s <= TICKS), TICK_SECONDS[-1])
    return range(0, int(np.ceil(seconds)), step)


def _px(value: float) -> str:
    return f"{value:.1f}"


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
    for clip in list_clips(dataset):
        series = ClipSignals.read(clip, body)
        figures = compute_clip_metrics(clip, series)
        all_figures.append(figures)
        sections.append(
            _clip_section(
                figures,
                overlays(clip, series.fitted_TK2),
                jaw_plot(series, figures.bad_frames),
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
    with atomic_write(path) as partial, write_errors(path):
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


def verdict(clips: list[ClipMetrics]) -> list[Verdict]:
    """Return what a person should know first: minutes, hands, face, sound."""
    return [_minutes(clips), _hands(clips), _face(clips), _sound(clips)]


def _minutes(clips: list[ClipMetrics]) -> Verdict:
    minutes = sum(clip.frames - clip.num_bad_frames for clip in clips) / FPS / 60
    lost = sum(clip.num_bad_frames for clip in clips) / FPS
    what = f"{minutes:.1f} minutes in {len(clips)} {'clip' if len(clips) == 1 else 'clips'}"
    what += f", {lost:.1f} s worth throwing away left out" if lost else ""
    if minutes >= ENOUGH_MINUTES:
        return Verdict(True, f"Enough to learn from: {what}.")
    return Verdict(False, f"Too little: {what}; {ENOUGH_MINUTES:.0f} and more are good.")


def _hands(clips: list[ClipMetrics]) -> Verdict:
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


def _face(clips: list[ClipMetrics]) -> Verdict:
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


def _sound(clips: list[ClipMetrics]) -> Verdict:
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


def _clearly_off(clip: ClipMetrics) -> bool:
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


_COLUMNS: tuple[tuple[str, Callable[[ClipMetrics], str]], ...] = (
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
    ("lips seen ~ fitted", lambda clip: _number(clip.lip_correlation, 3)),
    ("sound late, frames", lambda clip: _number(clip.lag, 0)),
    ("lips move ~ loudness", lambda clip: _number(clip.lag_correlation, 2)),
    ("frames to throw away", lambda clip: str(clip.num_bad_frames)),
)


def _page(
    name: str, verdicts: list[Verdict], clips: list[ClipMetrics], sections: list[tags.section]
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
    figures: ClipMetrics, pictures: list[tuple[int, str]], plot: tags.html_tag
) -> tags.section:
    section = tags.section(tags.h2(figures.name))
    section.add(tags.p(note) for note in figures.notes)
    section.add(
        tags.img(src=url, alt=f"frame {number}", title=f"frame {number}")
        for number, url in pictures
    )
    section.add(plot)
    if figures.bad_frames:
        runs = (
            f"{run.first / FPS:.2f}–{(run.last + 1) / FPS:.2f} s "
            f"(frames {run.first} to {run.last}): {run.why}"
            for run in figures.bad_frames
        )
        section.add(tags.p("Worth throwing away:"), tags.ul(tags.li(run) for run in runs))
    return section


def _number(value: float | None, digits: int = 1) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.0%}"


def _error(clip: ClipMetrics, part: str) -> str:
    error = clip.errors[part]
    if error.median is None:
        return "–"
    of_eyes = "" if error.of_eye_distance is None else f", {error.of_eye_distance:.1%}"
    return f"{error.median:.2f} ({error.p90:.1f}{of_eyes})"
