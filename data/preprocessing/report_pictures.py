"""What the report shows of a clip: skeletons over frames, and jaw and sound over time."""

import base64

import cv2
import numpy as np
from dominate import svg

from speech2video.data.clip import Clip
from speech2video.data.motion import FPS
from speech2video.data.preprocessing.clip_figures import ThrowAway
from speech2video.data.preprocessing.clip_series import ClipSeries
from speech2video.util.drawing import draw_frame
from speech2video.util.video_reader import read_frames

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


def jaw_plot(series: ClipSeries, throw_away: tuple[ThrowAway, ...]) -> svg.svg:
    """Return a plot of the jaw's opening in degrees under the waveform.

    Frames to throw away are shaded.
    """
    count = len(series.jaw_T)
    seconds, bottom = count / FPS, SOUND_HEIGHT + JAW_HEIGHT
    plot = svg.svg(viewBox=f"0 0 {PLOT_WIDTH} {bottom + AXIS_HEIGHT}", cls="plot", role="img")
    with plot:
        for run in throw_away:
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
    lines = draw_frame(points_K2 * scale, width=size[0], height=size[1])
    return np.where(lines.any(2, keepdims=True), lines, picture)


def _data_url(rgb_HW3: np.ndarray) -> str:
    settings = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    _, data = cv2.imencode(".jpg", rgb_HW3[..., ::-1], settings)
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode()


def _sound_path(series: ClipSeries) -> str:
    """Return the outline of the waveform: a stroke from the least to the most in each column."""
    wave_S = series.wave_S / max(np.abs(series.wave_S).max(), 1e-6)
    columns = np.array_split(wave_S, min(PLOT_WIDTH, len(wave_S)))
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
