"""`scripts/evaluate.py face`: a copy is perfect, chance is chance, what comes late is late."""

import json
from pathlib import Path
from typing import Any

import evaluate
import numpy as np
import pytest
from evaluation import face
from evaluation import face_metrics as face_bench
from evaluation.face_metrics import lip_curve, lip_metrics, opening
from evaluation.face_study import COMMENT
from evaluation.face_systems import (
    LATE,
    FaceSpeaker,
    Systems,
    contrasting_clip,
    fitted,
    load_runs,
    mean_face,
    spread,
)
from evaluation.lip_sync import LONGEST_LAG, loudness
from evaluation.tables import ClipTable

from speech2video.data.speech2face.clip import FaceRecording, split_faces
from speech2video.options.evaluation import EvaluateFaceOptions
from speech2video.util.errors import DataError
from speech2video.util.metrics.image import IDENTICAL_DB
from tests.shared import run_here
from tests.toy_faces import (
    SIZE,
    SPEAKERS,
    TOY_EMOTIONS,
    ConstantFace,
    OracleFace,
    ToyMesh,
    recordings,
)

CLIPS = 4


@pytest.fixture(scope="module")
def judges(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for judges, which are trained once."""
    return tmp_path_factory.mktemp("judges")


@pytest.fixture(scope="module")
def clips() -> list[FaceRecording]:
    """All toy clips."""
    return recordings()


def judged(
    speaker: FaceSpeaker,
    clips: list[FaceRecording],
    folders: tuple[Path, Path],
    monkeypatch: pytest.MonkeyPatch,
    *more: object,
    others: dict[str, FaceSpeaker] | None = None,
    held: tuple[str, ...] = (),
) -> Any:
    """Return metrics.json of a speaker that needs no checkpoint."""
    output, judges = folders
    monkeypatch.setattr(face, "load_runs", lambda _: (speaker, others or {}))
    monkeypatch.setattr(face, "load_split", lambda *_: split_faces(clips, held_out_speakers=held))
    monkeypatch.setattr(face_bench, "LipReader", ToyMesh)
    arguments = ["--name", "toy", "--output", output, "--classifiers", judges, "--classifier_steps", 60]
    arguments += ["--clips", CLIPS, "--bootstrap_samples", 20, "--seeds", 2, "--emotion_clips", 3, "--emotion_pairs", 3]
    arguments += ["--video_clips", 1, "--study_clips", 2]
    assert run_here(monkeypatch, evaluate.main, "face", *arguments, *more) == 0
    return json.loads((output / "metrics.json").read_text())


def test_a_perfect_copy_has_perfect_figures(
    clips: list[FaceRecording], judges: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    still = {"speech_and_still": ConstantFace()}
    figures = judged(OracleFace(), clips, (tmp_path, judges), monkeypatch, others=still)
    observed = figures["observed_people"]
    lips, picture = observed["lips"], observed["picture"]
    assert lips["opening_correlation"]["model"] == pytest.approx(1)
    assert lips["lag_frames"]["model"] == 0 and lips["mouth_distance"]["model"] == 0
    assert lips["opening_range"]["model"] == pytest.approx(1) and lips["found"]["model"] == 1
    assert picture["psnr_db"]["model"] == IDENTICAL_DB
    assert picture["ssim"]["model"] == pytest.approx(1, abs=1e-3)  # flat areas are rounded
    assert picture["sharpness"]["model"] == picture["sharpness"]["real"]
    distances = picture["frechet_distance_of_judge"]
    assert distances["model"] == distances["real"] < 0.01 * distances["mean_face"]
    for part in ("identity", "emotion"):
        for row in observed[part].values():
            assert row["model"] == pytest.approx(row["real"])
    assert observed["identity"]["top_1"]["real"] == observed["emotion"]["macro_f1"]["real"] == 1
    assert observed["emotion"]["accuracy_of_real"]["model"] == 1

    assert lips["lag_frames"]["late_speech"] == LATE
    assert abs(lips["opening_correlation"]["late_speech"]) < 0.6
    assert abs(lips["opening_correlation"]["other_speech"]) < 0.6
    assert observed["identity"]["top_1"]["other_speech"] == 0
    assert observed["emotion"]["accuracy"]["other_speech"] == 0
    assert observed["identity"]["top_1"]["late_speech"] == 1
    for system in ("still", "mean_face", "speech_and_still"):
        assert lips["opening_correlation"][system] == 0 == picture["flicker"]["still"]
    assert observed["identity"]["top_1"]["still"] == 1

    assert figures["voices"]["voice_top_1"] == figures["voices"]["emotion_accuracy"] == 1
    probes = figures["probes"]
    assert probes["speaker_in_identity_code"]["accuracy"] == 1
    assert probes["emotion_in_emotion_code"]["accuracy"] == 1
    assert probes["speaker_in_emotion_code"]["times_chance"] <= 1.5
    assert figures["named_emotions"]["all"]["recognised"] == 1
    assert set(figures["named_emotions"]) == {*TOY_EMOTIONS, "all"}
    assert figures["emotion_of_another"]["swapped"]["feels_as_b"] == 1
    assert figures["emotion_of_another"]["swapped"]["seen_as_a"] == 1
    assert figures["emotion_of_another"]["as_heard"]["feels_as_b"] == 0
    sure = observed["model_for_sure"]
    assert sure["lips opening_correlation"]["better_than_still_by"]["low"] > 0.9
    assert all(row["deviation"] == 0 for row in observed["model_by_seed"].values())
    assert set(observed["model_by_person"]) == set(SPEAKERS)
    assert figures["summary"]["voice_to_face_top_1"] == 1
    assert figures["summary"]["opening_correlation_with_still"] == 0
    assert {"fid", "lpips"} <= set(figures["absent"]) | set(observed["picture"])


def test_who_hears_nothing_is_at_chance(
    clips: list[FaceRecording], judges: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures = judged(ConstantFace(), clips, (tmp_path, judges), monkeypatch)
    observed = figures["observed_people"]
    assert observed["identity"]["top_1"]["model"] == 1 / len(SPEAKERS)  # of each one clip
    assert observed["lips"]["opening_correlation"]["model"] == 0
    assert observed["lips"]["lag_frames"]["model"] is None
    assert figures["voices"]["voice_one_of_two"] == pytest.approx(0.5, abs=0.3)
    assert figures["probes"]["speaker_in_identity_code"]["times_chance"] < 2.5
    assert figures["named_emotions"]["all"]["recognised"] == pytest.approx(1 / len(TOY_EMOTIONS))
    assert figures["named_emotions"]["all"]["identity_falls_by"] == pytest.approx(0)


def test_people_who_were_not_trained_on_have_tables_of_their_own(
    clips: list[FaceRecording], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = (tmp_path, tmp_path / "judges")
    more = ("--clips", 2, "--classifier_steps", 2, "--emotion_clips", 0, "--emotion_pairs", 0, "--study_clips", 0)
    held = {"held": (SPEAKERS[0],)}
    figures = judged(OracleFace(), clips, folders, monkeypatch, *more, "--no-landmarks", **held)
    unseen = figures["unseen_people"]
    assert unseen["clips"] == 2 and "top_1" not in unseen["identity"]
    assert "lips" not in unseen and "named_emotions" not in figures
    assert "user_study" not in figures and not (tmp_path / "study").exists()
    assert unseen["picture"]["psnr_db"]["model"] == IDENTICAL_DB
    assert figures["about"]["people_trained_on"] == len(SPEAKERS) - 1


def test_raters_cannot_read_the_key(
    clips: list[FaceRecording], judges: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    more = ("--clips", 2, "--emotion_clips", 0, "--emotion_pairs", 0, "--no-landmarks", "--study_clips", 2)
    others = {"speech_and_still": ConstantFace()}
    figures = judged(OracleFace(), clips, (tmp_path, judges), monkeypatch, *more, others=others)
    assert figures["user_study"]["result"] == "not done" and figures["user_study"]["pairs"] == 4
    key = json.loads((tmp_path / "study_key.json").read_text())
    page = (tmp_path / "study" / "index.html").read_text()
    assert len(key) == 4
    for code, row in key.items():
        assert {row["left"], row["right"]} in ({"real", "model"}, {"model", "speech_and_still"})
        assert row["clip"] not in page
        for side in ("left", "right"):
            assert f"{code}_{side}.mp4" in page
            video = (tmp_path / "study" / f"{code}_{side}.mp4").read_bytes()
            assert COMMENT.encode() in video
    assert "study_key" not in page and "speech_and_still" not in page
    (name,) = figures["real_model_and_baseline"].values()
    assert (tmp_path / name).is_file()


def test_lips_that_are_late_are_late_by_so_much(clips: list[FaceRecording]) -> None:
    real_TK2 = ToyMesh().points(clips[0].frames_T3HW)
    for lag in (-3, 0, 4):
        curve_L = lip_curve(np.roll(real_TK2, lag, axis=0), real_TK2)
        assert curve_L.argmax() - LONGEST_LAG == lag
    assert opening(2 * real_TK2 + 7) == pytest.approx(opening(real_TK2))


def test_lost_mouths_do_not_flatter(clips: list[FaceRecording]) -> None:
    real_TK2 = ToyMesh().points(clips[0].frames_T3HW)
    sound_T = loudness(clips[0].audio_S, len(clips[0]))
    lost = lip_metrics(np.full_like(real_TK2, np.nan), real_TK2, sound_T)
    assert lost["found"] == lost["opening_correlation"] == 0 and np.isnan(lost["mouth_distance"])
    same = lip_metrics(real_TK2, real_TK2, sound_T)
    assert same["opening_correlation"] == pytest.approx(1) and same["mouth_distance"] == 0
    nobody = lip_metrics(real_TK2, np.full_like(real_TK2, np.nan), sound_T)
    assert np.isnan(nobody["opening_correlation"])


def test_frames_a_few_short_are_held(clips: list[FaceRecording]) -> None:
    frames = clips[0].frames_T3HW
    held = fitted(frames[:-2], len(frames))
    assert len(held) == len(frames) and (held[-1] == frames[-3]).all()
    assert (fitted(frames, 10) == frames[:10]).all() if len(frames) <= 12 else True
    with pytest.raises(DataError, match="frames made"):
        fitted(frames[:5], len(frames))


def test_everybody_s_turn_comes_before_anybody_s_second(clips: list[FaceRecording]) -> None:
    chosen = spread(clips, len(SPEAKERS))
    assert {r.speaker for r in chosen} == set(SPEAKERS)
    assert len({r.emotion for r in spread(clips, 12)}) > 1
    assert spread(clips, None) == spread(clips, 1000) == clips
    for index, clip in enumerate(clips):
        other = contrasting_clip(clips, index)
        assert other.speaker != clip.speaker and other.emotion != clip.emotion


def test_the_cast_plays_what_it_says(clips: list[FaceRecording]) -> None:
    training = [r for r in clips if r.sentence != "s2"]
    cast = Systems(training, OracleFace(), {}, seeds=(0, 1, 2))
    clip = next(r for r in clips if r.sentence == "s2")
    takes = {t.system: t.videos for t in cast.perform(clip, clips[-1])}
    assert [len(videos) for videos in takes.values()] == [1, 3, 1, 1, 1, 1]
    assert (takes["mean_face"][0][0] == mean_face(training, clip.speaker)).all()
    assert all(videos[0].shape == clip.frames_T3HW.shape for videos in takes.values())
    assert (takes["late_speech"][0] == np.roll(clip.frames_T3HW, LATE, axis=0)).all()


def test_a_table_s_means_seeds_and_intervals() -> None:
    table = ClipTable()
    for clip in range(10):
        takes = [{"top_1": 1.0}, {"top_1": float(clip % 2)}]
        table.add("identity", "model", "ab"[clip % 2], takes)
        table.add("identity", "still", "ab"[clip % 2], [{"top_1": 0.0}])
    assert table.means()["identity"]["top_1"] == {"model": 0.75, "still": 0.0}
    row = table.seeds(5)["identity top_1"]
    assert (row["seed 5"], row["seed 6"]) == (1.0, 0.5)
    assert {p: r["top_1"] for p, r in table.by_person().items()} == {"a": 0.5, "b": 1.0}
    sure = table.intervals(draws=100, seed=0)["identity top_1"]
    assert sure["model"]["low"] <= 0.75 <= sure["model"]["high"]
    assert sure["better_than_still_by"]["low"] > 0


def test_a_run_that_is_not_there_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("--name", "nobody", "--checkpoints", tmp_path, "--output", tmp_path / "out")
    assert run_here(monkeypatch, evaluate.main, "face", *arguments) == 2
    error = capsys.readouterr().err
    assert "no checkpoint" in error and len(error.splitlines()) == 1
    assert not (tmp_path / "out").exists()
    with pytest.raises(DataError):
        load_runs(EvaluateFaceOptions(name="n", output=tmp_path, checkpoints=tmp_path))


def test_toy_pictures_are_of_their_size(clips: list[FaceRecording]) -> None:
    assert clips[0].frames_T3HW.shape[2:] == (SIZE, SIZE)
