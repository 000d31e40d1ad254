"""What a worker process does: plan a speech, or make a video, of a job's folder.

Files have the names of this module, never those that users gave.
"""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from speech2video.data.gestures.timeline import Timeline
from speech2video.data.motion_export import write_motion_as
from speech2video.data.motion_io import read_motion
from speech2video.models.pipelines.body_video import BodySpeaker
from speech2video.models.pipelines.speaker import load_speaker
from speech2video.options.inference import BodyVideoOptions, TalkingFaceOptions
from speech2video.options.studio import StudioOptions
from speech2video.studio.jobs import PLAN, REQUEST_FILE, StartWorker
from speech2video.studio.plans import AUDIO_FILE, Plan, make_plan
from speech2video.util.audio.audio_io import count_samples, load_audio, read_audio, write_audio
from speech2video.util.errors import DataError
from speech2video.util.files import read_json, typed_fields
from speech2video.util.text.speech_source import Speech, recorded_speech, synthesised_speech
from speech2video.util.text.transcript import Word, write_captions
from speech2video.util.timing import SAMPLE_RATE, frame_count

UPLOAD, BACKGROUND_UPLOAD = "upload", "background"  # names of uploaded files
VIDEO_NAME = "video"
MOTION, BVH, TIMELINE, CAPTIONS = "motion.npz", "motion.bvh", "timeline.json", "captions.srt"
SPEAKERS = 2  # that a process keeps loaded


@dataclass(frozen=True)
class Request:
    """What a job is to do; `seeds` are the takes of a plan, the first one that of a video.

    Attributes:
        plan: folder of the plan that a video is made of, with `timeline` and `words` as edited.
        fragmented: whether the video can be played while it is made.
        background: #rrggbb or transparent; "" for the uploaded one, or the recordings' own.
    """

    speaker: str
    text: str | None = None
    transcript: str | None = None
    language: str | None = None
    voice: str | None = None
    seeds: tuple[int, ...] = (0,)
    ending: str = ".mp4"
    background: str = ""
    face_motion_scale: float | None = None
    emotion: str | None = None
    skeleton: bool = False
    fragmented: bool = False
    plan: str | None = None
    timeline: dict | None = None
    words: tuple[Word, ...] | None = None


