"""The walk from wav to mp4.

sound      16 kHz, second by second                                   util/audio/audio_io.py
features   (n, F), 25 frames a second                                 util/audio/normalisation.py
poses      (n, 106) radians, metres; joint limits hold                models/audio2pose/predictor.py
           the speaker's gestures put in at their words               data/gestures/insertion.py
points     (144, 2) pixels: joints, fingers, face                     util/body/, util/rendering/camera.py
maps       (3, H, W) the skeleton, drawn                              util/rendering/skeleton_maps.py
frames     (3, H, W) painted from the maps and the frames before      models/pose2video/renderer.py
mp4        H.264, with the sound                                      util/video/writer.py

Each line is a generator that pulls what it needs out of the one above. `PrefetchStack` gives them threads
of their own that keep a few items ready and no more: the painter waits neither for the drawing nor
for the encoder, and an hour of speech takes the memory of a minute.
"""

import sys
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from speech2video.data.clip import find_motion_and_audio
from speech2video.data.gestures.insertion import GestureInserter
from speech2video.data.gestures.timeline import Timeline
from speech2video.data.motion import align_placement, motion_from_pose
from speech2video.data.motion_io import read_motion, write_motion
from speech2video.models.pipelines.speaker import GESTURES, Speaker
from speech2video.options.inference import InferenceOptions, OutputPaths
from speech2video.util.audio.normalisation import analyse_audio
from speech2video.util.body.body_model import Body
from speech2video.util.body.joint_limits import clamp_pose
from speech2video.util.errors import DataError
from speech2video.util.iteration import PrefetchStack, progress_bar
from speech2video.util.rendering.camera import Camera
from speech2video.util.rendering.openpose import (
    OpenPoseFrame,
    draw_vid2vid_authors_map,
    read_openpose_folder,
)
from speech2video.util.rendering.skeleton_maps import draw_skeleton_maps
from speech2video.util.smoothing import PoseSmoother
from speech2video.util.text.speech_source import Speech
from speech2video.util.timing import FPS
from speech2video.util.video.writer import GENERATED, write_video

Item = TypeVar("Item")

CHUNK = 25  # frames of a recorded motion that go on together


@dataclass(frozen=True, eq=False)
class PosePlan:
    """What a speaker is going to do.

    Attributes:
        frames: how many.
        sound: file of the sound that goes with it, None for none.
        poses: pose vectors (n, 106) as they are needed.
        camera: that looks on; None where points come without poses.
        timeline: the gestures in it.
    """

    frames: int
    audio: Path | None
    poses: Iterable[Tensor] = ()
    camera: Camera | None = None
    timeline: Timeline | None = None


def make_video(
    speaker: Speaker, speech: Speech, options: InferenceOptions, *, bar: bool = True
) -> int:
    """Write `options.outputs(speech.stem)`; return the video's number of frames.

    It is there whole or not at all: what goes wrong in any thread stops all and is raised here.

    Raises:
        DataError: a sound, a motion or a timeline that is not right, or a file that cannot be
            written.
    """
    outputs = options.outputs(speech.stem)
    check_output_paths(outputs, speech.audio)
    kept: list[Tensor] = []
    with PrefetchStack() as stages:
        if options.openpose:
            take = plan_from_openpose(speech, options)
            points = read_openpose_folder(options.openpose)
            maps = draw_openpose_maps(points, size=speaker.size)
        else:
            take = (plan_from_motion if options.pose else plan_from_speech)(
                speaker, speech, options
            )
            poses = collect_into(kept, take.poses) if outputs.pose else take.poses
            maps = draw_maps(
                project_points(stages.prefetch(poses), speaker.body, take.camera), speaker
            )
        frames = stages.prefetch(painted(stages.prefetch(maps), speaker, options))
        count = write_video(
            outputs.video,
            progress_bar(frames, total=take.frames, name=outputs.video.name) if bar else frames,
            fps=FPS,
            audio=take.audio,
            metadata={"comment": f"{speaker.provenance}; seed {options.seed}"},
            **GENERATED,
        )
    if outputs.pose:
        motion = motion_from_pose(torch.cat(kept), speaker.body, camera=take.camera)
        write_motion(outputs.pose, motion)
    if outputs.timeline:
        take.timeline.save(outputs.timeline)
    return count


def plan_from_speech(speaker: Speaker, speech: Speech, options: InferenceOptions) -> PosePlan:
    """Return how the speaker moves when they say it: poses by ear, gestures by words."""
    mover = speaker.audio2pose
    prior_F = mover.network.voice_mean.cpu().numpy()
    hearing = analyse_audio(speech.audio, kind=mover.features, prior_F=prior_F)
    poses = mover.stream(
        hearing.features(), hearing.voice_F, seed=options.seed, smooth=options.smooth
    )
    timeline = plan_gestures(speaker, speech, options, frames=hearing.frames)
    poses = insert_gestures(poses, speaker.gestures, timeline)
    return PosePlan(hearing.frames, speech.audio, poses, speaker.camera(), timeline)


