"""Pretrained encoders as features: tiny random ones, loaded, streamed, trained with and refused."""

import importlib.util
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import train_audio2pose
from speech2video.data.audio2pose.dataset import load_motion_clips
from speech2video.models.audio2pose.predictor import PosePredictor
from speech2video.options.audio2pose import TrainAudio2PoseOptions
from speech2video.util.audio.audio_io import write_audio
from speech2video.util.audio.encoders import (
    AFTER,
    ARCHITECTURES,
    BEFORE,
    HOP,
    EncoderExtractor,
    EncoderName,
    encoder_info,
    load_encoder,
)
from speech2video.util.audio.features import extract_features, feature_set, make_extractor
from speech2video.util.body.body_model import Body
from speech2video.util.errors import DataError, OptionError
from speech2video.util.timing import SAMPLES_PER_FRAME, frame_count
from tests import inference_command
from tests.speech_clips import write_speech_clips
from tests.training_command import TrainingCommand
from tests.util.audio.signals import bursts, cut

pytestmark = pytest.mark.usefixtures("one_thread")
with_transformers = pytest.mark.skipif(
    importlib.util.find_spec("transformers") is None,
    reason="the extra `encoders` is not installed",
)
HIDDEN, LAYERS = 16, 3
STABLE = "wav2vec2_large"  # norms stand where large models have them
FOLDERS = (*ARCHITECTURES, STABLE)


