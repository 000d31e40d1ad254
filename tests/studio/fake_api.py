"""A server with the studio's HTTP API and made-up answers, for tests of its page."""

import contextlib
import copy
import socket
import threading
import time
import wave
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, JSONResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.datastructures import UploadFile

from speech2video.studio.access import REPORT_POLICY
from speech2video.util.video.writer import write_video
from tests.shared import ROOT

STATIC = ROOT / "studio" / "static"
FRAMES, FPS, POINTS, SIZE = 75, 25, 144, 256
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "media-src 'self' blob:; connect-src 'self'; frame-src 'self'; base-uri 'none'; "
    "form-action 'none'"
)
PARTS = {
    "clips": "Preprocessing",
    "gestures": "Gestures",
    "motion": "Speech to pose",
    "images": "Pose to video",
    "speaker": "Export",
    "evaluation": "Evaluation",
}
REPORTS = {
    "clips": ("Preprocessing", "dataset/report.html"),
    "motion": ("Speech to pose", "runs/anna/audio2pose/index.html"),
    "images": ("Pose to video", "runs/anna/pose2video/index.html"),
}
REPORT = """<!DOCTYPE html><html><head>
<style>h1 { color: rgb(1, 2, 3); } p { height: 3000px; }</style></head><body>
<h1>TITLE</h1><img src="images/a.jpg" alt="an image"><p></p>
<script>parent.document.title = "changed by a report"</script></body></html>"""
JPEG = cv2.imencode(".jpg", np.full((32, 32, 3), 128, np.uint8))[1].tobytes()
HTML_NAME = "<img src=x onerror=alert(1)><b>bold</b>"
SPEAKERS = [
    {
        "name": "demo",
        "model": "speech2video",
        "width": SIZE,
        "height": SIZE,
        "gestures": True,
        "emotions": [],
        "card": "# Demo\n\nA synthetic speaker.",
    },
    {
        "name": HTML_NAME,
        "model": "speech2video",
        "width": SIZE,
        "height": SIZE,
        "gestures": False,
        "emotions": [],
        "card": f"{HTML_NAME}\nis a name.",
    },
    {
        "name": "face",
        "model": "speech2face",
        "width": 128,
        "height": 128,
        "gestures": False,
        "emotions": ["happy", "sad"],
        "card": None,
    },
]
WORDS = [
    {"text": "Hello", "start": 0.2, "end": 0.6},
    {"text": "two", "start": 0.8, "end": 1.1},
    {"text": "<i>up</i>", "start": 1.5, "end": 1.9},
]
GESTURES = [
    {"name": name, "word": name, "seconds": 1.4, "parts": ["right_arm", "right_hand"]}
    for name in ("hello", "two", "up")
]


def timeline(seed: int, words: list[dict[str, Any]]) -> dict[str, Any]:
    """Return a timeline with a gesture at each word, the last one skipped."""
    rows = []
    for entry, word in zip(("hello", "two", "up"), words, strict=False):
        key = round(word["start"] + 0.1, 4)
        rows.append(
            {
                "entry": entry,
                "key": key,
                "start": round(key - 0.4, 4),
                "arrival": key,
                "hold_end": round(key + 0.3, 4),
                "end": round(key + 0.9, 4),
                "skipped": "chance" if entry == "up" else "",
                "word": word["text"],
                "word_start": word["start"],
                "word_end": word["end"],
                "probability": 0.8,
                "draw": 0.25,
            }
        )
    return {"format": 1, "seed": seed, "insertions": rows}


