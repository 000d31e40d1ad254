from dataclasses import replace
from pathlib import Path

import pytest

from speech2video.options.inference import (
    BodyVideoOptions,
    OutputPaths,
    TalkingFaceOptions,
    parse_inference_options,
)
from speech2video.util.errors import OptionError


def test_model_selects_the_options() -> None:
    body = parse_inference_options(["--name", "demo", "--audio", "a.wav", "--words", "w.csv"])
    face = parse_inference_options(["--model", "speech2face", "--name", "demo", "--audio", "a.wav"])
    assert isinstance(body, BodyVideoOptions) and body.has_words
    assert isinstance(face, TalkingFaceOptions) and face.model == "speech2face"


@pytest.mark.parametrize(
    "line",
    [
        "--name demo",
        "--name demo --audio a.wav --emotion happy",
        "--model speech2face --name demo --text hello --words w.csv",
        "--model speech2face --name demo --pose a.npz",
        "--model other --name demo --audio a.wav",
        "--name demo --audio a.wav --text hello",
        "--name demo --audio a.wav --jobs 2",
        "--name demo --openpose points --save_pose p.npz",
        "--name demo --audio a.wav --save_pose p.fbx",
        "--name demo --audio a.wav --output a.avi",
        "--name demo --audio a.wav --output a.mp4 --format webm",
        "--name demo --audio a.wav --format avi",
        "--name demo --audio a.wav --save_pose p.glb --save_pose_format bvh",
        "--name demo --text hello --transcript hello",
        "--name demo --audio a.wav --background #12",
        "--name demo --audio a.wav --background transparent",
        "--name demo --audio a.wav --background transparent --output a.mp4",
        "--name demo --audio a.wav --background #fff --skeleton",
        "--name demo --audio a.wav --background #fff --side_by_side",
        "--model speech2face --name demo --audio a.wav --background #fff",
        "--name demo --audio_list l.txt --pose a.npz",
        "--name demo --audio a.wav --c2pa_certificate chain.pem",
        "--name demo --audio a.wav --c2pa_key key.pem",
    ],
)
def test_contradictory_options_exit_with_2(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        parse_inference_options(line.split())
    assert stop.value.code == 2
    assert "error: " in capsys.readouterr().err.splitlines()[-1]


def test_outputs_of_a_list_are_named_after_the_audio() -> None:
    one = BodyVideoOptions(name="demo", audio=Path("a.wav"), save_pose=Path("p.npz"))
    assert one.outputs("a") == OutputPaths(Path("results/demo/a.mp4"), Path("p.npz"))
    many = BodyVideoOptions(
        name="demo", audio_list=Path("l.txt"), output=Path("out"), save_pose=Path("poses")
    )
    assert many.outputs("a") == OutputPaths(Path("out/a.mp4"), Path("poses/a.npz"))
    assert replace(many, save_pose_format="glb").outputs("a").pose == Path("poses/a.glb")
    assert replace(many, format="webm").outputs("a v1.2").video == Path("out/a v1.2.webm")
    assert replace(many, format="png").outputs("a v1.2").video == Path("out/a v1.2/%05d.png")


def test_a_speaker_can_be_loaded_without_input() -> None:
    assert not BodyVideoOptions(name="demo").has_input
    with pytest.raises(OptionError, match="a plain name"):
        BodyVideoOptions(name="a/b")
