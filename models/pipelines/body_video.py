"""Body video: from speech to the video of one speaker, in stages that stream.

audio      16 kHz, second by second                           util/audio/audio_io.py
features   (n, F), 25 frames a second                         util/audio/normalisation.py
poses      (n, 106) radians, metres; inside joint limits      models/audio2pose/predictor.py
           the speaker's gestures inserted at their words     data/gestures/insertion.py
points     (144, 2) pixels: joints, fingers, face             util/body/, util/rendering/camera.py
maps       (3, H, W) drawn skeleton                           util/rendering/skeleton_maps.py
frames     (3, H, W) of the maps and the frames before        models/pose2video/renderer.py
           or person and alpha, over another background       util/video/compositing.py
mp4        H.264, with the audio                              util/video/writer.py

Each stage is a generator that pulls its input from the stage above. `PrefetchStack` runs them in
threads that keep a few items ready, so that an hour of speech needs the memory of a minute.
"""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from speech2video.data.clip import find_motion_and_audio
from speech2video.data.gestures.dictionary import JSON_NAME, MOTIONS_NAME
from speech2video.data.gestures.insertion import GestureInserter
from speech2video.data.gestures.timeline import Timeline
from speech2video.data.motion import align_placement, cut_to_audio, motion_from_pose
from speech2video.data.motion_export import check_motion_path, write_motion_as
from speech2video.data.motion_io import read_motion
from speech2video.models.audio2pose.predictor import PosePredictor
from speech2video.models.checkpointing import files_id, weights_id
from speech2video.models.pipelines import speaker as speakers
from speech2video.models.pipelines.live import StreamParts
from speech2video.models.pose2video import renderer as renderers
from speech2video.models.pose2video.engine import OpenVinoGenerator, has_engine
from speech2video.options.inference import AUTO, OFF, OPENVINO, TORCH, BodyVideoOptions
from speech2video.options.pose2video import Vid2VidOptions
from speech2video.util.audio.audio_io import count_samples, read_audio
from speech2video.util.body.body_model import Body
from speech2video.util.body.joint_limits import clamp_pose
from speech2video.util.body.pose_vector import POSE_SLICES
from speech2video.util.checkpoint_folder import OPTIONS_FILE, resolve_checkpoint
from speech2video.util.errors import DataError
from speech2video.util.iteration import PrefetchStack
from speech2video.util.rendering.camera import Camera
from speech2video.util.rendering.openpose import draw_vid2vid_authors_map
from speech2video.util.rendering.openpose_json import OpenPoseRecording
from speech2video.util.rendering.skeleton_maps import draw_skeleton_maps
from speech2video.util.smoothing import PoseSmoother
from speech2video.util.text.speech_source import Speech
from speech2video.util.timing import frame_count
from speech2video.util.video.compositing import composite, open_background

AUDIO2POSE, GESTURES, POSE2VIDEO = "audio2pose", "gestures", "pose2video"
AUTHORS_STYLE = "vid2vid_authors"  # the style of maps that OpenPose's points can be drawn in
CHUNK = 25  # frames of recorded motion that are processed together
# number of frames, audio file, pose vectors (n, 106) to pull, the gestures inserted into them
PosePlan = tuple[int, Path | None, Iterable[Tensor], Timeline | None]
_PLACEMENT = np.r_[POSE_SLICES["translation"], POSE_SLICES["root_orientation"]]


