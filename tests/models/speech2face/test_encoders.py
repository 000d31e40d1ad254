"""Speech encoders stream, identity is a unit vector, generated motion stays in range."""

import pytest
import torch

from speech2video.data.speech2face.speech import part_sizes
from speech2video.models.speech2face.encoders import (
    UNSEEN_LOGIT,
    ContentEncoder,
    EmotionEncoder,
    HeadMotionGenerator,
    IdentityEncoder,
)


def mels(count: int = 2, frames: int = 25) -> torch.Tensor:
    return torch.randn(count, 80, 4 * frames, generator=torch.Generator().manual_seed(0))


def test_identity_is_a_unit_vector_of_each_voice() -> None:
    encoder = IdentityEncoder(widths=(16, 24, 24, 32))
    together = encoder(mels(3))
    assert together.shape == (3, 128)
    torch.testing.assert_close(together.norm(dim=1), torch.ones(3))
    alone = torch.cat([encoder(mel[None]) for mel in mels(3)])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)


def test_untrained_emotions_are_never_predicted() -> None:
    encoder = EmotionEncoder(widths=(8, 8, 16, 16))
    assert encoder(mels()).shape == (2, 8)
    encoder.trained[3:] = 0
    logits = encoder(mels())
    assert (logits[:, 3:] == UNSEEN_LOGIT).all() and (logits[:, :3] > UNSEEN_LOGIT / 2).all()


def speech(features: str) -> torch.Tensor:
    torch.manual_seed(2)
    return torch.randn(2, 25, sum(part_sizes(features)))


@pytest.mark.parametrize("features", ["mel", "mfcc", "mfcc+mel"])
@pytest.mark.parametrize("pieces", [[1] * 25, [3, 1, 20, 1], [24, 1]])
def test_content_streams_as_a_whole(pieces: list[int], features: str) -> None:
    encoder, speech_NTF = ContentEncoder(features=features), speech(features)
    whole, _ = encoder(speech_NTF)
    assert whole.shape == (2, 25, 256)
    state, parts = None, []
    for part in speech_NTF.split(pieces, 1):
        content, state = encoder(part, state)
        parts.append(content)
    torch.testing.assert_close(torch.cat(parts, 1), whole, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("features", ["mel", "mfcc+mel"])
def test_content_depends_on_look_ahead_frames_only(features: str) -> None:
    encoder, before_NTF = ContentEncoder(features=features, look_ahead=5), speech(features)
    changed = before_NTF.clone()
    changed[:, 16:] += 1
    before, after = encoder(before_NTF)[0], encoder(changed)[0]
    late = encoder.look_ahead
    same = (before == after).all(2).all(0)
    assert same[:16].all() and not same[16:].any()
    assert same[late:][: 16 - late].all()  # of frames up to 10, with a look-ahead of 5


def test_generated_motion_stays_in_the_training_range() -> None:
    network = HeadMotionGenerator(3)
    network.mean[:] = torch.tensor([1.0, 0.0, -1.0])
    network.lowest[:], network.highest[:] = network.mean - 0.01, network.mean + 0.01
    noise = torch.randn(1, 50, 16)
    motion, _ = network(noise)
    units = network.denormalise(10 * motion)
    assert ((units - network.mean).abs() <= 0.01 + 1e-6).all()
    torch.testing.assert_close(
        network.normalise(network.mean + 2 * network.std), torch.full((3,), 2.0)
    )
    memory, parts = None, []
    for one in noise.split(1, 1):
        part, memory = network(one, memory)
        parts.append(part)
    torch.testing.assert_close(torch.cat(parts, 1), motion, atol=1e-5, rtol=1e-4)
