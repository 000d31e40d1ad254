"""Options of test.py: common ones, those of body videos and those of talking faces."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from speech2video.options.base import (
    CERTIFICATE_HELP,
    FILE,
    KEY_HELP,
    MOTION_ENDINGS,
    MOTION_HELP,
    REQUIRED,
    Options,
    check_credentials,
    check_ending,
    check_name,
    grouped,
    inherit,
)
from speech2video.util.errors import OptionError
from speech2video.util.files import NamedPath, check_output_folder, check_paths
from speech2video.util.video.formats import (
    ALPHA_FORMATS,
    FORMATS,
    IMAGE_NAME,
    TRANSPARENT,
    background_path,
    check_video_path,
)

if TYPE_CHECKING:
    from typing_extensions import Self  # in typing from Python 3.11 on

IMAGES = "png"  # --format png: a folder of images
FORMAT_NAMES = (*(ending[1:] for ending in FORMATS), IMAGES)
OFF = "off"  # --gestures off
AUTO, TORCH, OPENVINO = "auto", "torch", "openvino"  # of --engine and --precision
SPEECH2VIDEO, SPEECH2FACE = "speech2video", "speech2face"


@dataclass(frozen=True)
class OutputPaths:
    """Files to write; None for those that are not asked for."""

    video: Path
    pose: Path | None = None
    timeline: Path | None = None


@dataclass(frozen=True)
class InferenceOptions(Options):
    """Make a video of a trained speaker from audio, text, or a list of audio files."""

    model: str = grouped.speaker(
        SPEECH2VIDEO,
        "speech2video: body video of one speaker; speech2face: face that fits the voice; "
        "add --help for the options of either",
        choices=(SPEECH2VIDEO, SPEECH2FACE),
    )
    name: str = grouped.speaker(REQUIRED, "the speaker, a folder in --checkpoints")
    checkpoints: Path = grouped.speaker(Path("checkpoints"), "folder of all speakers")

    audio: Path | None = grouped.speech(None, "speech, any file with audio that PyAV reads")
    text: str | None = grouped.speech(None, "text, spoken by espeak-ng")
    audio_list: Path | None = grouped.speech(
        None, "text file with the path of an audio file on each line"
    )
    words: Path | None = grouped.speech(
        None,
        "words with times, for lips and gestures: TextGrid, csv, SRT …; with --audio_list a folder "
        "of such files, named after the audio files",
    )
    transcript: str | None = grouped.speech(
        None, "words of --audio, aligned with it, for lips and gestures"
    )
    recognise: bool = grouped.speech(
        False, "recognise the words of the speech by faster-whisper, for lips and gestures"
    )
    language: str | None = grouped.speech(
        None, "language of the speech: de, pt-BR, zh …; by default English, or as recognised"
    )
    voice: str | None = grouped.speech(
        None,
        "voice of --text, by default the language's: a name of espeak-ng's, or flite:slt, "
        "festival:NAME, piper:joe, for English",
    )
    seed: int = grouped.motion(0, "random seed of the motion", min=0)

    output: Path | None = grouped.result(
        None,
        "video to write: mp4, mov, mkv, webm, gif, apng, or a new folder for images; with "
        "--audio_list the folder of all videos; by default results/NAME/AUDIO.mp4",
        output=FILE,
    )
    format: str = grouped.result(
        "mp4", "kind of video of --audio_list, or without --output", choices=FORMAT_NAMES
    )
    c2pa_certificate: Path | None = grouped.result(None, CERTIFICATE_HELP)
    c2pa_key: Path | None = grouped.result(None, KEY_HELP)

    device: str = grouped.machine("auto", "where to compute", choices=("auto", "cpu", "cuda"))
    threads: int | None = grouped.machine(None, "processor cores; by default all", min=1)
    jobs: int = grouped.machine(1, "processes for --audio_list", min=1, max=256)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_name(self.name)
        check_credentials(self.c2pa_certificate, self.c2pa_key)
        self._exclude("audio", "text", "audio_list")
        self._exclude("text", "audio_list")
        self._exclude("words", "transcript", "recognise")
        self._exclude("transcript", "recognise")
        self._exclude("text", "words", "transcript", "recognise")
        self._exclude("audio_list", "transcript")
        if self.transcript is not None and self.audio is None:
            raise OptionError("--transcript: makes sense with --audio only")
        if self.recognise and not (self.audio or self.audio_list):
            raise OptionError("--recognise: makes sense with --audio or --audio_list only")
        if self.jobs > 1 and self.audio_list is None:
            raise OptionError("--jobs: makes sense with --audio_list only")
        if self.format != "mp4" and self.output is not None and self.audio_list is None:
            raise OptionError("--format: the ending of --output is the format")

    @classmethod
    def parse(cls, arguments: Sequence[str] | None = None) -> "Self":
        """Return a command line's options; exits with 2 on bad ones and on missing input."""
        options = super().parse(arguments)
        if not options.has_input:
            message = "nothing to say: --audio, --text or --audio_list is needed"
            cls.parser().exit(2, f"error: {message}\n")
        return options

    @property
    def has_input(self) -> bool:
        """Whether there is input for a video; without, a speaker is loaded for later use."""
        return any(map(self._given, ("audio", "text", "audio_list")))

    @property
    def has_words(self) -> bool:
        """Whether words with their times are given, or come with a text."""
        return any(map(self._given, ("text", "words", "transcript", "recognise")))

    @property
    def has_alpha(self) -> bool:
        """Whether the frames of the video have an alpha channel."""
        return False

    def check_paths(self) -> None:
        files = self.paths(FILE)
        if self.audio_list is None:
            check_paths(self.paths(), files)
            if self.output is not None:
                check_video_path(self.output, alpha=self.has_alpha)
        else:  # the files of each speech are checked once their names are known
            for _, folder in files:
                check_output_folder(folder)

    def check_outputs(self, speeches: Mapping[str, Path | None]) -> None:
        """Raise `DataError` if outputs of speeches are inputs or one another, or not writable.

        Args:
            speeches: by name, each with its audio file, if it has one.
        """
        audio = [("audio", path) for path in speeches.values() if path is not None]
        outputs = [
            (name, path)
            for one in map(self.outputs, speeches)
            for name, path in (
                ("output", one.video),
                ("save_pose", one.pose),
                ("save_timeline", one.timeline),
            )
            if path is not None
        ]
        check_paths([*self.paths(), *audio], outputs)
        for one in map(self.outputs, speeches):
            check_video_path(one.video, alpha=self.has_alpha)

    def outputs(self, stem: str) -> OutputPaths:
        """Return the files to write for a speech of a name."""
        folder = Path("results") / self.name
        if self.output is not None and self.audio_list is None:
            return OutputPaths(self.output)
        name = f"{stem}/{IMAGE_NAME}" if self.format == IMAGES else f"{stem}.{self.format}"
        return OutputPaths((self.output or folder) / name)

    def _given(self, name: str) -> bool:
        return getattr(self, name) not in (None, False)

    def _exclude(self, one: str, *others: str) -> None:
        """Raise `OptionError` if an option is given together with any of the others."""
        for other in others:
            if self._given(one) and self._given(other):
                raise OptionError(f"--{one} and --{other}: only one of them makes sense")


