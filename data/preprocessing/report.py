"""Report on a dataset's quality: report.html for reading, report.json with the same metrics."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from speech2video.data.clip import Clip, list_clips
from speech2video.data.preprocessing import clip_metrics
from speech2video.data.preprocessing.clip_metrics import MAX_LAG, ClipMetrics, ClipSignals
from speech2video.data.preprocessing.cuts import CUT_NOTE
from speech2video.util import html_report
from speech2video.util.body.body_model import Body
from speech2video.util.files import write_json
from speech2video.util.html_report import tags
from speech2video.util.metrics.statistics import best_lag
from speech2video.util.rendering.skeleton_maps import draw_skeleton_map
from speech2video.util.timing import FPS
from speech2video.util.video.reader import read_frames

# What suffices for training.
MIN_MINUTES = 3.0
MIN_HAND_RATE = 0.3  # share of the frames with a hand
MIN_EYE_DISTANCE = 40.0  # pixels between the outer eye corners
MAX_OFFSET = 2  # frames between audio and lips
MIN_LAG_CORRELATION = 0.2  # from which the lag of all clips together is significant
MAX_TILT = 45.0  # degrees that a face may lean
# Errors of the fit as shares of the eye distance. Good recordings have up to 0.1 for the body's
# median, 0.35 for its 90th percentile, and 0.01 for the face.
MAX_BODY_ERROR, MAX_BODY_OUTLIERS, MAX_FACE_ERROR = 0.25, 0.8, 0.1
MIN_BODY_RATE = 0.5  # share of the frames with both shoulders, from which the body's error counts
MIN_LAG_GAIN = 0.25  # of correlation over that in sync, from which one clip is out of sync

NUM_OVERLAYS = 4  # frames shown for each clip
OVERLAY_WIDTH = 320  # pixels
MIN_JAW_RANGE = 5.0  # degrees that the plot spans, so that a resting jaw is a flat line


@dataclass(frozen=True)
class Verdict:
    """A finding in one sentence; `good` is None where unknown."""

    good: bool | None
    sentence: str


def write_report(dataset: Path, *, body: Body) -> Path:
    """Write report.json and report.html for a dataset and return the latter's path.

    Raises:
        DataError: no clips, a broken clip, or a folder that cannot be written.
    """
    metrics, sections = [], []
    for clip in list_clips(dataset):
        signals = ClipSignals.read(clip, body)
        metrics.append(clip_metrics.compute_clip_metrics(clip, signals))
        if not clip.bad_frames.is_file():  # of a clip made before there were such files
            clip.write_bad_frames(metrics[-1].bad_frames)
        sections.append(_clip_section(clip, metrics[-1], signals))
    verdicts = assess(metrics)
    values = {
        "verdict": [asdict(one) for one in verdicts],
        "all": medians([asdict(one) for one in metrics]),
        "clips": [asdict(one) for one in metrics],
    }
    write_json(dataset / "report.json", values)
    classes = {True: "good", False: "poor", None: "unknown"}
    sentences = [tags.li(one.sentence, cls=classes[one.good]) for one in verdicts]
    rows = [[cell(one) for _, cell in _COLUMNS] for one in metrics]
    html_report.write_page(
        dataset / "report.html",
        f"{dataset.resolve().name}: report",
        tags.ul(sentences, cls="verdict"),
        html_report.table(rows, [title for title, _ in _COLUMNS]),
        tags.p(
            "Errors are the median distance of detected and fitted points, the 90th percentile, "
            "and the median as a share of the eye distance; – is unknown."
        ),
        *sections,
    )
    return dataset / "report.html"


def medians(clips: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the median over clips of each numeric metric, within dictionaries too.

    None where no clip has the metric.
    """
    result: dict[str, Any] = {}
    for name in dict.fromkeys(name for clip in clips for name in clip):
        values = [clip[name] for clip in clips if clip.get(name) is not None]
        if values and isinstance(values[0], dict):
            result[name] = medians(values)
        elif all(isinstance(value, int | float) for value in values):
            result[name] = float(np.median(values)) if values else None
    return result


def assess(clips: list[ClipMetrics]) -> list[Verdict]:
    """Return the findings on duration, hands, face, audio, uprightness, fit and cuts."""
    parts = (
        _assess_duration,
        _assess_hands,
        _assess_face,
        _assess_sync,
        _assess_tilt,
        _assess_fit,
        _assess_cuts,
    )
    return [assess_part(clips) for assess_part in parts]


def _assess_cuts(clips: list[ClipMetrics]) -> Verdict:
    parts = [c.name for c in clips if any(note.startswith(CUT_NOTE) for note in c.notes)]
    if not parts:
        return Verdict(True, "No recording has cuts.")
    which = _list_some(parts, len(clips))
    return Verdict(True, f"Recordings with cuts were split; parts of them are {which}.")


