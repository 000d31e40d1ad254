"""The HTTP application: a page, and an API that makes videos; its errors are one line each."""

import asyncio
import contextlib
import functools
import importlib.util
import json
import re
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Body, FastAPI, File, Form, Query, Request, UploadFile
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, Response
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel
from starlette.exceptions import HTTPException

import speech2video
from speech2video.data.gestures.timeline import Timeline
from speech2video.data.speech2face.clip import EMOTIONS
from speech2video.models.pipelines.body_video import BodySpeaker
from speech2video.models.pipelines.speaker import load_speaker
from speech2video.options.inference import SPEECH2FACE, SPEECH2VIDEO
from speech2video.options.studio import ALL_ADDRESSES, StudioOptions
from speech2video.studio.access import (
    LOCAL_HOSTS,
    REPORT_POLICY,
    AccessControl,
    content_length,
)
from speech2video.studio.api_page import render_api
from speech2video.studio.jobs import (
    DONE,
    JOB_ID,
    PLAN,
    QUEUED,
    STATES,
    VIDEO,
    Job,
    JobQueue,
    QueueFull,
)
from speech2video.studio.plans import (
    AUDIO_FILE,
    Plan,
    describe_plan,
    parse_words,
    plan_timeline,
    preview_points,
    skeleton_edges,
)
from speech2video.studio.streaming import POLL_SECONDS, VideoStream, open_growing
from speech2video.studio.trainings import FIELDS, MAX_FILES, Conflict, Training, Trainings
from speech2video.studio.worker import (
    BACKGROUND_UPLOAD,
    BVH,
    CAPTIONS,
    MOTION,
    SPEAKERS,
    TIMELINE,
    UPLOAD,
    VIDEO_NAME,
    parse_request,
    start_worker,
)
from speech2video.util.errors import UserError, one_line
from speech2video.util.text.languages import known_languages
from speech2video.util.text.synthesis import known_voices
from speech2video.util.video.content_credentials import VideoSigner
from speech2video.util.video.formats import ALPHA_FORMATS, FORMATS, TRANSPARENT, parse_colour

if TYPE_CHECKING:
    from speech2video.studio.live import LiveSessions

STATIC = Path(__file__).with_name("static")
VIDEO_FORMATS = tuple(ending[1:] for ending in FORMATS)
SPEAKER_NAME = re.compile(r"[\w.-]{1,100}")
LANGUAGE, VOICE = re.compile(r"[A-Za-z0-9-]{1,20}"), re.compile(r"[\w:+.-]{1,60}")
MAX_TEXT = 100_000  # characters
MAX_TAKES = 8
MAX_JSON = 20_000_000  # bytes of an edited timeline
MAX_FIELDS = 50  # of a form
WAIT_SECONDS = 0.5  # between two checks of whether the client that waits is connected
FILES = {"motion": MOTION, "bvh": BVH, "timeline": TIMELINE, "captions": CAPTIONS}
ABOUT = f"""Speech in, video of a speaking person out.

An error is a status and `{{"error": "one line"}}`.

A job is `{{"id", "kind", "state", "speaker", "title", "created", "position", "done", "total",
"seconds_left", "error", "files"}}`. Its `state` is one of {", ".join(STATES)}. `done` and `total`
count frames, `position` the jobs before it; `files` names what it made.
"""
TRAININGS = "/api/trainings"
MEDIA_TYPES = {".mp4": "video/mp4", ".webm": "video/webm", ".mov": "video/quicktime"}


Name = Annotated[str, Form(description="name of a speaker")]
Upload = Annotated[UploadFile | None, File(description="recording: any file with audio")]
Text = Annotated[str | None, Form(max_length=MAX_TEXT, description="text that is spoken")]
Transcript = Annotated[
    str | None, Form(max_length=MAX_TEXT, description="words of `audio`, for lips and gestures")
]
Language = Annotated[
    str | None, Form(description="language of the speech: `de`, `pt-BR` …; by default English")
]
Voice = Annotated[str | None, Form(description="voice of `text`, by default the language's")]
Seed = Annotated[int, Body(ge=0, lt=2**63, description="random seed of the motion")]