@dataclass(frozen=True)
class MotionOptions(Options):
    """How predicted motion is changed before it is drawn."""

    smooth: int = grouped.motion(
        1,
        "odd number of frames over which body and hands, never the face, are smoothed; 1: none",
        min=1,
        max=51,
        odd=True,
    )
    face_motion_scale: float | None = grouped.motion(
        None, "scale of facial motion relative to rest; by default the speaker's own", min=0, max=4
    )


@dataclass(frozen=True)
class BodyVideoOptions(MotionOptions, InferenceOptions):
    """Make a video of a trained speaker from audio, text, motion, or a list of audio files."""

    body: Path | None = grouped.speaker(
        None, "SMPLX_NEUTRAL.npz, for a speaker that was trained with it"
    )
    pose: Path | None = grouped.motion(
        None,
        f"in place of predicted motion, {MOTION_HELP}",
    )
    place: bool = grouped.motion(True, "move --pose to the speaker's usual place and direction")
    openpose: Path | None = grouped.motion(
        None, "OpenPose json, a folder or a file, in place of speech, for the authors' checkpoints"
    )
    gestures: str | None = grouped.motion(
        None, "folder of a gesture dictionary, or off; by default the speaker's, if words are given"
    )
    timeline: Path | None = grouped.motion(
        None, "gestures to insert: an edited json of --save_timeline"
    )

    size: tuple[int, int] = grouped.result(
        (512, 512),
        "width and height of the image, for a renderer of any size (an imported one)",
        min=64,
        max=4096,
    )
    skeleton: bool = grouped.result(False, "draw the skeleton instead of the speaker")
    side_by_side: bool = grouped.result(False, "draw the skeleton next to the speaker")
    background: str | None = grouped.result(
        None,
        f"what to show behind the speaker: an image, a video, #rrggbb, or {TRANSPARENT} (webm, "
        "mov, apng, png); by default the recordings' own",
    )
    save_pose: Path | None = grouped.result(
        None,
        "also write the motion: .npz of SMPL-X, .bvh, .glb or .gltf of the skinned body, .csv of "
        "ARKit's face coefficients; with --audio_list a folder",
        output=FILE,
    )
    save_pose_format: str = grouped.result(
        "npz",
        "with --audio_list, the ending of the files in --save_pose",
        choices=tuple(ending[1:] for ending in MOTION_ENDINGS),
    )
    save_timeline: Path | None = grouped.result(
        None, "also write the inserted gestures: json; with --audio_list a folder", output=FILE
    )

    precision: str = grouped.machine(
        AUTO,
        "precision of the renderer; auto: bf16 on machines with bf16 units",
        choices=(AUTO, "fp32", "bf16"),
    )
    engine: str = grouped.machine(
        AUTO,
        "what computes the renderer; auto: without a GPU OpenVINO in 8 bits, if it is installed, "
        "the speaker has a graph for it and no precision is asked for",
        choices=(AUTO, TORCH, OPENVINO),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.size) != 2:
            raise OptionError("--size: two numbers are needed, width and height")
        self._exclude("audio_list", "timeline", "pose", "openpose")
        self._exclude("pose", "openpose", "face_motion_scale")
        self._exclude("skeleton", "side_by_side")
        if self.engine == OPENVINO and self.precision != AUTO:
            raise OptionError(f"--precision {self.precision}: OpenVINO computes in 8 bits")
        if self.engine == OPENVINO and self.device == "cuda":
            raise OptionError("--engine openvino: is for processors, not for cuda")
        self._exclude("background", "skeleton", "side_by_side", "openpose")
        if self.background is not None:
            background_path(self.background)  # refuses colours that are none
        named = self.output is not None and self.audio_list is None
        if self.has_alpha and not named and f".{self.format}" not in (*ALPHA_FORMATS, f".{IMAGES}"):
            kinds = ", ".join([*(ending[1:] for ending in ALPHA_FORMATS), IMAGES])
            given = f"--background {TRANSPARENT}: {self.format} cannot be transparent"
            raise OptionError(f"{given}; --format of {kinds} is needed")
        # nothing that moves a body applies to OpenPose's points
        self._exclude("openpose", "gestures", "timeline", "save_timeline", "save_pose")
        self._exclude("openpose", "words", "transcript", "recognise", "face_motion_scale")
        if self.audio_list is None:
            if self.save_pose is not None:
                check_ending("save_pose", self.save_pose, MOTION_ENDINGS)
            if self.save_pose_format != "npz":
                raise OptionError("--save_pose_format: makes sense with --audio_list only")
        if self.gestures == OFF and (self.timeline or self.save_timeline):
            raise OptionError("--gestures off: then there is no timeline of them")
        asked = "gestures" if self.gestures not in (None, OFF) else "save_timeline"
        if self._given(asked) and not (self.has_words or self.timeline):
            raise OptionError(
                f"--{asked}: gestures are inserted at words; --words, --transcript or "
                "--recognise is needed"
            )

    @property
    def has_alpha(self) -> bool:
        """Whether the frames of the video have an alpha channel."""
        return self.background == TRANSPARENT

    @property
    def has_input(self) -> bool:
        """Whether there is input for a video: speech, motion or OpenPose's points."""
        return super().has_input or self._given("pose") or self._given("openpose")

    def paths(self, output: str = "") -> list[NamedPath]:
        folder = None if output or self.gestures in (None, OFF) else self.gestures
        background = None if output or not self.background else background_path(self.background)
        named = [("gestures", folder and Path(folder)), ("background", background)]
        return super().paths(output) + [(name, path) for name, path in named if path]

    def outputs(self, stem: str) -> OutputPaths:
        """Return the files to write for a speech of a name."""
        video, pose, timeline = super().outputs(stem).video, self.save_pose, self.save_timeline
        if self.audio_list is not None:
            pose = pose and pose / f"{stem}.{self.save_pose_format}"
            timeline = timeline and timeline / f"{stem}.json"
        return OutputPaths(video, pose, timeline)


@dataclass(frozen=True)
class TalkingFaceOptions(InferenceOptions):
    """Make a video of a face that fits a voice, from audio, text, or a list of audio files."""

    model: str = inherit(InferenceOptions, "model", SPEECH2FACE)
    emotion: str | None = grouped.face(
        None,
        "emotion of the face, by default that of the voice: neutral, calm, happy, sad, angry, "
        "fearful, disgusted, surprised",
    )
    lip_scale: float | None = grouped.face(
        None,
        "scale of lip motion relative to silence; by default the checkpoint's own",
        min=0,
        max=4,
    )
    reference_image: Path | None = grouped.face(
        None, "aligned image of the person, for the baseline"
    )


def parse_inference_options(
    arguments: Sequence[str] | None = None,
) -> BodyVideoOptions | TalkingFaceOptions:
    """Return a command line's options, of the class of its --model; exits with 2 on bad ones."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--model", default=SPEECH2VIDEO)
    face = parser.parse_known_args(arguments)[0].model == SPEECH2FACE
    return (TalkingFaceOptions if face else BodyVideoOptions).parse(arguments)
