"""The LSTM network: streaming, causality, noise and dropout."""

import torch

from speech2video.models.audio2pose.network import LockedDropout, SpeechToPose
from speech2video.models.audio2pose.predictor import branch_slices

FEATURES, NOISE = 9, 2


def network(**changes: object) -> SpeechToPose:
    torch.manual_seed(0)
    options = {
        "hidden": {"face": 8, "body": 12},
        "noisy": ("body",),
        "noise": NOISE,
        "look_ahead": 3,
    }
    return SpeechToPose(FEATURES, branch_slices(), **(options | changes)).eval()


def inputs(frames: int = 40) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(2, frames, FEATURES), torch.randn(2, frames, NOISE)


def test_streaming_equals_one_call():
    net, (speech, noise) = network(), inputs()
    whole, _ = net(speech, noise)
    state, parts = None, []
    for begin, end in ((0, 1), (1, 17), (17, 40)):
        pose, state = net(speech[:, begin:end], noise[:, begin:end], state)
        parts.append(pose)
    torch.testing.assert_close(torch.cat(parts, 1), whole)


def test_later_speech_does_not_change_earlier_poses():
    net, (speech, noise) = network(), inputs()
    other = speech.clone()
    other[:, 20:] += 1
    before, after = net(speech, noise)[0], net(other, noise)[0]
    assert torch.equal(before[:, :20], after[:, :20])
    assert (before[:, 20:] != after[:, 20:]).any()


def test_noise_moves_the_body_and_not_the_face():
    net, (speech, noise) = network(), inputs()
    one, other = net(speech, noise)[0], net(speech, noise + 1)[0]
    assert torch.equal(one[..., -13:], other[..., -13:])  # expression and jaw
    assert (one[..., :93] != other[..., :93]).any()


def test_branches_cover_the_pose_vector_once():
    taken = [
        i
        for parts in branch_slices().values()
        for s in parts.values()
        for i in range(s.start, s.stop)
    ]
    assert sorted(taken) == list(range(106))


def test_dropout_is_the_same_in_all_frames():
    drop = LockedDropout(0.5)
    dropped = drop(torch.ones(4, 10, 32))
    assert torch.equal(dropped, dropped[:, :1].expand_as(dropped))
    assert set(dropped.unique().tolist()) == {0.0, 2.0}
    assert torch.equal(drop.eval()(torch.ones(4, 10, 32)), torch.ones(4, 10, 32))
