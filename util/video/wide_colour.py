"""Convert HLG, PQ and BT.2020 video to BT.709 for a standard display (ITU-R BT.2100, BT.2408).

swscale knows the matrices of such video, but neither its transfer functions nor its primaries.
"""

import tempfile
import threading
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

import av
import numpy as np
from av.filter import Graph
from av.video.reformatter import ColorRange

BT2020, PQ, HLG = 9, 16, 18  # ITU-T H.273: primaries, transfer characteristics
WHITE = 203.0  # cd/m², reference white (BT.2408)
HLG_PEAK, HLG_GAMMA = 1000.0, 1.2  # cd/m² and system gamma of the reference display
PQ_PEAK = 4000.0  # cd/m²; what is brighter becomes white
KNEE = 0.75  # of white; the tone curve leaves what is darker as it is
DISPLAY_GAMMA = 2.4  # BT.1886
GRID = 33  # points a side of the colour table
LUMA_2020 = np.array([0.2627, 0.6780, 0.0593])
TO_709 = np.array(  # BT.2087
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]]
)

_local = threading.local()  # a filter graph belongs to one thread


def is_wide(frame: av.VideoFrame) -> bool:
    """Return whether a frame is tagged HLG or PQ, or with BT.2020 primaries."""
    return _transfer(frame) != 0 or getattr(frame, "color_primaries", 0) == BT2020


def _transfer(frame: av.VideoFrame) -> int:
    """Return `PQ`, `HLG` or 0; the oldest PyAV of 16 names neither."""
    transfer = getattr(frame, "color_trc", 0)
    return transfer if transfer in (PQ, HLG) else 0


def wide_to_rgb(frame: av.VideoFrame, size: tuple[int, int]) -> np.ndarray:
    """Return a frame as (H, W, 3) uint8 RGB of BT.709, in the size (width, height)."""
    full = frame.reformat(*size, "gbrp16le", dst_color_range=ColorRange.JPEG)
    full.pts = None
    graph = _graph(size, _transfer(frame), full.format)
    graph.push(full)
    out_HW3 = graph.pull().to_ndarray()
    return ((out_HW3.astype(np.uint32) + 128) // 257).astype(np.uint8)


def _graph(size: tuple[int, int], transfer: int, form: av.VideoFormat) -> Graph:
    """Return ffmpeg's filter that applies the colour table; each thread keeps its last one."""
    if getattr(_local, "key", None) != (size, transfer):
        graph = Graph()
        with tempfile.TemporaryDirectory() as folder:
            table = Path(folder) / "table.cube"
            table.write_text(_cube(transfer), encoding="ascii")
            width, height = size
            source = graph.add_buffer(
                width=width, height=height, format=form, time_base=Fraction(1)
            )
            apply = graph.add("lut3d", file=str(table), interp="tetrahedral")
            sink = graph.add("buffersink")
            source.link_to(apply)
            apply.link_to(sink)
            graph.configure()  # reads the table
        _local.key, _local.graph = (size, transfer), graph
    return _local.graph


@lru_cache(4)
def _cube(transfer: int) -> str:
    """Return the colour table as the text of a .cube file: red changes fastest."""
    axis = np.linspace(0, 1, GRID)
    blue, green, red = np.meshgrid(axis, axis, axis, indexing="ij")
    grid_N3 = np.stack([red, green, blue], axis=-1).reshape(-1, 3)
    lines = "\n".join(f"{r:.6f} {g:.6f} {b:.6f}" for r, g, b in to_bt709(grid_N3, transfer))
    return f"LUT_3D_SIZE {GRID}\n{lines}\n"


def to_bt709(signal_N3: np.ndarray, transfer: int) -> np.ndarray:
    """Return BT.2020 signals (N, 3) in [0, 1] as BT.709 signals, bright ones compressed.

    `transfer` is `HLG`, `PQ`, or 0 for the gamma of a standard display.
    """
    if transfer == HLG:
        light_N3, peak = _hlg_light(signal_N3), HLG_PEAK / WHITE
    elif transfer == PQ:
        light_N3, peak = _pq_light(signal_N3), PQ_PEAK / WHITE
    else:
        light_N3, peak = signal_N3**DISPLAY_GAMMA, 1.0
    light_N3 = np.maximum(light_N3 @ TO_709.T, 0)
    brightest_N1 = light_N3.max(axis=-1, keepdims=True)
    scale_N1 = _tone_curve(brightest_N1, peak) / np.maximum(brightest_N1, 1e-9)
    return np.clip(light_N3 * scale_N1, 0, 1) ** (1 / DISPLAY_GAMMA)


def _hlg_light(signal_N3: np.ndarray) -> np.ndarray:
    """Return the display's light, 1 is reference white (BT.2100, tables 5)."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    scene_N3 = np.where(signal_N3 <= 0.5, signal_N3**2 / 3, (np.exp((signal_N3 - c) / a) + b) / 12)
    luma_N1 = np.maximum(scene_N3 @ LUMA_2020, 1e-9)[..., None]
    return scene_N3 * luma_N1 ** (HLG_GAMMA - 1) * HLG_PEAK / WHITE


def _pq_light(signal_N3: np.ndarray) -> np.ndarray:
    """Return the display's light, 1 is reference white (SMPTE ST 2084)."""
    m1, m2, c1, c2, c3 = 0.1593017578125, 78.84375, 0.8359375, 18.8515625, 18.6875
    root_N3 = signal_N3 ** (1 / m2)
    return (np.maximum(root_N3 - c1, 0) / (c2 - c3 * root_N3)) ** (1 / m1) * 10_000 / WHITE


def _tone_curve(light: np.ndarray, peak: float) -> np.ndarray:
    """Return light with [KNEE, peak] compressed into [KNEE, 1], smooth at both ends."""
    if peak <= 1:
        return np.minimum(light, 1)
    above = np.maximum(light - KNEE, 0) / (1 - KNEE)
    top = (peak - KNEE) / (1 - KNEE)
    curve = KNEE + (1 - KNEE) * above * (1 + above / top**2) / (1 + above)
    return np.minimum(np.where(light > KNEE, curve, light), 1)
