"""`scripts/evaluate.py speech`: properties for any speaker."""

import json
from pathlib import Path
from typing import Any

import evaluate
import numpy as np
import pytest
import torch
from evaluation import speech
from evaluation.lip_sync import (
    MAX_LAG,
    lag_curve,
    loudness,
    mouth_metrics,
    ruled_mouth,
    rules_metrics,
    silences,
    sync_metrics,
)
from evaluation.video_metrics import (
    HANDS,
    detected_hand_speed,
    detection_rates,
    image_metrics,
)

from speech2video.data.clip import Clip, ClipInfo
from speech2video.data.motion import motion_from_pose
from speech2video.data.motion_io import read_motion, write_motion
from speech2video.models.pipelines.body_video import BodySpeaker
from speech2video.options.inference import BodyVideoOptions
from speech2video.util.audio.audio_io import write_audio
from speech2video.util.body.body_model import Body
from speech2video.util.body.pose_vector import POSE_SIZE, POSE_SLICES
from speech2video.util.body.skeleton import POINT_INDEX
from speech2video.util.metrics.motion import lip_opening
from speech2video.util.rendering.camera import Camera
from speech2video.util.text.speech_source import Speech
from speech2video.util.text.transcript import Phone, Word, write_phones, write_words
from speech2video.util.timing import SAMPLES_PER_FRAME, frame_count
from speech2video.util.video.reader import probe, read_frames
from speech2video.util.video.writer import write_video
from tests.shared import run_here
from tests.tiny_speaker import AUTHORS, NAME, SIZE, voice
from tests.video_clips import moving_texture

FRAMES, SOURCE = 75, 96
LATE = 3  # frames
CAMERA = Camera(150.0, (48.0, 48.0), SOURCE, SOURCE, translation=(0.0, 0.15, 1.5))
ARM_COLUMNS = slice(51, 69)  # shoulders, elbows and wrists; the head stays where it is


def random_series(*, frames: int = FRAMES, seed: int = 0) -> np.ndarray:
    """Return a smooth random series (T,) in 0..1."""
    steps = np.random.default_rng(seed).standard_normal(frames + 8)
    smooth_T = np.convolve(steps, np.hanning(7), "same")[4:-4]
    return (smooth_T - smooth_T.min()) / np.ptp(smooth_T)


def write_clip(folder: Path, body: Body, *, seed: int) -> None:
    """Write a clip of a person talking and waving; the image is a moving texture."""
    clip = Clip(folder)
    folder.mkdir(parents=True)
    pose_TP = torch.zeros(FRAMES, POSE_SIZE)
    opening_T = torch.from_numpy(random_series(seed=seed)).float()
    pose_TP[:, POSE_SLICES["jaw"]][:, 0] = 0.3 * opening_T
    pose_TP[:, ARM_COLUMNS] = 0.1 * torch.sin(torch.linspace(0, 9, FRAMES))[:, None]
    write_motion(clip.pose, motion_from_pose(pose_TP, body, camera=CAMERA))
    write_video(clip.video, moving_texture(FRAMES, seed=seed).transpose(0, 3, 1, 2), quality=1)
    write_audio(clip.audio, voice(FRAMES / 25))
    write_words(clip.words, [Word("huge", 0.5, 0.8), Word("up", 2.0, 2.2)])
    clip.write_info(ClipInfo("a.mp4", FRAMES, SOURCE, SOURCE, "", body.name))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory, body: Body) -> Path:
    """A dataset of the clips one and two."""
    folder = tmp_path_factory.mktemp("clips")
    write_clip(folder / "one", body, seed=0)
    write_clip(folder / "two", body, seed=5)
    return folder


def run_evaluation(
    checkpoints: Path, output: Path, monkeypatch: pytest.MonkeyPatch, *more: object
) -> dict[str, Any]:
    arguments = ["speech", "--name", NAME, "--checkpoints", checkpoints, "--output", output]
    arguments += ["--threads", 1, "--precision", "fp32"]
    assert run_here(monkeypatch, evaluate.main, *arguments, *more) == 0
    return json.loads((output / "metrics.json").read_text())


