"""HLG, PQ and BT.2020 video looks as its reference levels say; BT.709 video is left as it is."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from speech2video.util.video.reader import probe, read_frames
from speech2video.util.video.wide_colour import HLG, PQ, to_bt709


def write_wide(path: Path, luma_W: list[float], transfer: int, *, codec: str = "libx264") -> Path:
    """Write 10-bit BT.2020 video of vertical grey bars of signal levels."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 16 * len(luma_W), 32, "yuv420p10le"
        stream.options = {"crf": "4"}
        context = stream.codec_context
        context.color_primaries, context.color_trc, context.colorspace = 9, transfer, 9
        for number in range(5):
            frame = av.VideoFrame(stream.width, stream.height, "yuv420p10le")
            row = np.repeat([round(64 + 876 * level) for level in luma_W], 16)
            for plane, values in zip(frame.planes, (row, [512], [512]), strict=True):
                stored = np.zeros((plane.height, plane.line_size // 2), "<u2")
                stored[:, : plane.width] = values
                plane.update(stored.tobytes())
            frame.pts, frame.time_base = number, Fraction(1, 25)
            frame.color_trc, frame.color_primaries, frame.colorspace = transfer, 9, 9
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(
    ("transfer", "white", "grey", "bright"),
    [(HLG, 0.75, 0.38, 0.95), (PQ, 0.58, 0.38, 0.7)],
)
@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_reference_levels(tmp_path, capsys, transfer, white, grey, bright, codec):
    path = write_wide(tmp_path / "a.mp4", [0, grey, white, bright, 1], transfer, codec=codec)
    for frame in read_frames(path):
        bars = [frame[:, 8:24, 16 * bar + 5 : 16 * bar + 11].mean() for bar in range(5)]
        assert bars[0] < 2 and abs(bars[1] - 108) < 4  # grey card
        assert 235 < bars[2] < 247  # reference white, with some room above
        assert bars[2] < bars[3] <= bars[4] and bars[4] > 250
        assert np.ptp(frame[:, 8, 40].astype(int)) <= 2, "grey stays grey"
    notes = capsys.readouterr().err.splitlines()
    assert len(notes) == 1 and "BT.709" in notes[0]
    assert (probe(path).width, probe(path).height) == (80, 32)


def test_the_table_keeps_to_the_formula(tmp_path):
    signals = list(np.linspace(0.02, 0.98, 20))
    path = write_wide(tmp_path / "a.mp4", signals, HLG)
    frame = next(read_frames(path))
    found = np.array([frame[:, 8:24, 16 * k + 5 : 16 * k + 11].mean() for k in range(20)])
    expected = 255 * to_bt709(np.repeat(np.array(signals)[:, None], 3, axis=1), HLG)[:, 0]
    assert np.abs(found - expected).max() < 2.5


def test_primaries_are_converted():
    skin_N3 = np.array([[0.55, 0.45, 0.4]])
    converted = to_bt709(skin_N3, HLG)[0]
    assert converted[0] > converted[1] > converted[2]
    grey = to_bt709(np.full((1, 3), 0.5), 0)[0]
    assert np.abs(grey - 0.5).max() < 1e-3, "grey of a standard gamma is unchanged"
    assert (to_bt709(np.array([[0.0, 1.0, 0.0]]), 0) <= 1).all()


def test_ordinary_video_is_not_converted(tmp_path, capsys):
    path = write_wide(tmp_path / "a.mp4", [0.5] * 4, 1)
    with av.open(str(path)) as container:
        assert container.streams.video[0].codec_context.color_primaries == 9
    ordinary = tmp_path / "b.mp4"
    with av.open(str(ordinary), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 32, "yuv420p"
        frame = av.VideoFrame.from_ndarray(np.full((32, 64, 3), 128, np.uint8), "rgb24")
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    assert abs(next(read_frames(ordinary)).mean() - 128) < 2
    assert not capsys.readouterr().err
