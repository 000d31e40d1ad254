"""Evaluation of pose2video on held-out clips against two baselines.

Frames are generated in free rollout: without past frames at the start, then from generated ones.
"""

import tempfile
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch

from evaluation import video_metrics
from evaluation.tables import MODEL, REAL, FrameTable, Metrics, file_name
from evaluation.video_baselines import CACHE, Baselines, measure_drift, real_frames
from evaluation.video_metrics import WHOLE, Frames
from speech2video.data.pose2video.clip import PoseVideo, load_pose_videos
from speech2video.data.pose2video.frames import FrameCache
from speech2video.data.splits import split_clips
from speech2video.models.evaluators import image_metrics
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
from speech2video.util.metrics.motion import lip_opening
from speech2video.util.metrics.statistics import correlation
from speech2video.util.timing import FPS
from speech2video.util.video.writer import write_video

NEAREST, MEAN = "nearest_pose", "mean_frame"  # baselines
SYSTEMS = (REAL, MODEL, NEAREST, MEAN)
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
HEAD_SIZE = 128  # pixels of head crops for Inception


def evaluate(options: EvaluateVideoOptions) -> Metrics:
    """Return metrics of the model and the baselines, and write a video of each held-out clip.

    Raises:
        DataError: no such run or dataset, nothing held out, or an invalid network file.
        UserError: MediaPipe or torchmetrics is not installed.
    """
    folder = options.checkpoints / options.name / TrainPose2VideoOptions.KIND
    renderer = load_renderer(folder, device=options.device, dtype=DTYPES[options.precision])
    train, test = _load_videos(options, folder, renderer)
    evaluator = _VideoEvaluator(options)
    baselines = Baselines(train, FrameCache(train, limit_bytes=CACHE))
    mean_3HW = baselines.mean_frame()
    width, height = test[0].framing.width, test[0].framing.height
    videos = {}
    for video in test:
        with tempfile.TemporaryFile() as file:
            shape = (len(SYSTEMS), len(video), 3, height, width)
            on_disk = np.memmap(file, np.uint8, "w+", shape=shape)
            frames = {name: on_disk[index] for index, name in enumerate(SYSTEMS)}
            for t, frame_3HW in enumerate(real_frames(video)):
                frames[REAL][t] = frame_3HW
            maps = renderer.draw_maps(video.points_TK2, size=(width, height))
            for t, frame_3HW in enumerate(renderer.render(maps)):
                frames[MODEL][t] = frame_3HW
            baselines.write_nearest(frames[NEAREST], video)
            frames[MEAN][:] = mean_3HW
            evaluator.add(frames, video)
            path = options.output / f"{file_name(video.name)}.mp4"
            maps = renderer.draw_maps(video.points_TK2, size=(width, height))
            columns = zip(maps, frames[MODEL], frames[REAL], strict=True)
            write_video(path, (np.concatenate(images, axis=2) for images in columns), fps=FPS)
            videos[video.name] = path.name
    about = {
        "frames": sum(map(len, test)),
        "clips": " ".join(video.name for video in test),
        "training_frames": sum(map(len, train)),
        "size": f"{width}x{height}",
        "fps": FPS,
        "seed": options.seed,
        "rollout": "free: generated past frames only",
        "generator": type(renderer.generator).__name__,
        "precision": options.precision,
    }
    metrics = {"about": about} | evaluator.metrics()
    if options.minutes:
        longest = max(test, key=len)
        metrics["drift"] = measure_drift(renderer, longest, minutes=options.minutes)
    return metrics | {"map_model_and_real": videos}


