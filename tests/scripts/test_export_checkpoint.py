"""What an exported motion says of its phonetic network."""

import shutil
from pathlib import Path

import export_checkpoint
import pytest

from speech2video.options.audio2pose import TrainAudio2PoseOptions
from speech2video.util.audio.phonetic import FOLDER
from speech2video.util.checkpoint_folder import OPTIONS_FILE, WEIGHTS_FILE


@pytest.mark.parametrize(
    ("features", "other", "expected"),
    [
        ("phonetic:net", b"", "phonetic"),
        ("phonetic:net", b"other", "phonetic:net"),
        ("phonetic", b"", "phonetic"),
        ("mfcc", b"", "mfcc"),
    ],
)
def test_only_the_package_s_network_needs_no_folder(
    features: str,
    other: bytes,
    expected: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def export(_: Path, folder: Path, **__: object) -> None:
        shutil.copytree(FOLDER, folder)
        with (folder / WEIGHTS_FILE).open("ab") as file:
            file.write(other)

    monkeypatch.setattr(export_checkpoint, "export_checkpoint", export)
    options = TrainAudio2PoseOptions(name="n", dataset=Path("d"), features=features)
    options.save(tmp_path / OPTIONS_FILE)
    export_checkpoint.name_packaged_features(tmp_path)
    assert TrainAudio2PoseOptions.load(tmp_path / OPTIONS_FILE).features == expected
    assert ("needs the phonetic network in net" in capsys.readouterr().err) == bool(other)
