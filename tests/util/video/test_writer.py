"""Each kind of video has the frames, sound in step and the label; other endings are refused."""

import json
import os
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from speech2video.util.audio.audio_io import load_audio, write_audio
from speech2video.util.errors import DataError
from speech2video.util.files import partial_of
from speech2video.util.video.formats import ALPHA_FORMATS, FORMATS, check_video_path
from speech2video.util.video.reader import probe, read_frames
from speech2video.util.video.writer import SYNTHETIC, write_video
from tests.util.video.test_video import blocks, noise

COUNT = 40
SILENT = (".gif", ".apng")


def white_at(frames: np.ndarray) -> list[int]:
    """Return the place of each frame's white bar."""
    return [int(frame[:, 4:28].min(0).mean(0).argmax()) // 4 for frame in frames]


@pytest.mark.parametrize("ending", FORMATS)
@pytest.mark.parametrize(("height", "width"), [(64, 96), (33, 65)])
def test_each_kind_is_read_as_written(
    tmp_path: Path, ending: str, height: int, width: int, capsys: pytest.CaptureFixture[str]
) -> None:
    path, audio = tmp_path / f"a{ending.upper()}", noise(tmp_path / "a.wav", 2.0)
    made = [blocks(number, height, width) for number in range(COUNT)]
    assert write_video(path, iter(made), audio=audio, metadata={"comment": "mine é"}) == COUNT
    frames = np.stack(list(read_frames(path)))
    assert len(frames) == COUNT and white_at(frames) == [number % 16 for number in range(COUNT)]
    padded = (height + height % 2, width + width % 2)
    assert frames.shape[2:] == ((height, width) if ending in SILENT else padded)
    off = np.abs(frames[:, :, 4:12, 4:28].astype(int) - np.stack(made)[:, :, 4:12, 4:28])
    assert np.median(off) <= (0 if ending == ".apng" else 8)
    info = probe(path)
    assert info.fps == pytest.approx(25, rel=0.01)
    assert info.has_audio == (ending not in SILENT)
    if info.has_audio:
        assert abs(len(load_audio(path)) - COUNT * 640) < 16, "a millisecond"
    assert capsys.readouterr().err.count("without audio") == (ending in SILENT)
    assert SYNTHETIC.encode() in path.read_bytes()


@pytest.mark.parametrize("ending", [e for e in FORMATS if e not in SILENT])
def test_the_label_and_other_tags_are_metadata(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a{ending}"
    write_video(path, [blocks()], metadata={"title": "a title", "comment": "mine é"})
    with av.open(str(path)) as container:
        tags = {name.lower(): value for name, value in container.metadata.items()}
    assert tags["comment"] == f"{SYNTHETIC}; mine é" and tags["title"] == "a title"
    write_video(path, [blocks()], synthetic=False)
    assert SYNTHETIC.encode() not in path.read_bytes()


@pytest.mark.parametrize("ending", [e for e in FORMATS if e not in SILENT])
def test_audio_and_images_are_in_step(tmp_path: Path, ending: str) -> None:
    flashes, audio_S = (10, 25, 45), np.zeros(60 * 640)
    for frame in flashes:
        audio_S[frame * 640 : frame * 640 + 320] = 0.8 * (-1.0) ** np.arange(320)
    write_audio(tmp_path / "a.wav", audio_S)
    frames = (np.full((3, 32, 48), 255 * (n in flashes), np.uint8) for n in range(60))
    path = tmp_path / f"a{ending}"
    write_video(path, frames, audio=tmp_path / "a.wav")
    bright = [n for n, frame in enumerate(read_frames(path)) if frame.mean() > 128]
    loud = np.abs(load_audio(path)) > 0.3
    clicks = np.flatnonzero(loud & ~np.roll(np.convolve(loud, np.ones(2000))[: len(loud)] > 0, 1))
    assert bright == list(flashes)
    np.testing.assert_allclose(clicks / 640, flashes, atol=0.1)


def with_alpha(number: int, height: int = 64, width: int = 96) -> np.ndarray:
    """Return `blocks` with an alpha (4, H, W) that falls off softly to the right and moves."""
    ramp = (np.arange(width) * 4 - 8 * number).clip(0, 255).astype(np.uint8)
    alpha = np.broadcast_to(ramp, (1, height, width))
    return np.concatenate((blocks(number, height, width), alpha))


def decode_rgba(path: Path) -> np.ndarray:
    """Return frames (T, 4, H, W) of a video, by a decoder that knows its alpha."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        if stream.codec_context.name == "vp9":
            assert stream.metadata["ALPHA_MODE"] == "1"
            decoder = av.CodecContext.create("libvpx-vp9", "r")
            decoded = [f for packet in container.demux(stream) for f in decoder.decode(packet)]
        else:
            decoded = list(container.decode(stream))
    assert all("a" in frame.format.name for frame in decoded)
    frames = np.stack([frame.to_ndarray(format="rgba") for frame in decoded])
    if decoded[0].format.name == "yuva420p":  # swscale loses the last columns' alpha
        for rgba_HW4, frame in zip(frames, decoded, strict=True):
            plane = np.frombuffer(frame.planes[3], np.uint8).reshape(frame.height, -1)
            rgba_HW4[..., 3] = plane[:, : frame.width]
    return frames.transpose(0, 3, 1, 2)


@pytest.mark.parametrize("ending", ALPHA_FORMATS)
@pytest.mark.parametrize(("height", "width"), [(64, 96), (33, 65)])
def test_alpha_is_read_as_written(tmp_path: Path, ending: str, height: int, width: int) -> None:
    made = [with_alpha(number, height, width) for number in range(12)]
    audio = None if ending in SILENT else noise(tmp_path / "a.wav", 1.0)
    path = tmp_path / f"a{ending}"
    assert write_video(path, iter(made), audio=audio, alpha=True) == 12
    frames = decode_rgba(path)[:, :, :height, :width].astype(int)
    off = np.abs(frames - np.stack(made))
    assert off[:, 3].max() <= {".apng": 0, ".mov": 2, ".webm": 12}[ending]
    inner = off[:, :3, 4:12, 4:28]
    assert np.median(inner) <= (0 if ending == ".apng" else 8)
    assert SYNTHETIC.encode() in path.read_bytes()
    if audio:
        assert abs(len(load_audio(path)) - 12 * 640) < 16
    write_video(tmp_path / f"b{ending}", iter(made), audio=audio, alpha=True)
    assert path.read_bytes() == (tmp_path / f"b{ending}").read_bytes()


def test_alpha_of_pngs_is_exact(tmp_path: Path) -> None:
    made = [with_alpha(number) for number in range(3)]
    write_video(tmp_path / "images", iter(made), alpha=True)
    for number, frame in enumerate(made):
        image = cv2.imread(str(tmp_path / "images" / f"{number:05d}.png"), cv2.IMREAD_UNCHANGED)
        assert np.array_equal(image[..., [2, 1, 0, 3]].transpose(2, 0, 1), frame)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.GIF", "images/%d.jpg", ".mp4"])
def test_kinds_without_alpha_name_those_with_it(tmp_path: Path, name: str) -> None:
    for attempt in (
        lambda path: write_video(path, [with_alpha(0)], alpha=True),
        lambda path: check_video_path(path, alpha=True),
    ):
        with pytest.raises(DataError, match=r"cannot be transparent; \.webm, \.mov, \.apng, a new"):
            attempt(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_frames_have_alpha_only_where_that_is_asked_for(tmp_path: Path) -> None:
    for frame, alpha in ((blocks(), True), (with_alpha(0), False)):
        with pytest.raises(DataError, match="frame 0 is"):
            write_video(tmp_path / "a.webm", [frame], alpha=alpha)
    assert not list(tmp_path.iterdir())


def test_an_mp4_in_fragments_can_be_played_while_it_is_made(tmp_path: Path) -> None:
    path, audio = tmp_path / "a.mp4", noise(tmp_path / "a.wav", 4.0)
    parts: list[bytes] = []

    def frames() -> Iterator[np.ndarray]:
        for number in range(100):
            yield blocks(number, 64, 96)
            partial = partial_of(path)
            assert partial is not None
            parts.append(partial.read_bytes())

    assert partial_of(path) is None
    assert write_video(path, frames(), audio=audio, fragmented=True) == 100
    assert partial_of(path) is None
    whole = path.read_bytes()
    assert all(whole.startswith(part) for part in parts)
    early = tmp_path / "early.mp4"
    early.write_bytes(parts[75])
    assert 25 <= len(white_at(np.stack(list(read_frames(early))))) < 75
    seen = np.stack(list(read_frames(path)))
    assert white_at(seen) == [number % 16 for number in range(100)]
    assert abs(len(load_audio(path)) - 100 * 640) < 16
    with av.open(path) as container:
        assert container.metadata["comment"] == SYNTHETIC
        assert container.streams.video[0].start_time == 0
    write_video(tmp_path / "b.mp4", map(blocks, range(9)), audio=audio, fragmented=True)
    write_video(tmp_path / "c.mp4", map(blocks, range(9)), audio=audio, fragmented=True)
    assert (tmp_path / "b.mp4").read_bytes() == (tmp_path / "c.mp4").read_bytes()
    with pytest.raises(DataError, match="only mp4"):
        write_video(tmp_path / "a.webm", [blocks()], fragmented=True)


@pytest.mark.parametrize("ending", FORMATS)
def test_every_kind_has_the_same_bytes_again(tmp_path: Path, ending: str) -> None:
    audio = noise(tmp_path / "a.wav", 1.0)
    if ending in SILENT:
        audio = None
    for name in ("a", "b"):
        write_video(tmp_path / f"{name}{ending}", map(blocks, range(30)), audio=audio)
    assert (tmp_path / f"a{ending}").read_bytes() == (tmp_path / f"b{ending}").read_bytes()


def test_comments_of_images_are_where_readers_look(tmp_path: Path) -> None:
    write_video(tmp_path / "a.gif", [blocks()] * 2)
    gif = (tmp_path / "a.gif").read_bytes()
    label = SYNTHETIC.encode()
    assert gif.endswith(b"\x21\xfe" + bytes([len(label)]) + label + b"\0;")
    write_video(tmp_path / "a.apng", [blocks()] * 2)
    write_video(tmp_path / "images", [blocks()] * 2)
    for path in (tmp_path / "a.apng", tmp_path / "images" / "00001.png"):
        assert (b"tEXt", b"Comment\0" + label) in png_chunks(path.read_bytes())


def png_chunks(content: bytes) -> list[tuple[bytes, bytes]]:
    """Return the names and bodies of a png's chunks, whose checksums are right."""
    chunks, place = [], 8
    while place < len(content):
        size = int.from_bytes(content[place : place + 4], "big")
        body = content[place + 4 : place + 8 + size]
        check = content[place + 8 + size : place + 12 + size]
        assert zlib.crc32(body) == int.from_bytes(check, "big")
        chunks.append((body[:4], body[4:]))
        place += 12 + size
    assert chunks[-1][0] == b"IEND"
    return chunks


@pytest.mark.parametrize("output", ["images", "images/%05d.png", "images/shot 1 %d.JPG"])
def test_a_folder_gets_numbered_images_and_the_audio(tmp_path: Path, output: str) -> None:
    audio, made = noise(tmp_path / "a.wav", 2.0), [blocks(n, 33, 65) for n in range(12)]
    assert write_video(tmp_path / output, iter(made), audio=audio) == 12
    folder = tmp_path / "images"
    names = {"images/shot 1 %d.JPG": [f"shot 1 {n}.JPG" for n in range(12)]}
    names = names.get(output, [f"{n:05d}.png" for n in range(12)])
    assert sorted(path.name for path in folder.iterdir()) == sorted([*names, "audio.wav"])
    for name, frame in zip(names, made, strict=True):
        image = cv2.imread(str(folder / name))[..., ::-1].transpose(2, 0, 1)
        assert np.abs(image.astype(int) - frame).mean() < (0.1 if name.endswith("png") else 20)
        assert SYNTHETIC.encode() in (folder / name).read_bytes()
    np.testing.assert_allclose(
        load_audio(folder / "audio.wav"), load_audio(audio)[: 12 * 640], atol=0.2
    )
    assert SYNTHETIC.encode() in (folder / "audio.wav").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.wav", "images"]


def test_a_killed_processs_images_are_deleted(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys; import numpy as np; from pathlib import Path\n"
        "from speech2video.util.video.writer import write_video\n"
        "def frames():\n"
        "    yield np.zeros((3, 8, 8), np.uint8)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "write_video(Path('images'), frames())"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=os.environ, check=False)
    (left,) = tmp_path.iterdir()
    assert left.name.endswith(".partial")

    def frames():
        yield from map(blocks, range(2))
        assert write_video(tmp_path / "other" / "images", [blocks()]) == 1
        write_video(tmp_path / "images", [blocks()])  # at the same time, and first

    with pytest.raises(DataError, match="cannot be written"):
        write_video(tmp_path / "images", frames())
    assert len(list((tmp_path / "images").iterdir())) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images", "other"]


@pytest.mark.parametrize(
    "name", ["-x.mp4", "a\nb.mkv", "%d.webm", "http:x.gif", "\udcff", "x" * 250]
)
def test_any_name_and_tag_can_be_written(tmp_path: Path, name: str) -> None:
    tags = {"title": "\udcff", "comment": "\udcff"}
    assert write_video(tmp_path / name, [blocks()], metadata=tags) == 1
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_folder_of_images_is_new_and_whole(tmp_path: Path) -> None:
    def failing():
        yield from map(blocks, range(3))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_video(tmp_path / "images", failing())
    with pytest.raises(DataError, match="no frames"):
        write_video(tmp_path / "images", [])
    assert not list(tmp_path.iterdir())
    (tmp_path / "images").mkdir()
    assert write_video(tmp_path / "images", [blocks()]) == 1
    (tmp_path / "file").write_text("words")
    for path in (tmp_path / "images", tmp_path / "images" / "%d.png", tmp_path / "file"):
        with pytest.raises(DataError, match=r"not empty|in the way"):
            write_video(path, [blocks()])
    assert [path.name for path in (tmp_path / "images").iterdir()] == ["00000.png"]
    assert (tmp_path / "file").read_text() == "words"


@pytest.mark.parametrize(
    "name",
    ["a.avi", "a.wav", "a.png", "a.mp4.txt", "%d%d.png", "%99d.png", "a.%05d", "a.m3u8"],
)
def test_another_ending_is_refused_before_any_work(tmp_path: Path, name: str) -> None:
    def frames():
        raise AssertionError("no frame is made")
        yield

    for attempt in (lambda path: write_video(path, frames()), check_video_path):
        with pytest.raises(DataError, match=r"\.mp4, .*\.webm.*%05d\.png") as error:
            attempt(tmp_path / name)
        assert name in str(error.value) and "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("ending", [".webm", ".gif", ".apng", ""])
def test_long_videos_take_no_more_memory(tmp_path: Path, ending: str) -> None:
    code = (
        "import resource, sys; import numpy as np\n"
        "from speech2video.util.video.writer import write_video\n"
        "frames = lambda n: (np.full((3, 96, 128), k % 256, np.uint8) for k in range(n))\n"
        "def peak(n, name):\n"
        "    write_video(__import__('pathlib').Path(name), frames(n))\n"
        "    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        f"print([peak(60, 'a{ending}'), peak(600, 'b{ending}')])"
    )
    run = [sys.executable, "-c", code]
    result = subprocess.run(
        run, cwd=tmp_path, capture_output=True, text=True, check=True, env=os.environ
    )
    short, long = json.loads(result.stdout)
    assert long - short < 10_000, "kilobytes; 540 frames have 20 MB"
