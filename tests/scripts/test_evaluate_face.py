"""`scripts/evaluate.py face` with toy systems: a perfect copy, a constant face, delays."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import evaluate
import numpy as np
import pytest
import torch
from evaluation import face, face_metrics, face_systems
from evaluation.face_metrics import face_lip_opening, lip_curve, lip_metrics
from evaluation.face_systems import (
    LATE,
    Run,
    Systems,
    balanced_subset,
    contrasting_clip,
    fit_length,
    load_runs,
    load_split,
    mean_face,
)
from evaluation.lip_sync import MAX_LAG, loudness, ruled_mouth
from evaluation.tables import ClipTable

from speech2video.data.speech2face.clip import FaceRecording, split_faces
from speech2video.options.evaluation import EvaluateFaceOptions
from speech2video.options.speech2face import TrainSpeech2FaceOptions
from speech2video.util.audio.audio_io import write_audio
from speech2video.util.body.body_model import Body
from speech2video.util.body.pose_vector import POSE_SIZE
from speech2video.util.errors import DataError
from speech2video.util.metrics.image import IDENTICAL_DB
from speech2video.util.metrics.motion import lip_opening
from speech2video.util.text.transcript import Phone, write_phones
from speech2video.util.timing import SAMPLE_RATE, frame_count
from tests.face_clips import FRAMES, SIZE, write_face_clips
from tests.shared import run_here
from tests.toy_faces import (
    SPEAKERS,
    TOY_EMOTIONS,
    ConstantFace,
    OracleFace,
    ToyMesh,
    draw,
    recordings,
)

CLIPS = 4


@pytest.fixture(scope="module")
def classifiers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for classifiers, which are trained once."""
    return tmp_path_factory.mktemp("classifiers")


@pytest.fixture(scope="module")
def clips() -> list[FaceRecording]:
    """All toy clips."""
    return recordings()


def run_evaluation(
    system: Run,
    clips: list[FaceRecording],
    folders: tuple[Path, Path],
    monkeypatch: pytest.MonkeyPatch,
    *more: object,
    others: dict[str, Run] | None = None,
    held: tuple[str, ...] = (),
) -> Any:
    """Return metrics.json of a system without checkpoint."""
    output, classifiers = folders
    monkeypatch.setattr(face_systems, "load_runs", lambda _: (system, others or {}))
    monkeypatch.setattr(
        face_systems, "load_split", lambda *_: split_faces(clips, held_out_speakers=held)
    )
    monkeypatch.setattr(face_metrics, "FaceDetector", ToyMesh)
    arguments = ["--name", "toy", "--output", output, "--classifiers", classifiers]
    arguments += ["--classifier_steps", 60, "--clips", CLIPS, "--bootstrap_samples", 20]
    arguments += ["--seeds", 2, "--emotion_clips", 3, "--emotion_pairs", 3]
    arguments += ["--video_clips", 1, "--study_clips", 2]
    assert run_here(monkeypatch, evaluate.main, "face", *arguments, *more) == 0
    return json.loads((output / "metrics.json").read_text())