@dataclass
class FakeApi:
    """Answers of the API, and what was asked.

    Attributes:
        requests: method, path and values of each request that changes or computes something.
        errors: by path, the line of an error in place of an answer.
        hold: whether jobs stay at a quarter until they are cancelled.
        jobs: newest first.
        trainings: newest first; each comes a part further whenever they are asked for.
        speakers: those that are there.
        seconds: that a list of them takes.
    """

    folder: Path
    requests: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)
    errors: dict[str, str] = field(default_factory=dict)
    hold: bool = False
    jobs: list[dict[str, Any]] = field(default_factory=list)
    trainings: list[dict[str, Any]] = field(default_factory=list)
    speakers: list[dict[str, Any]] = field(default_factory=lambda: list(SPEAKERS))
    seconds: float = 0.0
    limits: dict[str, Any] = field(
        default_factory=lambda: {
            "version": "0",
            "max_upload_bytes": 1_000_000,
            "max_seconds": 60,
            "workers": 1,
            "live": True,
            "viewers": 2,
            "formats": ["mp4", "webm", "mov", "gif", "apng"],
            "alpha_formats": ["webm", "mov", "apng"],
            "text": True,
            "languages": [{"tag": "de", "name": "German"}, {"tag": "ja", "name": "Japanese"}],
            "voices": ["en-us", "flite:slt"],
            "skeleton": {"edges": [[0, 1, "#ff0000"], [1, 2, "#00ff00"], [1, 3, "#ffffff"]]},
            "training": {
                "problem": None,
                "folders": {"talks": 3, HTML_NAME: 1},
                "max_files": 200,
                "recordings": [".mp4", ".mov"],
                "words": [".TextGrid", ".txt"],
                "quick_steps": 1000,
                "default_steps": 4000,
                "max_steps": 1_000_000,
                "sizes": [256, 512],
                "recognise": True,
                "max_upload_bytes": 1_000_000,
            },
        }
    )

    def reset(self) -> None:
        """Forget what was asked, all jobs and errors."""
        fresh = FakeApi(self.folder)
        self.__dict__.update(fresh.__dict__)

    def asked(self, path: str, method: str = "POST") -> list[dict[str, Any]]:
        """Return the values of the requests to a path, in their order."""
        return [values for verb, where, values in self.requests if (verb, where) == (method, path)]

    def add_job(self, kind: str, speaker: str, title: str, **values: Any) -> dict[str, Any]:
        """Add a running job."""
        job = {
            "id": f"job{len(self.jobs)}",
            "kind": kind,
            "state": "running",
            "speaker": speaker,
            "title": title,
            "created": time.time(),
            "position": None,
            "done": 0,
            "total": FRAMES,
            "seconds_left": 80,
            "error": None,
            "files": {},
        }
        self.jobs.insert(0, job | values)
        return self.jobs[0]

    def advance(self) -> None:
        """Let running jobs come further."""
        for job in self.jobs:
            if job["state"] == "running" and not (self.hold and job["done"]):
                job["done"] = min(FRAMES, job["done"] + FRAMES // 3)
                if job["done"] == FRAMES:
                    files = {"audio": "audio.wav"}
                    if job["kind"] == "video":
                        files |= {
                            "video": "video.mp4",
                            "motion": "motion.npz",
                            "bvh": "motion.bvh",
                            "timeline": "timeline.json",
                            "captions": "captions.srt",
                        }
                    job |= {"state": "done", "seconds_left": None, "files": files}

    def add_training(self, name: str, **values: Any) -> dict[str, Any]:
        """Add a training at its first part."""
        training = {
            "id": f"training{len(self.trainings)}",
            "name": name,
            "created": time.time(),
            "folder": "",
            "files": ["talk.mp4"],
            "steps": 4000,
            "size": 256,
            "pretrained": None,
            "notes": [],
            "error": None,
            "state": "running",
            "parts": [{"key": k, "title": t, "state": "waiting"} for k, t in PARTS.items()],
            "done": 1000,
            "total": 4000,
            "seconds_left": 500,
            "seconds": 60,
            "reports": [],
            "log": ["== Preprocessing", "1 of 1 recordings"],
        }
        self.trainings.insert(0, training | values)
        self.trainings[0]["parts"][0]["state"] = self.trainings[0]["state"]
        return self.trainings[0]

    def advance_training(self) -> None:
        """Finish the part of the running training, add its report, and begin the next."""
        training = next((one for one in self.trainings if one["state"] == "running"), None)
        if training is None:
            return
        part = next(one for one in training["parts"] if one["state"] == "running")
        part["state"] = "done"
        if part["key"] in REPORTS:
            title, path = REPORTS[part["key"]]
            training["reports"].append({"title": title, "path": path, "changed": time.time()})
        if part["key"] == "speaker":
            self.speakers.append(SPEAKERS[0] | {"name": training["name"], "card": None})
        waiting = [one for one in training["parts"] if one["state"] == "waiting"]
        if waiting:
            waiting[0]["state"] = "running"
        else:
            training["state"] = "done"

    def set_training(self, name: str, state: str) -> dict[str, Any]:
        """Set the state of a training, and of the part that was or is done."""
        training = next(one for one in self.trainings if one["id"] == name)
        for part in training["parts"]:
            if part["state"] not in ("done", "waiting"):
                part["state"] = state
        training["state"] = state
        return training

    def plan(self, job: dict[str, Any]) -> dict[str, Any]:
        """Return the plan of a job."""
        return {
            "id": job["id"],
            "speaker": job["speaker"],
            "seconds": FRAMES / FPS,
            "frames": FRAMES,
            "fps": FPS,
            "width": SIZE,
            "height": SIZE,
            "waveform": [abs(np.sin(frame / 3)) for frame in range(FRAMES)],
            "words": WORDS,
            "gestures": GESTURES,
            "takes": [{"seed": seed, "timeline": timeline(seed, WORDS)} for seed in job["seeds"]],
        }

    def points(self, asked: dict[str, Any]) -> bytes:
        """Return points: a line that is longer the more gestures are inserted."""
        rows = (asked["timeline"] or {"insertions": []})["insertions"]
        points_TK2 = np.full((FRAMES, POINTS, 2), -32768, "<i2")
        points_TK2[:, 0] = (8 * 20, 8 * 20)
        for frame in range(FRAMES):
            made = sum(not one["skipped"] for one in rows)
            points_TK2[frame, 1] = (8 * (40 + 60 * made), 8 * (40 + frame))
        return points_TK2.tobytes()

    def file(self, name: str) -> Path | None:
        """Return a job's file."""
        path = self.folder / name
        return path if path.is_file() else None


def make_files(folder: Path) -> None:
    """Write the files of a finished job: three seconds of video and audio."""
    with wave.open(str(folder / "audio.wav"), "wb") as audio:
        audio.setnchannels(1)
        audio.setsampwidth(2)
        audio.setframerate(16000)
        time_S = np.arange(16000 * FRAMES // FPS) / 16000
        audio.writeframes((3000 * np.sin(2 * np.pi * 220 * time_S)).astype("<i2").tobytes())
    frames = (np.full((3, 64, 64), 3 * frame, np.uint8) for frame in range(FRAMES))
    write_video(folder / "video.mp4", frames, preset="ultrafast")
    for name in ("motion.npz", "motion.bvh", "timeline.json", "captions.srt"):
        (folder / name).write_text(name)


def make_app(fake: FakeApi) -> FastAPI:
    """Return the page and the fake API."""
    app = FastAPI()
    app.mount("/static", StaticFiles(directory=STATIC))
    sessions: dict[str, Any] = {}

    @app.middleware("http")
    async def answer(request: Request, call: Any) -> Response:
        path = request.url.path
        if path in fake.errors:
            return JSONResponse({"error": fake.errors[path]}, 400)
        response = await call(request)
        response.headers.setdefault("Content-Security-Policy", CSP)
        return response

    async def read(request: Request) -> dict[str, Any]:
        """Return the values of a request, and note them; of a file its name and size."""
        if request.headers.get("content-type", "").startswith("multipart/"):
            values: dict[str, Any] = {}
            for name, value in (await request.form()).items():
                if isinstance(value, UploadFile):
                    values[name] = (value.filename, value.content_type, len(await value.read()))
                else:
                    values[name] = value
            if files := (await request.form()).getlist("recordings"):
                values["recordings"] = [one.filename for one in files if not isinstance(one, str)]
        else:
            values = await request.json() if await request.body() else {}
        fake.requests.append((request.method, request.url.path, copy.deepcopy(values)))
        return values

    @app.get("/")
    def page() -> FileResponse:
        return FileResponse(STATIC / "index.html")

    @app.get("/api/limits")
    def limits() -> dict[str, Any]:
        return fake.limits

    @app.get("/api/speakers")
    def speakers() -> list[dict[str, Any]]:
        time.sleep(fake.seconds)
        return fake.speakers

    @app.post("/api/videos", status_code=202)
    async def make_video(request: Request) -> dict[str, Any]:
        values = await read(request)
        return fake.add_job("video", values["speaker"], values.get("text", "A video"))

    @app.post("/api/plans", status_code=202)
    async def make_plan(request: Request) -> dict[str, Any]:
        values = await read(request)
        seeds = [int(seed) for seed in values["seeds"].split(",")]
        title = values.get("text", "A plan")
        return fake.add_job("plan", values["speaker"], title, seeds=seeds)

    @app.get("/api/jobs")
    def jobs() -> list[dict[str, Any]]:
        fake.advance()
        return fake.jobs

    @app.delete("/api/jobs/{name}", status_code=204)
    async def remove(name: str, request: Request) -> None:
        await read(request)
        job = next(one for one in fake.jobs if one["id"] == name)
        if job["state"] == "running":
            job["state"] = "cancelled"
        else:
            fake.jobs.remove(job)

    @app.get("/api/jobs/{name}/files/{file}")
    def job_file(name: str, file: str) -> Response:
        path = fake.file(file)
        return FileResponse(path) if path else JSONResponse({"error": "no such file"}, 404)

    @app.get("/api/plans/{name}")
    def plan(name: str) -> dict[str, Any]:
        return fake.plan(next(one for one in fake.jobs if one["id"] == name))

    @app.post("/api/plans/{name}/timeline")
    async def new_timeline(name: str, request: Request) -> dict[str, Any]:
        values = await read(request)
        return values.get("timeline") or timeline(values["seed"], values["words"])

    @app.post("/api/plans/{name}/points")
    async def new_points(name: str, request: Request) -> Response:
        values = await read(request)
        return Response(fake.points(values), media_type="application/octet-stream")

    @app.post("/api/trainings", status_code=202)
    async def train(request: Request) -> dict[str, Any]:
        values = await read(request)
        return fake.add_training(values["name"], folder=values.get("folder", ""))

    @app.get("/api/trainings")
    def trainings() -> list[dict[str, Any]]:
        if not fake.hold:
            fake.advance_training()
        return fake.trainings

    @app.get("/api/trainings/{name}")
    def training(name: str) -> dict[str, Any]:
        return next(one for one in fake.trainings if one["id"] == name)

    @app.post("/api/trainings/{name}/stop", status_code=202)
    async def stop_training(name: str, request: Request) -> dict[str, Any]:
        await read(request)
        return fake.set_training(name, "stopped")

    @app.post("/api/trainings/{name}/continue", status_code=202)
    async def continue_training(name: str, request: Request) -> dict[str, Any]:
        await read(request)
        return fake.set_training(name, "running")

    @app.delete("/api/trainings/{name}", status_code=204)
    async def remove_training(name: str, request: Request) -> None:
        await read(request)
        fake.trainings = [one for one in fake.trainings if one["id"] != name]

    @app.get("/api/trainings/{name}/reports/{path:path}")
    def report(name: str, path: str) -> Response:
        if path.endswith(".jpg"):
            return Response(JPEG, media_type="image/jpeg")
        titles = [title for title, known in REPORTS.values() if known == path]
        page = REPORT.replace("TITLE", titles[0])
        policy = {"Content-Security-Policy": REPORT_POLICY}
        return Response(page, media_type="text/html", headers=policy)

    @app.post("/api/live")
    async def live(request: Request) -> dict[str, Any]:
        import aiortc  # only the test of a live session needs it

        values = await read(request)
        connection = aiortc.RTCPeerConnection()
        sessions["live"] = connection

        @connection.on("datachannel")
        def opened(channel: Any) -> None:
            channel.send('{"fps": 24.6, "delay_ms": 312.4, "dropped": 3}')

        await connection.setRemoteDescription(
            aiortc.RTCSessionDescription(values["sdp"], values["type"])
        )
        connection.addTrack(aiortc.VideoStreamTrack())
        await connection.setLocalDescription(await connection.createAnswer())
        local = connection.localDescription
        return {"id": "live", "sdp": local.sdp, "type": local.type}

    @app.post("/api/live/live/text", status_code=204)
    async def say(request: Request) -> None:
        await read(request)

    @app.delete("/api/live/live", status_code=204)
    async def end_live(request: Request) -> None:
        await read(request)
        await sessions.pop("live").close()

    return app


@contextlib.contextmanager
def serve(fake: FakeApi) -> Iterator[str]:
    """Serve in a thread; yield the address."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(make_app(fake), log_level="error"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)
        listener.close()