class Error(BaseModel):
    """The answer to a request that cannot be done."""

    error: str


class Refused(Exception):
    """A request that is answered with a status and one line."""

    def __init__(self, status: int, line: str) -> None:
        super().__init__(line)
        self.status = status


class Studio:
    """The state of the application: jobs, and the speakers that previews need.

    Args:
        options: of scripts/studio.py.
        threads: that each worker process computes with.
    """

    def __init__(self, options: StudioOptions, *, threads: int) -> None:
        self.options = options
        if options.c2pa_certificate and options.c2pa_key:
            VideoSigner(options.c2pa_certificate, options.c2pa_key)  # whether they can sign
        self.jobs = JobQueue(
            options.output / "jobs",
            start_worker(options, threads=threads),
            workers=options.workers,
            keep_bytes=round(options.keep_gb * 1e9),
            max_waiting=options.max_waiting,
        )
        self.trainings = Trainings(
            options.output / "trainings",
            checkpoints=options.checkpoints,
            recordings=options.recordings,
        )
        self._load = functools.lru_cache(SPEAKERS)(
            functools.partial(load_speaker, checkpoints=options.checkpoints)
        )

    def speakers(self) -> list[dict[str, Any]]:
        """Return what is known of each speaker of the folder, without loading any."""
        found = []
        for folder, model in self._models().values():
            found.append(
                {
                    "name": folder.name,
                    "model": model,
                    **_size(folder, model),
                    "gestures": (folder / "gestures").is_dir(),
                    "emotions": list(EMOTIONS) if model == SPEECH2FACE else [],
                    "card": _card(folder),
                }
            )
        return found

    def model(self, name: str) -> str:
        """Return the model of a speaker; refuses names that are not in the folder."""
        models = self._models()
        if name not in models:
            names = ", ".join(models) or "none"
            raise Refused(404, f"{name!r:.60}: no such speaker; there are: {names}")
        return models[name][1]

    def _models(self) -> dict[str, tuple[Path, str]]:
        """Return folder and model of each speaker, by name."""
        return {
            folder.name: (folder, model)
            for folder in sorted(self.options.checkpoints.glob("*"))
            for model in [m for m in (SPEECH2VIDEO, SPEECH2FACE) if _holds(folder, m)][:1]
            if SPEAKER_NAME.fullmatch(folder.name)
        }

    def body_speaker(self, name: str) -> BodySpeaker:
        """Return a loaded speaker with body, for previews."""
        self.model(name)
        speaker = self._load(name)
        if not isinstance(speaker, BodySpeaker):
            raise Refused(400, f"{name}: a talking face has no gestures to plan")
        return speaker

    def job(self, job_id: str, kind: str | None = None) -> Job:
        """Return a job; refuses names without one, and a `kind` that it is not."""
        job = self.jobs.get(job_id) if JOB_ID.fullmatch(job_id) else None
        if job is None or kind not in (None, job.kind):
            raise Refused(404, f"{job_id!r:.60}: no such {kind or 'job'}")
        return job

    def training(self, training_id: str) -> Training:
        """Return a training; refuses names without one."""
        found = self.trainings.get(training_id) if JOB_ID.fullmatch(training_id) else None
        if found is None:
            raise Refused(404, f"{training_id!r:.60}: no such training")
        return found

    def plan(self, plan_id: str) -> tuple[Plan, Path]:
        """Return a plan that is ready, and its folder."""
        job = self.job(plan_id, PLAN)
        if job.state != DONE:
            raise Refused(409, f"the plan is not ready: {job.state}")
        folder = self.jobs.folder(plan_id)
        return Plan.load(folder), folder

    def describe(self, job: Job) -> dict[str, Any]:
        """Return a job as values of json."""
        folder = self.jobs.folder(job.id)
        names = {"audio": AUDIO_FILE, **FILES}
        if job.state == DONE:
            made = (f"{VIDEO_NAME}.{ending}" for ending in VIDEO_FORMATS)
            names["video"] = next((name for name in made if (folder / name).is_file()), "")
        files = {kind: name for kind, name in names.items() if (folder / name).is_file()}
        shown = ("id", "kind", "state", "speaker", "title", "created", "done", "total", "error")
        left = job.seconds_left
        return {name: getattr(job, name) for name in shown} | {
            "position": self.jobs.position(job) if job.state == QUEUED else None,
            "seconds_left": None if left is None else round(left, 1),
            "files": files,
        }


