"""Video is read as written, audio and video stay in step, failures leave nothing."""

import os
import weakref
from pathlib import Path

import av
import numpy as np
import pytest

from speech2video.util.audio.audio_io import load_audio, write_audio
from speech2video.util.errors import DataError
from speech2video.util.video.reader import ReadReport, probe, read_frames
from speech2video.util.video.writer import GENERATED, write_video
from tests.recordings import flashes_and_clicks, make_recording, onsets
from tests.shared import DATA, cases

HALF_FRAME = 0.5 / 25
TURNS = {  # display matrix a, b, c, d: how the stored frame changes
    (1, 0, 0, 1): lambda image: image,
    (0, 1, -1, 0): lambda image: np.rot90(image, -1),
    (-1, 0, 0, -1): lambda image: np.rot90(image, 2),
    (0, -1, 1, 0): lambda image: np.rot90(image),
    (-1, 0, 0, 1): lambda image: image[:, ::-1],
    (0, 1, 1, 0): lambda image: image.transpose(1, 0, 2),
}


def blocks(number: int = 0, height: int = 64, width: int = 96) -> np.ndarray:
    """Return a frame (3, H, W) with four coloured quarters and a bar at a place of its own."""
    frame = np.zeros((3, height, width), np.uint8)
    frame[:, : height // 2, : width // 2] = np.array([220, 30, 30])[:, None, None]
    frame[:, : height // 2, width // 2 :] = np.array([30, 200, 40])[:, None, None]
    frame[:, height // 2 :, : width // 2] = np.array([20, 40, 230])[:, None, None]
    frame[:, height // 2 :, width // 2 :] = np.array([200, 200, 60])[:, None, None]
    frame[:, :, 4 * (number % 16) : 4 * (number % 16) + 4] = 255
    return frame


def noise(path: Path, seconds: float) -> Path:
    audio_S = np.random.default_rng(0).uniform(-0.5, 0.5, round(seconds * 16_000))
    write_audio(path, audio_S)
    return path


@pytest.mark.parametrize(("count", "audio"), [(1, 3.0), (7, 0.1), (31, 1.24), (60, 9.0)])
def test_video_is_read_as_written(tmp_path, count, audio):
    path, audio = tmp_path / "a.mp4", noise(tmp_path / "a.wav", audio)
    assert write_video(path, map(blocks, range(count)), audio=audio) == count
    report = ReadReport()
    frames = list(read_frames(path, report=report))
    assert len(frames) == count and report.is_complete
    for number, frame in enumerate(frames):
        assert frame.shape == (3, 64, 96) and frame.dtype == np.uint8
        error = (frame.astype(int) - blocks(number))[:, 4:28, 68:92]
        assert np.abs(error).max() <= 6, "colours of a flat field survive"
        assert np.abs(error.mean(axis=(1, 2))).max() < 1.5, "and nothing grows darker"
        bar = frame.mean(axis=(0, 1)).argsort()[-2:]
        assert {int(column) // 4 for column in bar} == {number % 16}
    assert len(load_audio(path)) == count * 640
    info = probe(path)
    assert (info.width, info.height) == (96, 64)
    assert info.duration == pytest.approx(count / 25) and info.has_audio


def test_generated_settings_keep_more_detail(tmp_path):
    ways = {"default": {}, "generated": GENERATED}
    said = {"default": (b"subme=7", b"aq=1"), "generated": (b"subme=2", b"aq=0", b"psy=0")}
    generated = np.stack([blocks(number) for number in range(12)]).astype(int)
    off = {}
    for name, how in ways.items():
        write_video(tmp_path / "a.mp4", map(blocks, range(12)), **how)
        noted = (tmp_path / "a.mp4").read_bytes()
        assert all(setting in noted for setting in said[name]), "x264 notes its settings"
        seen = np.stack(list(read_frames(tmp_path / "a.mp4"))).astype(int)
        off[name] = np.square(seen - generated).mean()
    assert off["generated"] < off["default"]


def test_metadata_is_written(tmp_path):
    path = tmp_path / "a.mp4"
    write_video(path, [blocks()], metadata={"title": "a title", "comment": "mine"})
    with av.open(str(path)) as container:
        assert container.metadata["title"] == "a title"
        assert container.metadata["comment"].startswith("synthetic")
        assert container.metadata["comment"].endswith("mine")
        context = container.streams.video[0].codec_context
        assert (context.color_primaries, context.color_trc, context.colorspace) == (1, 1, 1)
    start = path.read_bytes()
    assert start.index(b"moov") < start.index(b"mdat"), "players can begin before all has come"


def test_same_input_same_bytes(tmp_path):
    audio = noise(tmp_path / "a.wav", 1.0)
    for name in ("a.mp4", "b.mp4"):
        write_video(tmp_path / name, map(blocks, range(40)), audio=audio)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


@pytest.mark.parametrize(("height", "width"), [(63, 65), (64, 33), (1, 1)])
def test_odd_sizes_grow_by_a_repeated_edge(tmp_path, height, width):
    frame = np.full((3, height, width), 100, np.uint8)
    write_video(tmp_path / "a.mp4", [frame] * 3)
    read = next(read_frames(tmp_path / "a.mp4"))
    assert read.shape == (3, height + height % 2, width + width % 2)
    assert np.abs(read.astype(int) - 100).max() <= 3


@pytest.mark.parametrize("rate", [24, 30, 7])
def test_other_rates(tmp_path, rate):
    audio = noise(tmp_path / "a.wav", 1.0)
    write_video(tmp_path / "a.mp4", map(blocks, range(15)), fps=rate, audio=audio)
    assert len(list(read_frames(tmp_path / "a.mp4", fps=rate))) == 15
    assert len(list(read_frames(tmp_path / "a.mp4"))) == int(15 / rate * 25 + 0.5)
    assert len(load_audio(tmp_path / "a.mp4")) == round(15 / rate * 16_000)


def test_writing_and_reading_are_lazy(tmp_path):
    made = []

    def frames():
        for number in range(50):
            alive = sum(frame() is not None for frame in made)
            assert alive <= 2, "frames are let go as soon as they are written"
            frame = blocks(number)
            made.append(weakref.ref(frame))
            yield frame

    assert write_video(tmp_path / "a.mp4", frames()) == 50
    report = ReadReport()
    next(read_frames(tmp_path / "a.mp4", report=report))
    assert report.seconds < 5 / 25


@pytest.mark.parametrize("failure", [RuntimeError, KeyboardInterrupt, FileNotFoundError])
def test_failing_frames_leave_nothing(tmp_path, failure):
    def frames():
        yield from map(blocks, range(5))
        raise failure

    with pytest.raises(failure):
        write_video(tmp_path / "a.mp4", frames())
    (tmp_path / "b.mp4").write_bytes(b"what was there before")
    with pytest.raises(failure):
        write_video(tmp_path / "b.mp4", frames())
    assert [path.name for path in tmp_path.iterdir()] == ["b.mp4"]
    assert (tmp_path / "b.mp4").read_bytes() == b"what was there before"


def test_bad_input_is_one_line(tmp_path):
    good, path = blocks(), tmp_path / "a.mp4"
    (tmp_path / "words.wav").write_text("words\n" * 99)
    write_video(tmp_path / "mute.mp4", [good])
    before = sorted(tmp_path.iterdir())
    cases = [
        ([], {}, "no frames"),
        ([good, blocks(0, 32, 32)], {}, "frame 1 is"),
        ([good.transpose(1, 2, 0)], {}, r"\(3, H, W\)"),
        ([good.astype(np.float32)], {}, "uint8"),
        ([good], {"audio": tmp_path / "none.wav"}, "no such file"),
        ([good], {"audio": tmp_path / "words.wav"}, "words.wav"),
        ([good], {"audio": tmp_path / "mute.mp4"}, "no audio track"),
    ]
    for frames, options, message in cases:
        with pytest.raises(DataError, match=message) as caught:
            write_video(path, frames, **options)
        assert "\n" not in str(caught.value)
    for unwritable in (Path("/proc/none/a.mp4"), tmp_path / "words.wav" / "a.mp4"):
        with pytest.raises(DataError, match="cannot be written"):
            write_video(unwritable, [good])
    assert sorted(tmp_path.iterdir()) == before


def test_tags_that_are_not_utf8_are_tolerated(tmp_path: Path) -> None:
    plain, tagged = tmp_path / "plain.wav", tmp_path / "tagged.wav"
    write_audio(plain, np.linspace(-0.5, 0.5, 16_000, dtype=np.float32))
    content = plain.read_bytes()
    chunk = (
        b"LIST"
        + (18).to_bytes(4, "little")
        + b"INFOINAM"
        + (6).to_bytes(4, "little")
        + b"caf\xe9\0\0"
    )
    size = (len(content) - 8 + len(chunk)).to_bytes(4, "little")
    tagged.write_bytes(content[:4] + size + content[8:12] + chunk + content[12:])
    assert np.array_equal(load_audio(tagged), load_audio(plain))


@pytest.mark.parametrize("name", ["words.mp4", "empty.mp4", "missing.mp4", ".", "audio.wav"])
def test_other_files_are_one_line(tmp_path, name):
    (tmp_path / "words.mp4").write_text("words\n" * 99)
    (tmp_path / "empty.mp4").write_bytes(b"")
    noise(tmp_path / "audio.wav", 0.1)
    for read in (probe, lambda path: next(read_frames(path))):
        with pytest.raises(DataError) as caught:
            read(tmp_path / name)
        assert "\n" not in str(caught.value) and str(tmp_path) in str(caught.value)


def in_step(path: Path, *, true: bool = True) -> None:
    """Assert that flashes and clicks come at the same times, to within half a frame."""
    flashes = onsets(np.array([frame.mean() for frame in read_frames(path)]), 25)
    clicks = onsets(np.abs(load_audio(path)), 16_000)
    assert len(clicks) > 2 and len(flashes) - len(clicks) in (0, 1, 2)
    nearest = np.abs(clicks[:, None] - flashes).min(axis=1)
    assert nearest.max() <= HALF_FRAME + 0.003  # codecs smear a click by up to 3 ms
    assert not true or np.abs(clicks - np.arange(1, len(clicks) + 1)).max() < 0.004


@pytest.mark.parametrize(
    ("name", "codecs", "rate"),
    [
        ("a.mp4", ("libx264", "aac"), 48_000),
        ("a.mkv", ("libx264", "flac"), 44_100),
        ("a.mov", ("libx264", "pcm_s16le"), 16_000),
        ("a.ts", ("libx264", "aac"), 44_100),
    ],
)
def test_uneven_frames_stay_in_step(tmp_path, name, codecs, rate):
    images, audio_CS = flashes_and_clicks(6.0, rate=rate)
    in_step(make_recording(tmp_path / name, images, audio_CS, rate=rate, codecs=codecs))


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts"])
@pytest.mark.parametrize(("video_late", "audio_late"), [(0.0, 0.733), (0.5, 0.0), (3.0, 3.2)])
def test_tracks_that_start_late_stay_in_step(tmp_path, name, video_late, audio_late):
    images, audio_CS = flashes_and_clicks(7.0, rate=48_000)
    images = [(time, image) for time, image in images if time >= video_late]
    audio_CS = audio_CS[:, round(audio_late * 48_000) :]
    path = make_recording(tmp_path / name, images, audio_CS, audio_start=audio_late)
    in_step(path, true=video_late == 0)


def test_audio_whose_clock_is_off_is_kept_in_step(tmp_path):
    rate, speed = 16_000, 1.002  # 60 ms in half a minute: three half frames
    images, audio_CS = flashes_and_clicks(30.0, rate=rate)
    counted_S = np.arange(round(audio_CS.shape[1] * speed)) / speed
    recorded_CS = audio_CS[:, np.minimum(counted_S.astype(int), audio_CS.shape[1] - 1)]
    codecs = ("libx264", "pcm_s16le")
    options = {"rate": rate, "audio_speed": speed, "codecs": codecs}
    in_step(make_recording(tmp_path / "a.mkv", images, recorded_CS, **options))


def test_gaps_in_the_audio_are_silence(tmp_path):
    rate = 16_000
    images = [(k / 25, blocks().transpose(1, 2, 0)) for k in range(75)]
    audio_CS, codecs = np.full((1, 3 * rate), 0.5), ("libx264", "pcm_s16le")
    options = {"rate": rate, "codecs": codecs, "gap": (1.0, 1.5)}
    path = make_recording(tmp_path / "a.mkv", images, audio_CS, **options)
    audio_S = load_audio(path)
    assert abs(len(audio_S) - 3 * rate) <= 16  # mkv counts in milliseconds
    assert not audio_S[17_000:23_000].any() and audio_S[26_000:].min() > 0.4


@pytest.mark.parametrize("matrix", TURNS)
def test_frames_are_upright(tmp_path, matrix):
    path = tmp_path / "a.mp4"
    write_video(path, [blocks()] * 3, quality=4)
    stored = next(read_frames(path)).transpose(1, 2, 0)
    set_display_matrix(path, matrix)
    shown = next(read_frames(path)).transpose(1, 2, 0)
    assert np.array_equal(shown, TURNS[matrix](stored))
    info = probe(path)
    assert (info.height, info.width) == shown.shape[:2]


def set_display_matrix(path: Path, matrix: tuple[int, int, int, int]) -> None:
    """Set a, b, c, d in the track header of an mp4 (ISO/IEC 14496-12, 8.3.2)."""
    data = bytearray(path.read_bytes())
    a, b, c, d = (value << 16 for value in matrix)
    values = np.array([a, b, 0, c, d, 0, 0, 0, 1 << 30], ">i4")
    at = data.index(b"tkhd") + 44
    data[at : at + 36] = values.tobytes()
    path.write_bytes(data)


def test_truncated_files_keep_what_decodes(tmp_path):
    path, audio = tmp_path / "a.mp4", noise(tmp_path / "a.wav", 8.0)
    write_video(path, map(blocks, range(200)), audio=audio)
    os.truncate(path, int(path.stat().st_size * 0.6))
    report = ReadReport()
    frames = list(read_frames(path, report=report))
    assert 40 < len(frames) < 180 and not report.is_complete
    assert report.stated_seconds == pytest.approx(8.0)
    assert report.seconds == pytest.approx(len(frames) / 25)
    assert f"{report.seconds:.2f} s of 8.00 s" in str(report)
    assert 2.0 < len(load_audio(path)) / 16_000 < 8.0
    os.truncate(path, 600)
    with pytest.raises(DataError):
        list(read_frames(path))


def test_damaged_packets_are_skipped(tmp_path):
    path = tmp_path / "a.mp4"
    write_video(path, map(blocks, range(200)))
    data = bytearray(path.read_bytes())
    middle = (data.index(b"mdat") + len(data)) // 2
    data[middle : middle + 300] = bytes(300)
    path.write_bytes(data)
    report = ReadReport()
    assert len(list(read_frames(path, report=report))) == 200
    assert report.damage.packets and not report.is_complete


@pytest.mark.parametrize("path", cases(DATA, "**/*.mp4", "**/*.mpg"))
def test_real_recordings(path):
    info, report = probe(path), ReadReport()
    shapes = [frame.shape for frame in read_frames(path, fps=1, report=report)]
    assert set(shapes) == {(3, info.height, info.width)}
    assert abs(len(shapes) - report.seconds) <= 0.5 + 1e-6
    assert report.seconds <= info.duration + 0.05
