"""Training of audio2pose: rates of pretrained layers, and facial motion that matches a person's."""

import pytest
import torch

from speech2video.data.audio2pose.dataset import MotionClip, load_motion_clips
from speech2video.models.audio2pose.model import (
    FACE_SCALES,
    Audio2PoseModel,
    TrainingConfig,
    matching_scale,
)
from speech2video.models.audio2pose.predictor import NETWORK, PosePredictor, scale_face
from speech2video.options.audio2pose import TrainAudio2PoseOptions
from speech2video.util.body.body_model import Body
from tests.speech_clips import write_speech_clips

pytest.importorskip("espeakng_loader", reason="the extra `demo` is not installed")


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory, body: Body) -> list[MotionClip]:
    folder = tmp_path_factory.mktemp("speech") / "dataset"
    return load_motion_clips(write_speech_clips(folder, body), body)


def model(clips: list[MotionClip], body: Body, *arguments: str, **config: float) -> Audio2PoseModel:
    line = ("--name", "x", "--dataset", "x", "--hidden_size", "8", "--resume", "never", *arguments)
    predictor = PosePredictor.from_options(TrainAudio2PoseOptions.parse([*line]), body)
    motions = [clip.pose_TP for clip in clips]
    return Audio2PoseModel(predictor, motions=motions, config=TrainingConfig(lr=0.1, **config))


@pytest.mark.parametrize("share", [0.55, 0.8, 1.3])
def test_the_scale_undoes_what_a_prediction_lacks(
    clips: list[MotionClip], body: Body, share: float
):
    rest_P = clips[0].pose_TP[0]
    poses = [scale_face(clip.pose_TP, rest_P, share) for clip in clips]
    assert matching_scale(poses, clips, rest_P, body) == pytest.approx(1 / share, rel=0.03)


def test_the_scale_has_limits(clips: list[MotionClip], body: Body):
    still = [clip.pose_TP[:1].expand(len(clip), -1) for clip in clips]
    assert matching_scale(still, clips, clips[0].pose_TP[0], body) == FACE_SCALES[1]


def test_validation_finds_the_scale_that_predictions_take(clips: list[MotionClip], body: Body):
    made = model(clips, body)
    with made.evaluating():
        metrics = made.validate(clips, None)
        usual_TP = made.predictor.predict_from_audio(clips[0].audio_S)
    assert FACE_SCALES[0] <= metrics["face_scale"] <= FACE_SCALES[1]
    made.after_validation(metrics | {"face_scale": 1.5})
    assert made.predictor.network.face_scale == 1.5
    assert made.averages[NETWORK].weights["face_scale"] == 1.5
    with made.evaluating():
        wider_TP = made.predictor.predict_from_audio(clips[0].audio_S)
        expected_TP = scale_face(usual_TP, made.predictor.rest_pose(), 1.5)
    torch.testing.assert_close(wider_TP[:, -13:], expected_TP[:, -13:])


def test_a_fixed_scale_is_not_measured(clips: list[MotionClip], body: Body):
    made = model(clips, body, "--face_motion_scale", "1.2")
    with made.evaluating():
        assert "face_scale" not in made.validate(clips, None)
    assert "face_scale" not in made.predictor.network.state_dict()


def test_pretrained_layers_learn_slowly(clips: list[MotionClip], body: Body):
    made = model(clips, body, trunk_lr_share=0.25)
    made.set_learning_rates()
    rates = {group["lr"]: len(group["params"]) for group in made.optimizers[NETWORK].param_groups}
    heads = sum(".heads." in name for name, _ in made.networks[NETWORK].named_parameters())
    assert rates[0.1] == heads and set(rates) == {0.1, 0.025}
    assert sum(rates.values()) == len([*made.networks[NETWORK].parameters()])