@dataclass(frozen=True, eq=False)
class BodySpeaker(speakers.Speaker[BodyVideoOptions]):
    """A speaker with body; parts that are not needed are None.

    checkpoints/NAME/audio2pose     motion from speech
    checkpoints/NAME/gestures       dictionary of gestures at words
    checkpoints/NAME/pose2video     renderer

    Attributes:
        body: body of the poses.
        audio2pose: predicts poses from speech.
        gestures: inserts gestures into poses.
        pose2video: renders frames from maps.
        size: width and height of the image.
    """

    OPTIONS = BodyVideoOptions

    name: str
    provenance: str
    body: Body
    audio2pose: PosePredictor | None
    gestures: GestureInserter | None
    pose2video: renderers.Pose2VideoRenderer | None
    size: tuple[int, int]

    @classmethod
    def load(cls, options: BodyVideoOptions, device: torch.device) -> "BodySpeaker":
        folder = options.checkpoints / options.name
        if not folder.is_dir():
            known = speakers.list_speakers(options.checkpoints, AUDIO2POSE)
            raise DataError(f"{folder}: no such speaker; {known}")
        predictor = None
        # with --pose only its mean pose is used, if there is one
        if not options.openpose and (not options.pose or (folder / AUDIO2POSE).is_dir()):
            predictor = PosePredictor.load(
                folder / AUDIO2POSE, body=options.body, face_motion_scale=options.face_motion_scale
            )
        body = predictor.body if predictor else Body.load(options.body)
        dictionary = _dictionary_folder(folder / GESTURES, options)
        renderer = _load_renderer(folder / POSE2VIDEO, options, device)
        if renderer and renderer.betas:  # its maps show the person's own shape
            body = body.with_shape(renderer.betas)
        parts = []
        if predictor:
            parts.append(f"{AUDIO2POSE} {weights_id(folder / AUDIO2POSE)}")
        if dictionary:
            files = dictionary / JSON_NAME, dictionary / MOTIONS_NAME
            parts.append(f"{GESTURES} {files_id(files)}")
        if renderer:
            engine = ", openvino" if isinstance(renderer.generator, OpenVinoGenerator) else ""
            parts.append(f"{POSE2VIDEO} {weights_id(folder / POSE2VIDEO)}{engine}")
        return cls(
            options.name,
            f"{options.name}: {', '.join(parts)}",
            body,
            predictor,
            GestureInserter.load(dictionary, body) if dictionary else None,
            renderer,
            (renderer.width, renderer.height) if renderer and renderer.width else options.size,
        )

    def camera(self) -> Camera:
        """Return the camera of the renderer's training, else one that faces the person.

        Raises:
            DataError: there is neither a renderer's camera nor a speaker's usual pose.
        """
        if self.pose2video is not None and self.pose2video.camera is not None:
            return self.pose2video.camera
        mean_P = self._predictor.network.pose_mean.cpu()
        entries = self.gestures.dictionary.entries if self.gestures else ()
        pose_TP = torch.cat([mean_P[None], *(entry.motion_NP for entry in entries)])
        pose_TP[:, _PLACEMENT] = mean_P[_PLACEMENT]
        return Camera.framing(self.body.points(pose_TP), width=self.size[0], height=self.size[1])

    def read_speech(self, audio: Path | None, options: BodyVideoOptions) -> Speech:
        if audio is not None:
            return super().read_speech(audio, options)
        motion = options.pose or options.openpose
        assert motion is not None
        return Speech(motion.resolve().name if motion.is_dir() else motion.stem)

    def make_video(
        self,
        speech: Speech,
        options: BodyVideoOptions,
        *,
        bar: bool = True,
        on_progress: speakers.OnProgress | None = None,
        fragmented: bool = False,
    ) -> int:
        outputs = options.outputs(speech.stem)
        options.check_outputs({speech.stem: speech.audio})
        if outputs.pose:
            check_motion_path(outputs.pose, self.body)
        background = None
        if options.background is not None:
            background = open_background(options.background, self.size)
        kept: Iterator[Tensor] = iter(())
        with PrefetchStack() as stages:
            total, audio, poses, timeline = self._plan(speech, options)
            if outputs.pose:
                poses, kept = itertools.tee(poses)
            if options.openpose:
                size = {"width": self.size[0], "height": self.size[1]}
                people = OpenPoseRecording(options.openpose, size=self.size)
                total = len(people)
                maps = (draw_vid2vid_authors_map(frame, **size) for frame in people.held())
                frames = render_frames(stages.prefetch(maps), self, options)
            else:
                points = project_points(stages.prefetch(poses), self.body, self.camera())
                if background is None:
                    maps = stages.prefetch(draw_maps(points, self))
                    frames = render_frames(maps, self, options)
                else:
                    points = stages.prefetch(points)
                    layers = self._renderer.render_layers(points, size=self.size)
                    frames = composite(stages.prefetch(layers), stages.prefetch(background))
            frames = stages.prefetch(frames)
            name = outputs.video.name if bar else ""
            frames = speakers.show_progress(frames, total, bar=name, on_progress=on_progress)
            seed = f"seed {options.seed}"
            count = self._write_video(
                outputs.video, frames, audio, seed, options, fragmented=fragmented
            )
        if outputs.pose:
            motion = motion_from_pose(torch.cat([*kept]), self.body, camera=self.camera())
            comment = f"{self.provenance}; {seed}"
            write_motion_as(outputs.pose, motion, self.body, comment=comment)
        if outputs.timeline and timeline:
            timeline.save(outputs.timeline)
        return count

    def predict_poses(self, speech: Speech, options: BodyVideoOptions) -> Tensor:
        """Return the pose vectors (T, 106) of a speech's video, without making it."""
        _, _, poses, _ = self._plan(speech, options)
        return torch.cat([*poses])

    def stream(
        self, chunks: Iterable[np.ndarray], *, seed: int = 0, background: str | None = None
    ) -> Iterator[np.ndarray]:
        parts, count = self.split_stream(seed=seed, background=background), 0
        for frame_HWC in parts.render(parts.motion(chunks)):
            yield frame_HWC
            count += 1
        if not count:
            raise DataError("the audio is empty")

    def split_stream(self, *, seed: int = 0, background: str | None = None) -> StreamParts:
        predictor, renderer = self._predictor, self._renderer
        behind = None if background is None else open_background(background, self.size)

        def motion(chunks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
            poses = predictor.stream_from_audio(chunks, seed=seed)
            return project_points(poses, self.body, self.camera())

        def render(points: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
            if behind is None:
                frames = renderer.render(renderer.draw_maps(points, size=self.size))
            else:
                frames = composite(renderer.render_layers(points, size=self.size), behind)
            return (frame_CHW.transpose(1, 2, 0) for frame_CHW in frames)

        return StreamParts(motion, render)

    def _plan(self, speech: Speech, options: BodyVideoOptions) -> PosePlan:
        audio = speech.audio
        if options.openpose:
            return 0, audio, (), None
        if options.pose:
            pose_TP, clip_audio = self._read_motion(options.pose, options)
            if audio:
                pose_TP = cut_to_audio(pose_TP, options.pose, audio)
            total, poses, audio = len(pose_TP), pose_TP.split(CHUNK), audio or clip_audio
        else:
            assert audio is not None
            total = frame_count(count_samples(audio))  # gestures are planned before the first pose
            poses = self._predictor.stream_from_audio(
                read_audio(audio, whole=True),
                seed=options.seed,
                smooth=options.smooth,
                phones=speech.phones,
            )
        timeline = self._timeline(speech, options, frames=total)
        return total, audio, insert_gestures(poses, self.gestures, timeline), timeline

    def _read_motion(self, path: Path, options: BodyVideoOptions) -> tuple[Tensor, Path | None]:
        """Return recorded poses (T, 106), moved to the speaker, within limits; and their audio."""
        path, audio = find_motion_and_audio(path)
        motion = read_motion(path)
        for part in motion.unsupported_parts(self.body):
            other = f"of another body than the {self.body.name} one"
            speakers.print_note(f"{path}: {part} {other}; left at rest")
        pose_TP = clamp_pose(motion.pose_vector(self.body), self.body.hands)
        if options.place and self.audio2pose:
            pose_TP = align_placement(pose_TP, self.audio2pose.network.pose_mean.cpu())
        smoother = PoseSmoother(options.smooth)
        return torch.cat((smoother.push(pose_TP), smoother.finish())), audio

    def _timeline(
        self, speech: Speech, options: BodyVideoOptions, *, frames: int
    ) -> Timeline | None:
        """Return the gestures to insert: of a file, or sampled at words; None without any.

        Raises:
            DataError: gestures are asked for, and the speaker has none.
        """
        if self.gestures is None:
            if options.timeline or options.save_timeline:
                raise DataError(f"{self.name}: no {GESTURES}; give their folder with --gestures")
            if options.has_words and options.gestures is None and not options.pose:
                note = f"{self.name}: no {GESTURES}, so that words make no difference"
                speakers.print_note(note)
            return None
        if options.timeline:
            return Timeline.load(options.timeline, self.gestures.dictionary)
        return self.gestures.plan(speech.words or (), frames=frames, seed=options.seed)

    @property
    def _renderer(self) -> renderers.Pose2VideoRenderer:
        if self.pose2video is None:
            raise DataError(f"{self.name}: no {POSE2VIDEO} to render with")
        return self.pose2video

    @property
    def _predictor(self) -> PosePredictor:
        if self.audio2pose is None:
            raise DataError(f"{self.name}: no {AUDIO2POSE}, which the speaker's place depends on")
        return self.audio2pose


def insert_gestures(
    poses: Iterable[Tensor], inserter: GestureInserter | None, timeline: Timeline | None
) -> Iterator[Tensor]:
    """Yield pose vectors (n, 106) with the gestures of a timeline."""
    begin = 0
    for pose_TP in filter(len, poses):
        if inserter and timeline:
            pose_TP = inserter.apply(pose_TP, timeline, first_frame=begin)
        yield pose_TP
        begin += len(pose_TP)


def project_points(poses: Iterable[Tensor], body: Body, camera: Camera) -> Iterator[np.ndarray]:
    """Yield points (144, 2) in pixels, frame by frame, of pose vectors (n, 106)."""
    for pose_TP in filter(len, poses):
        with torch.inference_mode():
            points_TK2 = camera.project(body.points(pose_TP)).numpy()
        yield from points_TK2


def draw_maps(points: Iterable[np.ndarray], speaker: BodySpeaker) -> Iterator[np.ndarray]:
    """Yield maps (3, H, W) uint8 of points (144, 2), in the style of the speaker's renderer."""
    if speaker.pose2video:
        return speaker.pose2video.draw_maps(points, size=speaker.size)
    return draw_skeleton_maps(points, width=speaker.size[0], height=speaker.size[1])


def render_frames(
    maps: Iterable[np.ndarray], speaker: BodySpeaker, options: BodyVideoOptions
) -> Iterator[np.ndarray]:
    """Yield images (3, H, W) uint8 for the video: speaker, skeleton, or both side by side."""
    if options.skeleton or speaker.pose2video is None:
        yield from maps
        return
    maps, shown = itertools.tee(maps)
    for frame, skeleton in zip(speaker.pose2video.render(maps), shown, strict=False):
        yield np.concatenate((skeleton, frame), axis=2) if options.side_by_side else frame


def _dictionary_folder(own: Path, options: BodyVideoOptions) -> Path | None:
    if options.gestures == OFF or options.openpose:
        return None
    if options.gestures is not None:
        return Path(options.gestures)
    words = options.has_words and not options.pose
    needed = options.timeline or options.save_timeline or words or not options.has_input
    return own if needed and own.is_dir() else None


def _load_renderer(
    folder: Path, options: BodyVideoOptions, device: torch.device
) -> renderers.Pose2VideoRenderer | None:
    if not folder.is_dir():
        if options.skeleton:
            return None
        raise DataError(
            f"{folder.parent}: no {POSE2VIDEO} in it; train one with train_pose2video.py, "
            "or draw the skeleton only with --skeleton"
        )
    path, engine = resolve_checkpoint(folder), options.engine
    if engine == AUTO:
        use = options.precision == AUTO and device.type == "cpu" and has_engine(path)
        engine = OPENVINO if use else TORCH
    half = options.precision == "bf16" and engine == TORCH
    if engine == TORCH and options.precision == AUTO:
        trained = renderers.read_renderer_options(path / OPTIONS_FILE)
        # imported vid2vid checkpoints are exact in 32 bits only
        half = not isinstance(trained, Vid2VidOptions) and _has_bf16_units(device)
    dtype = torch.bfloat16 if half else torch.float32
    renderer = renderers.load_renderer(folder, device=device, dtype=dtype, engine=engine)
    if options.openpose and renderer.map_style != AUTHORS_STYLE:
        seen = f"maps of the style {renderer.map_style}"
        raise DataError(f"{folder}: {seen}; for --openpose {AUTHORS_STYLE} is needed")
    return renderer


def _has_bf16_units(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    known = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return any(known.get(name) for name in ("amx_bf16", "avx512_bf16", "bf16"))