def _assess_duration(clips: list[ClipMetrics]) -> Verdict:
    lost = sum(clip.num_bad_frames for clip in clips) / FPS
    minutes = sum(clip.frames - clip.num_bad_frames for clip in clips) / FPS / 60
    what = f"{minutes:.1f} minutes in {len(clips)} {'clip' if len(clips) == 1 else 'clips'}"
    what += f", without {lost:.1f} s of bad frames" if lost else ""
    if minutes >= MIN_MINUTES:
        return Verdict(True, f"Enough for training: {what}.")
    return Verdict(False, f"Too little: {what}; {MIN_MINUTES:.0f} and more are good.")


def _assess_hands(clips: list[ClipMetrics]) -> Verdict:
    detected = [clip for clip in clips if clip.found]
    if not detected:
        return Verdict(None, "Hands were not detected: there are no keypoints.")
    weights = [clip.frames for clip in detected]
    left, right = (
        float(np.average([clip.found[f"{side}_hand"] for clip in detected], weights=weights))
        for side in ("left", "right")
    )
    rates = f"left hand in {left:.0%} of the frames, right hand in {right:.0%}"
    if min(left, right) >= MIN_HAND_RATE:
        return Verdict(True, f"Hands are visible: {rates}.")
    sentence = f"Hands are seldom visible: {rates}; {MIN_HAND_RATE:.0%} and more are good."
    return Verdict(False, sentence)


def _assess_face(clips: list[ClipMetrics]) -> Verdict:
    sizes = {clip.name: clip.eye_distance for clip in clips if clip.eye_distance is not None}
    if not sizes:
        return Verdict(None, "The size of the face is unknown: none was detected.")
    small = [name for name, size in sizes.items() if size < MIN_EYE_DISTANCE]
    median = f"{np.median(list(sizes.values())):.0f} pixels between the eyes' outer corners"
    if not small:
        return Verdict(True, f"The face is large enough: {median}.")
    needed = f"{MIN_EYE_DISTANCE:.0f} and more are good"
    return Verdict(False, f"The face is small {_list_some(small, len(clips))}: {median}; {needed}.")


def _assess_sync(clips: list[ClipMetrics]) -> Verdict:
    """Assess the lag of all clips together, as one of a few seconds is not significant."""
    curves_CL = np.array([clip.lag_correlations for clip in clips], float)
    known = np.isfinite(curves_CL).all(1)
    lag, correlation = None, np.nan
    if known.any():
        weights = np.array([clip.frames for clip in clips])[known]
        lag, correlation = best_lag(np.average(curves_CL[known], axis=0, weights=weights))
    if lag is None or not correlation >= MIN_LAG_CORRELATION:
        return Verdict(None, "Synchrony of audio and lips is unknown: they hardly correlate.")
    frames = "1 frame" if abs(lag) == 1 else f"{abs(lag)} frames"
    offset = f"the audio is {frames} {'early' if lag < 0 else 'late'}"
    offset = offset if lag else "neither is late"
    if abs(lag) > MAX_OFFSET:
        sentence = f"Audio and lips are out of sync: {offset}; up to {MAX_OFFSET} are good."
        return Verdict(False, sentence)
    if off := [clip.name for clip in clips if _is_out_of_sync(clip)]:
        where = _list_some(off, len(clips))
        return Verdict(False, f"Audio and lips seem out of sync {where}; overall, {offset}.")
    return Verdict(True, f"Audio and lips are in sync: {offset}.")


def _is_out_of_sync(clip: ClipMetrics) -> bool:
    """Return whether audio and lips correlate far better out of sync than in sync."""
    if clip.lag is None or clip.lag_correlation is None or abs(clip.lag) <= MAX_OFFSET:
        return False
    in_sync = clip.lag_correlations[MAX_LAG - MAX_OFFSET : MAX_LAG + MAX_OFFSET + 1]
    best = max((value for value in in_sync if value is not None), default=0)
    return clip.lag_correlation > best + MIN_LAG_GAIN


def _assess_tilt(clips: list[ClipMetrics]) -> Verdict:
    tilts = {clip.name: clip.tilt for clip in clips if clip.tilt is not None}
    if not tilts:
        return Verdict(None, "Whether the person is upright is unknown: no face was detected.")
    turned = {name: tilt for name, tilt in tilts.items() if abs(tilt) > MAX_TILT}
    if not turned:
        return Verdict(True, "The person is upright.")
    quarters = {name: round(tilt / 90) for name, tilt in turned.items()}
    ways = {1: "90° counterclockwise", -1: "90° clockwise", 2: "180°", -2: "180°"}
    turns = sorted({ways.get(quarter, "a little") for quarter in quarters.values()})
    where = _list_some(list(turned), len(clips))
    return Verdict(
        False,
        f"The person is not upright {where}: rotate the recording by {' or '.join(turns)} "
        "and process it again.",
    )


def _assess_fit(clips: list[ClipMetrics]) -> Verdict:
    detected = [clip for clip in clips if clip.eye_distance and clip.found]
    if not detected:
        return Verdict(None, "The error of the fit is unknown: no face was detected.")
    poor = [clip.name for clip in detected if _is_poorly_fitted(clip)]
    errors = [
        error.median / clip.eye_distance
        for clip in detected
        if (error := clip.errors["body"]).median is not None and clip.eye_distance
    ]
    median = f"{np.median(errors):.2f} eye distances of median error" if errors else "face only"
    if not poor:
        return Verdict(True, f"The fitted body follows the detected points: {median}.")
    return Verdict(
        False,
        f"The fitted body is far from the detected points {_list_some(poor, len(clips))}; see the "
        "images below, and leave out what is not one upright person before a static camera.",
    )


