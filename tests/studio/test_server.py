"""The command itself: the documented examples, many requests at once, and what it refuses."""

import concurrent.futures
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import httpx
import psutil
import pytest

from speech2video.util.audio.audio_io import load_audio
from tests.shared import ROOT
from tests.tiny_speaker import NAME, make_speaker

PAGE = (ROOT / "docs" / "studio.md").read_text()
DOCKERFILE = (ROOT / "Dockerfile").read_text()
DOCUMENTED = "http://127.0.0.1:7860"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yield the address of a running server with the tiny speaker, also under the demo's name."""
    folder = tmp_path_factory.mktemp("server")
    make_speaker(folder / "checkpoints")
    shutil.copytree(folder / "checkpoints" / NAME, folder / "checkpoints" / "demo")
    command = [sys.executable, ROOT / "scripts" / "studio.py", "--port", "0", "--output"]
    command += [folder / "results", "--checkpoints", folder / "checkpoints"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=folder)
    assert process.stdout is not None
    yield process.stdout.readline().strip().rstrip("/")
    process.send_signal(signal.SIGINT)
    assert process.wait(60) in (0, 130)


def code(language: str, number: int = 0) -> str:
    """Return a code block of a language on the page."""
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)[number]


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
@pytest.mark.parametrize(("number", "name"), [(0, "speech.mp4"), (1, "streamed.mp4")])
def test_the_documented_requests_make_a_video(
    server: str, tmp_path: Path, number: int, name: str
) -> None:
    script = code("sh", number).replace(DOCUMENTED, server).replace(name, f"{tmp_path}/{name}")
    subprocess.run(["bash", "-c", script], cwd=ROOT, check=True)
    with av.open(tmp_path / name) as container:
        assert sum(1 for _ in container.decode(video=0)) == 339


def ended(api: httpx.Client, answer: httpx.Response) -> dict[str, Any]:
    """Return the job of a streamed answer once it has ended; its motion is written last."""
    url = "/".join(answer.headers["content-location"].split("/")[:4])
    while (job := api.get(url).json())["state"] == "running":
        time.sleep(0.1)
    return job


def test_a_video_arrives_while_it_is_made(server: str, tmp_path: Path) -> None:
    path = tmp_path / "streamed.mp4"
    speech = (ROOT / "examples" / "speech.wav").read_bytes()
    with httpx.Client(base_url=server, timeout=300) as api:
        asked = {"data": {"speaker": "demo"}, "files": {"audio": speech}}
        with (
            api.stream("POST", "/api/videos?stream=true", **asked) as answer,
            path.open("wb") as file,
        ):
            assert answer.status_code == 200 and answer.headers["content-type"] == "video/mp4"
            chunks = answer.iter_raw()
            file.write(next(chunks))
            job = api.get("/api/jobs").json()[0]
            assert job["state"] == "running" and job["done"] < job["total"] == 339
            file.writelines(chunks)
        assert ended(api, answer)["state"] == "done"
        assert api.get(answer.headers["content-location"]).content == path.read_bytes()
    with av.open(path) as container:
        assert "synthetic" in container.metadata["comment"]
        times = [frame.time for frame in container.decode(video=0)]
    assert times == pytest.approx([number / 25 for number in range(339)], abs=1e-3)
    assert abs(len(load_audio(path)) - 339 * 640) < 16


def test_who_goes_away_cancels_the_video(server: str) -> None:
    speech = (ROOT / "examples" / "speech.wav").read_bytes()
    with httpx.Client(base_url=server, timeout=300) as api:
        asked = {"data": {"speaker": "demo"}, "files": {"audio": speech}}
        with api.stream("POST", "/api/videos?stream=true", **asked) as answer:
            next(answer.iter_raw())
        job = ended(api, answer)
        assert job["state"] == "cancelled" and job["done"] < job["total"]
        assert api.get(answer.headers["content-location"]).status_code == 404


def test_a_stream_that_cannot_begin_is_refused_in_one_line(server: str) -> None:
    with httpx.Client(base_url=server, timeout=300) as api:
        for more, line in (({}, "upload: "), ({"format": "webm"}, "stream: makes sense with mp4")):
            data = {"speaker": "demo", **more}
            answer = api.post("/api/videos?stream=true", data=data, files={"audio": b"none"})
            assert answer.status_code == 400 and line in answer.json()["error"]


def test_the_documented_program_makes_a_video(server: str, tmp_path: Path) -> None:
    program = code("python").replace(DOCUMENTED, server)
    program = program.replace('"speech.mp4"', repr(f"{tmp_path}/speech.mp4"))
    run = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, check=True
    )
    assert (tmp_path / "speech.mp4").read_bytes()[4:8] == b"ftyp"
    assert run.stdout.decode().strip().endswith("339 of 339 frames")


