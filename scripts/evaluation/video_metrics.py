"""Metrics of videos: pixels, networks, detected landmarks, and sharpness without a reference."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from evaluation.tables import REAL, FrameTable, mean_over_parts
from speech2video.data.keypoints import MIN_CONFIDENCE, PART_POINTS
from speech2video.data.pose2video.clip import PoseVideo
from speech2video.data.pose2video.frames import dis_flow, flow_trust
from speech2video.data.preprocessing.detection.mediapipe_keypoints import detect_keypoints
from speech2video.models.evaluators import image_metrics as evaluators
from speech2video.options.evaluation import EvaluateFaceOptions, EvaluateVideoOptions
from speech2video.util.body.skeleton import POINTS, boxes_visible, indices, region_boxes
from speech2video.util.errors import DataError
from speech2video.util.metrics import image
from speech2video.util.metrics.image import sharpness
from speech2video.util.metrics.motion import EYE_CORNERS, LIPS
from speech2video.util.metrics.statistics import finite_mean
from speech2video.util.timing import FPS

WHOLE = "whole_frame"
IMAGE_PARTS = {
    WHOLE: (),
    "head": ("head",),
    "hands": ("left_hand", "right_hand"),
    "mouth": ("mouth",),
    "eyes": ("eyes",),
}
MAX_PIXELS = 1 << 21  # of frames measured at once: bounds memory to some hundred MB
CROP_SIZE = 128  # pixels of the crops for networks
CHUNK = 32  # frames measured at once without a reference

HANDS = (PART_POINTS["left_hand"], PART_POINTS["right_hand"])
UPPER_BODY = indices(("left_shoulder", "right_shoulder", "left_elbow", "right_elbow"))
SHOULDERS = indices(("left_shoulder", "right_shoulder"))

Frames = Mapping[str, np.ndarray]  # (T, 3, H, W) uint8 by system; one is `REAL`
Boxes = list[np.ndarray | None]  # (T, 4) each; None is the whole image


def load_face_network(
    options: EvaluateFaceOptions | EvaluateVideoOptions,
) -> evaluators.FaceRecognitionNetwork | None:
    """Return the network of --face_network, if given; raises `DataError` for a broken file."""
    path, size = options.face_network, options.face_size
    settings = {"device": options.device, "trusted": options.trust_torchscript}
    return path and evaluators.FaceRecognitionNetwork(path, size=size, **settings)


def join_outputs(outputs: Sequence[tuple[np.ndarray, np.ndarray]]) -> evaluators.InceptionOutput:
    """Return Inception's outputs of several videos as one."""
    features, logits = map(np.concatenate, zip(*outputs, strict=True))
    return features, logits


def visible_boxes(points_TK2: np.ndarray, region: str, size: tuple[int, int]) -> np.ndarray:
    """Return the boxes (T, 4) of a region in images (height, width), NaN where not visible."""
    boxes_T4 = region_boxes(points_TK2, region)
    visible_T = boxes_visible(boxes_T4, height=size[0], width=size[1])
    return np.where(visible_T[:, None], boxes_T4, np.nan)


def part_boxes(video: PoseVideo, part: str) -> Boxes:
    """Return the boxes of a part of the image, NaN where it is not visible."""
    size = video.framing.height, video.framing.width
    return [visible_boxes(video.points_TK2, r, size) for r in IMAGE_PARTS[part]] or [None]


