"""What is measured on the pixels of painted frames, over the whole picture and in its parts."""

from collections.abc import Mapping

import numpy as np

from evaluation.tables import REAL, FrameTable, mean_of_known
from speech2video.data.pose2video.clip import PoseVideo
from speech2video.models.evaluators.image_metrics import (
    FaceRecognitionNetwork,
    ImageNetworks,
    crop_boxes,
)
from speech2video.util.body.skeleton import boxes_visible, region_boxes
from speech2video.util.metrics import image as metrics
from speech2video.util.video.optical_flow import dis_flow, flow_trust

WHOLE = "whole_frame"
PARTS = {
    WHOLE: (),
    "head": ("head",),
    "hands": ("left_hand", "right_hand"),
    "mouth": ("mouth",),
    "eyes": ("eyes",),
}
PIXELS = 1 << 21  # of all frames measured at once: bounds memory to some hundred MB
CROP_SIDE = 128  # pixels a side of the crops that networks see

Frames = Mapping[str, np.ndarray]  # (T, 3, H, W) uint8 by system; `REAL` is one
Boxes = list[np.ndarray | None]  # (T, 4) each; None is the whole picture


def boxes_of(video: PoseVideo, part: str) -> Boxes:
    """Return the boxes of a part of the picture, NaN where it is not seen."""
    if part == WHOLE:
        return [None]
    size = {"width": video.framing.width, "height": video.framing.height}
    found = [region_boxes(video.points_TK2, region) for region in PARTS[part]]
    return [np.where(boxes_visible(boxes, **size)[:, None], boxes, np.nan) for boxes in found]


def measure_pixels(table: FrameTable, frames: Frames, video: PoseVideo) -> None:
    """Measure one clip: how near to the real frames, how sharp, how steady."""
    boxes = {part: boxes_of(video, part) for part in PARTS}
    count, _, height, width = frames[REAL].shape
    step = max(1, PIXELS // (height * width))
    found: dict[tuple[str, str, str], list[np.ndarray]] = {}
    for begin in range(0, count, step):
        first, end = max(begin - 1, 0), min(begin + step, count)  # the one before, for what moves
        chunk = {system: video_T3HW[first:end] for system, video_T3HW in frames.items()}
        here = {
            part: [None if b is None else b[first:end] for b in which]
            for part, which in boxes.items()
        }
        for key, values_T in _chunk(chunk, here).items():
            found.setdefault(key, []).append(values_T[begin - first :])
    for key, values in found.items():
        table.add(*key, np.concatenate(values))


def measure_with_networks(
    table: FrameTable,
    frames: Frames,
    video: PoseVideo,
    networks: ImageNetworks,
    face: FaceRecognitionNetwork | None,
    face_size: int,
) -> None:
    """Measure one clip: perceptual distance, and whether the head is the same person's."""
    for system in (name for name in frames if name != REAL):
        pair = frames[system], frames[REAL]
        for part in PARTS:
            distances = [
                _of_crops(networks.lpips, *pair, boxes, CROP_SIDE)
                for boxes in boxes_of(video, part)
            ]
            if "lpips" not in networks.absent:
                table.add(part, "lpips", system, mean_of_known(distances))
        if face is not None:
            (boxes,) = boxes_of(video, "head")
            likeness_T = _of_crops(face.similarity, *pair, boxes, face_size)
            table.add("head", "identity_similarity", system, likeness_T)


def _chunk(frames: Frames, boxes: dict[str, Boxes]) -> dict[tuple[str, str, str], np.ndarray]:
    """Return figures (T,) of some frames by part, measure and system."""
    real = frames[REAL]
    flow_T2HW, trust_THW = _flow(real)
    found = {}
    for system, mine in frames.items():
        for part, which in boxes.items():
            steady = {
                "sharpness": [metrics.sharpness(mine, b) for b in which],
                "flicker": [metrics.flicker(mine, real, b) for b in which],
                "warping_error_x1000": [
                    1000 * metrics.warping_error(mine, flow_T2HW, trust_THW, b) for b in which
                ],
            }
            found |= {(part, name, system): mean_of_known(v) for name, v in steady.items()}
        if system == REAL:
            continue
        map_THW = metrics.ssim_map(mine, real)
        found[WHOLE, "ms_ssim", system] = metrics.ms_ssim(mine, real)
        for part, which in boxes.items():
            near = {
                "psnr_db": [metrics.psnr(mine, real, b) for b in which],
                "ssim": [metrics.mean_in_boxes(map_THW, b) for b in which],
            }
            found |= {(part, name, system): mean_of_known(v) for name, v in near.items()}
    return found


def _flow(real_T3HW: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the real frames' flow (T, 2, H, W) and where it is to be trusted (T, H, W)."""
    count, _, height, width = real_T3HW.shape
    flow_T2HW = np.zeros((count, 2, height, width), np.float32)
    trust_THW = np.zeros((count, height, width), bool)
    pictures = [np.ascontiguousarray(frame.transpose(1, 2, 0)) for frame in real_T3HW]
    for t in range(1, count):
        flow_T2HW[t] = dis_flow(pictures[t], pictures[t - 1])
        trust_THW[t] = flow_trust(pictures[t], pictures[t - 1], flow_T2HW[t]) > 0
    return flow_T2HW, trust_THW


def _of_crops(
    measure, mine_T3HW: np.ndarray, real_T3HW: np.ndarray, boxes_T4: np.ndarray | None, size: int
) -> np.ndarray:
    """Return a measure of pairs of pictures (T,), of the boxes' crops, NaN where there is none."""
    values_T = np.full(len(real_T3HW), np.nan)
    if boxes_T4 is None:
        there_T, pair = np.ones(len(real_T3HW), bool), (mine_T3HW, real_T3HW)
    else:
        there_T = np.isfinite(boxes_T4).all(1)
        pair = tuple(crop_boxes(video, boxes_T4, size) for video in (mine_T3HW, real_T3HW))
    values = measure(*pair)
    if values is not None:
        values_T[there_T] = values
    return values_T