def plan_from_motion(speaker: Speaker, speech: Speech, options: InferenceOptions) -> PosePlan:
    """Return somebody's recorded motion as the speaker's own, inside the joints' limits."""
    path, clip_sound = find_motion_and_audio(options.pose)
    motion = read_motion(path)
    for part in motion.unsupported_parts(speaker.body):
        print_note(f"{path}: {part} of another body than the {speaker.body.name} one; left at rest")
    pose_TP = clamp_pose(motion.pose_vector(speaker.body), speaker.body.hands)
    if options.place and speaker.audio2pose:
        pose_TP = align_placement(pose_TP, speaker.audio2pose.network.pose_mean.cpu())
    smoother = PoseSmoother(options.smooth)
    pose_TP = torch.cat((smoother.push(pose_TP), smoother.finish()))
    timeline = plan_gestures(speaker, speech, options, frames=len(pose_TP))
    poses = insert_gestures(pose_TP.split(CHUNK), speaker.gestures, timeline)
    audio = speech.audio or clip_sound
    return PosePlan(len(pose_TP), audio, poses, speaker.camera(), timeline)


def plan_from_openpose(speech: Speech, options: InferenceOptions) -> PosePlan:
    """Return how long a folder of OpenPose's points lasts, and its sound."""
    return PosePlan(sum(1 for _ in options.openpose.glob("*.json")), speech.audio)


def plan_gestures(
    speaker: Speaker, speech: Speech, options: InferenceOptions, *, frames: int
) -> Timeline | None:
    """Return the gestures to make: those of a file, or drawn at the words; None without any.

    Raises:
        DataError: gestures are asked for, and the speaker has none.
    """
    if speaker.gestures is None:
        if options.timeline or options.save_timeline:
            raise DataError(f"{speaker.name}: no {GESTURES}; give their folder with --gestures")
        if options.has_words and options.gestures is None and not options.pose:
            print_note(f"{speaker.name}: no {GESTURES}, so that words make no difference")
        return None
    if options.timeline:
        return Timeline.load(options.timeline, speaker.gestures.dictionary)
    return speaker.gestures.plan(speech.words or (), frames=frames, seed=options.seed)


def insert_gestures(
    poses: Iterable[Tensor], inserter: GestureInserter | None, timeline: Timeline | None
) -> Iterator[Tensor]:
    """Yield pose vectors (n, 106) with the gestures of a timeline put in."""
    begin = 0
    for pose_TP in poses:
        if len(pose_TP):
            yield inserter.apply(pose_TP, timeline, first_frame=begin) if timeline else pose_TP
            begin += len(pose_TP)


def project_points(poses: Iterable[Tensor], body: Body, camera: Camera) -> Iterator[np.ndarray]:
    """Yield points (144, 2) in pixels, frame by frame, of pose vectors (n, 106)."""
    for pose_TP in poses:
        with torch.inference_mode():
            points_TK2 = camera.project(body.points(pose_TP)).numpy()
        yield from points_TK2


def draw_maps(points: Iterable[np.ndarray], speaker: Speaker) -> Iterator[np.ndarray]:
    """Yield maps (3, H, W) uint8 of points (144, 2), drawn as the speaker's painter knows them."""
    if speaker.pose2video:
        return speaker.pose2video.draw_maps(points, size=speaker.size)
    return draw_skeleton_maps(points, width=speaker.size[0], height=speaker.size[1])


def draw_openpose_maps(
    points: Iterable[OpenPoseFrame], *, size: tuple[int, int]
) -> Iterator[np.ndarray]:
    """Yield maps (3, H, W) uint8 of OpenPose's points, drawn as the authors' painters know them."""
    for frame in points:
        yield draw_vid2vid_authors_map(frame, width=size[0], height=size[1])


def painted(
    maps: Iterable[np.ndarray], speaker: Speaker, options: InferenceOptions
) -> Iterator[np.ndarray]:
    """Yield the pictures (3, H, W) uint8 to show: speaker, skeleton, or both beside each other."""
    if options.skeleton:
        yield from maps
        return
    shown: deque[np.ndarray] = deque()  # maps whose frames are not painted yet
    drawn = collect_into(shown, maps) if options.side_by_side else maps
    for frame in speaker.pose2video.render(drawn):
        yield np.concatenate((shown.popleft(), frame), axis=2) if options.side_by_side else frame


def collect_into(store: list | deque, items: Iterable[Item]) -> Iterator[Item]:
    """Yield the items, each of which is also put at the end of a store."""
    for item in items:
        store.append(item)
        yield item


def check_output_paths(outputs: OutputPaths, audio: Path | None) -> None:
    """Raise `DataError` for files that cannot be, and for a video in the place of its own sound."""
    for path in (outputs.video, outputs.pose, outputs.timeline):
        if path is not None and path.is_dir():
            raise DataError(f"{path}: a folder; the name of a file is needed")
    video = outputs.video
    if audio is not None and video.exists() and audio.exists() and video.samefile(audio):
        raise DataError(f"{video}: the sound is read from it; another --output is needed")


def print_note(text: str) -> None:
    """Tell the user something that keeps nothing from being made."""
    print(f"note: {text}", file=sys.stderr)