def test_speeches_with_and_without_a_recording(
    checkpoints: Path, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    write_audio(tmp_path / "a voice.wav", voice(1.2))
    more = ("--dataset", dataset, "--held_out", "two", "--audio", tmp_path / "a voice.wav")
    metrics = run_evaluation(checkpoints, tmp_path / "out", monkeypatch, *more, "--no-landmarks")
    assert list(metrics["speeches"]) == ["two", "a voice"]
    assert metrics["speeches"]["two"]["seconds"] == 3 and "detected" not in metrics
    assert metrics["speeches"]["a voice"]["seconds"] == pytest.approx(1.2)
    assert {"lips_with_loudness", "lips_with_real", "mouth", "hands", "image"} <= set(metrics)
    assert set(metrics["lips_with_loudness"]) == {"pose", "real"}
    assert metrics["hands"]["generated"]["wrist_speed"] > 0
    assert metrics["image"]["real"]["jitter"] > 0
    page = (tmp_path / "out" / "report.html").read_text()
    for name, width in (("two", 2 * SIZE), ("a_voice", SIZE)):
        info = probe(tmp_path / "out" / f"{name}.mp4")
        assert info.width == width and info.has_audio
        assert f'src="{name}.mp4"' in page and f'src="{name}.svg"' in page
        assert 'class="line"' in (tmp_path / "out" / f"{name}.svg").read_text()
    assert len(list((tmp_path / "out").iterdir())) == 6


def test_a_seed_repeats_the_video_and_words_move_hands(
    checkpoints: Path, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    more = ("--dataset", dataset, "--no-landmarks", "--held_out", "one", "--frames", 32)
    runs = {
        name: run_evaluation(checkpoints, tmp_path / name, monkeypatch, *more, *extra)
        for name, extra in (("1", ()), ("2", ()), ("off", ("--gestures", "off")))
    }
    assert runs["1"] == runs["2"] and list(runs["1"]["speeches"]) == ["one[0:32]"]
    assert runs["1"]["hands"] != runs["off"]["hands"]
    assert runs["1"]["lips_with_loudness"] == runs["off"]["lips_with_loudness"]


@pytest.mark.parametrize("late", [0, LATE])
def test_a_returned_recording_is_in_sync(
    checkpoints: Path,
    dataset: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    body: Body,
    late: int,
):
    def return_recording(loaded: BodySpeaker, speech: Speech, options: BodyVideoOptions) -> int:
        clip = Clip(dataset / speech.stem)
        frames = [frame[:, 16:-16, 16:-16] for frame in read_frames(clip.video)]
        frames = [frames[0]] * late + frames[: FRAMES - late]
        pose_TP = read_motion(clip.pose).pose_vector(body)
        pose_TP = torch.cat((pose_TP[:1].expand(late, -1), pose_TP[: FRAMES - late]))
        write_motion(options.save_pose, motion_from_pose(pose_TP, body))
        return write_video(options.output, frames, audio=speech.audio)

    def detect(frames_T3HW: np.ndarray) -> np.ndarray:
        points_TK2, delay = next(detected)
        return np.concatenate((points_TK2[:1].repeat(delay, 0), points_TK2))[: len(frames_T3HW)]

    motions = [read_motion(dataset / name / "pose.npz") for name in ("one", "two")]
    points = [CAMERA.project(body.points(motion.pose_vector(body))).numpy() for motion in motions]
    detected = iter([(points_TK2, delay) for points_TK2 in points for delay in (late, 0)])
    monkeypatch.setattr(BodySpeaker, "make_video", return_recording)
    monkeypatch.setattr(speech, "detect_points", detect)  # generated, then real
    more = ("--dataset", dataset, "--ground_truth", dataset)
    metrics = run_evaluation(checkpoints, tmp_path, monkeypatch, *more)
    for reference in ("real", "ground_truth"):
        for system in ("generated", "pose"):
            lips = metrics[f"lips_with_{reference}"][system]
            assert lips["lag_frames"] == late
            assert lips["best_correlation"] == pytest.approx(1, abs=0.02)
            assert (lips["within_1_frame"] > 0.98) == (late == 0)
            assert lips["correlation"] <= lips["within_1_frame"] <= 1
    assert metrics["lips_with_ground_truth"]["real"]["correlation"] == pytest.approx(1, abs=0.02)
    loud = metrics["lips_with_loudness"]
    assert late or loud["generated"] == loud["real"]
    assert metrics["hands"]["generated"]["energy_ratio"] == pytest.approx(1, abs=0.1)
    assert metrics["detected"]["generated"] == dict.fromkeys(("face", "left_hand", "right_hand"), 1)
    assert metrics["mouth"]["generated"]["range"] == pytest.approx(
        metrics["mouth"]["real"]["range"], rel=0.05
    )


@pytest.mark.parametrize("late", [-5, -1, 0, 2, MAX_LAG])
def test_late_lips_have_a_positive_lag(late: int):
    long_T = random_series(frames=200)
    reference_T, opening_T = long_T[20:150], long_T[20 - late : 150 - late]
    metrics = sync_metrics([lag_curve(reference_T, opening_T)])
    assert metrics["lag_frames"] == late and metrics["best_correlation"] == pytest.approx(1)
    assert (metrics["within_1_frame"] == pytest.approx(1)) == (abs(late) <= 1)
    scaled = sync_metrics([lag_curve(7 * reference_T + 3, 0.1 * opening_T)])
    assert scaled == pytest.approx(metrics)


def test_the_lag_is_that_of_the_mean_curve():
    reference_T = random_series(frames=100)
    noise_T = random_series(frames=100, seed=9)
    curves = [lag_curve(reference_T, np.roll(reference_T, 1)), lag_curve(reference_T, noise_T)]
    metrics = sync_metrics(curves)
    assert metrics["lag_frames"] == 1
    assert metrics["correlation"] == pytest.approx(np.mean([c[MAX_LAG] for c in curves]))


def test_undetected_lips_have_no_metrics():
    missing_T = np.full(100, np.nan)
    metrics = sync_metrics([lag_curve(random_series(frames=100), missing_T)])
    assert np.isnan(list(metrics.values())).all()
    mouth = mouth_metrics(missing_T, np.zeros(100, bool))
    assert np.isnan(list(mouth.values())).all()
    static = mouth_metrics(np.ones(100), np.zeros(100, bool))
    assert np.isnan(list(static.values())).all()


def said_phones(*, seconds: float = 4.0, seed: int = 0) -> list[Phone]:
    """Return phones of syllables, with half a second of silence at both ends."""
    rng, texts = np.random.default_rng(seed), ("m", "ɑ", "s", "i", "p", "aʊ", "t", "ɔ", "b", "æ")
    times = np.arange(0.5, seconds - 0.5, 0.1)
    return [Phone(str(rng.choice(texts)), time, time + 0.1) for time in times.tolist()]


@pytest.mark.parametrize("late", [0, 2])
def test_lips_of_the_rules_agree_with_them(
    checkpoints: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, late: int
):
    def predict(loaded: BodySpeaker, given: Speech, options: BodyVideoOptions) -> torch.Tensor:
        assert given.words == [Word("huge", 0.5, 0.9)] and loaded.gestures is not None
        count = frame_count(round(seconds[given.stem] * 16_000))
        phones = said_phones(seconds=seconds[given.stem])
        pose_TP = ruled_mouth(torch.zeros(count, POSE_SIZE), phones, loaded.body)
        pose_TP = torch.cat((pose_TP[:1].expand(late, -1), pose_TP[: count - late]))
        pose_TP[:, ARM_COLUMNS] = 0.1  # lips do not depend on it
        return pose_TP

    seconds = {"one": 4.0, "two": 3.03}
    for name, duration in seconds.items():
        write_audio(tmp_path / f"{name}.wav", voice(duration))
        write_phones(tmp_path / f"{name}.csv", said_phones(seconds=duration))
        write_words(tmp_path / f"{name}.words.csv", [Word("huge", 0.5, 0.9)])
    monkeypatch.setattr(BodySpeaker, "predict_poses", predict)
    more = ["--audio", *(tmp_path / f"{name}.wav" for name in seconds)]
    more += ["--phones", *(tmp_path / f"{name}.csv" for name in seconds)]
    more += ["--words", *(tmp_path / f"{name}.words.csv" for name in seconds)]
    metrics = run_evaluation(checkpoints, tmp_path / "out", monkeypatch, *more, "--no-render")
    rows = metrics["pose_lips_with_rules"]
    assert list(rows) == ["one", "two", "mean"]
    for row in rows.values():
        assert row["lag_frames"] == late
        assert row["best_correlation"] == pytest.approx(1, abs=0.02 if late else 1e-4)
        assert (row["correlation"] == pytest.approx(1, abs=1e-4)) == (late == 0)
        assert (row["closure"] == pytest.approx(row["ruled_closure"], abs=1e-3)) == (late == 0)
        assert row["std_mm"] == pytest.approx(row["ruled_std_mm"], rel=0.05)
    assert "image" not in metrics and "real_and_generated" not in metrics
    assert not list((tmp_path / "out").glob("*.mp4"))
    mean = (rows["one"]["closure"] + rows["two"]["closure"]) / 2
    assert rows["mean"]["closure"] == pytest.approx(mean)


def test_detected_lips_are_compared_with_projected_rules(
    checkpoints: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: Body
):
    phones = said_phones()
    pose_TP = ruled_mouth(torch.zeros(100, POSE_SIZE), phones, body)
    pixels_TK2 = CAMERA.project(body.points(pose_TP)).numpy()
    monkeypatch.setattr(speech, "detect_points", lambda video: pixels_TK2[: len(video)])
    write_audio(tmp_path / "a.wav", voice(4.0))
    write_phones(tmp_path / "a.csv", phones)
    more = ("--audio", tmp_path / "a.wav", "--phones", tmp_path / "a.csv")
    metrics = run_evaluation(checkpoints, tmp_path / "out", monkeypatch, *more)
    row = metrics["generated_lips_with_rules"]["a"]
    assert row["correlation"] > 0.99
    assert row["std_mm"] == pytest.approx(row["ruled_std_mm"], rel=0.1)
    assert row["closure"] == pytest.approx(row["ruled_closure"], abs=0.05)
    assert row["in_silence_mm"] == pytest.approx(row["ruled_in_silence_mm"], abs=0.5)
    assert metrics["pose_lips_with_rules"]["a"]["correlation"] < 0.9


def test_undetected_frames_do_not_count(body: Body):
    phones = said_phones()
    pose_TP = ruled_mouth(torch.zeros(100, POSE_SIZE), phones, body)
    opening_T = lip_opening(body.points(pose_TP).numpy())
    known_T = opening_T.copy()
    known_T[20:30] = np.nan
    row = rules_metrics(known_T, opening_T, phones)
    assert row["correlation"] == pytest.approx(1) and np.isfinite(list(row.values())).all()
    known_T[~np.isnan(known_T)] = np.nan
    assert np.isnan(rules_metrics(known_T, opening_T, phones)["closure"])


def noise_of(levels: dict[int, float]) -> np.ndarray:
    """Return noise with a number of frames at each level."""
    noise = np.random.default_rng(0).uniform(-1, 1, 1000 * SAMPLES_PER_FRAME)
    level_S = np.concatenate([np.full(n * SAMPLES_PER_FRAME, level) for n, level in levels.items()])
    return noise[: len(level_S)] * level_S


def test_silences_are_long_and_quiet():
    audio_S = noise_of({30: 0.5, 20: 0.001, 31: 0.4, 5: 0.001, 32: 0.5, 21: 0.0})
    silent_T = silences(loudness(audio_S, 139))
    assert list(np.flatnonzero(silent_T)) == [*range(32, 48), *range(120, 139)]
    assert not silences(loudness(noise_of({100: 0.3}), 100)).any()
    assert not silences(loudness(np.zeros(100 * SAMPLES_PER_FRAME), 100)).any()
    louder_T, usual_T = loudness(0.1 * audio_S, 139), loudness(audio_S, 139)
    assert louder_T == pytest.approx(usual_T)


def test_a_mouth_open_in_speech_only_is_closed_in_silence():
    silent_T = np.arange(100) % 20 < 8
    opening_T = np.where(silent_T, 0.1, 0.3)
    metrics = mouth_metrics(opening_T, silent_T)
    assert metrics["in_silence"] == pytest.approx(0) and metrics["in_speech"] == pytest.approx(1)
    assert metrics["range"] == pytest.approx(0.2)
    other = mouth_metrics(-opening_T, silent_T)
    assert other["in_silence"] == pytest.approx(1) and other["in_speech"] == pytest.approx(0)


def test_steady_change_is_no_jitter():
    brighter = np.arange(40, dtype=np.uint8)[:, None, None, None] * np.ones((3, 8, 8), np.uint8)
    points_TK2 = np.full((40, 144, 2), np.nan)
    assert image_metrics(brighter, points_TK2)["jitter"] == 0
    blinking = brighter // 40 + 6 * (np.arange(40) % 2)[:, None, None, None].astype(np.uint8)
    metrics = image_metrics(blinking, points_TK2)
    assert metrics["jitter"] == pytest.approx(6) and np.isnan(metrics["head_sharpness"])
    assert metrics["sharpness"] == 0


def test_only_detected_hands_have_a_speed():
    points_TK2 = np.random.default_rng(0).uniform(0, 9, (1, 144, 2)).repeat(26, 0)
    points_TK2[:, POINT_INDEX["left_shoulder"]] = (10, 0)
    points_TK2[:, POINT_INDEX["right_shoulder"]] = (0, 0)
    assert detected_hand_speed(points_TK2) == 0
    moved = points_TK2.copy()
    for hand in HANDS:
        moved[:, hand] += np.arange(26)[:, None, None] * np.array((2.0, 0.0))
    assert detected_hand_speed(moved) == pytest.approx(2 * 25 / 10)  # shoulder widths per second
    assert detected_hand_speed(3 * moved) == pytest.approx(5)
    moved[::2] = np.nan
    assert np.isnan(detected_hand_speed(moved))
    assert detection_rates(moved) == dict.fromkeys(("face", "left_hand", "right_hand"), 0.5)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--held_out", "three"), "no such clip; there are one, two"),
        (("--ground_truth", "nowhere"), "nowhere/one"),
        (("--audio", "none.wav"), "none.wav"),
        (("--audio", "one.wav"), "one: the name of two"),
        (("--audio", "one.wav", "--phones", "a.csv", "b.csv"), "2 files for 1 of --audio"),
        (("--words", "a.csv"), "1 files for 0 of --audio"),
        (("--audio", "other.wav", "--phones", "none.csv"), "none.csv"),
        (("--name", "missing"), "missing"),
        (("--gestures", "nowhere"), "nowhere"),
    ],
)
def test_bad_input_is_reported(
    checkpoints: Path,
    dataset: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    words: str,
):
    monkeypatch.chdir(tmp_path)
    for stem in ("one", "other"):
        write_audio(tmp_path / f"{stem}.wav", voice(1.0))
    files = ("--checkpoints", checkpoints, "--output", "out", "--dataset", dataset)
    name = () if "--name" in arguments else ("--name", NAME)
    more = ("--no-landmarks", "--threads", 1)
    if arguments[1] == "none.wav":
        files = files[:-2]
    assert run_here(monkeypatch, evaluate.main, "speech", *name, *files, *more, *arguments) == 2
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1


def test_an_imported_renderer_needs_a_dataset(
    checkpoints: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    files = ("--checkpoints", checkpoints, "--output", "out")
    assert run_here(monkeypatch, evaluate.main, "speech", "--name", AUTHORS, *files) == 2
    assert "--dataset" in capsys.readouterr().err
