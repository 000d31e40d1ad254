"""What a person may choose for `test.py`."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from speech2video.options.base import REQUIRED, Options, option
from speech2video.util.errors import OptionError

OFF = "off"  # in place of a folder of gestures
SPEECH2VIDEO, SPEECH2FACE = "speech2video", "speech2face"


@dataclass(frozen=True)
class OutputPaths:
    """Files to write; those that are None are not wanted."""

    video: Path
    pose: Path | None
    timeline: Path | None


@dataclass(frozen=True)
class InferenceOptions(Options):
    """Make a video of a trained speaker saying something: a recording, a text, a list of either."""

    __test__: ClassVar[bool] = False  # pytest takes classes of such a name for its own

    model: str = option(
        SPEECH2VIDEO,
        "speech2video: body and video of one speaker; speech2face: a face that fits the voice",
        group="speaker",
        choices=(SPEECH2VIDEO, SPEECH2FACE),
    )
    name: str = option(
        REQUIRED,
        "the speaker: checkpoints/NAME/{audio2pose,gestures,pose2video}, or NAME/speech2face",
        group="speaker",
    )
    checkpoints: Path = option(Path("checkpoints"), "where all speakers are", group="speaker")
    body: Path | None = option(
        None, "SMPLX_NEUTRAL.npz, for a speaker that was trained with it", group="speaker"
    )

    audio: Path | None = option(
        None, "the speech, any file with sound that PyAV reads", group="speech"
    )
    text: str | None = option(None, "English text, spoken by espeak-ng", group="speech")
    audio_list: Path | None = option(
        None, "a file with the path of a sound on each line", group="speech"
    )
    voice: str = option("en-us", "espeak-ng's name of the voice of --text", group="speech")
    words: Path | None = option(
        None,
        "words with their times, for gestures: TextGrid or csv; with --audio_list a folder of "
        "such files, named after the sounds",
        group="speech",
    )
    transcript: str | None = option(
        None, "what is said in --audio, to be found in it, for gestures", group="speech"
    )

    pose: Path | None = option(
        None,
        "somebody's motion (npz of BEAT2, AMASS, SHOW or ours, or a clip's folder) in place of "
        "what the speech asks for",
        group="motion",
    )
    place: bool = option(
        True, "move --pose to where the speaker is used to stand, facing as usual", group="motion"
    )
    openpose: Path | None = option(
        None,
        "a folder of OpenPose json, for checkpoints of the paper's authors, in place of speech",
        group="motion",
    )
    gestures: str | None = option(
        None,
        "folder of a gesture dictionary, or off; the speaker's own where words are known",
        group="motion",
    )
    timeline: Path | None = option(
        None, "gestures to make, as --save_timeline wrote them and you edited them", group="motion"
    )
    seed: int = option(0, "another one is another performance", group="motion", minimum=0)
    smooth: int = option(
        1,
        "odd number of frames over which body and hands, never the face, are smoothed; 1: none",
        group="motion",
        minimum=1,
        maximum=51,
    )
    face_motion_scale: float | None = option(
        None,
        "how many times as far from rest as was learned the face moves, in place of the speaker's "
        "own",
        group="motion",
        minimum=0,
        maximum=4,
    )

    emotion: str | None = option(
        None,
        "of a face, in place of the one that is heard: neutral, calm, happy, sad, angry, fearful, "
        "disgusted, surprised",
        group="face",
    )
    reference_image: Path | None = option(
        None, "a picture of the person, aligned, for a face's baseline", group="face"
    )

    size: tuple[int, ...] = option(
        (512, 512),
        "width and height of the picture, for a painter that takes any size (an imported one)",
        group="result",
        minimum=64,
        maximum=4096,
    )
    skeleton: bool = option(False, "draw the skeleton instead of the speaker", group="result")
    side_by_side: bool = option(False, "skeleton and speaker beside each other", group="result")
    output: Path | None = option(
        None,
        "the mp4, with --audio_list a folder; results/NAME/STEM.mp4 if left out, STEM being the "
        "sound's name",
        group="result",
    )
    save_pose: Path | None = option(
        None, "also write the motion: npz of SMPL-X; with --audio_list a folder", group="result"
    )
    save_timeline: Path | None = option(
        None, "also write which gestures are made: json; with --audio_list a folder", group="result"
    )

    device: str = option("auto", "where to paint", group="machine", choices=("auto", "cpu", "cuda"))
    precision: str = option(
        "auto",
        "of painting; auto: bf16 where the machine has units for it",
        group="machine",
        choices=("auto", "fp32", "bf16"),
    )
    threads: int | None = option(
        None, "processor cores for painting; all if left out", group="machine", minimum=1
    )
    jobs: int = option(1, "processes for --audio_list", group="machine", minimum=1, maximum=256)

    def __post_init__(self) -> None:
        super().__post_init__()
        if Path(self.name).name != self.name or self.name.startswith(".") or not self.name:
            raise OptionError(f"--name {self.name}: a plain name is needed, not a path")
        if self.smooth % 2 == 0:
            raise OptionError(f"--smooth {self.smooth}: an odd number of frames is needed")
        for one, other in CONTRADICTIONS:
            if self._given(one) and self._given(other):
                raise OptionError(f"--{one} and --{other}: only one of them makes sense")
        if not any(map(self._given, ("audio", "text", "audio_list", "pose", "openpose"))):
            raise OptionError("nothing to say: --audio, --text or --audio_list is needed")
        if len(self.size) != 2:
            raise OptionError("--size: two numbers are needed, width and height")
        self._check_model()
        self._check_gestures()
        for needed, by in NEEDS:
            if self._given(by) and not self._given(needed):
                raise OptionError(f"--{by}: makes sense with --{needed} only")

    def _check_model(self) -> None:
        face = self.model == SPEECH2FACE
        for name in ONLY_A_BODY if face else ONLY_A_FACE:
            if self._given(name):
                raise OptionError(f"--{name}: makes no sense with --model {self.model}")
        if face and (self.smooth != 1 or self.precision == "bf16"):
            name = "smooth" if self.smooth != 1 else "precision"
            raise OptionError(f"--{name}: makes no sense with --model {self.model}")

    def _check_gestures(self) -> None:
        if self.gestures == OFF and (self.timeline or self.save_timeline):
            raise OptionError("--gestures off: then there is no timeline of them")
        asked = "gestures" if self.gestures not in (None, OFF) else "save_timeline"
        if self._given(asked) and not (self.has_words or self.timeline):
            raise OptionError(
                f"--{asked}: gestures are made at words; --words or --transcript is needed"
            )

    def _given(self, name: str) -> bool:
        if name == "jobs":
            return self.jobs > 1
        return getattr(self, name) not in (None, False)

    def outputs(self, stem: str) -> OutputPaths:
        """Return which files are made of a speech called `stem`."""
        folder = Path("results") / self.name
        if self.audio_list is None:
            video = self.output or folder / f"{stem}.mp4"
            return OutputPaths(video, self.save_pose, self.save_timeline)
        return OutputPaths(
            (self.output or folder) / f"{stem}.mp4",
            self.save_pose and self.save_pose / f"{stem}.npz",
            self.save_timeline and self.save_timeline / f"{stem}.json",
        )

    @property
    def has_words(self) -> bool:
        """Whether it is known what is said when."""
        return any(map(self._given, ("text", "words", "transcript")))


# OpenPose's points are no pose: nothing that moves a body can be done to them.
CONTRADICTIONS = (
    ("audio", "text"),
    ("audio", "audio_list"),
    ("text", "audio_list"),
    ("words", "transcript"),
    ("text", "words"),
    ("text", "transcript"),
    ("pose", "openpose"),
    *(("audio_list", other) for other in ("transcript", "timeline", "pose", "openpose")),
    *(("openpose", other) for other in ("gestures", "timeline", "save_timeline", "save_pose")),
    *(("openpose", other) for other in ("words", "transcript")),
    *((motion, "face_motion_scale") for motion in ("pose", "openpose")),
    ("skeleton", "side_by_side"),
)
ONLY_A_FACE = ("emotion", "reference_image")
ONLY_A_BODY = (
    *("body", "words", "transcript", "pose", "openpose", "gestures", "timeline"),
    *("face_motion_scale", "skeleton", "side_by_side", "save_pose", "save_timeline"),
)
NEEDS = (("audio", "transcript"), ("audio_list", "jobs"))