def add_pixel_metrics(table: FrameTable, frames: Frames, video: PoseVideo) -> None:
    """Add a clip's similarity to the real frames, sharpness and temporal stability."""
    boxes = {part: part_boxes(video, part) for part in IMAGE_PARTS}
    count, _, height, width = frames[REAL].shape
    step = max(1, MAX_PIXELS // (height * width))
    found: dict[tuple[str, str, str], list[np.ndarray]] = defaultdict(list)
    for begin in range(0, count, step):
        first, end = max(begin - 1, 0), begin + step  # with the previous frame, for motion
        chunk = {system: video_T3HW[first:end] for system, video_T3HW in frames.items()}
        chunk_boxes = {
            part: [None if b is None else b[first:end] for b in chosen]
            for part, chosen in boxes.items()
        }
        for key, values_T in _chunk_metrics(chunk, chunk_boxes).items():
            found[key].append(values_T[begin - first :])
    for key, values in found.items():
        table.add(*key, np.concatenate(values))


def add_network_metrics(
    table: FrameTable,
    frames: Frames,
    video: PoseVideo,
    networks: evaluators.ImageNetworks,
    face: evaluators.FaceRecognitionNetwork | None,
    face_size: int,
) -> None:
    """Add a clip's LPIPS and, with a face recognition network, identity similarity."""
    for system in (name for name in frames if name != REAL):
        pair = frames[system], frames[REAL]
        for part in IMAGE_PARTS if "lpips" not in networks.unavailable else ():
            boxes = part_boxes(video, part)
            distances = [_of_crops(networks.lpips, *pair, b, CROP_SIZE) for b in boxes]
            table.add(part, "lpips", system, mean_over_parts(distances))
        if face is not None:
            (boxes,) = part_boxes(video, "head")
            similarity_T = _of_crops(face.similarity, *pair, boxes, face_size)
            table.add("head", "identity_similarity", system, similarity_T)


def detect_points(frames_T3HW: np.ndarray) -> np.ndarray:
    """Return the points (T, 144, 2) detected by MediaPipe in pixels, NaN where missing."""
    _, _, height, width = frames_T3HW.shape
    try:
        keypoints = detect_keypoints(frames_T3HW, width=width, height=height, fps=FPS)
    except DataError:  # no person in any frame
        return np.full((len(frames_T3HW), len(POINTS), 2), np.nan, np.float32)
    found_TK1 = keypoints.points_TK3[..., 2:] >= MIN_CONFIDENCE
    return np.where(found_TK1, keypoints.points_TK3[..., :2], np.nan)


def landmark_metrics(
    points_TK2: np.ndarray, real_TK2: np.ndarray, input_TK2: np.ndarray
) -> dict[str, np.ndarray]:
    """Return metrics of each frame (T,), NaN where a part is missing.

    Errors are mean distances of points in multiples of the distance of the outer eye corners (the
    clip's median); mouths are centred first. Recall is 1 where a part detected in the real frame
    is detected here, else 0, averaged over both hands.

    Args:
        points_TK2: detected in the evaluated frames.
        real_TK2: detected in the real frames.
        input_TK2: points that the generator was given.
    """
    eyes = _eye_distance(real_TK2, input_TK2)
    recalls = [_recall(points_TK2[:, hand], real_TK2[:, hand]) for hand in HANDS]
    errors = [_mean_distance(points_TK2[:, hand], real_TK2[:, hand]) / eyes for hand in HANDS]
    lips = (p[:, LIPS] for p in (points_TK2, real_TK2, input_TK2))
    own, real, given = (p - p.mean(1, keepdims=True) for p in lips)
    face, body = PART_POINTS["face"], PART_POINTS["body"]
    return {
        "mouth_error": _mean_distance(own, real) / eyes,
        "mouth_error_to_input": _mean_distance(own, given) / eyes,
        "body_error": _mean_distance(points_TK2[:, UPPER_BODY], real_TK2[:, UPPER_BODY]) / eyes,
        "hands_error": mean_over_parts(errors),
        "face_recall": _recall(points_TK2[:, face], real_TK2[:, face]),
        "body_recall": _recall(points_TK2[:, body], real_TK2[:, body]),
        "hands_recall": mean_over_parts(recalls),
    }


def count_hands(points_TK2: np.ndarray) -> int:
    """Return the number of detected hands over all frames."""
    return sum(int(_complete(points_TK2[:, hand]).sum()) for hand in HANDS)


def image_metrics(frames_T3HW: np.ndarray, points_TK2: np.ndarray) -> dict[str, float]:
    """Return sharpness of whole frames and heads, and jitter, without a reference."""
    count, _, height, width = frames_T3HW.shape
    boxes_T4 = visible_boxes(points_TK2, "head", (height, width))
    values: dict[str, list[np.ndarray]] = {"sharpness": [], "head_sharpness": [], "jitter": []}
    for begin in range(0, count, CHUNK):
        end = begin + CHUNK
        chunk = frames_T3HW[begin:end]
        values["sharpness"].append(sharpness(chunk))
        values["head_sharpness"].append(sharpness(chunk, boxes_T4[begin:end]))
        values["jitter"].append(image.jitter(frames_T3HW[max(begin - 1, 0) : end + 1]))
    return {name: finite_mean(np.concatenate(found)) for name, found in values.items()}


def detection_rates(points_TK2: np.ndarray) -> dict[str, float]:
    """Return the share of frames in which face and each hand are detected."""
    parts = ("face", "left_hand", "right_hand")
    return {part: float(_complete(points_TK2[:, PART_POINTS[part]]).mean()) for part in parts}


def detected_hand_speed(points_TK2: np.ndarray) -> float:
    """Return the mean speed of detected hands' centres, shoulder widths per second, or NaN."""
    width = finite_mean(np.linalg.norm(np.diff(points_TK2[:, SHOULDERS], axis=1)[:, 0], axis=1))
    steps = [np.diff(points_TK2[:, hand].mean(1), axis=0) for hand in HANDS]
    speed = finite_mean(np.linalg.norm(np.concatenate(steps), axis=1))
    return speed * FPS / width if width else float("nan")


def _chunk_metrics(
    frames: Frames, boxes: dict[str, Boxes]
) -> dict[tuple[str, str, str], np.ndarray]:
    """Return values (T,) of some frames by part, metric and system."""
    real = frames[REAL]
    flow_T2HW, trust_THW = _flow(real)
    found = {}
    for system, own in frames.items():
        for part, chosen in boxes.items():
            warping = [image.warping_error(own, flow_T2HW, trust_THW, b) for b in chosen]
            stability = {
                "sharpness": [sharpness(own, b) for b in chosen],
                "flicker": [image.flicker(own, real, b) for b in chosen],
                "warping_error_x1000": [1000 * error_T for error_T in warping],
            }
            found |= {(part, name, system): mean_over_parts(v) for name, v in stability.items()}
        if system == REAL:
            continue
        map_THW = image.ssim_map(own, real)
        found[WHOLE, "ms_ssim", system] = image.ms_ssim(own, real)
        for part, chosen in boxes.items():
            similarity = {
                "psnr": [image.psnr(own, real, b) for b in chosen],
                "ssim": [image.mean_in_boxes(map_THW, b) for b in chosen],
            }
            found |= {(part, name, system): mean_over_parts(v) for name, v in similarity.items()}
    return found


def _flow(real_T3HW: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the real frames' backward flow (T, 2, H, W) and where it is reliable (T, H, W)."""
    count, _, height, width = real_T3HW.shape
    flow_T2HW = np.zeros((count, 2, height, width), np.float32)
    trust_THW = np.zeros((count, height, width), bool)
    images = [np.ascontiguousarray(frame.transpose(1, 2, 0)) for frame in real_T3HW]
    for t in range(1, count):
        flow_T2HW[t] = dis_flow(images[t], images[t - 1])
        trust_THW[t] = flow_trust(images[t], images[t - 1], flow_T2HW[t]) > 0
    return flow_T2HW, trust_THW


def _of_crops(
    metric: Callable[[np.ndarray, np.ndarray], Any],
    own_T3HW: np.ndarray,
    real_T3HW: np.ndarray,
    boxes_T4: np.ndarray | None,
    size: int,
) -> np.ndarray:
    """Return a metric of pairs of images or crops (T,), NaN for frames without a box."""
    pair = own_T3HW, real_T3HW
    if boxes_T4 is None:
        return metric(*pair)
    values_T = np.full(len(real_T3HW), np.nan)
    crops = (evaluators.crop_boxes(frames_T3HW, boxes_T4, size) for frames_T3HW in pair)
    values_T[np.isfinite(boxes_T4).all(1)] = metric(*crops)
    return values_T


def _eye_distance(*candidates: np.ndarray) -> float:
    """Return the median distance of the eye corners in the first points that have any."""
    for points_TK2 in candidates:
        distance_T = np.linalg.norm(np.diff(points_TK2[:, EYE_CORNERS], axis=1)[:, 0], axis=1)
        if np.isfinite(distance_T).any():
            return max(float(np.nanmedian(distance_T)), 1e-6)
    return float("nan")


def _mean_distance(a_TK2: np.ndarray, b_TK2: np.ndarray) -> np.ndarray:
    """Return the mean distance (T,) of the points in both, NaN without any."""
    return mean_over_parts(np.linalg.norm(a_TK2 - b_TK2, axis=2).T)


def _recall(points_TK2: np.ndarray, real_TK2: np.ndarray) -> np.ndarray:
    return np.where(_complete(real_TK2), _complete(points_TK2).astype(float), np.nan)


def _complete(points_TK2: np.ndarray) -> np.ndarray:
    return np.asarray(np.isfinite(points_TK2).all((1, 2)))
