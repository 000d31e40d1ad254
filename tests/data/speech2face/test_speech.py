"""Speech that content is encoded from: parts side by side, streams, known phones, other voices."""

from pathlib import Path

import numpy as np
import pytest

from speech2video.data.audio2pose.dataset import load_motion_clips
from speech2video.data.speech2face.speech import (
    LipClips,
    encode_speech,
    lips_of_motion,
    mel_frames,
    min_deviations,
    part_sizes,
    recognised_and_known,
    split_parts,
    stream_speech,
)
from speech2video.util.audio.mel import log_mels, normalise_utterance
from speech2video.util.audio.normalisation import speech_features
from speech2video.util.body.body_model import Body
from speech2video.util.errors import DataError
from speech2video.util.metrics.motion import lip_opening
from speech2video.util.text.phones import PHONES, Phone
from tests.speech_clips import write_speech_clips
from tests.tiny_speaker import voice


def test_parts_stand_side_by_side() -> None:
    audio_S = voice(1.3)
    speech_TF = encode_speech(audio_S, "mfcc+mel")
    mfcc_TF, mel_TF = split_parts(speech_TF, "mfcc+mel")
    np.testing.assert_array_equal(mfcc_TF, speech_features(audio_S, "mfcc"))
    mel_BL = normalise_utterance(log_mels(audio_S))
    np.testing.assert_array_equal(mel_TF, mel_frames(mel_BL))
    assert (mel_TF[5].reshape(4, 80) == mel_BL[:, 20:24].T).all()
    assert part_sizes("mfcc+mel") == [mfcc_TF.shape[1], 320]
    assert min_deviations("mfcc+mel").shape == (speech_TF.shape[1],)
    with pytest.raises(DataError, match="known are"):
        encode_speech(audio_S, "mfcc+nothing")


@pytest.mark.parametrize("chunk", [100, 7000, 10**6])
def test_a_stream_equals_the_whole(chunk: int) -> None:
    audio_S = voice(1.3)
    mel_BL = log_mels(audio_S)
    stats = mel_BL.mean(1, keepdims=True), mel_BL.std(1, keepdims=True)
    chunks = (audio_S[begin : begin + chunk] for begin in range(0, len(audio_S), chunk))
    streamed = np.concatenate(list(stream_speech(chunks, "mfcc+mel", *stats)))
    np.testing.assert_allclose(streamed, encode_speech(audio_S, "mfcc+mel"), atol=1e-4)


def test_known_phones_replace_recognised_ones() -> None:
    audio_S, phones = voice(1.0), [Phone("a", 0.4, 0.6)]
    plain_TF, known_TF = recognised_and_known(audio_S, "phonetic+mel", phones=phones)
    changed_T = (plain_TF != known_TF).any(1)
    assert changed_T[11:14].all() and not changed_T[:9].any() and not changed_T[16:].any()
    np.testing.assert_array_equal(plain_TF[:, -320:], known_TF[:, -320:])
    assert known_TF[12, PHONES.index("a")] > 0.9
    mel_BL = log_mels(audio_S)
    stats = mel_BL.mean(1, keepdims=True), mel_BL.std(1, keepdims=True)
    streamed = np.concatenate(
        list(stream_speech(np.array_split(audio_S, 9), "phonetic+mel", *stats, phones=phones))
    )
    np.testing.assert_allclose(streamed, known_TF, atol=1e-4)


def test_lips_of_motion_are_the_mouths_shapes_whatever_the_head_does(tmp_path: Path) -> None:
    body = Body.load()
    write_speech_clips(tmp_path, body)
    clip = load_motion_clips(tmp_path, body)[0]
    lips_TL = lips_of_motion(clip, body)
    opening_T = lip_opening(body.points(clip.pose_TP).numpy())
    assert lips_TL.shape == (len(clip), 4)
    assert np.corrcoef(lips_TL[:, 0], opening_T)[0, 1] > 0.95


def test_other_voices_are_sampled_with_their_lips(tmp_path: Path) -> None:
    write_speech_clips(tmp_path, Body.load())
    clips = LipClips(tmp_path, "mfcc+mel", num_augmentations=2)
    one, again = (clips.sample(np.random.default_rng(1), 60) for _ in range(2))
    assert one[0].shape == (60, sum(part_sizes("mfcc+mel"))) and one[1].shape == (60, 4)
    assert one[0].dtype == one[1].dtype == np.float32
    for first, second in zip(one, again, strict=True):
        np.testing.assert_array_equal(first, second)
    dropped = [
        not clips.sample(np.random.default_rng(seed), 60)[0][:, -320:].any() for seed in range(40)
    ]
    assert 4 < sum(dropped) < 20
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError):
        LipClips(tmp_path / "none", "mel")
