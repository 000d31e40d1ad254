"""The right video is read, whatever else a file holds; other files are refused in one line."""

import os
import struct
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from speech2video.util.audio.audio_io import load_audio, write_audio
from speech2video.util.errors import DataError
from speech2video.util.video.reader import (
    MAX_STREAMS,
    VIDEO_SUFFIXES,
    ReadReport,
    is_frame_folder,
    open_media,
    probe,
    read_frames,
)
from tests.recordings import flashes_and_clicks, make_recording, onsets
from tests.tiny_speaker import voice

RATE = 48_000


def image(level: int, width: int = 64, height: int = 48) -> np.ndarray:
    return np.full((height, width, 3), level, np.uint8)


def write_streams(
    path: Path,
    videos: list[tuple[str, list[tuple[float, np.ndarray]]]],
    audio_S: np.ndarray | None = None,
) -> Path:
    """Write video tracks (codec, images with their seconds) and one of audio (S,)."""
    with av.open(str(path), "w") as container:
        packets = []
        for codec, images in videos:
            stream = container.add_stream(codec, rate=25)
            stream.height, stream.width, _ = images[0][1].shape
            stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
            stream.codec_context.time_base = Fraction(1, 1000)
            for at, image_HW3 in images:
                frame = av.VideoFrame.from_ndarray(image_HW3, "rgb24")
                frame.pts, frame.time_base = round(at * 1000), Fraction(1, 1000)
                packets += stream.encode(frame)
            packets += stream.encode(None)
        if audio_S is not None:
            stream = container.add_stream("aac", rate=RATE, layout="mono")
            for begin in range(0, len(audio_S), 1024):
                block_1N = np.ascontiguousarray(audio_S[None, begin : begin + 1024])
                frame = av.AudioFrame.from_ndarray(block_1N, "fltp", "mono")
                frame.sample_rate, frame.pts, frame.time_base = RATE, begin, Fraction(1, RATE)
                packets += stream.encode(frame)
            packets += stream.encode(None)
        container.start_encoding()
        container.mux(sorted(packets, key=lambda packet: packet.dts * packet.time_base))
    return path


def moving(level: int, width: int = 64, height: int = 48, seconds: float = 2.0) -> list:
    return [(k / 25, image(level, width, height)) for k in range(round(seconds * 25))]


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
@pytest.mark.parametrize(
    "first",
    [
        ("mjpeg", [(0.0, image(0, 640, 480))]),  # a single image, larger
        ("libx264", moving(0, 32, 32)),  # a thumbnail
        ("libx264", [(k, image(0, 320, 240)) for k in range(3)]),  # a slide show
    ],
    ids=["still", "thumbnail", "slides"],
)
def test_the_largest_moving_video_is_read(tmp_path, capsys, name, first):
    path = write_streams(tmp_path / name, [first, ("libx264", moving(200))], voice(2.0, rate=RATE))
    frames = list(read_frames(path))
    assert len(frames) == 50 and {frame.shape for frame in frames} == {(3, 48, 64)}
    assert all(abs(frame.mean() - 200) < 3 for frame in frames)
    assert probe(path).width == 64
    assert abs(len(load_audio(path)) - 32_000) < 1200
    (line,) = capsys.readouterr().err.splitlines()
    assert "video track 2 of 2 taken" in line


def test_a_video_that_never_changes_is_not_taken(tmp_path, capsys):
    """A screen recorder's title image, encoded 25 times a second."""
    changing = [(k / 25, image(100 + k, 64, 48)) for k in range(50)]
    path = write_streams(
        tmp_path / "a.mkv", [("libx264", moving(90, 320, 240)), ("libx264", changing)], voice(2.0)
    )
    assert {frame.shape for frame in read_frames(path)} == {(3, 48, 64)}
    assert "video track 2 of 2 taken" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.mkv"])
def test_a_single_image_cuts_no_audio(tmp_path, name):
    audio_S = voice(3.0, rate=RATE)
    path = write_streams(tmp_path / name, [("mjpeg", [(1.5, image(90))])], audio_S)
    assert abs(len(load_audio(path)) - 3 * 16_000) < 1200


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_audio_before_the_video_is_kept_on_request(tmp_path, name):
    images = [(1.0 + at, image_HW3) for at, image_HW3 in moving(90)]
    path = write_streams(tmp_path / name, [("libx264", images)], voice(3.0, rate=RATE))
    assert abs(len(load_audio(path)) - 2 * 16_000) < 1200
    assert abs(len(load_audio(path, whole=True)) - 3 * 16_000) < 1200