def _is_poorly_fitted(clip: ClipMetrics) -> bool:
    """Return whether the body or the face is far off for most of a clip, or for a part of it."""
    eyes, body, face = clip.eye_distance or np.nan, clip.errors["body"], clip.errors["face"]
    poor = (face.median or 0) > MAX_FACE_ERROR * eyes
    if clip.found["body"] >= MIN_BODY_RATE:
        poor |= (body.median or 0) > MAX_BODY_ERROR * eyes
        poor |= (body.p90 or 0) > MAX_BODY_OUTLIERS * eyes
    return poor


def _list_some(names: list[str], count: int) -> str:
    more = ", …" if len(names) > 3 else ""
    return f"in {len(names)} of {count} clips ({', '.join(names[:3])}{more})"


_COLUMNS: tuple[tuple[str, Callable[[ClipMetrics], str]], ...] = (
    ("clip", lambda clip: clip.name),
    ("seconds", lambda clip: f"{clip.seconds:.1f}"),
    ("body found", lambda clip: _number(clip.found.get("body"), ".0%")),
    ("face", lambda clip: _number(clip.found.get("face"), ".0%")),
    ("left hand", lambda clip: _number(clip.found.get("left_hand"), ".0%")),
    ("right hand", lambda clip: _number(clip.found.get("right_hand"), ".0%")),
    ("eye distance, px", lambda clip: _number(clip.eye_distance, ".1f")),
    ("tilt, °", lambda clip: _number(clip.tilt, ".0f")),
    ("body error, px", lambda clip: _error(clip, "body")),
    ("face error", lambda clip: _error(clip, "face")),
    ("hand error", lambda clip: _error(clip, "hands")),
    ("lips detected ~ fitted", lambda clip: _number(clip.lip_correlation, ".3f")),
    ("audio late, frames", lambda clip: _number(clip.lag, ".0f")),
    ("lip speed ~ loudness", lambda clip: _number(clip.lag_correlation, ".2f")),
    ("bad frames", lambda clip: str(clip.num_bad_frames)),
)


def _number(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)


def _error(clip: ClipMetrics, part: str) -> str:
    error = clip.errors[part]
    if error.median is None:
        return "–"
    of_eyes = "" if error.of_eye_distance is None else f", {error.of_eye_distance:.1%}"
    return f"{error.median:.2f} ({error.p90:.1f}{of_eyes})"


def _clip_section(clip: Clip, metrics: ClipMetrics, signals: ClipSignals) -> html_report.Tag:
    low = float(signals.jaw_T.min())
    high = max(float(signals.jaw_T.max()), low + MIN_JAW_RANGE)
    curves = {f"jaw {low:.0f}° to {high:.0f}°": (signals.jaw_T - low) / (high - low)}
    shaded = [(run.first, run.last + 1) for run in metrics.bad_frames]
    chart = html_report.audio_chart(signals.audio_S, curves, shaded=shaded)
    parts = *map(tags.p, metrics.notes), *_overlays(clip, signals.fitted_TK2), chart
    section = html_report.section(metrics.name, *parts)
    if metrics.bad_frames:
        runs = (
            f"{run.first / FPS:.2f}–{(run.last + 1) / FPS:.2f} s "
            f"(frames {run.first} to {run.last}): {run.reason}"
            for run in metrics.bad_frames
        )
        section.add(tags.p("Bad frames:"), tags.ul(tags.li(run) for run in runs))
    return section


def _overlays(clip: Clip, fitted_TK2: np.ndarray) -> list[html_report.Tag]:
    """Return images of the fitted skeleton over frames spread over the clip."""
    chosen = {int((k + 0.5) * len(fitted_TK2) / NUM_OVERLAYS) for k in range(NUM_OVERLAYS)}
    images = []
    for number, frame in enumerate(islice(read_frames(clip.video, fps=FPS), max(chosen) + 1)):
        if number in chosen:
            image_HW3 = _draw_overlay(frame.transpose(1, 2, 0), fitted_TK2[number])
            caption = f"frame {number}"
            images.append(html_report.figure(html_report.image(image_HW3, caption), caption))
    return images


def _draw_overlay(rgb_HW3: np.ndarray, points_K2: np.ndarray) -> np.ndarray:
    scale = OVERLAY_WIDTH / rgb_HW3.shape[1]
    size = OVERLAY_WIDTH, max(1, round(rgb_HW3.shape[0] * scale))
    image = cv2.resize(rgb_HW3, size, interpolation=cv2.INTER_AREA)
    lines = draw_skeleton_map(points_K2 * scale, width=size[0], height=size[1])
    return np.where(lines.any(2, keepdims=True), lines, image)