@pytest.fixture(scope="module")
def encoders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny random model of each kind, as `transformers` saves them."""
    folder = tmp_path_factory.mktemp("encoders")
    for name in FOLDERS:
        make_encoder(folder / name, name)
    return folder


def make_encoder(folder: Path, name: str) -> None:
    import transformers

    transformers.utils.logging.disable_progress_bar()
    torch.manual_seed(0)
    kind = name.split("_")[0]
    prefix = ARCHITECTURES[kind].prefix
    if kind == "whisper":
        sides = ("encoder", "decoder")
        config: dict[str, Any] = {f"{side}_layers": LAYERS for side in sides}
        config |= {f"{side}_attention_heads": 2 for side in sides}
        config |= {f"{side}_ffn_dim": 32 for side in sides}
        config |= {"d_model": HIDDEN, "vocab_size": 8, "decoder_start_token_id": 1}
        config |= dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id"), 0)
        prepare = transformers.WhisperFeatureExtractor()
    else:
        config = {"hidden_size": HIDDEN, "num_hidden_layers": LAYERS, "num_attention_heads": 2}
        config |= {"intermediate_size": 32, "conv_dim": (8,) * 7, "vocab_size": 8}
        config |= {"num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 2}
        if name == STABLE:
            config |= {"do_stable_layer_norm": True, "feat_extract_norm": "layer"}
        prepare = transformers.Wav2Vec2FeatureExtractor(do_normalize=True)
    config = getattr(transformers, f"{prefix}Config")(**config)
    getattr(transformers, f"{prefix}Model")(config).save_pretrained(folder)
    prepare.save_pretrained(folder)


def feature_name(encoders: Path, name: str, layer: int | None = None) -> str:
    return f"{name.split('_')[0]}:{encoders / name}" + ("" if layer is None else f"@{layer}")


@with_transformers
@pytest.mark.parametrize("name", FOLDERS)
def test_chunks_do_not_change_features(encoders: Path, name: str):
    # a whole block, one whose context beyond it is cut short, and a rest
    audio_S, random = bursts((2 * HOP + AFTER / 2) / 16_000 + 0.01), np.random.default_rng(0)
    extractor = make_extractor(feature_name(encoders, name))
    whole_TF = extract_features(audio_S, kind=feature_name(encoders, name))
    for _ in range(2):  # the second stream starts anew
        parts = [*map(extractor.push, cut(audio_S, random)), extractor.finish()]
        assert np.array_equal(np.concatenate(parts), whole_TF)
    assert whole_TF.shape == (frame_count(len(audio_S)), 2 * HIDDEN) and whole_TF.std() > 0.1
    assert extractor.size == feature_set(feature_name(encoders, name)).size == 2 * HIDDEN


@with_transformers
@pytest.mark.parametrize("samples", [0, 1, 640, 641, 127_999, 128_001])
@pytest.mark.parametrize("name", ["wav2vec2", "whisper"])
def test_there_are_as_many_features_as_frames(encoders: Path, name: str, samples: int):
    features_TF = extract_features(bursts(9)[:samples], kind=feature_name(encoders, name))
    assert features_TF.shape == (frame_count(samples), 2 * HIDDEN)
    assert features_TF.dtype == np.float32 and np.isfinite(features_TF).all()


@with_transformers
@pytest.mark.parametrize("name", FOLDERS)
def test_delay_and_memory_are_bounded(encoders: Path, name: str):
    extractor = make_extractor(feature_name(encoders, name))
    assert isinstance(extractor, EncoderExtractor)
    audio_S, given, delays = bursts(27), 0, []
    for begin in range(0, len(audio_S), SAMPLES_PER_FRAME):
        count = len(extractor.push(audio_S[begin : begin + SAMPLES_PER_FRAME]))
        if count:
            delays.append(begin // SAMPLES_PER_FRAME - given)
        given += count
        limit = ARCHITECTURES[name.split("_")[0]].before + 2 * HOP + AFTER
        assert len(extractor._audio_S) <= limit
    assert delays == [extractor.info.delay_frames] * 3
    assert extractor.info.delay_frames / 25 < 8.6


@with_transformers
@pytest.mark.parametrize("name", FOLDERS)
@pytest.mark.parametrize("layer", [1, LAYERS - 1, LAYERS])
def test_features_are_the_hidden_states_of_a_layer(encoders: Path, name: str, layer: int):
    import transformers

    kind, folder = name.split("_")[0], encoders / name
    prefix = ARCHITECTURES[kind].prefix
    model = getattr(transformers, f"{prefix}Model").from_pretrained(folder).eval()
    model = model.encoder if kind == "whisper" else model
    audio_S = bursts(2.0)
    ahead, past = encoder_info(feature_name(encoders, name)).margins
    prepare = transformers.AutoFeatureExtractor.from_pretrained(folder)
    padded_S = np.pad(audio_S, (ahead, past))
    (values,) = prepare(padded_S, sampling_rate=16_000, return_tensors="pt").values()
    with torch.no_grad():
        output = model(values, output_hidden_states=True)
    # releases of transformers differ in whether the last state is normalised; its output is
    states = output.last_hidden_state if layer == LAYERS else output.hidden_states[layer]
    expected_NH = states[0, int(kind == "whisper") :][:100].numpy()
    for text in {feature_name(encoders, name, layer), feature_name(encoders, name)}:
        if "@" in text or layer == LAYERS:
            features_TF = extract_features(audio_S, kind=text)
            np.testing.assert_allclose(features_TF.reshape(100, HIDDEN), expected_NH, atol=1e-4)


@with_transformers
@pytest.mark.parametrize("name", ["wav2vec2", "whisper"])
def test_loading_takes_no_random_numbers(encoders: Path, name: str):
    before = torch.get_rng_state()
    load_encoder.__wrapped__(feature_name(encoders, name))
    assert torch.equal(torch.get_rng_state(), before)


@with_transformers
@pytest.mark.parametrize("name", ["wav2vec2", "whisper"])
def test_features_lie_in_the_frame_of_their_audio(encoders: Path, name: str):
    def first_stages(audio_S: np.ndarray) -> np.ndarray:
        """Return what the convolutions give (N, H), which attention does not blur."""
        encoder = load_encoder(feature_name(encoders, name))
        kept, padded_S = [], np.pad(audio_S, encoder_info(feature_name(encoders, name)).margins)
        stage = encoder._model.conv2 if name == "whisper" else encoder._model.feature_extractor
        hook = stage.register_forward_hook(lambda _, __, output: kept.append(output))
        count = len(encoder.encode(padded_S))
        hook.remove()
        return kept[0][0].T.numpy()[int(name == "whisper") :][:count]

    quiet_S = np.random.default_rng(0).normal(0, 1e-3, 16_000).astype(np.float32)
    for step in (10, 25, 40):
        click_S = quiet_S.copy()
        click_S[320 * step + 159 : 320 * step + 161] = (0.9, -0.9)  # the middle of its 20 ms
        change_N = np.abs(first_stages(click_S) - first_stages(quiet_S)).sum(1)
        around = change_N[step - 3 : step + 4] - change_N.min()
        center = (around * np.arange(-3, 4)).sum() / around.sum()
        assert abs(center) < 0.5


@with_transformers
@pytest.mark.parametrize(
    ("name", "prefix"),
    [
        ("wav2vec2", "wav2vec2."),  # as in Wav2Vec2ForCTC
        ("whisper", "model."),  # as in WhisperForConditionalGeneration
    ],
)
def test_models_with_a_head_and_in_parts_are_loaded(
    encoders: Path, tmp_path: Path, name: str, prefix: str
):
    from safetensors.torch import load_file, save_file

    shutil.copytree(encoders / name, tmp_path / "encoder")
    path = tmp_path / "encoder" / "model.safetensors"
    weights = {prefix + key: value for key, value in load_file(path).items()}
    if name == "wav2vec2":  # as weight norm was called once
        weights = {
            key.replace("parametrizations.weight.original0", "weight_g").replace(
                "parametrizations.weight.original1", "weight_v"
            ): value
            for key, value in weights.items()
        }
        assert any("weight_g" in key for key in weights)
        weights["lm_head.weight"] = torch.zeros(8, HIDDEN)
    path.unlink()
    index = {}
    for part, keys in enumerate((sorted(weights)[::2], sorted(weights)[1::2])):
        file = f"model-{part + 1:05d}-of-00002.safetensors"
        save_file({k: weights[k] for k in keys}, path.with_name(file), metadata={"format": "pt"})
        index |= dict.fromkeys(keys, file)
    text = json.dumps({"metadata": {}, "weight_map": index})
    path.with_name("model.safetensors.index.json").write_text(text)
    made, expected = (
        extract_features(bursts(1.0), kind=f"{name}:{folder}")
        for folder in (tmp_path / "encoder", encoders / name)
    )
    assert np.array_equal(made, expected)


@with_transformers
def test_later_blocks_know_the_audio_before_them(encoders: Path):
    audio_S = bursts(20.0)
    other_S = audio_S.copy()
    other_S[: HOP - BEFORE] *= -0.5  # what block 1 does not reach
    one, other = (
        extract_features(a, kind=feature_name(encoders, "hubert")) for a in (audio_S, other_S)
    )
    frames = HOP // SAMPLES_PER_FRAME
    assert not np.array_equal(one[:frames], other[:frames])
    changed_S = audio_S.copy()
    changed_S[HOP - BEFORE // 2 : HOP] *= -0.5
    changed = extract_features(changed_S, kind=feature_name(encoders, "hubert"))
    assert not np.array_equal(one[frames : 2 * frames], changed[frames : 2 * frames])
    assert np.array_equal(one[2 * frames :], changed[2 * frames :])


@with_transformers
@pytest.mark.skipif(
    importlib.util.find_spec("espeakng_loader") is None, reason="the extra `demo` is not installed"
)
def test_a_speaker_is_trained_and_animated_with_an_encoder(
    encoders: Path, tmp_path: Path, body: Body, monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture,
):  # fmt: skip
    shutil.copytree(encoders / "wav2vec2", tmp_path / "base")
    dataset = write_speech_clips(tmp_path / "dataset", body)
    small = (
        *("--hidden_size", "8", "--layers", "1", "--seq_len", "16", "--batch_size", "4"),
        *("--num_augmentations", "2", "--held_out", "001", "--device", "cpu", "--name", "own"),
    )
    trainer = TrainingCommand(train_audio2pose.main, "audio2pose", small)
    features = ("--features", f"wav2vec2:{tmp_path / 'base'}@2")
    runs = tmp_path / "runs"
    assert trainer.run(dataset, runs, "--steps", 2, *features) == 0
    assert trainer.run(dataset, runs, "--steps", 3) == 0  # resumed, with the run's features
    predictor = PosePredictor.load(runs / "own" / "audio2pose")
    clip = load_motion_clips(dataset, body)[0]
    pose_TP = predictor.predict_from_audio(clip.audio_S)
    assert pose_TP.shape == (len(clip), 106) and torch.isfinite(pose_TP).all()
    assert not list((runs / "own").rglob("*wav2vec2*"))  # the encoder stays where it is

    speech, video = tmp_path / "speech.wav", tmp_path / "speech.mp4"
    write_audio(speech, bursts(1.0))
    given = ("--name", "own", "--audio", speech, "--skeleton", "--output", video)
    assert inference_command.run(monkeypatch, runs, *given) == 0
    assert len(inference_command.read(video)[0]) == 25
    shutil.move(tmp_path / "base", tmp_path / "elsewhere")
    encoder_info.cache_clear()
    capfd.readouterr()
    assert inference_command.run(monkeypatch, runs, *given) == 2
    errors = [line for line in capfd.readouterr().err.splitlines() if line.startswith("error")]
    assert len(errors) == 1 and f"{tmp_path / 'base'} is no folder" in errors[0]


def edit_json(change: Callable[[dict[str, Any]], Any], name: str) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        values = json.loads((folder / name).read_text())
        change(values)
        (folder / name).write_text(json.dumps(values))

    return edit


def pickle_weights(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def drop_a_weight(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    dropped = next(key for key in weights if "layers.1" in key)
    weights.pop(dropped)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "no config": (lambda f: (f / "config.json").unlink(), "no config.json"),
    "broken config": (lambda f: (f / "config.json").write_text("{"), "config.json"),
    "no object": (lambda f: (f / "config.json").write_text("[]"), "of type None"),
    "other kind": (edit_json(lambda v: v.update(model_type="bert"), "config.json"), "'bert'"),
    "other size": (
        edit_json(lambda v: v.update(hidden_size=32), "config.json"),
        "",  # releases of transformers report it at different places
    ),
    "other rate": (
        edit_json(lambda v: v.update(conv_stride=[5, 2, 2, 2, 2, 2, 1]), "config.json"),
        "one step in 160 samples",
    ),
    "pickle": (pickle_weights, "save_pretrained"),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), "no model.safetensors"),
    "no part": (
        lambda f: (
            (f / "model.safetensors").rename(f / "part")
            and (f / "model.safetensors.index.json").write_text('{"weight_map": {"a": "b"}}')
        ),
        "not all of its parts",
    ),
    "cut off": (lambda f: (f / "model.safetensors").write_bytes(b"\x09\0\0"), ""),
    "lacking": (drop_a_weight, "the weights lack"),
    "other clock": (
        edit_json(lambda v: v.update(sampling_rate=8000), "preprocessor_config.json"),
        "8000 samples a second",
    ),
}


@with_transformers
@pytest.mark.parametrize("case", DAMAGE)
def test_an_unsuitable_folder_is_named(encoders: Path, tmp_path: Path, case: str):
    damage, words = DAMAGE[case]
    shutil.copytree(encoders / "wav2vec2", tmp_path / "encoder")
    damage(tmp_path / "encoder")
    with pytest.raises(DataError) as error:
        make_extractor(f"wav2vec2:{tmp_path / 'encoder'}")
    message = str(error.value)
    assert words in message and str(tmp_path) in message and "\n" not in message


@with_transformers
@pytest.mark.parametrize("layer", [0, LAYERS + 1])
def test_a_layer_that_is_not_there_is_named(encoders: Path, layer: int):
    with pytest.raises(DataError, match=f"no layer {layer}; the encoder has layers 1 to {LAYERS}"):
        make_extractor(feature_name(encoders, "whisper", layer))


@with_transformers
def test_a_whisper_of_other_windows_is_refused(encoders: Path, tmp_path: Path):
    shutil.copytree(encoders / "whisper", tmp_path / "encoder")
    shorter = edit_json(lambda values: values.update(max_source_positions=750), "config.json")
    shorter(tmp_path / "encoder")
    with pytest.raises(DataError, match="1500, of 30 s, are needed"):
        make_extractor(f"whisper:{tmp_path / 'encoder'}")


@with_transformers
def test_the_hub_is_asked_where_there_is_no_folder(
    encoders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture
):
    import huggingface_hub

    asked = []

    def download(name: str, *, local_files_only: bool = False, allow_patterns: object = ()) -> str:
        asked.append((name, local_files_only))
        if local_files_only:
            raise FileNotFoundError("not downloaded")
        assert not {pattern for pattern in allow_patterns if "bin" in pattern or "py" in pattern}
        if name != "owner/tiny":
            raise ValueError("401 Client Error\nfor url: https://huggingface.co/...")
        return str(encoders / "wav2vec2")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    monkeypatch.chdir(tmp_path)
    assert make_extractor("wav2vec2:owner/tiny").size == 2 * HIDDEN
    assert asked == [("owner/tiny", True), ("owner/tiny", False)]
    assert "note: wav2vec2:owner/tiny: owner/tiny is no folder here" in capfd.readouterr().err
    with pytest.raises(DataError, match=r"not give it: 401 Client Error$"):
        make_extractor("wav2vec2:owner/none")
    asked.clear()
    with pytest.raises(DataError, match="models/here is no folder here; a trained run needs"):
        make_extractor("wav2vec2:./models/here")
    shutil.copytree(encoders / "wav2vec2", tmp_path / "owner" / "local")
    assert make_extractor("wav2vec2:owner/local").size == 2 * HIDDEN
    assert not asked


def test_without_the_package_one_line_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(DataError, match=r"pip install 'speech2video\[encoders\]'"):
        make_extractor(f"wav2vec2:{tmp_path}")


def test_names_are_read_without_the_package(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    names = {
        "wav2vec2:models/base": ("wav2vec2", "models/base", None),
        "hubert:a/b@9": ("hubert", "a/b", 9),
        "wavlm:C:\\models\\a@b": ("wavlm", "C:\\models\\a@b", None),
        "whisper:/a b@c/d@12": ("whisper", "/a b@c/d", 12),
    }
    for text, parts in names.items():
        name = EncoderName.parse(text)
        assert name == EncoderName(*parts) and str(name) == text
        assert TrainAudio2PoseOptions(name="a", dataset=Path("b"), features=text).features == text
    for text in ("bert:a", "wav2vec2", "wav2vec2:", "wav2vec2:@3", "mfcc:a", ""):
        with pytest.raises(OptionError, match=r"--features '.*': known are mfcc, .*wav2vec2"):
            TrainAudio2PoseOptions(name="a", dataset=Path("b"), features=text)