@pytest.mark.parametrize("offset", [0.0, 5.0, 100_000.0])
@pytest.mark.parametrize("name", ["a.mkv", "a.webm"])
def test_audio_longer_than_video_is_no_damage(tmp_path, offset, name):
    codecs = ("libx264", "flac") if name == "a.mkv" else ("libvpx-vp9", "libopus")
    images, audio_CS = flashes_and_clicks(5.0, rate=RATE)
    images = [(offset + at, image_HW3) for at, image_HW3 in images if at < 2.2]
    options = {"rate": RATE, "codecs": codecs, "audio_start": offset}
    path = make_recording(tmp_path / name, images, audio_CS, **options)
    for _ in range(2):
        report = ReadReport()
        assert len(list(read_frames(path, report=report))) in (55, 56, 57)
        assert report.is_complete, report
        # what the muxer's statistics say, now left out
        path.write_bytes(path.read_bytes().replace(b"DURATION", b"OTHER_ID"))


def test_a_truncated_mkv_is_damaged(tmp_path):
    images, audio_CS = flashes_and_clicks(6.0, rate=RATE)
    path = make_recording(tmp_path / "a.mkv", images, audio_CS, codecs=("libx264", "flac"))
    os.truncate(path, path.stat().st_size // 2)
    report = ReadReport()
    assert 0 < len(list(read_frames(path, report=report))) < 100
    assert not report.is_complete and "of 6.0" in str(report)


@pytest.mark.parametrize("name", ["a.mkv", "a.nut"])
def test_a_clock_that_leaps_makes_no_days_of_video(tmp_path, name):
    images, audio_CS = flashes_and_clicks(8.0, rate=16_000)
    codecs = ("ffv1", "pcm_s16le")
    whole = make_recording(tmp_path / "whole.mkv", images, audio_CS, rate=16_000, codecs=codecs)
    path, report = tmp_path / name, ReadReport()
    shift_clock(whole, path, after=4.5, seconds=2 * 86_400)
    begun = time.monotonic()
    frames = list(read_frames(path, report=report))
    audio_S = load_audio(path)
    assert time.monotonic() - begun < 10
    assert 195 <= len(frames) <= 205 and 195 * 640 <= len(audio_S) <= 205 * 640
    assert not report.is_complete and report.damage.leaps == 1
    flashes = onsets(np.array([frame.mean() for frame in frames]), 25)
    clicks = onsets(np.abs(audio_S), 16_000)
    assert len(clicks) == 7
    assert np.abs(clicks[:, None] - flashes).min(axis=1).max() <= 0.08


def shift_clock(source: Path, path: Path, *, after: float, seconds: int) -> None:
    """Copy a recording; time stamps of what comes after some seconds are shifted."""
    with av.open(str(source)) as given, av.open(str(path), "w") as container:
        streams = {s.index: container.add_stream_from_template(s) for s in given.streams}
        for packet in [packet for packet in given.demux() if packet.size]:
            moved = seconds if packet.pts * packet.time_base >= after else 0
            packet.pts = packet.dts = packet.pts + round(moved / packet.time_base)
            packet.stream = streams[packet.stream.index]
            container.mux_one(packet)


def test_a_clock_that_begins_again_loses_nothing_but_the_seam(tmp_path):
    images, audio_CS = flashes_and_clicks(4.0, rate=RATE)
    part = make_recording(tmp_path / "part.ts", images, audio_CS, rate=RATE)
    (tmp_path / "a.ts").write_bytes(part.read_bytes() * 3)
    report = ReadReport()
    frames = list(read_frames(tmp_path / "a.ts", report=report))
    audio_S = load_audio(tmp_path / "a.ts")
    assert 285 <= len(frames) <= 305 and 285 * 640 <= len(audio_S) <= 305 * 640
    assert report.damage.leaps == 2
    flashes = onsets(np.array([frame.mean() for frame in frames]), 25)
    clicks = onsets(np.abs(audio_S), 16_000)
    assert len(clicks) == 9
    assert np.abs(clicks[:, None] - flashes).min(axis=1).max() <= 0.15


@pytest.mark.parametrize(
    ("name", "codecs", "rate"),
    [
        ("a.mts", ("libx264", "ac3"), 48_000),
        ("a.m2ts", ("libx264", "aac"), 48_000),
        ("a.3gp", ("libx264", "aac"), 48_000),
        ("a.flv", ("libx264", "aac"), 44_100),
        ("a.wmv", ("wmv2", "wmav2"), 44_100),
        ("a.asf", ("wmv2", "wmav2"), 44_100),
        ("a.mxf", ("mpeg2video", "pcm_s16le"), 48_000),
        ("a.avi", ("mpeg4", "libmp3lame"), 48_000),
        ("a.webm", ("libvpx", "libopus"), 48_000),
        ("a.mpg", ("mpeg2video", "mp2"), 48_000),
    ],
)
def test_containers_of_cameras_and_phones_are_read(tmp_path, name, codecs, rate):
    assert Path(name).suffix in VIDEO_SUFFIXES
    path = tmp_path / name
    with av.open(
        str(path), "w", format={".mts": "mpegts", ".m2ts": "mpegts"}.get(path.suffix)
    ) as c:
        video, audio = c.add_stream(codecs[0], rate=25), c.add_stream(codecs[1], rate=rate)
        audio.layout = "stereo" if name in ("a.wmv", "a.asf") else "mono"
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        audio.bit_rate = 96_000
        if codecs[0] == "mpeg2video":
            video.codec_context.max_b_frames = 0
        for number in range(50):
            frame = av.VideoFrame.from_ndarray(image(255 if number == 25 else 40), "rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            c.mux(video.encode(frame))
        channels = 2 if audio.layout.name == "stereo" else 1
        packed_1N = np.repeat(voice(2.0, rate=rate), channels)[None]
        frame = av.AudioFrame.from_ndarray(packed_1N, "flt", audio.layout.name)
        frame.sample_rate = rate
        fifo = av.AudioFifo()
        resampler = av.AudioResampler(audio.codec_context.format, audio.layout.name, rate)
        for piece in resampler.resample(frame):
            fifo.write(piece)
        while piece := fifo.read(audio.codec_context.frame_size or 1920, partial=True):
            c.mux(audio.encode(piece))
        c.mux(video.encode(None))
        c.mux(audio.encode(None))
    frames = list(read_frames(path))
    assert 49 <= len(frames) <= 51
    assert abs(int(np.argmax([frame.mean() for frame in frames])) - 25) <= 1
    assert abs(len(load_audio(path)) - 32_000) < 2500


def test_what_is_no_plain_file_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe.wav")
    (tmp_path / "loop.wav").symlink_to(tmp_path / "loop.wav")
    (tmp_path / "link.wav").symlink_to(tmp_path / "pipe.wav")
    paths = [tmp_path / "pipe.wav", tmp_path / "loop.wav", tmp_path / "link.wav", tmp_path / "no"]
    paths += [Path("/dev/zero"), tmp_path, tmp_path / ("x" * 300), Path("a\0b")]
    begun = time.monotonic()
    for path in paths:
        for read in (load_audio, probe):
            with pytest.raises(DataError) as caught:
                read(path)
            assert "\n" not in str(caught.value)
    assert time.monotonic() - begun < 2


@pytest.mark.parametrize(
    "text",
    [
        "ffconcat version 1.0\nfile real.wav\n",
        "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:9,\nreal.wav\n",
        "[playlist]\nFile1=real.wav\n",
        '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><Period/></MPD>',
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nm=audio 5004 RTP/AVP 0\n",
        ";FFMETADATA1\ntitle=x\n",
        "1\n00:00:00,000 --> 00:00:01,000\nwords\n",
        "\n".join(["words of a text"] * 900),
    ],
)
@pytest.mark.parametrize("name", ["list.wav", "list.m3u8", "list.mp4", "frame%03d.png"])
def test_a_text_opens_no_other_file(tmp_path, name, text):
    write_audio(tmp_path / "real.wav", voice(1.0))
    (tmp_path / name).write_text(text)
    for read in (load_audio, probe):
        with pytest.raises(DataError, match="not a video or audio file"):
            read(tmp_path / name)


@pytest.mark.parametrize(
    "name",
    ["-y", "a%03d.wav", "a#b?c.wav", "http:x.wav", "two\nlines.wav", "ü 字.wav", "'q'\".wav"],
)
def test_names_of_any_kind_are_read(tmp_path, monkeypatch, name):
    write_audio(tmp_path / name, voice(1.0))
    assert len(load_audio(tmp_path / name)) == 16_000
    monkeypatch.chdir(tmp_path)
    assert len(load_audio(Path(name))) == 16_000


def test_absurd_sizes_are_one_line(tmp_path):
    path = write_streams(tmp_path / "a.avi", [("mjpeg", moving(9))])
    data = path.read_bytes()
    at = data.index(b"strf") + 12
    path.write_bytes(data[:at] + struct.pack("<ii", 60_000, 60_000) + data[at + 8 :])
    try:
        frames = list(read_frames(path))  # the images' own size counts
        assert frames[0].shape == (3, 48, 64)
    except DataError as error:
        assert "pixels" in str(error) or "decoded" in str(error)
    with av.open(str(tmp_path / "big.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 16_390, 2, "gray"
        frame = av.VideoFrame(16_390, 2, "gray")
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(DataError, match="16390x2 pixels"):
        list(read_frames(tmp_path / "big.mkv"))


def test_hundreds_of_tracks_are_one_line(tmp_path):
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        streams = [
            container.add_stream("pcm_s16le", rate=8000, layout="mono")
            for _ in range(MAX_STREAMS + 1)
        ]
        for stream in streams:
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 80), np.int16), "s16", "mono")
            frame.sample_rate = 8000
            container.mux(stream.encode(frame))
    with pytest.raises(DataError, match="tracks"), open_media(tmp_path / "a.mkv"):
        pass


def write_images(folder: Path, numbers, suffix: str = ".png", stem: str = "frame_") -> Path:
    folder.mkdir(parents=True)
    codec, form = {".png": ("png", "rgb24"), ".jpg": ("mjpeg", "yuvj420p")}[suffix]
    for number in numbers:
        frame = av.VideoFrame.from_ndarray(image(8 * number + 20), "rgb24")
        encoder = av.CodecContext.create(codec, "w")
        encoder.width, encoder.height, encoder.pix_fmt = 64, 48, form
        encoder.time_base = Fraction(1, 25)
        packets = encoder.encode(frame.reformat(format=form)) + encoder.encode(None)
        (folder / f"{stem}{number}{suffix}").write_bytes(b"".join(map(bytes, packets)))
    return folder


def levels(path: Path) -> list[int]:
    return [round((frame.mean() - 20) / 8) for frame in read_frames(path)]


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
@pytest.mark.parametrize("within", [True, False])
def test_a_folder_of_frames_is_a_recording(tmp_path, suffix, within):
    folder = write_images(tmp_path / "take.1", range(1, 26), suffix)
    write_audio(folder / "a.wav" if within else tmp_path / "take.1.wav", voice(1.0))
    (folder / "notes.txt").write_text("x")
    assert is_frame_folder(folder) and not is_frame_folder(tmp_path)
    report = ReadReport()
    assert len(list(read_frames(folder, report=report))) == 25 and report.is_complete
    assert levels(folder) == list(range(1, 26))  # frame_2 comes before frame_10
    info = probe(folder)
    assert (info.width, info.height, info.fps, info.duration) == (64, 48, 25, 1.0)
    assert info.has_audio and len(load_audio(folder)) == 16_000


def test_frames_of_another_rate_or_missing_stay_in_time(tmp_path, capsys):
    folder = write_images(tmp_path / "slow", range(10))
    (folder / "fps.txt").write_text("12.5\n")
    assert levels(folder) == [number for number in range(10) for _ in range(2)]
    (folder / "frame_4.png").unlink()
    assert levels(folder)[6:12] == [3, 3, 3, 3, 5, 5]
    assert "1 images missing" in capsys.readouterr().err
    (folder / "frame_6.png").write_bytes(b"broken")
    report = ReadReport()
    assert len(list(read_frames(folder, report=report))) == 20 and report.damage.packets == 1
    (folder / "fps.txt").write_text("many")
    with pytest.raises(DataError, match=r"fps\.txt"):
        probe(folder)


def test_frames_without_audio_say_so(tmp_path):
    folder = write_images(tmp_path / "mute", range(3))
    assert not probe(folder).has_audio
    with pytest.raises(DataError, match="mute"):
        load_audio(folder)
