"""The pose predictor: one pose inside the joint limits for each frame, streamed or not."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest
import torch

from speech2video.models.audio2pose.predictor import PosePredictor
from speech2video.options.audio2pose import TrainAudio2PoseOptions
from speech2video.util.audio.features import extract_features, feature_set
from speech2video.util.audio.mel import HOP, MARGIN
from speech2video.util.body.body_model import Body
from speech2video.util.body.joint_limits import limit_report
from speech2video.util.body.pose_vector import POSE_SLICES, vector_to_smplx


def predictor(body: Body, *arguments: str, wild: float = 3.0) -> PosePredictor:
    """Return a predictor whose network exceeds the joint limits."""
    options = TrainAudio2PoseOptions.parse(
        ["--name", "x", "--dataset", "x", "--hidden_size", "8", "--resume", "never", *arguments]
    )
    torch.manual_seed(0)
    made = PosePredictor.from_options(options, body)
    for branch in made.network.branches.values():
        for head in branch.heads.values():
            torch.nn.init.normal_(head.weight, std=wild)
    made.network.eval()
    return made


def wave(samples: int) -> np.ndarray:
    return 0.1 * np.random.default_rng(0).standard_normal(samples).astype(np.float32)


@pytest.mark.parametrize("samples", [1, 640, 641, 16_000, 70_000])
def test_there_are_as_many_poses_as_frames(body: Body, samples: int):
    pose_TP = predictor(body).predict_from_audio(wave(samples))
    assert pose_TP.shape == (-(-samples // 640), 106)


def test_empty_audio_gives_no_poses(body: Body):
    assert predictor(body).predict_from_audio(wave(0)).shape == (0, 106)


def test_joint_limits_hold(body: Body):
    made = predictor(body)
    pose_TP = made.predict_from_audio(wave(64_000))
    report = limit_report(vector_to_smplx(pose_TP, body.hands).rotations)
    assert report.frames_over == 0
    with torch.no_grad():
        features_TF = extract_features(wave(64_000), kind=made.features)
        speech = torch.from_numpy(features_TF)[None]
        raw = made.network(speech, torch.zeros(1, speech.shape[1], made.network.noise))[0][0]
    assert limit_report(vector_to_smplx(raw, body.hands).rotations).frames_over > 0.5


@pytest.mark.parametrize(
    "arguments", [(), ("--look_ahead", "0"), ("--features", "logmel"), ("--features", "snr")]
)
def test_streaming_equals_offline_prediction(body: Body, arguments: tuple[str, ...]):
    made = predictor(body, *arguments, wild=0.3)
    audio_S = wave(50_000)
    cuts = [0, 1, 3, 4_000, 4_000, 30_000, len(audio_S)]
    chunks = [audio_S[a:b] for a, b in pairwise(cuts)]
    streamed = torch.cat(list(made.stream_from_audio(chunks, seed=4)))
    whole = made.predict_from_audio(audio_S, seed=4)
    torch.testing.assert_close(streamed, whole, rtol=1e-4, atol=1e-4)


def test_poses_are_delayed_by_the_look_ahead_only(body: Body):
    made, taken, given = predictor(body), 0, 0

    def chunks() -> Iterator[np.ndarray]:
        nonlocal taken
        for chunk_S in np.split(wave(32_000), 100):
            taken += len(chunk_S)
            yield chunk_S

    features = feature_set(made.features)
    delay, late = MARGIN + features.reach * HOP, features.delay + made.network.look_ahead
    for pose_TP in made.stream_from_audio(chunks()):
        given += len(pose_TP)
        if taken < 32_000:
            frames = (taken // HOP * HOP - delay) // 640  # the gain is known at the end of 10 ms
            assert given == max(frames - late, 0)
    assert delay + HOP + (late + 1) * 640 <= 0.35 * 16_000


def test_face_motion_scale_scales_the_face_only(body: Body):
    usual, wider = (predictor(body, "--face_motion_scale", a, wild=0.01) for a in ("1", "1.5"))
    one_TP, other_TP = (made.predict_from_audio(wave(32_000)) for made in (usual, wider))
    rest_P = usual.rest_pose()
    assert torch.equal(rest_P, wider.rest_pose())
    face = slice(POSE_SLICES["expression"].start, POSE_SLICES["jaw"].stop)
    torch.testing.assert_close(
        other_TP[:, face] - rest_P[face], 1.5 * (one_TP[:, face] - rest_P[face])
    )
    body_part = slice(0, POSE_SLICES["right_hand"].stop)
    assert torch.equal(one_TP[:, body_part], other_TP[:, body_part])
    assert not torch.equal(one_TP[:, face], other_TP[:, face])


def test_joint_limits_hold_for_a_scaled_face(body: Body):
    pose_TP = predictor(body, "--face_motion_scale", "4").predict_from_audio(wave(32_000))
    assert limit_report(vector_to_smplx(pose_TP, body.hands).rotations).frames_over == 0


def test_the_face_is_at_rest_in_silence(body: Body):
    usual, wider = (predictor(body, "--face_motion_scale", a, wild=0.01) for a in ("1", "4"))
    silence = np.zeros(64_000, np.float32)
    torch.testing.assert_close(
        wider.predict_from_audio(silence)[-10:], usual.predict_from_audio(silence)[-10:]
    )


def test_seeds_change_hands_and_not_lips(body: Body):
    made = predictor(body, wild=0.3)
    one, same, other = (made.predict_from_audio(wave(32_000), seed=seed) for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert torch.equal(one[:, -13:], other[:, -13:])
    assert not torch.equal(one[:, :93], other[:, :93])
