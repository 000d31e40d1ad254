"""The page of a run: complete, bounded, and continued by a run that resumes."""

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from speech2video.util.errors import DataError
from speech2video.util.training_log import CURVE_POINTS, KEPT_VALIDATIONS, ROWS, TrainingLog


def log_of(folder: Path, step: int = 0) -> TrainingLog:
    return TrainingLog(folder, title="a <run>", step=step, tensorboard=False)


def write_video(log: TrainingLog, step: int) -> None:
    path = log.video(step, "v")
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"video")


def test_page_has_curves_images_and_videos(tmp_path: Path) -> None:
    log = log_of(tmp_path)
    for step in range(1, 6):
        log.scalars(step, {"train/loss": 1 / step, "validation/loss": 2 / step})
    log.images(5, {"map": torch.rand(2, 3, 700, 350), "real": np.zeros((3, 8, 8), np.uint8)})
    log.images(5, {"grey": torch.rand(1, 8, 8).bfloat16()}, title="mouths")
    write_video(log, 5)
    log.close()
    page = (tmp_path / "index.html").read_text()
    assert page.count("<polyline") == 2 and "a &lt;run&gt;" in page and "mouths" in page
    sources = re.findall('src="([^"]+)"', page)
    assert len(sources) == 5 and all((tmp_path / source).is_file() for source in sources)


def test_curves_and_images_are_bounded(tmp_path: Path) -> None:
    log = log_of(tmp_path)
    for step in range(1, 5 * CURVE_POINTS):
        log.scalars(step, {"train/loss": float(step)})
    curve = np.array(log.curves["train/loss"])
    assert len(curve) <= CURVE_POINTS and curve[-1].tolist() == [5 * CURVE_POINTS - 1] * 2
    assert (np.diff(curve[:, 0]) > 0).all() and np.abs(curve[:, 0] - curve[:, 1]).max() < 4
    for step in range(2 * KEPT_VALIDATIONS):
        log.images(step, {"a": np.zeros((20, 3, 4, 4), np.uint8)})
        write_video(log, step)
    steps = [one["step"] for one in log.validations]
    assert steps == [0, *range(KEPT_VALIDATIONS + 1, 2 * KEPT_VALIDATIONS)]
    assert len(list((tmp_path / "images").iterdir())) == KEPT_VALIDATIONS * ROWS
    assert len(list((tmp_path / "videos").iterdir())) == KEPT_VALIDATIONS


def test_resumed_run_continues_the_log(tmp_path: Path) -> None:
    log = log_of(tmp_path)
    for step in range(1, 11):
        log.scalars(step, {"train/loss": float(step)})
    log.images(4, {"a": np.zeros((3, 4, 4), np.uint8)})
    log.images(9, {"a": np.zeros((3, 4, 4), np.uint8)})
    log.close()
    resumed = log_of(tmp_path, step=6)  # killed after step 10; the checkpoint was of step 6
    assert resumed.curves == {"train/loss": [[step, float(step)] for step in range(1, 7)]}
    assert [one["step"] for one in resumed.validations] == [4]
    assert log_of(tmp_path).curves == {}  # a new run has no past


TABLE = '{"title": "", "columns": ["a"], "rows": [["%s"]]}'
VALIDATION = '{"curves": {}, "validations": [{"step": 3, "tables": [%s], "videos": []}]}'
BROKEN = {
    "another type": '{"curves": 3}',
    "null": "null",
    "null curves": '{"curves": null, "validations": []}',
    "a null curve": '{"curves": {"train/x": null}, "validations": []}',
    "a null point": '{"curves": {"train/x": [null]}, "validations": []}',
    "a null step": '{"curves": {"train/x": [[null, 1]]}, "validations": []}',
    "a value too large": '{"curves": {"train/x": [[1, 1%s]]}, "validations": []}' % ("0" * 400),
    "a step too large": '{"curves": {"train/x": [[1%s, 1]]}, "validations": []}' % ("0" * 400),
    "too many digits": '{"curves": {"train/x": [[1, 1%s]]}, "validations": []}' % ("0" * 5000),
    "deep": '{"curves": ' + "[" * 100_000,
    "a deep value": '{"curves": {"train/x": [[1, %s]]}, "validations": []}' % ("[" * 90 + "]" * 90),
    "a null validation": '{"curves": {}, "validations": [null]}',
    "a null table": VALIDATION % "null",
    "a null image": VALIDATION % (TABLE % "x").replace('"x"', "null"),
    "a file elsewhere": VALIDATION % TABLE % "../../precious.txt",
    "a file far away": VALIDATION % TABLE % "images/../../precious.txt",
    "cut": '{"curves": {"train/x": [[1, 2]',
    "not UTF-8": "\xff\xfe",
    "empty": "",
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_log_begins_anew_with_a_line_and_is_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], case: str
) -> None:
    text = BROKEN[case].encode("latin-1")
    (tmp_path / "log.json").write_bytes(text)
    log = log_of(tmp_path, step=6)
    assert (log.curves, log.validations) == ({}, [])
    errors = capsys.readouterr().err
    assert "curves begin anew" in errors and errors.count("\n") == 1
    assert (tmp_path / "log.unreadable.json").read_bytes() == text
    for step in range(7, 9 + KEPT_VALIDATIONS):
        log.scalars(step, {"train/x": 1.0})
        log.images(step, {"a": np.zeros((3, 4, 4), np.uint8)})
    log.close()
    assert log_of(tmp_path, step=99).curves == log.curves


def test_values_that_are_not_finite_are_left_out_of_charts(tmp_path: Path) -> None:
    log = log_of(tmp_path)
    for step, value in enumerate([1.0, float("nan"), float("inf"), 2.0]):
        log.scalars(step, {"train/x": value, "train/y": float("nan")})
    log.close()
    page = (tmp_path / "index.html").read_text()
    assert page.count("<polyline") == 1 and "nan" not in page and "inf" not in page
    np.testing.assert_array_equal(log_of(tmp_path, step=9).curves["train/x"], log.curves["train/x"])
    (tmp_path / "log.json").write_text('{"curves": {"train/x": [[1, null]]}, "validations": []}')
    assert np.isnan(log_of(tmp_path, step=9).curves["train/x"][0][1])


def test_a_folder_that_cannot_hold_the_page_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "log.json").mkdir()
    with pytest.raises(DataError, match="a folder"):
        log_of(tmp_path)


def test_image_of_another_shape_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"image map: \(8, 8, 3\)"):
        log_of(tmp_path).images(1, {"map": np.zeros((8, 8, 3), np.uint8)})


def test_images_keep_their_colours(tmp_path: Path) -> None:
    import cv2

    red = torch.tensor([0.9, 0.2, 0.1]).view(3, 1, 1).expand(3, 16, 16)
    log_of(tmp_path).images(1, {"red": red})
    seen_HWC = cv2.imread(str(next((tmp_path / "images").iterdir())))[..., ::-1]
    np.testing.assert_allclose(seen_HWC.mean((0, 1)), np.array([0.9, 0.2, 0.1]) * 255, atol=4)


def test_tensorboard_is_written(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    log = TrainingLog(tmp_path)
    log.scalars(1, {"train/loss": 1.0})
    log.close()
    assert list((tmp_path / "tensorboard").glob("events*"))


def test_without_tensorboard_there_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    log = TrainingLog(tmp_path)
    log.scalars(1, {"train/loss": 1.0})
    log.close()
    assert capsys.readouterr().err.count("\n") == 1
    assert json.loads((tmp_path / "log.json").read_text())["curves"] == {"train/loss": [[1, 1.0]]}