def test_a_perfect_copy_has_perfect_metrics(
    clips: list[FaceRecording], classifiers: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = {"speech_and_reference": ConstantFace()}
    metrics = run_evaluation(
        OracleFace(), clips, (tmp_path, classifiers), monkeypatch, others=others
    )
    observed = metrics["observed_speakers"]
    lips, image = observed["lips"], observed["image"]
    assert lips["lip_correlation"]["model"] == pytest.approx(1)
    assert lips["lag_frames"]["model"] == 0 and lips["mouth_error"]["model"] == 0
    assert lips["lip_range"]["model"] == pytest.approx(1) and lips["detected"]["model"] == 1
    assert image["psnr"]["model"] == IDENTICAL_DB
    assert image["ssim"]["model"] == pytest.approx(1, abs=1e-3)  # flat areas are rounded
    assert image["sharpness"]["model"] == image["sharpness"]["real"]
    distances = image["frechet_classifier_distance"]
    assert distances["model"] == distances["real"] < 0.01 * distances["mean_face"]
    for part in ("identity", "emotion"):
        for row in observed[part].values():
            assert row["model"] == pytest.approx(row["real"])
    assert observed["identity"]["top_1"]["real"] == observed["emotion"]["macro_f1"]["real"] == 1
    assert observed["emotion"]["accuracy_relative_to_real"]["model"] == 1

    assert lips["lag_frames"]["late_speech"] == LATE
    assert abs(lips["lip_correlation"]["late_speech"]) < 0.6
    assert abs(lips["lip_correlation"]["other_speech"]) < 0.6
    assert observed["identity"]["top_1"]["other_speech"] == 0
    assert observed["emotion"]["accuracy"]["other_speech"] == 0
    assert observed["identity"]["top_1"]["late_speech"] == 1
    for system in ("reference_image", "mean_face", "speech_and_reference"):
        assert lips["lip_correlation"][system] == 0 == image["flicker"]["reference_image"]
    assert observed["identity"]["top_1"]["reference_image"] == 1

    assert metrics["voices"]["voice_top_1"] == metrics["voices"]["emotion_accuracy"] == 1
    probes = metrics["probes"]
    assert probes["speaker_in_identity_code"]["accuracy"] == 1
    assert probes["emotion_in_emotion_code"]["accuracy"] == 1
    assert probes["speaker_in_emotion_code"]["times_chance"] <= 1.5
    assert metrics["named_emotions"]["all"]["recognised"] == 1
    assert set(metrics["named_emotions"]) == {*TOY_EMOTIONS, "all"}
    assert metrics["emotion_transfer"]["transferred"]["emotion_of_b"] == 1
    assert metrics["emotion_transfer"]["transferred"]["identity_of_a"] == 1
    assert metrics["emotion_transfer"]["original"]["emotion_of_b"] == 0
    row = observed["model_intervals"]["lips lip_correlation"]
    assert row["improvement_over_reference_image"]["low"] > 0.9
    assert all(row["deviation"] == 0 for row in observed["model_by_seed"].values())
    assert set(observed["model_by_speaker"]) == set(SPEAKERS)
    assert metrics["summary"]["voice_to_face_top_1"] == 1
    assert metrics["summary"]["lip_correlation_with_reference_image"] == 0
    assert {"fid", "lpips"} <= set(metrics["unavailable"]) | set(observed["image"])


@pytest.mark.slow
def test_a_constant_face_is_at_chance(
    clips: list[FaceRecording], classifiers: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    metrics = run_evaluation(ConstantFace(), clips, (tmp_path, classifiers), monkeypatch)
    observed = metrics["observed_speakers"]
    assert observed["identity"]["top_1"]["model"] == 1 / len(SPEAKERS)  # one clip each
    assert observed["lips"]["lip_correlation"]["model"] == 0
    assert observed["lips"]["lag_frames"]["model"] is None
    assert metrics["voices"]["voice_one_of_two"] == pytest.approx(0.5, abs=0.3)
    assert metrics["probes"]["speaker_in_identity_code"]["times_chance"] < 2.5
    assert metrics["named_emotions"]["all"]["recognised"] == pytest.approx(1 / len(TOY_EMOTIONS))
    assert metrics["named_emotions"]["all"]["identity_drop"] == pytest.approx(0)


def test_unseen_speakers_have_their_own_tables(
    clips: list[FaceRecording], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = (tmp_path, tmp_path / "classifiers")
    more = ("--clips", 2, "--classifier_steps", 2, "--study_clips", 0)
    more += ("--emotion_clips", 0, "--emotion_pairs", 0)
    held = {"held": (SPEAKERS[0],)}
    metrics = run_evaluation(
        OracleFace(), clips, folders, monkeypatch, *more, "--no-landmarks", **held
    )
    unseen = metrics["unseen_speakers"]
    assert unseen["clips"] == 2 and "top_1" not in unseen["identity"]
    assert "lips" not in unseen and "named_emotions" not in metrics
    assert "user_study" not in metrics and not (tmp_path / "study").exists()
    assert unseen["image"]["psnr"]["model"] == IDENTICAL_DB
    assert metrics["about"]["training_speakers"] == len(SPEAKERS) - 1


def test_the_study_does_not_contain_its_key(
    clips: list[FaceRecording], classifiers: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    more = ("--clips", 2, "--emotion_clips", 0, "--emotion_pairs", 0, "--no-landmarks")
    others = {"speech_and_reference": ConstantFace()}
    metrics = run_evaluation(
        OracleFace(), clips, (tmp_path, classifiers), monkeypatch, *more, others=others
    )
    assert metrics["user_study"]["result"] == "not done" and metrics["user_study"]["pairs"] == 4
    key = json.loads((tmp_path / "study_key.json").read_text())
    page = (tmp_path / "study" / "index.html").read_text()
    assert len(key) == 4
    for code, row in key.items():
        assert {row["left"], row["right"]} in ({"real", "model"}, {"model", "speech_and_reference"})
        assert row["clip"] not in page
        for side in ("left", "right"):
            assert f"{code}_{side}.mp4" in page
            video = (tmp_path / "study" / f"{code}_{side}.mp4").read_bytes()
            assert face.STUDY_COMMENT.encode() in video
    assert "study_key" not in page and "speech_and_reference" not in page
    (name,) = metrics["real_model_and_baseline"].values()
    assert (tmp_path / name).is_file()


def test_lips_of_other_voices_are_compared_with_the_rules(
    body: Body, clips: list[FaceRecording], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    phones = [Phone("a", 0.4, 0.8), Phone("m", 0.8, 1.0), Phone("a", 1.2, 1.5)]
    ruled_TK3 = body.points(ruled_mouth(torch.zeros(51, POSE_SIZE), phones, body)).numpy()
    opening_T = lip_opening(ruled_TK3)

    class RuledFace(OracleFace):
        def generate(self, audio_S: np.ndarray, *, seed: int = 0, **_: object) -> np.ndarray:
            late = 2 * (len(audio_S) > 32_000)
            opened_T = np.roll(opening_T / opening_T.max(), late)
            return draw(0, 0, opened_T[: frame_count(len(audio_S))])

    write_phones(tmp_path / "phones.csv", phones)
    given = []
    for name, seconds in (("timely", 2.0), ("late", 2.01)):
        write_audio(tmp_path / f"{name}.wav", np.zeros(round(seconds * SAMPLE_RATE), np.float32))
        given.append(tmp_path / f"{name}.wav")
    more = ["--audio", *given, "--phones", tmp_path / "phones.csv", tmp_path / "phones.csv"]
    folders = (tmp_path / "out", tmp_path)
    metrics = run_evaluation(RuledFace(), clips, folders, monkeypatch, *more)
    rows = metrics["lips_with_rules"]
    assert rows["timely"]["correlation"] > 0.98 and rows["timely"]["lag_frames"] == 0
    assert rows["late"]["lag_frames"] == 2 and rows["late"]["best_correlation"] > 0.98
    assert rows["mean"]["lag_frames"] == 1
    assert {path.name for path in (tmp_path / "out").glob("*.mp4")} == {"timely.mp4", "late.mp4"}
    assert (tmp_path / "out" / metrics["lip_openings"]["late"]).is_file()


def test_late_lips_have_a_positive_lag(clips: list[FaceRecording]) -> None:
    real_TK2 = ToyMesh().points(clips[0].frames_T3HW)
    for lag in (-3, 0, 4):
        curve_L = lip_curve(np.roll(real_TK2, lag, axis=0), real_TK2)
        assert curve_L.argmax() - MAX_LAG == lag
    expected = pytest.approx(face_lip_opening(real_TK2))
    assert face_lip_opening(2 * real_TK2 + 7) == expected


def test_undetected_mouths_have_no_correlation(clips: list[FaceRecording]) -> None:
    real_TK2 = ToyMesh().points(clips[0].frames_T3HW)
    loudness_T = loudness(clips[0].audio_S, len(clips[0]))
    missing = lip_metrics(np.full_like(real_TK2, np.nan), real_TK2, loudness_T)
    assert missing["detected"] == missing["lip_correlation"] == 0 and np.isnan(
        missing["mouth_error"]
    )
    same = lip_metrics(real_TK2, real_TK2, loudness_T)
    assert same["lip_correlation"] == pytest.approx(1) and same["mouth_error"] == 0
    unknown = lip_metrics(real_TK2, np.full_like(real_TK2, np.nan), loudness_T)
    assert np.isnan(unknown["lip_correlation"])


def test_videos_a_few_frames_short_repeat_the_last(clips: list[FaceRecording]) -> None:
    frames = clips[0].frames_T3HW
    held = fit_length(frames[:-2], len(frames))
    assert len(held) == len(frames) and (held[-1] == frames[-3]).all()
    with pytest.raises(DataError, match="frames generated"):
        fit_length(frames[:5], len(frames))


def test_subsets_are_balanced_over_speakers(clips: list[FaceRecording]) -> None:
    chosen = balanced_subset(clips, len(SPEAKERS))
    assert {r.speaker for r in chosen} == set(SPEAKERS)
    assert len({r.emotion for r in balanced_subset(clips, 12)}) > 1
    assert balanced_subset(clips, None) == balanced_subset(clips, 1000) == clips
    for index, clip in enumerate(clips):
        other = contrasting_clip(clips, index)
        assert other.speaker != clip.speaker and other.emotion != clip.emotion


def test_no_more_clips_are_loaded_than_asked_for(tmp_path: Path) -> None:
    dataset = write_face_clips(tmp_path / "faces")
    trained = TrainSpeech2FaceOptions(name="run", dataset=dataset, checkpoints=tmp_path)
    trained.folder.mkdir(parents=True)
    trained.save(trained.folder / "options.json")
    (trained.folder / "model.safetensors").touch()
    options = EvaluateFaceOptions(name="run", checkpoints=tmp_path, output=tmp_path / "out")
    whole = load_split(options, SIZE)
    assert [len(clip) for clip in whole.observed] == len(whole.observed) * [FRAMES]
    some = load_split(replace(options, loaded_clips=2, frames=25), SIZE)
    for all_clips, chosen in zip(whole[:2], some[:2], strict=True):
        names = [clip.name for clip in all_clips]
        assert len(names) > 2 == len({clip.speaker for clip in chosen})
        assert {clip.name for clip in chosen} < set(names)
    assert [len(clip) for clip in some.observed] == [25, 25]
    assert [len(clip) for clip in some.training] == [FRAMES, FRAMES] and not some.unseen


def test_systems_generate_what_they_are_named_after(clips: list[FaceRecording]) -> None:
    training = [r for r in clips if r.sentence != "s2"]
    systems = Systems(training, OracleFace(), {}, seeds=(0, 1, 2))
    clip = next(r for r in clips if r.sentence == "s2")
    videos = dict(systems.generate(clip, clips[-1]))
    assert [len(seeds) for seeds in videos.values()] == [1, 3, 1, 1, 1, 1]
    assert (videos["mean_face"][0][0] == mean_face(training, clip.speaker)).all()
    assert all(v[0].shape == clip.frames_T3HW.shape for v in videos.values())
    assert (videos["late_speech"][0] == np.roll(clip.frames_T3HW, LATE, axis=0)).all()


def test_means_seeds_and_intervals_of_a_table() -> None:
    table = ClipTable()
    for clip in range(10):
        seeds = [{"top_1": 1.0}, {"top_1": float(clip % 2)}]
        table.add_clip("identity", "model", "ab"[clip % 2], seeds)
        table.add_clip("identity", "reference_image", "ab"[clip % 2], [{"top_1": 0.0}])
    assert table.means()["identity"]["top_1"] == {"model": 0.75, "reference_image": 0.0}
    row = table.by_seed(5)["identity top_1"]
    assert (row["seed 5"], row["seed 6"]) == (1.0, 0.5)
    assert {p: r["top_1"] for p, r in table.by_speaker().items()} == {"a": 0.5, "b": 1.0}
    row = table.intervals(100, 0)["identity top_1"]
    assert row["model"]["low"] <= 0.75 <= row["model"]["high"]
    assert row["improvement_over_reference_image"]["low"] > 0


@pytest.mark.parametrize(
    "arguments, line",
    [
        (("--audio", "a.wav"), "0 files for 1 of --audio"),
        (("--audio", "a.wav", "--phones", "a.csv", "--no-landmarks"), "--no-landmarks"),
    ],
)
def test_options_that_do_not_fit(
    arguments: tuple[str, ...],
    line: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = ("--name", "toy", "--output", tmp_path, *arguments)
    assert run_here(monkeypatch, evaluate.main, "face", *given) == 2
    error = capsys.readouterr().err
    assert line in error and len(error.splitlines()) == 1


def test_a_missing_run_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("--name", "missing", "--checkpoints", tmp_path, "--output", tmp_path / "out")
    assert run_here(monkeypatch, evaluate.main, "face", *arguments) == 2
    error = capsys.readouterr().err
    assert "no checkpoint" in error and len(error.splitlines()) == 1
    assert not (tmp_path / "out").exists()
    with pytest.raises(DataError):
        load_runs(EvaluateFaceOptions(name="n", output=tmp_path, checkpoints=tmp_path))