class _VideoEvaluator:
    """Collects the metrics of all clips."""

    def __init__(self, options: EvaluateVideoOptions) -> None:
        self._options, self._table = options, FrameTable()
        self._networks = image_metrics.ImageNetworks(
            options.networks, device=options.device, trusted=options.trust_torchscript
        )
        self._face = video_metrics.load_face_network(options)
        self._hands, self._image_size = 0, 0
        self._features: dict[tuple[str, str], list] = defaultdict(list)

    def add(self, frames: Frames, video: PoseVideo) -> None:
        """Measure one clip."""
        self._image_size = min(frames[REAL].shape[2:])
        video_metrics.add_pixel_metrics(self._table, frames, video)
        size = self._options.face_size
        networks = self._networks, self._face
        video_metrics.add_network_metrics(self._table, frames, video, *networks, size)
        self._add_features(frames, video)
        if self._options.landmarks:
            self._add_landmarks(frames, video)

    def metrics(self) -> Metrics:
        """Return means over all frames, improvements over baselines, and unavailable metrics."""
        metrics = self._table.means()
        for part, rows in self._distribution_metrics().items():
            metrics[part] |= rows
        options = self._options
        if options.landmarks:
            metrics.setdefault("landmarks", {})["hands_detected_in_real"] = {REAL: self._hands}
        intervals = self._table.intervals(draws=options.bootstrap_samples, seed=options.seed)
        return {**metrics, "model_intervals": intervals, "unavailable": self._unavailable()}

    def _add_features(self, frames: Frames, video: PoseVideo) -> None:
        (boxes,) = video_metrics.part_boxes(video, "head")
        assert boxes is not None
        for system, video_T3HW in frames.items():
            heads = image_metrics.crop_boxes(video_T3HW, boxes, HEAD_SIZE)
            for part, images in ((WHOLE, video_T3HW), ("head", heads)):
                features = self._networks.inception(images) if len(images) else None
                if features is not None:
                    self._features[part, system].append(features)
            clips = self._networks.i3d(video_T3HW)
            if clips is not None and len(clips):
                self._features["video", system].append(clips)

    def _add_landmarks(self, frames: Frames, video: PoseVideo) -> None:
        points = {s: video_metrics.detect_points(video_T3HW) for s, video_T3HW in frames.items()}
        self._hands += video_metrics.count_hands(points[REAL])
        for system, points_TK2 in points.items():
            compared = points_TK2, points[REAL], video.points_TK2
            rows = video_metrics.landmark_metrics(*compared)
            opening_T, *others = map(lip_opening, compared)
            names = ("lip_correlation", "lip_correlation_to_input")
            for name, other_T in zip(names, others, strict=True):
                rows[name] = np.full(len(points_TK2), correlation(opening_T, other_T))
            for name, values_T in rows.items():
                if system != REAL or name.endswith("to_input"):
                    self._table.add("landmarks", name, system, values_T)

    def _distribution_metrics(self) -> Metrics:
        """Return FID, KID, IS and FVD over all frames."""
        seed, parts = self._options.seed, defaultdict(lambda: defaultdict(dict))
        for part in (WHOLE, "head"):
            features = {s: found for (of, s), found in self._features.items() if of == part}
            outputs = {s: video_metrics.join_outputs(found) for s, found in features.items()}
            if outputs and len(outputs[REAL][0]) > 1:
                for system, own in outputs.items():
                    found = image_metrics.inception_metrics(own, outputs[REAL], seed=seed)
                    for metric, value in found.items():
                        parts[part][metric][system] = value
        clips = {s: np.concatenate(f) for (of, s), f in self._features.items() if of == "video"}
        if clips:
            real_ND = clips.pop(REAL)
            parts[WHOLE]["fvd"] = {s: image_metrics.fvd(f_ND, real_ND) for s, f_ND in clips.items()}
        return parts

    def _unavailable(self) -> dict[str, str]:
        reasons = dict(self._networks.unavailable)
        if self._image_size < MS_SSIM_MIN_SIZE:
            reasons["ms_ssim"] = f"images of {self._image_size} pixels; {MS_SSIM_MIN_SIZE} needed"
        if "fvd" not in reasons and ("video", REAL) not in self._features:
            reasons["fvd"] = f"no clip has {image_metrics.I3D_FRAMES} frames"
        if self._face is None:
            reasons["identity_similarity"] = "no --face_network"
        if not self._options.landmarks:
            reasons["landmarks"] = "--no-landmarks"
        return reasons


def _load_videos(
    options: EvaluateVideoOptions, folder: Path, renderer: Pose2VideoRenderer
) -> tuple[list[PoseVideo], list[PoseVideo]]:
    """Return the run's training videos and its held-out ones, cut to --frames."""
    options_file = read_renderer_options(resolve_checkpoint(folder) / OPTIONS_FILE)
    trained = options_file if isinstance(options_file, TrainPose2VideoOptions) else None
    dataset = options.dataset or (trained.dataset if trained else None)
    if dataset is None:
        raise DataError(f"{folder}: the training dataset is unknown; give --dataset")
    if trained is None and not options.held_out:
        raise DataError(f"{folder}: the held-out clips are unknown; give --held_out")
    body = Body.load(options.body or (trained.body if trained else None))
    width, height = (renderer.width, renderer.height) if renderer.width else options.size
    names = {*trained.clips, *options.held_out} if trained and trained.clips else ()
    videos = load_pose_videos(dataset, body, width=width, height=height, names=names)
    held_out = options.held_out or (trained.held_out if trained else ())
    seconds = trained.held_out_seconds if trained else 0.0
    train, test = split_clips(videos, held_out=held_out, seconds=seconds)
    if options.frames is not None:
        test = [video.part(0, min(options.frames, len(video))) for video in test]
    return train, test