class StudioWorker:
    """Does jobs with the speakers of one folder.

    Args:
        checkpoints: folder of all speakers.
        max_seconds: of a speech.
        signing: options that sign the videos.
    """

    def __init__(
        self, checkpoints: Path, *, max_seconds: float, signing: Mapping[str, Path | None]
    ) -> None:
        self._max_seconds, self._signing = max_seconds, signing
        self._speaker = functools.lru_cache(SPEAKERS)(
            functools.partial(load_speaker, checkpoints=checkpoints)
        )

    def plan(self, folder: Path, request: Request) -> None:
        """Write the plan of a job."""
        speaker = self._speaker(request.speaker)
        if not isinstance(speaker, BodySpeaker):
            raise DataError(f"{request.speaker}: a talking face has no gestures to plan")
        make_plan(speaker, self._speech(folder, request), folder, seeds=request.seeds)

    def video(
        self, folder: Path, request: Request, on_progress: Callable[[int, int], object]
    ) -> None:
        """Write the video of a job, its motion, gestures and captions."""
        scale = request.face_motion_scale
        own = {} if scale is None else {"face_motion_scale": scale}
        speaker = self._speaker(request.speaker, **own)
        speech = self._speech(folder, request)
        output = folder / f"{VIDEO_NAME}{request.ending}"
        common = {"name": speaker.name, "audio": speech.audio, "output": output}
        common |= {"seed": request.seeds[0], **self._signing}
        if isinstance(speaker, BodySpeaker):
            self._body_video(folder, request, speaker, speech, common, on_progress)
        else:
            options = TalkingFaceOptions(**common, emotion=request.emotion)
            shown = {"bar": False, "on_progress": on_progress}
            speaker.make_video(speech, options, **shown, fragmented=request.fragmented)
        if speech.words:
            write_captions(folder / CAPTIONS, speech.words)

    def _body_video(
        self,
        folder: Path,
        request: Request,
        speaker: BodySpeaker,
        speech: Speech,
        common: dict[str, Any],
        on_progress: Callable[[int, int], object],
    ) -> None:
        timeline = self._timeline(request, speaker, speech)
        if timeline:
            timeline.save(folder / TIMELINE)
        uploaded = folder / BACKGROUND_UPLOAD
        background = str(uploaded) if uploaded.is_file() else request.background or None
        options = BodyVideoOptions(
            **common,
            timeline=folder / TIMELINE if timeline else None,
            background=background,
            skeleton=request.skeleton,
            save_pose=folder / MOTION,
        )
        shown = {"bar": False, "on_progress": on_progress}
        speaker.make_video(speech, options, **shown, fragmented=request.fragmented)
        write_motion_as(folder / BVH, read_motion(folder / MOTION), speaker.body)

    def _timeline(self, request: Request, speaker: BodySpeaker, speech: Speech) -> Timeline | None:
        if speaker.gestures is None:
            return None
        if request.timeline is not None:
            return Timeline.from_json(request.timeline, speaker.gestures.dictionary)
        if not speech.words:
            return None
        frames = frame_count(count_samples(_audio(speech)))
        return speaker.gestures.plan(speech.words, frames=frames, seed=request.seeds[0])

    def _speech(self, folder: Path, request: Request) -> Speech:
        """Return the speech of a job, its audio within the folder."""
        if request.plan is not None:
            plan_folder = folder.parent / request.plan
            return Plan.load(plan_folder).speech(plan_folder, request.words)
        if request.text is not None:
            spoken = synthesised_speech(
                request.text, voice=request.voice, language=request.language
            )
            with spoken as speech:
                write_audio(folder / AUDIO_FILE, load_audio(_audio(speech)))
                self._check_length(folder / AUDIO_FILE)
                return Speech(folder.name, folder / AUDIO_FILE, speech.words, speech.phones)
        self._check_length(folder / UPLOAD)
        # with a line's end it is never taken for the name of a file
        transcript = None if request.transcript is None else f"{request.transcript}\n"
        return recorded_speech(folder / UPLOAD, transcript=transcript, language=request.language)

    def _check_length(self, audio: Path) -> None:
        samples = 0
        for chunk in read_audio(audio, whole=True):  # no more than is needed of a long one
            samples += len(chunk)
            if samples > self._max_seconds * SAMPLE_RATE:
                raise DataError(f"speech of at most {self._max_seconds:g} s is taken")


def parse_request(values: Any) -> Request:
    """Return the request of values of json; raises `DataError` on anything else."""
    fields = typed_fields(values, Request, where="request")
    if fields.get("words") is not None:
        fields["words"] = tuple(Word(**word) for word in fields["words"])
    return Request(**fields)


def _audio(speech: Speech) -> Path:
    assert speech.audio is not None
    return speech.audio


def start_worker(options: StudioOptions, *, threads: int) -> StartWorker:
    """Return what a worker process runs at its start, see `JobQueue`."""
    return functools.partial(_start, options, threads)


def _start(options: StudioOptions, threads: int) -> Callable[..., None]:
    torch.set_num_threads(threads)
    signing = {name: getattr(options, name) for name in ("c2pa_certificate", "c2pa_key")}
    seconds = 60 * options.max_minutes
    worker = StudioWorker(options.checkpoints, max_seconds=seconds, signing=signing)

    def do_job(folder: Path, on_progress: Callable[[int, int], object]) -> None:
        values = read_json(folder / REQUEST_FILE, what="a request")
        request = parse_request(values["request"])
        if values["kind"] == PLAN:
            worker.plan(folder, request)
        else:
            worker.video(folder, request, on_progress)

    return do_job
