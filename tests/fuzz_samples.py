"""Whole inputs of each kind for `tests.fuzzing`, with what a command does to read them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch

from speech2video.data.clip import Clip
from speech2video.data.gestures.dictionary import GestureDictionary
from speech2video.data.gestures.timeline import Timeline, plan_gestures
from speech2video.data.keypoints import Keypoints, fill_gaps, read_openpose_keypoints
from speech2video.data.motion import Motion, motion_from_pose
from speech2video.data.motion_export import write_motion_as
from speech2video.data.motion_io import read_motion, write_motion
from speech2video.data.speech2face.clip import FaceClip
from speech2video.models.audio2pose.predictor import PosePredictor
from speech2video.models.pose2video.renderer import load_renderer
from speech2video.options.pose2video import read_vid2vid_options
from speech2video.util.audio.audio_io import LoudnessMeter, read_audio
from speech2video.util.body.body_model import Body
from speech2video.util.body.pose_vector import SmplxParameters
from speech2video.util.body.rotations import axis_angle_to_matrix
from speech2video.util.checkpoint_folder import OPTIONS_FILE, WEIGHTS_FILE
from speech2video.util.rendering.openpose import draw_vid2vid_authors_map
from speech2video.util.rendering.openpose_json import OpenPoseRecording
from speech2video.util.text.spoken_text import normalise_text, split_words
from speech2video.util.text.transcript import read_text, read_words, write_words
from speech2video.util.training_log import TrainingLog
from speech2video.util.video.reader import probe, read_frames
from tests.fuzzing import Sample, damaged
from tests.recordings import make_recording
from tests.shared import ROOT
from tests.tiny_speaker import voice

AUDIO_CODECS = {  # suffix: codec, rate in Hz
    ".wav": ("pcm_s16le", 16_000),
    ".flac": ("flac", 44_100),
    ".mp3": ("libmp3lame", 44_100),
    ".ogg": ("libopus", 48_000),
    ".m4a": ("aac", 48_000),
    ".aiff": ("pcm_s16be", 22_050),
}
VIDEO_CODECS = {
    ".mp4": ("libx264", "aac"),
    ".mkv": ("libx264", "aac"),
    ".webm": ("libvpx", "libopus"),
    ".avi": ("mpeg4", "libmp3lame"),
    ".mov": ("mpeg4", "aac"),
    ".ts": ("libx264", "aac"),
    ".flv": ("libx264", "aac"),
}
DEMO = ROOT / "checkpoints" / "demo"
WORDS = (("one", 0.1, 0.4), ("huge", 0.5, 0.9), ("idea", 1.0, 1.55))
MOST_FRAMES = 100_000  # of a video whose sample has a second: an hour, more is no video of it


def make_samples(kind: str, folder: Path) -> list[Sample]:
    """Return the samples of a kind; `folder` is to work in."""
    return _MAKERS[kind](folder)


def audio_file(folder: Path, suffix: str, seconds: float = 0.4) -> bytes:
    """Return a file of audio with the codec of the suffix."""
    codec, rate = AUDIO_CODECS[suffix]
    path = folder / f"whole{suffix}"
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, layout="mono")
        frame = av.AudioFrame.from_ndarray(voice(seconds, rate=rate)[None], "fltp", "mono")
        frame.sample_rate = rate
        resampler = av.AudioResampler(stream.codec_context.format, "mono", rate)
        fifo = av.AudioFifo()
        for piece in resampler.resample(frame):
            fifo.write(piece)
        size = stream.codec_context.frame_size or 1024
        while piece := fifo.read(size, partial=True):
            container.mux(stream.encode(piece))
        container.mux(stream.encode(None))
    return path.read_bytes()


def write_damaged_audio(folder: Path, count: int, *, seed: int = 0) -> Path:
    """Write damaged audio of all codecs in turn; return the file that lists them."""
    random = np.random.default_rng(seed)
    whole = {suffix: audio_file(folder, suffix) for suffix in AUDIO_CODECS}
    paths = []
    for number in range(count):
        suffix = list(AUDIO_CODECS)[number % len(AUDIO_CODECS)]
        paths.append(folder / f"{number:03d}{suffix}")
        paths[-1].write_bytes(damaged(whole[suffix], random))
    listed = folder / "list.txt"
    listed.write_text("".join(f"{path}\n" for path in paths), encoding="utf-8")
    return listed


def _one_file(name: str, content: bytes, read: Callable[[Path], object]) -> Sample:
    return Sample({name: content}, name, lambda folder: read(folder / name))


def _sound(folder: Path) -> list[Sample]:
    return [_one_file(f"a{x}", audio_file(folder, x), _read_sound) for x in AUDIO_CODECS]


def _read_sound(path: Path) -> None:
    meter = LoudnessMeter()
    for chunk in read_audio(path):
        assert chunk.dtype == np.float32 and np.abs(chunk).max() <= 1, "samples past full scale"
        meter.push(chunk)
    assert np.isfinite(meter.gain)


def _video(folder: Path) -> list[Sample]:
    ramp = np.linspace(0, 255, 48, dtype=np.uint8)
    images = [(t / 25, np.tile(np.roll(ramp, t)[None, :, None], (32, 1, 3))) for t in range(25)]
    sound = voice(1.0, rate=48_000)[None]
    samples = []
    for suffix, codecs in VIDEO_CODECS.items():
        path = make_recording(folder / f"a{suffix}", images, sound, codecs=codecs)
        samples.append(_one_file(path.name, path.read_bytes(), _read_video))
    return samples


def _read_video(path: Path) -> None:
    info = probe(path)
    for count, frame in enumerate(read_frames(path)):
        assert frame.shape == (3, info.height, info.width) and frame.dtype == np.uint8
        assert count < MOST_FRAMES, "a second became an hour"
    if info.has_audio:
        _read_sound(path)


def _words(folder: Path) -> list[Sample]:
    dictionary = GestureDictionary.load(DEMO / "gestures")

    def read(path: Path) -> None:
        words = read_words(path)
        assert all(0 <= w.start <= w.end < np.inf for w in words)
        plan_gestures(dictionary, words, frames=50)
        write_words(path.with_name("written.csv"), words)
        assert len(read_words(path.with_name("written.csv"))) == len(words)

    def read_transcript(path: Path) -> None:
        split_words(normalise_text(read_text(path)))

    transcript = (ROOT / "examples/speech.txt").read_bytes() + b" $3.50 at 10:45; 1,234th.\n"
    samples = [_one_file(name, text.encode(), read) for name, text in _word_files().items()]
    return [*samples, _one_file("transcript.txt", transcript, read_transcript)]


def _word_files() -> dict[str, str]:
    """Return texts by file name, one for each layout of words."""

    def lines(form: str, *, scale: float = 1.0) -> str:
        return "".join(
            form.format(w=w, a=a * scale, b=b * scale, d=b - a) + "\n" for w, a, b in WORDS
        )

    def clock(seconds: float, point: str) -> str:
        return f"00:00:{seconds:06.3f}".replace(".", point)

    def subtitles(point: str) -> list[str]:
        return [f"{clock(a, point)} --> {clock(b, point)}\n{w}\n" for w, a, b in WORDS]

    intervals = "".join(
        f'        intervals [{i}]:\n            xmin = {a}\n            xmax = {b}\n'
        f'            text = "{w}"\n'
        for i, (w, a, b) in enumerate(WORDS, 1)
    )  # fmt: skip
    head = 'File type = "ooTextFile"\nObject class = "TextGrid"\n\nxmin = 0\nxmax = 2\n'
    head += "tiers? <exists>\nsize = 1\nitem []:\n"
    tier = '    item [1]:\n        class = "IntervalTier"\n        name = "words"\n'
    tier += f"        xmin = 0\n        xmax = 2\n        intervals: size = {len(WORDS)}\n"
    whisper = [{"word": w, "start": a, "end": b, "probability": 0.9} for w, a, b in WORDS]
    segment = {"id": 0, "start": 0.1, "end": 1.55, "text": "one huge idea", "words": whisper}
    gentle = [{"word": w, "start": a, "end": b, "case": "success"} for w, a, b in WORDS]
    return {
        "a.csv": "word,start,end\n" + lines("{w},{a},{b}"),
        "b.csv": "word;start;end\n" + lines("{w};{a};{b}").replace(".", ","),
        "a.tsv": "start\tend\ttext\n" + lines("{a:.0f}\t{b:.0f}\t{w}", scale=1000),
        "show.txt": lines("{a} | {b} | {w} | 0.9"),
        "labels.txt": lines("{a}\t{b}\t{w}"),
        "a.align": lines("{a:.0f} {b:.0f} {w}", scale=25_000),
        "a.ctm": lines("talk 1 {a} {d:.2f} {w} 0.9"),
        "a.TextGrid": head + tier + intervals,
        "a.srt": "\n".join(f"{i}\n{text}" for i, text in enumerate(subtitles(","), 1)),
        "a.vtt": "WEBVTT\n\n" + "\n".join(subtitles(".")),
        "whisper.json": json.dumps({"text": "one huge idea", "segments": [segment]}),
        "gentle.json": json.dumps({"transcript": "one huge idea", "words": gentle}),
    }  # fmt: skip


def _npz(folder: Path) -> list[Sample]:
    body, random = Body.load(), np.random.default_rng(0)
    pose_TP = torch.zeros(6, 106)
    write_motion(folder / "own.npz", motion_from_pose(pose_TP, body))
    with np.load(folder / "own.npz") as own:
        arrays = {name: own[name] for name in own.files}
    count, zeros = 6, np.zeros
    layouts: dict[str, dict[str, Any]] = {
        "own.npz": arrays,
        "amass.npz": {"poses": zeros((count, 156)), "trans": zeros((count, 3)), "betas": zeros(16),
                      "mocap_framerate": np.array(60.0), "gender": np.array("male")},
        "stage2.npz": {"root_orient": zeros((count, 3)), "pose_body": zeros((count, 63)),
                       "pose_hand": zeros((count, 90)), "trans": zeros((count, 3)),
                       "mocap_frame_rate": np.array(120.0)},
        "show.npz": {"global_orient": zeros((count, 1, 3)), "body_pose_axis": zeros((count, 63)),
                     "left_hand_pose": zeros((count, 12)), "right_hand_pose": zeros((count, 12)),
                     "jaw_pose": zeros((count, 3)), "expression": zeros((count, 50)),
                     "transl": zeros((count, 3)), "fps": np.array("30")},
    }  # fmt: skip

    def read(path: Path) -> None:
        motion = read_motion(path)
        assert torch.isfinite(motion.pose_vector(body)).all()
        write_motion(path.with_name("written.npz"), motion)

    samples = [_one_file(name, _npz_bytes(folder, one), read) for name, one in layouts.items()]
    points_TK3 = random.uniform(0.1, 1, (count, 144, 3)).astype(np.float32)
    Keypoints(points_TK3, points_TK3, 64, 64, 25.0, "mediapipe").save(folder / "keypoints.npz")
    keypoints = (folder / "keypoints.npz").read_bytes()
    samples.append(_one_file("keypoints.npz", keypoints, lambda p: fill_gaps(Keypoints.load(p))))
    landmarks = _npz_bytes(folder, {"points_TK2": zeros((count, 68, 2), np.float32)})
    samples.append(_one_file("landmarks.npz", landmarks, lambda p: FaceClip(p.parent).points()))
    gestures = {path.name: path.read_bytes() for path in (DEMO / "gestures").iterdir()}
    samples.append(Sample(gestures, "motions.npz", GestureDictionary.load))
    shape = (ROOT / "util/body/open_body.npz").read_bytes()
    return [*samples, _one_file("body.npz", shape, Body.load)]


def _motion(folder: Path) -> list[Sample]:
    body, random = Body.load(), np.random.default_rng(0)
    poses = 0.1 * random.standard_normal((6, 55, 3)).astype(np.float32)
    matrices = axis_angle_to_matrix(torch.from_numpy(poses)).numpy()
    smplx = SmplxParameters(torch.from_numpy(poses), torch.zeros(6, 3), torch.zeros(6, 10))
    write_motion_as(folder / "m.bvh", Motion(smplx, 25, torch.zeros(10)), body)
    world = {"body_pose": poses[:, 1:22].reshape(6, 63), "global_orient": poses[:, 0]}
    world |= {"transl": np.zeros((6, 3), np.float32)}
    torch.save({"smpl_params_global": {k: torch.from_numpy(v) for k, v in world.items()}},
               folder / "m.pt")  # fmt: skip
    np.save(folder / "m.npy", np.zeros((6, 265), np.float32))
    contents = {path.name: path.read_bytes() for path in folder.glob("m.*")}
    layouts = {
        "matrices.npz": {"poses": matrices, "trans": np.zeros((6, 3)), "fps": np.array("30")},
        "6d.npz": {"poses": matrices[:, :, :2].reshape(6, 330), "shape": np.zeros((6, 10))},
        "people.npz": {name: np.stack((part, part)) for name, part in world.items()},
        "talkshow.npz": {"arr_0": np.zeros((6, 265)), "frame_rate": np.array([30])},
    }
    contents |= {name: _npz_bytes(folder, arrays) for name, arrays in layouts.items()}

    def read(path: Path) -> None:
        motion = read_motion(path)
        assert len(motion) and torch.isfinite(motion.pose_vector(body)).all()
        assert torch.isfinite(motion.smplx.translation).all()

    frame = _npz_bytes(folder, {name: part[0] for name, part in world.items()})
    frames = {f"{number:05}_0.npz": frame for number in range(1, 5)}
    return [
        *(_one_file(name, content, read) for name, content in contents.items()),
        Sample(frames, "00003_0.npz", read),
    ]


def _npz_bytes(folder: Path, arrays: dict[str, Any]) -> bytes:
    np.savez_compressed(folder / "made.npz", **arrays)
    return (folder / "made.npz").read_bytes()


def _json(folder: Path) -> list[Sample]:
    clip = {"source": "a.mp4", "frames": 25, "width": 64, "height": 64, "keypoints": "mediapipe",
            "body": "open", "people": 1, "words": "given", "notes": ["one"]}  # fmt: skip
    face = {"source": "a.mp4", "frames": 25, "size": 64, "speaker": "anna", "emotion": "happy"}
    log = {"title": "a", "curves": {"train/loss": [[1, 0.5], [2, 0.4]]}, "validations": [
        {"step": 1, "tables": [{"title": "", "columns": ["a"], "rows": [["images/1.jpg"]]}],
         "videos": [{"name": "v", "path": "videos/1.mp4"}]}]}  # fmt: skip
    vid2vid = {"ngf": 8, "n_blocks": 2, "norm": "instance", "openpose_only": True, "n_frames_G": 3}
    dictionary = GestureDictionary.load(DEMO / "gestures")
    plan_gestures(dictionary, read_words(ROOT / "examples/speech.csv")).save(folder / "t.json")
    timeline = json.loads((folder / "t.json").read_text())

    def read_log(path: Path) -> None:
        TrainingLog(path.parent, step=2, tensorboard=False).close()

    def one(name: str, value: Any, read: Callable[[Path], object]) -> Sample:
        return _one_file(name, json.dumps(value).encode(), read)

    gestures = {path.name: path.read_bytes() for path in (DEMO / "gestures").iterdir()}
    samples = [
        one("clip.json", clip, lambda path: Clip(path.parent).info()),
        one("face.json", face, lambda path: FaceClip(path.parent).info()),
        one("log.json", log, read_log),
        one("vid2vid.json", vid2vid, read_vid2vid_options),
        one("timeline.json", timeline, lambda path: Timeline.load(path, dictionary)),
        Sample(gestures, "dictionary.json", GestureDictionary.load),
    ]
    for kind, read in (("audio2pose", PosePredictor.load), ("pose2video", load_renderer)):
        options = (DEMO / kind / OPTIONS_FILE).read_bytes()
        files = {OPTIONS_FILE: options, WEIGHTS_FILE: DEMO / kind / WEIGHTS_FILE}
        samples.append(Sample(files, OPTIONS_FILE, read))
    return samples


def _openpose(folder: Path) -> list[Sample]:
    random = np.random.default_rng(0)

    def points(count: int) -> list[float]:
        return (random.uniform(0.1, 1, (count, 3)) * (64, 64, 1)).round(3).ravel().tolist()

    def person() -> dict[str, Any]:
        hands = {f"hand_{side}_keypoints_2d": points(21) for side in ("left", "right")}
        return {"pose_keypoints_2d": points(25), "face_keypoints_2d": points(70), **hands}

    files = {
        f"a_{t:012d}_keypoints.json": json.dumps(
            {"version": 1.3, "people": [person()] * (1 + t % 2)}
        )
        for t in range(3)
    }
    contents = {name: text.encode() for name, text in files.items()}

    def read(folder: Path) -> None:
        for frame in OpenPoseRecording(folder, size=(64, 64)).held():
            draw_vid2vid_authors_map(frame, 64, 64)

    def read_clip(folder: Path) -> None:
        fill_gaps(read_openpose_keypoints(folder, frames=3, width=64, height=64, fps=25.0))

    samples = [Sample(contents, name, one) for name in files for one in (read, read_clip)]
    frames = [{"frame_id": t, **json.loads(text)} for t, text in enumerate(files.values())]
    tracks = [{"image_id": f"{t}.jpg", "keypoints": points(133), "score": 1.0} for t in range(3)]
    for name, content in (("frames", {"frames": frames}), ("tracks", tracks)):
        one = {f"{name}.json": json.dumps(content).encode()}
        samples += [Sample(one, f"{name}.json", reader) for reader in (read, read_clip)]
    return samples


_MAKERS = {
    "sound": _sound,
    "words": _words,
    "npz": _npz,
    "json": _json,
    "openpose": _openpose,
    "video": _video,
    "motion": _motion,
}