@pytest.mark.slow
def test_two_hundred_requests_eight_at_a_time(server: str) -> None:
    """None is lost, those that are broken get one line, and memory does not grow."""
    speech = (ROOT / "examples" / "speech.wav").read_bytes()[: 44 + 32_000]
    with httpx.Client(base_url=server, timeout=300) as api:
        process = _server_process(server)
        memory: list[float] = []

        def ask(number: int) -> tuple[int, Any]:
            kinds: list[tuple[dict[str, Any], dict[str, Any]]] = [
                ({"speaker": NAME, "seed": str(number)}, {"audio": speech}),
                ({"speaker": NAME, "text": f"number {number}"}, {}),
                ({"speaker": "none"}, {"audio": speech}),
                ({"speaker": NAME}, {"audio": b"RIFF" + bytes(number)}),
                ({"speaker": NAME, "skeleton": "true"}, {"audio": speech}),
            ]
            data, files = kinds[number % len(kinds)]
            answer = api.post("/api/videos?wait=true", data=data, files=files)
            if number % 50 == 0:
                memory.append(_memory(process))
            return answer.status_code, answer

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(ask, range(200)))
        for number, (status, answer) in enumerate(answers):
            expected = [200, 200, 404, 400, 200][number % 5]
            assert status == expected, answer.text
            if status == 200:
                assert answer.content[4:8] == b"ftyp"
            else:
                assert "Traceback" not in answer.text and "\n" not in answer.json()["error"]
        memory.append(_memory(process))
        assert memory[-1] < memory[1] + 100e6
        states = [job["state"] for job in api.get("/api/jobs").json()]
        assert not {"queued", "running"} & set(states)


def test_the_container_s_check_tells_a_server_from_none(server: str) -> None:
    (check,) = re.findall(r"^HEALTHCHECK .*CMD (\[.*\])$", DOCKERFILE, re.MULTILINE)
    _, *arguments = json.loads(check)
    free = socket.create_server(("127.0.0.1", 0))
    with free:
        closed = free.getsockname()[1]
    for port, works in ((server.rsplit(":", 1)[1], True), (str(closed), False)):
        line = [argument.replace("7860", port) for argument in arguments]
        assert (
            subprocess.run([sys.executable, *line], stderr=subprocess.DEVNULL).returncode == 0
        ) == works


@pytest.mark.parametrize(("given", "shown"), [("auto", r"[\w-]{43}"), ("0123456789abcdef", "…")])
def test_a_token_of_the_environment_counts(tmp_path: Path, given: str, shown: str) -> None:
    command = [sys.executable, ROOT / "scripts" / "studio.py", "--port", "0", "--host", "0.0.0.0"]
    command += ["--output", tmp_path / "results", "--checkpoints", tmp_path]
    environment = os.environ | {"SPEECH2VIDEO_TOKEN": given}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    line = process.stdout.readline().strip()
    found = re.fullmatch(rf"(http://127\.0\.0\.1:\d+)/\?token=({shown})", line)
    assert found, line
    token = found[2] if given == "auto" else given
    url = f"{found[1]}/api/speakers"
    assert httpx.get(url).status_code == 401
    assert httpx.get(url, headers={"Authorization": f"Bearer {token}"}).json() == []
    process.send_signal(signal.SIGINT)
    process.wait(60)


def _server_process(server: str) -> psutil.Process:
    port = int(server.rsplit(":", 1)[1])
    for process in psutil.Process(os.getpid()).children(recursive=True):
        if any(one.laddr.port == port for one in process.net_connections(kind="tcp")):
            return process
    raise AssertionError("no such server")


def _memory(process: psutil.Process) -> float:
    family = [process, *process.children(recursive=True)]
    return float(sum(one.memory_info().rss for one in family))


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--host", "0.0.0.0"], "--token with a secret is needed"),
        (["--host", "0.0.0.0", "--token", "short"], "16 characters or more"),
        (["--host", "nowhere.invalid", "--token", "0" * 16], "cannot be used"),
        (["--origin", "studio.example.org"], "http://… or https://… is needed"),
        (["--output", str(ROOT / "README.md")], "README.md"),
    ],
)
def test_unusable_options_end_with_one_line(options: list[str], line: str) -> None:
    command = [sys.executable, ROOT / "scripts" / "studio.py", "--port", "0", *options]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 2 and line in ended.stderr
    assert len(ended.stderr.strip().splitlines()) == 1
