"""Pose to video on held-out clips, from free rollout, beside two baselines.

Every figure is of frames that the generator painted from no past, seeing only its own frames.
"""

import re
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from evaluation import video_landmarks as landmarks
from evaluation.tables import MODEL, REAL, FrameTable, Metrics, in_lines
from evaluation.video_baselines import Baselines, drift
from evaluation.video_pixels import WHOLE, Frames, boxes_of, measure_pixels, measure_with_networks
from speech2video.data.pose2video.clip import PoseVideo, load_pose_videos
from speech2video.data.pose2video.frame_cache import FrameCache
from speech2video.data.splits import split_clips
from speech2video.models.evaluators.image_metrics import (
    I3D_FRAMES,
    FaceRecognitionNetwork,
    ImageNetworks,
    crop_boxes,
    fvd,
    inception_scores,
)
from speech2video.models.pose2video.renderer import (
    Pose2VideoRenderer,
    load_renderer,
    read_renderer_options,
)
from speech2video.options.evaluation import EvaluateVideoOptions
from speech2video.options.pose2video import TrainPose2VideoOptions
from speech2video.util.body.body_model import Body
from speech2video.util.checkpoint_folder import OPTIONS_FILE, resolve_checkpoint
from speech2video.util.errors import DataError
from speech2video.util.metrics.image import MS_SSIM_MIN_SIZE
from speech2video.util.timing import FPS
from speech2video.util.video.writer import write_video

NEAREST, MEAN = "nearest_pose", "mean_frame"
BASELINES = (NEAREST, MEAN)
CACHE = 1 << 29  # bytes of decoded frames
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
HEAD_SIDE = 128  # pixels a side of the heads that Inception sees
ROLLOUT = "free: no past to begin with, then its own frames only"


def evaluate(options: EvaluateVideoOptions) -> Metrics:
    """Return tables of the model and the baselines, and write a video of each held-out clip.

    Raises:
        DataError: no such run or data set, nothing held out, or a network's file that is none.
        UserError: MediaPipe or torchmetrics is not installed.
    """
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    folder = options.checkpoints / options.name / TrainPose2VideoOptions.KIND
    painter = load_renderer(folder, device=options.device, dtype=DTYPES[options.precision])
    train, test = _videos(options, folder, painter)
    judge = _Judge(options)
    baselines = Baselines(train, FrameCache(train, limit_bytes=CACHE))
    mean_3HW = baselines.mean_frame()
    videos = {}
    for video in test:
        with tempfile.TemporaryFile() as file:
            frames = _space(file, video)
            for t, frame_HW3 in enumerate(_real(video)):
                frames[REAL][t] = frame_HW3.transpose(2, 0, 1)
            for t, frame_3HW in enumerate(_rollout(painter, video)):
                frames[MODEL][t] = frame_3HW
            baselines.fill_with_nearest(frames[NEAREST], video)
            frames[MEAN][:] = mean_3HW
            judge.see(frames, video)
            path = options.output / f"{_plain(video.name)}.mp4"
            write_video(path, _side_by_side(painter, video, frames), fps=FPS)
            videos[video.name] = path.name
    figures = _about(options, painter, train, test) | judge.figures()
    if options.minutes:
        longest = max(test, key=len)
        figures["drift"] = drift(painter, longest, minutes=options.minutes, limit_bytes=CACHE)
    return figures | {"map_model_and_real": videos}


