from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from speech2video.data import phonetic as data
from speech2video.data.loader import SampleIndex
from speech2video.data.phonetic import PhoneClip
from speech2video.util.audio import phonetic, senones
from speech2video.util.errors import DataError
from speech2video.util.text.phones import PHONE_INDEX, Phone

pytestmark = pytest.mark.skipif(
    not senones.is_available(), reason="the acoustic model is in the package pocketsphinx"
)
MEANS = np.full(phonetic.BANDS, -5.0), np.zeros(senones.CEPSTRA)


def clip(seconds: float = 3.0, seed: int = 0) -> PhoneClip:
    """Return bursts of noise of 0.2 s, each an "s", between as much silence."""
    rng = np.random.default_rng(seed)
    audio_S = rng.normal(scale=0.1, size=round(16_000 * seconds))
    is_burst_S = (np.arange(len(audio_S)) // 3200) % 2 == 1
    starts = np.arange(0.2, seconds - 0.1, 0.4)
    phones = [Phone("s", start, start + 0.2) for start in starts]
    return PhoneClip(f"clip{seed}", "noise", (audio_S * is_burst_S).astype(np.float32), phones)


def test_targets_are_in_time_with_the_inputs():
    copy = data.phonetic_copy(clip(), MEANS)
    assert len(copy.shares_NC) == 150
    assert len(copy.inputs.energy_N) == 150 + phonetic.DELAY
    is_burst_N = copy.shares_NC[:, PHONE_INDEX["s"]] > 0.5
    energy_N = copy.inputs.energy_N[: len(is_burst_N)]
    assert energy_N[is_burst_N].min() > energy_N[~is_burst_N][2:].max() - 0.5
    assert np.corrcoef(energy_N, is_burst_N)[0, 1] > 0.95


@pytest.mark.parametrize("seed", range(6))
def test_augmented_phones_stay_with_their_audio(seed: int):
    changed = data.augment_clip(clip(6.0), np.random.default_rng(seed))
    copy = data.phonetic_copy(changed, MEANS)
    is_burst_N = copy.shares_NC[:, PHONE_INDEX["s"]] > 0.5
    energy_N = copy.inputs.energy_N[: len(is_burst_N)]
    lags = [np.corrcoef(energy_N, np.roll(is_burst_N, lag))[0, 1] for lag in range(-6, 7)]
    assert abs(int(np.argmax(lags)) - 6) <= 1


def test_copies_are_cached_and_read_back(tmp_path: Path):
    clips = [clip(seed=0), clip(seed=1)]
    given = {"count": 2, "seed": 5, "voice_means": MEANS, "jobs": 1}
    first = data.make_copies(clips, cache=tmp_path / "cache", **given)
    paths = sorted((tmp_path / "cache").iterdir())
    assert len(first) == len(paths) == 4
    before = {path: path.stat().st_mtime_ns for path in paths}
    again = data.make_copies(clips, cache=tmp_path / "cache", **given)
    assert {path: path.stat().st_mtime_ns for path in paths} == before
    other = data.make_copies(clips, cache=tmp_path / "other", **given)
    for one, two, three in zip(first, again, other, strict=True):
        np.testing.assert_array_equal(one.shares_NC, two.shares_NC)
        np.testing.assert_array_equal(one.inputs.states_NS, three.inputs.states_NS)


def test_items_follow_from_their_seeds():
    dataset = data.PhoneticDataset([data.phonetic_copy(clip(), MEANS)], seq_len=40)
    first, second, other = (dataset[SampleIndex(0, seed)] for seed in (1, 1, 2))
    for name, tensor in first.items():
        assert (tensor == second[name]).all()
    assert (first["bands"] != other["bands"]).any()
    size = 40 + phonetic.DELAY
    assert first["states"].shape == (size, phonetic.STATE_INPUTS)
    assert first["bands"].shape == (size, phonetic.BAND_INPUTS)
    assert first["shares"].shape[0] == len(first["weight"]) == 40


def test_short_clips_count_as_far_as_they_go():
    dataset = data.PhoneticDataset([data.phonetic_copy(clip(0.5), MEANS)], seq_len=40)
    item = dataset[SampleIndex(0, 3)]
    assert item["weight"].sum() == 26  # 0.52 s: whole frames
    assert (item["shares"][26:] == 0).all()


def test_clips_need_phones(tmp_path: Path):
    with pytest.raises(DataError, match=r"no clips"):
        data.load_phone_clips(tmp_path)


def test_silence_has_no_voice():
    silent = replace(clip(), audio_S=np.zeros(16_000, np.float32))
    with pytest.raises(DataError, match=r"no speech"):
        data.mean_voices([silent])