def create_app(options: StudioOptions, *, threads: int = 1) -> FastAPI:
    """Return the application; its jobs start, and end with the server."""
    studio = Studio(options, threads=threads)
    sessions = _live_sessions(options.viewers)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        if sessions is not None:
            await sessions.close_all()
        await asyncio.to_thread(studio.jobs.close)
        await asyncio.to_thread(studio.trainings.close)

    app = FastAPI(
        title="speech2video",
        version=speech2video.__version__,
        description=ABOUT,
        responses={"4XX": {"model": Error, "description": "one line that says what is wrong"}},
        openapi_url="/api/openapi.json",
        docs_url=None,  # its page would load scripts of another host
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.studio = studio
    app.add_middleware(
        AccessControl,
        hosts=(*LOCAL_HOSTS, options.host),
        any_address=options.host in ALL_ADDRESSES,
        origin=options.origin,
        token=options.token,
        max_bytes=options.max_upload_mb * 1_000_000,
        max_bytes_of={TRAININGS: options.max_recordings_mb * 1_000_000},
    )
    _add_errors(app)
    _add_speakers(app, studio, live=sessions is not None)
    _add_jobs(app, studio)
    _add_plans(app, studio)
    _add_trainings(app, studio)
    if sessions is not None:
        _add_live(app, studio, sessions)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")

    @app.get("/", include_in_schema=False)
    def page() -> FileResponse:
        return FileResponse(STATIC / "index.html")

    @app.get("/api/docs", include_in_schema=False)
    def documentation() -> HTMLResponse:
        return HTMLResponse(render_api(app.openapi()))

    return app


def _add_errors(app: FastAPI) -> None:
    @app.exception_handler(Refused)
    async def refused(_: Request, error: Refused) -> JSONResponse:
        return _error(error.status, str(error))

    @app.exception_handler(QueueFull)
    async def full(_: Request, error: QueueFull) -> JSONResponse:
        return _error(503, str(error))

    @app.exception_handler(Conflict)
    async def conflicting(_: Request, error: Conflict) -> JSONResponse:
        return _error(409, str(error))

    @app.exception_handler(UserError)
    async def unusable(_: Request, error: UserError) -> JSONResponse:
        return _error(400, str(error))

    @app.exception_handler(OSError)
    async def unwritable(_: Request, error: OSError) -> JSONResponse:
        return _error(507, f"the server cannot write: {error.strerror or error}")

    @app.exception_handler(HTTPException)
    async def unknown(_: Request, error: HTTPException) -> JSONResponse:
        return _error(error.status_code, str(error.detail))

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"][1:]) or "request"
        return _error(400, f"{where}: {first['msg']}")


def _add_speakers(app: FastAPI, studio: Studio, *, live: bool) -> None:
    @app.get("/api/limits", tags=["Server"])
    def limits() -> dict[str, Any]:
        """Return what the server takes and offers.

        `languages` are those of texts and transcripts; `voices` the English ones to choose from,
        `text` whether there is any.
        """
        options, languages, voices = studio.options, known_languages(), known_voices()
        return {
            "version": speech2video.__version__,
            "max_upload_bytes": options.max_upload_mb * 1_000_000,
            "max_seconds": 60 * options.max_minutes,
            "workers": options.workers,
            "live": live,
            "viewers": options.viewers,
            "formats": VIDEO_FORMATS,
            "alpha_formats": [ending[1:] for ending in ALPHA_FORMATS],
            "text": bool(voices),
            "languages": [{"tag": tag, "name": name} for tag, name in languages.items()],
            "voices": voices,
            "skeleton": {"edges": skeleton_edges()},
            "training": studio.trainings.limits()
            | {"max_upload_bytes": options.max_recordings_mb * 1_000_000},
        }

    @app.get("/api/speakers", tags=["Server"])
    def speakers() -> list[dict[str, Any]]:
        """Return the speakers of the folder."""
        return studio.speakers()


def _add_jobs(app: FastAPI, studio: Studio) -> None:
    @app.post(
        "/api/videos",
        tags=["Videos"],
        status_code=202,
        response_model=None,
        response_description="a job",
        responses={
            200: {"content": {"video/*": {}}, "description": "the video, with `wait` or `stream`"}
        },
    )
    async def make_video(
        request: Request,
        speaker: Name,
        audio: Upload = None,
        text: Text = None,
        plan: str | None = Form(None, description="id of a plan, in place of `audio` and `text`"),
        seed: int = Form(0, ge=0, lt=2**63, description="random seed of the motion"),
        format: str = Form("mp4", description=f"one of {', '.join(VIDEO_FORMATS)}"),
        background: str = Form(
            "",
            max_length=20,
            description=f"`#rrggbb` or `{TRANSPARENT}`; by default the recordings' own",
        ),
        background_file: Annotated[
            UploadFile | None, File(description="image or video behind the speaker")
        ] = None,
        transcript: Transcript = None,
        language: Language = None,
        voice: Voice = None,
        face_motion_scale: float | None = Form(
            None, ge=0, le=4, description="scale of facial motion; by default the speaker's own"
        ),
        emotion: str | None = Form(
            None, max_length=20, description="of a talking face; by default that of the voice"
        ),
        skeleton: bool = Form(False, description="draw the skeleton in place of the speaker"),
        timeline: str | None = Form(
            None, max_length=MAX_JSON, description="gestures of `plan`, edited: json"
        ),
        words: str | None = Form(
            None, max_length=MAX_JSON, description="words of `plan`, edited: json"
        ),
        wait: Annotated[bool, Query(description="answer with the video itself")] = False,
        stream: Annotated[bool, Query(description="answer with the mp4 while it is made")] = False,
    ) -> Response | dict[str, Any]:
        """Make a video of speech, a text or a plan.

        The answer is a job. With `wait` it is the video itself, once it is made. With `stream` it
        is an mp4 in fragments of a second, each sent as soon as it is made: a client that goes away
        cancels the job, and a job that fails half-way closes the connection.
        """
        model = studio.model(speaker)
        _check_choice("format", format, VIDEO_FORMATS)
        if background and background != TRANSPARENT and parse_colour(background) is None:
            raise Refused(400, f"background {background!r}: #rrggbb or {TRANSPARENT} is needed")
        if background == TRANSPARENT and f".{format}" not in ALPHA_FORMATS:
            kinds = ", ".join(ending[1:] for ending in ALPHA_FORMATS)
            raise Refused(400, f"format {format}: cannot be transparent; one of {kinds} is needed")
        if stream and (format != "mp4" or wait):
            raise Refused(400, "stream: makes sense with mp4 only, and without wait")
        if stream and studio.options.c2pa_certificate:
            raise Refused(400, "stream: videos are signed here, once they are complete; use wait")
        if model == SPEECH2FACE and (background or background_file or plan or skeleton):
            raise Refused(400, f"{speaker}: a talking face has no background, plan or skeleton")
        if emotion:
            _check_choice("emotion", emotion, EMOTIONS if model == SPEECH2FACE else ())
        fields: dict[str, Any] = {
            "seeds": [seed],
            "ending": f".{format}",
            "background": background,
            "face_motion_scale": face_motion_scale,
            "emotion": emotion or None,
            "skeleton": skeleton,
            "fragmented": stream,
        }
        if plan:
            _check_one_source(audio=audio, text=text, plan=plan)
            fields |= _plan_fields(studio, plan, speaker, timeline, words)
        elif timeline or words:
            raise Refused(400, "timeline, words: make sense with a plan only")
        fields |= _speech_fields(speaker, audio, text, plan, transcript, language, voice)
        uploads = {UPLOAD: audio, BACKGROUND_UPLOAD: background_file}
        job = await _submit(studio, VIDEO, fields, uploads)
        if stream:
            return await _stream(studio, request, job)
        if not wait:
            return studio.describe(job)
        while not job.is_over:
            if await request.is_disconnected():
                return Response(status_code=499)
            job = await asyncio.to_thread(studio.jobs.wait, job.id, WAIT_SECONDS)
            if job is None:
                raise Refused(410, "the job was removed")
        _check_done(job)
        return _file(studio, job, f"{VIDEO_NAME}.{format}")

    @app.get("/api/jobs", tags=["Jobs"])
    def jobs() -> list[dict[str, Any]]:
        """Return all jobs, newest first."""
        return [studio.describe(job) for job in studio.jobs.list()]

    @app.get("/api/jobs/{job_id}", tags=["Jobs"])
    def job(job_id: str) -> dict[str, Any]:
        """Return a job: its state, progress and files."""
        return studio.describe(studio.job(job_id))

    @app.delete("/api/jobs/{job_id}", tags=["Jobs"], status_code=204)
    def remove(job_id: str) -> None:
        """Cancel a job that waits or runs; remove one that is over."""
        studio.jobs.remove(studio.job(job_id).id)

    @app.get("/api/jobs/{job_id}/files/{name}", tags=["Jobs"], response_class=FileResponse)
    def file(job_id: str, name: str) -> FileResponse:
        """Return a file of a job."""
        return _file(studio, studio.job(job_id), name)


def _add_plans(app: FastAPI, studio: Studio) -> None:
    @app.post("/api/plans", tags=["Plans"], status_code=202)
    async def make_plan(
        speaker: Name,
        audio: Upload = None,
        text: Text = None,
        transcript: Transcript = None,
        language: Language = None,
        voice: Voice = None,
        seeds: str = Form(
            "0", max_length=200, description=f"up to {MAX_TAKES} seeds, a take each: `0,1,2`"
        ),
    ) -> dict[str, Any]:
        """Plan words, gestures and motion of a speech, a take for each seed: a job."""
        if studio.model(speaker) != SPEECH2VIDEO:
            raise Refused(400, f"{speaker}: a talking face has no gestures to plan")
        numbers = [part.strip() for part in seeds.split(",")]
        if len(numbers) > MAX_TAKES or not all(one.isdecimal() for one in numbers):
            raise Refused(400, f"seeds: up to {MAX_TAKES} whole numbers, as in 0,1,2, are needed")
        fields = {"seeds": [int(one) % 2**63 for one in dict.fromkeys(numbers)]}
        fields |= _speech_fields(speaker, audio, text, None, transcript, language, voice)
        return studio.describe(await _submit(studio, PLAN, fields, {UPLOAD: audio}))

    @app.get("/api/plans/{plan_id}", tags=["Plans"])
    def plan(plan_id: str) -> dict[str, Any]:
        """Return what was planned: words, the speaker's gestures, and a timeline for each take."""
        found, _ = studio.plan(plan_id)
        return {"id": plan_id} | describe_plan(found, studio.body_speaker(found.speaker))

    @app.post("/api/plans/{plan_id}/timeline", tags=["Plans"])
    def timeline(
        plan_id: str,
        seed: Seed = 0,
        words: Annotated[
            list[Any] | None, Body(description='`[{"text", "start", "end"}]`, in seconds')
        ] = None,
        timeline: Annotated[
            dict | None, Body(description="of a file: rows need only `entry` and `key`")
        ] = None,
    ) -> dict[str, Any]:
        """Return the gestures of a take at edited `words`, or a `timeline`, made complete."""
        found, _ = studio.plan(plan_id)
        speaker = studio.body_speaker(found.speaker)
        if (words is None) == (timeline is None):
            raise Refused(400, "words or timeline: one of them is needed")
        if words is not None:
            parsed_words = parse_words(words, seconds=found.seconds)
            return plan_timeline(found, speaker, parsed_words, seed).to_json()
        if (parsed := _timeline(speaker, timeline)) is None:
            raise Refused(400, f"{found.speaker}: has no gestures")
        return parsed.to_json()

    @app.post("/api/plans/{plan_id}/points", tags=["Plans"], response_class=Response)
    def points(
        plan_id: str,
        seed: Seed,
        timeline: Annotated[
            dict | None, Body(description="gestures to insert, edited; by default none")
        ] = None,
    ) -> Response:
        """Return the drawn points of a take: little-endian int16 (T, 144, 2), eighths of pixels.

        `limits` has the lines between them; -32768 is the coordinate of a point that is not drawn.
        """
        found, folder = studio.plan(plan_id)
        speaker = studio.body_speaker(found.speaker)
        parsed = _timeline(speaker, timeline)
        content = preview_points(found, folder, speaker, seed=seed, timeline=parsed)
        return Response(content, media_type="application/octet-stream")


def _training_form() -> dict[str, Any]:
    """Return the description of the form of a training, which is read by hand."""
    files = {"type": "array", "items": {"type": "string", "format": "binary"}}
    files["description"] = "videos of one person, and files of their words with the same names"
    texts = {name: {"type": "string", "description": text} for name, text in FIELDS.items()}
    schema = {"type": "object", "required": ["name"], "properties": {"recordings": files, **texts}}
    return {"requestBody": {"content": {"multipart/form-data": {"schema": schema}}}}


def _add_trainings(app: FastAPI, studio: Studio) -> None:
    trainings = studio.trainings

    @app.post(TRAININGS, tags=["Trainings"], status_code=202, openapi_extra=_training_form())
    async def train(request: Request) -> dict[str, Any]:
        """Train a new speaker on recordings, or on a folder of recordings of the server."""
        # the form is read here, as files of this size are taken only if there is room for them
        with trainings.receiving(content_length(request.headers)):
            async with request.form(max_files=MAX_FILES, max_fields=MAX_FIELDS) as form:
                uploads = [
                    (one.filename or "", one.file)
                    for one in form.getlist("recordings")
                    if not isinstance(one, str)
                ]
                fields = {name: text for name, text in form.items() if isinstance(text, str)}
                training = await asyncio.to_thread(trainings.start, fields, uploads)
        return trainings.describe(training, log=True)

    @app.get(TRAININGS, tags=["Trainings"])
    def all_trainings() -> list[dict[str, Any]]:
        """Return all trainings, newest first."""
        return [trainings.describe(training) for training in trainings.all()]

    @app.get(f"{TRAININGS}/{{training_id}}", tags=["Trainings"])
    def training(training_id: str) -> dict[str, Any]:
        """Return a training: its parts, progress, reports and the end of its log."""
        return trainings.describe(studio.training(training_id), log=True)

    @app.post(f"{TRAININGS}/{{training_id}}/stop", tags=["Trainings"], status_code=202)
    def stop(training_id: str) -> dict[str, Any]:
        """Stop a training; it saves its state first."""
        trainings.stop(studio.training(training_id).id)
        return trainings.describe(studio.training(training_id), log=True)

    @app.post(f"{TRAININGS}/{{training_id}}/continue", tags=["Trainings"], status_code=202)
    def go_on(training_id: str) -> dict[str, Any]:
        """Continue a training that was stopped or interrupted, or has failed."""
        trainings.go_on(studio.training(training_id).id)
        return trainings.describe(studio.training(training_id), log=True)

    @app.delete(f"{TRAININGS}/{{training_id}}", tags=["Trainings"], status_code=204)
    def remove_training(training_id: str) -> None:
        """Remove a training that does not run, with its recordings; the speaker stays."""
        trainings.remove(studio.training(training_id).id)

    @app.get(
        f"{TRAININGS}/{{training_id}}/reports/{{path:path}}",
        tags=["Trainings"],
        response_class=FileResponse,
    )
    def report(training_id: str, path: str) -> FileResponse:
        """Return a page of a training's reports, or an image or video on it."""
        file = trainings.report_file(studio.training(training_id).id, path)
        if file is None:
            raise Refused(404, f"{path!r:.60}: no such report")
        headers = {"content-security-policy": REPORT_POLICY, "cache-control": "no-cache"}
        return FileResponse(file, headers=headers)


def _add_live(app: FastAPI, studio: Studio, sessions: "LiveSessions") -> None:
    from speech2video.studio.live import NoSuchSession, TooManyViewers  # as `_live_sessions`

    @app.exception_handler(NoSuchSession)
    async def gone(_: Request, error: NoSuchSession) -> JSONResponse:
        return _error(404, str(error))

    @app.exception_handler(TooManyViewers)
    async def crowded(_: Request, error: TooManyViewers) -> JSONResponse:
        return _error(503, str(error))

    @app.post("/api/live", tags=["Live"])
    async def start(
        speaker: Annotated[str, Body(description="name of a speaker")],
        sdp: Annotated[str, Body(description="of an offer with all its candidates")],
        type: Annotated[str, Body()] = "offer",
        seed: Seed = 0,
        muted: Annotated[bool, Body(description="send no audio")] = False,
    ) -> dict[str, str]:
        """Start a live session over WebRTC: `id`, and `sdp` and `type` of the answer.

        The offer has a video section that receives. An audio section that sends is the microphone;
        one that receives gets the audio, as late as the video. Data channels get `fps`, `delay_ms`
        and `dropped` once a second, as json.
        """
        loaded = await asyncio.to_thread(studio.body_speaker, speaker)
        session_id, answer, kind = await sessions.answer(loaded, sdp, type, seed, muted)
        return {"id": session_id, "sdp": answer, "type": kind}

    @app.post("/api/live/{session_id}/text", tags=["Live"], status_code=204)
    async def say(
        session_id: str,
        text: Annotated[str, Body(embed=True)],
        language: Annotated[str | None, Body(description="of the text; by default English")] = None,
        voice: Annotated[str | None, Body(description="by default the language's")] = None,
    ) -> None:
        """Speak a text in a live session, after those before."""
        _check_voice(language, voice)
        await sessions.say(session_id, text, voice=voice or None, language=language or None)

    @app.delete("/api/live/{session_id}", tags=["Live"], status_code=204)
    async def end(session_id: str) -> None:
        """End a live session."""
        await sessions.close(session_id)


def _live_sessions(viewers: int) -> "LiveSessions | None":
    """Return the live sessions of a server; None without viewers, or without aiortc."""
    if not viewers or importlib.util.find_spec("aiortc") is None:
        return None
    from speech2video.studio.live import LiveSessions

    return LiveSessions(viewers)


def _error(status: int, line: str) -> JSONResponse:
    return JSONResponse({"error": one_line(line)}, status)


async def _submit(
    studio: Studio, kind: str, fields: dict[str, Any], uploads: dict[str, UploadFile | None]
) -> Job:
    """Queue a job with its uploads; without one left behind where that fails."""
    parse_request(fields)
    job_id, folder = studio.jobs.new_folder()
    try:
        for name, upload in uploads.items():
            if upload is not None:
                await asyncio.to_thread(_copy_upload, upload, folder / name)
        uploaded = uploads.get(UPLOAD)
        title = fields.get("text") or (uploaded and uploaded.filename) or kind
        request = {"kind": kind, "request": fields}
        return studio.jobs.submit(job_id, kind, fields["speaker"], title, request)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


async def _stream(studio: Studio, request: Request, job: Job) -> Response:
    """Return the mp4 of a job as it is made; refuses one that fails before there is any of it."""
    name = f"{VIDEO_NAME}.mp4"
    path = studio.jobs.folder(job.id) / name
    while (file := open_growing(path)) is None:
        found = studio.jobs.get(job.id)
        if found is None:
            raise Refused(410, "the job was removed")
        if found.is_over:
            _check_done(found)
        if await request.is_disconnected():
            studio.jobs.cancel(job.id)
            return Response(status_code=499)
        await asyncio.sleep(POLL_SECONDS)
    return VideoStream(studio.jobs, job.id, path, file, f"/api/jobs/{job.id}/files/{name}")


def _check_done(job: Job) -> None:
    if job.state != DONE:
        raise Refused(400 if job.error else 409, job.error or f"the job was {job.state}")


def _copy_upload(upload: UploadFile, path: Path) -> None:
    with path.open("wb") as file:
        shutil.copyfileobj(upload.file, file)


def _speech_fields(
    speaker: str,
    audio: UploadFile | None,
    text: str | None,
    plan: str | None,
    transcript: str | None,
    language: str | None,
    voice: str | None,
) -> dict[str, Any]:
    _check_one_source(audio=audio, text=text, plan=plan)
    if transcript and audio is None:
        raise Refused(400, "transcript: makes sense with audio only")
    _check_voice(language, voice)
    return {
        "speaker": speaker,
        "text": text or None,
        "transcript": transcript or None,
        "language": language or None,
        "voice": voice or None,
    }


def _check_voice(language: str | None, voice: str | None) -> None:
    for name, value, pattern in (("language", language, LANGUAGE), ("voice", voice, VOICE)):
        if value and not pattern.fullmatch(value):
            raise Refused(400, f"{name} {value!r:.60}: no such {name}")


def _check_one_source(**sources: Any) -> None:
    given = [name for name, value in sources.items() if value]
    if len(given) != 1:
        seen = " and ".join(given) or "nothing"
        raise Refused(400, f"{seen} given; one of {', '.join(sources)} is needed")


def _plan_fields(
    studio: Studio, plan_id: str, speaker: str, timeline: str | None, words: str | None
) -> dict[str, Any]:
    plan, _ = studio.plan(plan_id)
    if plan.speaker != speaker:
        raise Refused(400, f"plan {plan_id}: of {plan.speaker}, not of {speaker}")
    fields: dict[str, Any] = {"plan": plan_id}
    if timeline:
        values = _json("timeline", timeline)
        parsed = _timeline(studio.body_speaker(speaker), values)
        fields["timeline"] = None if parsed is None else parsed.to_json()
    if words:
        parsed_words = parse_words(_json("words", words), seconds=plan.seconds)
        fields["words"] = [vars(word) for word in parsed_words]
    return fields


def _timeline(speaker: BodySpeaker, values: Any) -> Timeline | None:
    if values is None or speaker.gestures is None:
        return None
    return Timeline.from_json(values, speaker.gestures.dictionary)


def _json(name: str, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise Refused(400, f"{name}: not json") from None


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        known = ", ".join(choices) or "none"
        raise Refused(400, f"{name} {value!r:.60}: no such {name}; there are: {known}")


def _file(studio: Studio, job: Job, name: str) -> FileResponse:
    """Return a file that a job is described to have."""
    if name not in studio.describe(job)["files"].values():
        raise Refused(404, f"{name!r:.60}: no such file of this job")
    path = studio.jobs.folder(job.id) / name
    media_type = MEDIA_TYPES.get(path.suffix)
    return FileResponse(
        path, media_type=media_type, filename=name, content_disposition_type="inline"
    )


def _holds(folder: Path, model: str) -> bool:
    part = "audio2pose" if model == SPEECH2VIDEO else SPEECH2FACE
    return (folder / part).is_dir()


def _size(folder: Path, model: str) -> dict[str, int | None]:
    """Return width and height of a speaker's videos, as far as its options say."""
    found: dict[str, int | None] = {"width": None, "height": None}
    part = folder / ("pose2video" if model == SPEECH2VIDEO else SPEECH2FACE)
    for path in (part / "options.json", *sorted(part.glob("*/options.json"))):
        with contextlib.suppress(OSError, ValueError):
            values = json.loads(path.read_text("utf-8"))
            size = values.get("size") if isinstance(values, dict) else None
            for name in found:
                value = values.get(name, size)
                found[name] = value if isinstance(value, int) else None
            break
    return found


def _card(folder: Path) -> str | None:
    path = folder / "README.md"
    return path.read_text("utf-8", "replace")[:MAX_TEXT] if path.is_file() else None