class _Judge:
    """What is said of all clips together."""

    def __init__(self, options: EvaluateVideoOptions) -> None:
        self._options, self._table = options, FrameTable()
        self._networks = ImageNetworks(options.networks, device=options.device)
        self._face = None
        if options.face_network is not None:
            self._face = FaceRecognitionNetwork(
                options.face_network, size=options.face_size, device=options.device
            )
        self._hands, self._side = 0, 0
        self._features: dict[tuple[str, str], list] = defaultdict(list)

    def see(self, frames: Frames, video: PoseVideo) -> None:
        """Measure one clip."""
        self._side = min(frames[REAL].shape[2:])
        measure_pixels(self._table, frames, video)
        size = self._options.face_size
        measure_with_networks(self._table, frames, video, self._networks, self._face, size)
        self._look(frames, video)
        if self._options.landmarks:
            self._find_landmarks(frames, video)

    def figures(self) -> Metrics:
        """Return means over all frames of all clips, what is beaten for sure, what is absent."""
        figures = self._table.means()
        for part, scores in self._distributions().items():
            figures[part] |= scores
        options = self._options
        better = self._table.better_by(BASELINES, draws=options.draws, seed=options.seed)
        if options.landmarks:
            figures["landmarks"]["hands_seen_in_real"] = {REAL: self._hands}
        return {**figures, "model_better_by": better, "absent": self._absent()}

    def _look(self, frames: Frames, video: PoseVideo) -> None:
        (boxes,) = boxes_of(video, "head")
        for system, video_T3HW in frames.items():
            heads = crop_boxes(video_T3HW, boxes, HEAD_SIDE)
            for part, pictures in ((WHOLE, video_T3HW), ("head", heads)):
                seen = self._networks.inception(pictures) if len(pictures) else None
                if seen is not None:
                    self._features[part, system].append(seen)
            clips = self._networks.i3d(video_T3HW)
            if clips is not None and len(clips):
                self._features["video", system].append(clips)

    def _find_landmarks(self, frames: Frames, video: PoseVideo) -> None:
        found = {name: landmarks.found_points(video_T3HW) for name, video_T3HW in frames.items()}
        self._hands += landmarks.hands_seen(found[REAL])
        for system, points_TK2 in found.items():
            three = points_TK2, found[REAL], video.points_TK2
            weight = len(points_TK2)
            scores = landmarks.landmark_scores(*three) | {
                name: np.full(weight, value)
                for name, value in landmarks.lip_correlations(*three).items()
            }
            for name, values_T in scores.items():
                if system != REAL or name.endswith("to_asked"):
                    self._table.add("landmarks", name, system, values_T)

    def _distributions(self) -> Metrics:
        """Return FID, KID, IS and FVD, which are of all frames together."""
        parts: Metrics = {}
        for part in (WHOLE, "head"):
            seen = {
                system: tuple(map(np.concatenate, zip(*features, strict=True)))
                for (of, system), features in self._features.items()
                if of == part
            }
            if seen and len(seen[REAL][0]) > 1:
                seed = self._options.seed
                rows = {s: inception_scores(f, seen[REAL], seed=seed) for s, f in seen.items()}
                parts[part] = in_lines(rows)
        clips = {s: np.concatenate(f) for (of, s), f in self._features.items() if of == "video"}
        if clips:
            rows = {s: {"fvd": fvd(f, clips[REAL])} for s, f in clips.items() if s != REAL}
            parts.setdefault(WHOLE, {}).update(in_lines(rows))
        return parts

    def _absent(self) -> dict[str, str]:
        absent = dict(self._networks.absent)
        if self._side < MS_SSIM_MIN_SIZE:
            absent["ms_ssim"] = f"pictures of {self._side} pixels; {MS_SSIM_MIN_SIZE} are needed"
        if "fvd" not in absent and ("video", REAL) not in self._features:
            absent["fvd"] = f"no clip has {I3D_FRAMES} frames"
        if self._face is None:
            absent["identity_similarity"] = "no --face_network"
        if not self._options.landmarks:
            absent["landmarks"] = "--no-landmarks"
        return absent


def _videos(
    options: EvaluateVideoOptions, folder: Path, painter: Pose2VideoRenderer
) -> tuple[list[PoseVideo], list[PoseVideo]]:
    """Return what the run trained on and what it held out, the latter no longer than asked for."""
    trained = read_renderer_options(resolve_checkpoint(folder) / OPTIONS_FILE)
    ours = isinstance(trained, TrainPose2VideoOptions)
    dataset = options.dataset or (trained.dataset if ours else None)
    if dataset is None:
        raise DataError(f"{folder}: does not say what it was trained on; give --dataset")
    if not (ours or options.held_out):
        raise DataError(f"{folder}: does not say what it held out; give --held_out")
    body = Body.load(options.body or (trained.body if ours else None))
    width, height = (painter.width, painter.height) if painter.width else options.size
    names = {*trained.clips, *options.held_out} if ours and trained.clips else ()
    videos = load_pose_videos(dataset, body, width=width, height=height, names=names)
    train, test = split_clips(
        videos,
        held_out=options.held_out or trained.held_out,
        seconds=trained.held_out_seconds if ours else 0.0,
    )
    if options.frames is not None:
        test = [video.part(0, min(options.frames, len(video))) for video in test]
    return train, test


def _space(file, video: PoseVideo) -> dict[str, np.ndarray]:
    """Return room on disk for a clip's frames (T, 3, H, W) of all systems."""
    systems = (REAL, MODEL, *BASELINES)
    shape = (len(systems), len(video), 3, video.framing.height, video.framing.width)
    room = np.memmap(file, np.uint8, "w+", shape=shape)
    return dict(zip(systems, room, strict=True))


def _real(video: PoseVideo) -> Iterator[np.ndarray]:
    store = FrameCache([video], limit_bytes=CACHE)
    return (store.frames(0, [t])[0] for t in range(len(video)))


def _rollout(painter: Pose2VideoRenderer, video: PoseVideo) -> Iterator[np.ndarray]:
    size = video.framing.width, video.framing.height
    return painter.render(painter.draw_maps(video.points_TK2, size=size))


def _side_by_side(
    painter: Pose2VideoRenderer, video: PoseVideo, frames: Frames
) -> Iterator[np.ndarray]:
    """Yield map, painted and real frame beside each other."""
    maps = painter.draw_maps(video.points_TK2, size=(video.framing.width, video.framing.height))
    for three in zip(maps, frames[MODEL], frames[REAL], strict=True):
        yield np.concatenate(three, axis=2)


def _plain(name: str) -> str:
    """Return a clip's name, that of a stretch too, as one for a file."""
    return re.sub(r"[^\w.-]+", "_", name).strip("_")


def _about(
    options: EvaluateVideoOptions,
    painter: Pose2VideoRenderer,
    train: list[PoseVideo],
    test: list[PoseVideo],
) -> Metrics:
    framing = test[0].framing
    return {
        "about": {
            "frames": sum(map(len, test)),
            "clips": " ".join(video.name for video in test),
            "training_frames": sum(map(len, train)),
            "size": f"{framing.width}x{framing.height}",
            "fps": FPS,
            "seed": options.seed,
            "rollout": ROLLOUT,
            "generator": type(painter.generator).__name__,
            "precision": options.precision,
        }
    }
