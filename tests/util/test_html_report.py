"""Pages escape their content and embed images; charts draw every curve where it is known."""

import re
from pathlib import Path

import numpy as np
import pytest

from speech2video.util import html_report
from speech2video.util.errors import DataError


def test_content_is_escaped(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.html"
    rows = [["<clip>", "1"], ["b & c", html_report.tags.b("2")]]
    table = html_report.table(rows, ["name", "<value>"])
    html_report.write_page(path, "a <title>", html_report.section("x > y", table))
    page = path.read_text()
    for text in ("a &lt;title&gt;", "x &gt; y", "&lt;clip&gt;", "b &amp; c", "<b>2</b>"):
        assert text in page
    with pytest.raises(DataError, match="cannot be written"):
        html_report.write_page(Path("/proc/none/a.html"), "a")


def test_names_that_are_no_utf8_are_written(tmp_path: Path) -> None:
    html_report.write_page(tmp_path / "a.html", "a \udcff", html_report.table([["b \udcff"]]))
    assert (tmp_path / "a.html").read_text(encoding="utf-8").count("\\udcff") >= 2


@pytest.mark.parametrize("lossless", [False, True])
def test_images_are_embedded(lossless: bool) -> None:
    import base64

    import cv2

    red_HW3 = np.full((8, 8, 3), (200, 40, 20), np.uint8)
    data = base64.b64decode(html_report.data_url(red_HW3, lossless=lossless).partition(",")[2])
    read_HW3 = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    assert np.abs(read_HW3.astype(int) - red_HW3).max() <= (0 if lossless else 4)


def test_a_wide_range_is_logarithmic() -> None:
    steps = np.arange(1, 101)
    wide = html_report.line_chart("loss", {"train": np.stack([steps, np.exp(-steps / 10)], 1)})
    narrow = html_report.line_chart("loss", {"train": np.stack([steps, steps / 100 + 1], 1)})
    assert "logarithmic" in wide.render() and "logarithmic" not in narrow.render()
    chart, caption = wide.render().split("</svg>")
    assert "<span" not in chart and caption.count("<span") == 1  # a browser would end the chart


def test_audio_charts_have_rows_gaps_and_shades(tmp_path: Path) -> None:
    curve_T = np.linspace(0, 1, 450)
    curve_T[100:120] = np.nan
    audio_S = np.random.default_rng(0).uniform(-1, 1, 640 * 450)
    chart = html_report.audio_chart(
        audio_S, {"lips": curve_T, "jaw": curve_T / 2}, shaded=[(190, 210)], row_seconds=8
    )
    html_report.write_svg(tmp_path / "a.svg", chart)
    drawn = (tmp_path / "a.svg").read_text()
    assert drawn.count('class="waveform"') == 3 and drawn.count('class="shaded"') == 2
    lines = re.findall(r'class="line" d="([^"]*)"', drawn)
    assert len(lines) == 6 and [line.count("M") for line in lines] == [2, 2, 1, 1, 1, 1]
    assert "xmlns" in drawn and ">16 s<" in drawn
