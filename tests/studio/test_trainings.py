"""Trainings: the API with commands that count, and what is refused; once with the real commands."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import pytest
from fastapi.testclient import TestClient

from speech2video.data.clip import Clip, ClipInfo
from speech2video.models.pipelines.speaker import load_speaker
from speech2video.options import evaluation as options_of
from speech2video.options.audio2pose import TrainAudio2PoseOptions
from speech2video.options.pose2video import TrainPose2VideoOptions
from speech2video.options.preprocessing import PreprocessOptions
from speech2video.options.studio import StudioOptions
from speech2video.options.tools import BuildDictionaryOptions, ExportCheckpointOptions
from speech2video.studio import trainings as trainings_module
from speech2video.studio.app import create_app
from speech2video.studio.trainings import (
    Conflict,
    Place,
    Training,
    Trainings,
    held_out_seconds,
    stored_names,
    training_steps,
)
from speech2video.util.errors import DataError
from tests.shared import ROOT
from tests.studio.counting_steps import COUNT, counting_steps, counting_trainings, recording
from tests.tiny_speaker import NAME, make_speaker

URL = "http://127.0.0.1:7860"
SECONDS = 60  # that a test waits at most; processes of Python take a while to start


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Train with commands that count, whatever is installed."""
    monkeypatch.setattr(trainings_module, "training_steps", counting_steps)
    monkeypatch.setattr(trainings_module, "training_problem", lambda: None)


class Api(NamedTuple):
    """A client, and the folders of its server."""

    client: TestClient
    folder: Path

    def start(self, name: str = "anna", files: Any = (("talk.mp4", b"1"),), **more: str) -> Any:
        """Return the answer to a request to train."""
        uploads = [("recordings", file) for file in files]
        return self.client.post("/api/trainings", data={"name": name, **more}, files=uploads)

    def get(self, training: dict[str, Any]) -> dict[str, Any]:
        """Return a training as it is now."""
        return self.client.get(f"/api/trainings/{training['id']}").json()

    def wait(self, training: dict[str, Any], state: str) -> dict[str, Any]:
        """Return a training once it is in a state."""
        return wait_for(lambda: self.get(training), lambda one: one["state"] == state)

    def numbers(self, training: dict[str, Any]) -> list[list[str]]:
        """Return what the commands of a training have counted, and their processes."""
        path = self.folder / "results" / "trainings" / training["id"] / "numbers.txt"
        return [line.split("/") for line in path.read_text().split()] if path.is_file() else []


def wait_for(read: Callable[[], Any], fits: Callable[[Any], bool]) -> Any:
    """Return what is read once it fits."""
    found, end = None, time.monotonic() + SECONDS
    while time.monotonic() < end:
        if fits(found := read()):
            return found
        time.sleep(0.02)
    raise AssertionError(found)


@pytest.fixture
def api(counting: None, tmp_path: Path) -> Iterator[Api]:
    """Yield a server's API."""
    (tmp_path / "checkpoints" / "taken").mkdir(parents=True)
    talks = tmp_path / "recordings" / "talks"
    talks.mkdir(parents=True)
    (talks / "a.mp4").write_bytes(b"1")
    (tmp_path / "recordings" / "empty").mkdir()
    options = StudioOptions(
        checkpoints=tmp_path / "checkpoints",
        output=tmp_path / "results",
        recordings=tmp_path / "recordings",
        max_upload_mb=1,
        max_recordings_mb=2,
    )
    with TestClient(create_app(options), base_url=URL) as client:
        yield Api(client, tmp_path)


def test_recordings_become_a_speaker(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPEECH2VIDEO_TOKEN", "0123456789abcdef")
    files = (("<i>My talk</i>.MP4", b"1"), ("<i>My talk</i>.en.TextGrid", b"2"))
    answer = api.start(files=files, steps="quick", size="512")
    assert answer.status_code == 202, answer.text
    training = api.wait(answer.json(), "done")
    assert training["files"] == ["<i>My talk</i>.MP4"]
    assert (training["steps"], training["size"]) == (1000, 512)
    assert [part["state"] for part in training["parts"]] == ["done"] * 3
    assert [int(number) for number, _ in api.numbers(training)] == [*range(COUNT)]
    assert training["log"][0] == "== Speech to pose"
    assert training["log"][-1].endswith(f"{COUNT}/{COUNT} [00:01<00:02, 3step/s]")
    assert not [line for line in training["log"] if str(api.folder) in line]
    assert "anna" in [one["name"] for one in api.client.get("/api/speakers").json()]
    stored = api.folder / "results" / "trainings" / training["id"] / "recordings"
    assert sorted(one.name for one in stored.iterdir()) == [
        "recording_001.en.textgrid",
        "recording_001.mp4",
    ]
    assert api.client.get("/api/trainings").json()[0]["id"] == training["id"]
    assert api.client.delete(f"/api/trainings/{training['id']}").status_code == 204
    assert not stored.exists() and (api.folder / "checkpoints" / "anna").is_dir()


def test_a_stopped_training_goes_on_where_it_was(api: Api) -> None:
    training = api.start(steps=str(COUNT)).json()
    path = f"/api/trainings/{training['id']}"
    wait_for(lambda: api.get(training), lambda one: 2 < one["done"] < one["total"] == COUNT)
    assert api.get(training)["seconds_left"] == 2
    assert api.client.delete(path).status_code == 409
    assert api.start("other").status_code == 409
    assert api.client.post(f"{path}/continue").status_code == 409
    assert api.client.post(f"{path}/stop").json()["state"] in ("stopping", "stopped")
    stopped = api.wait(training, "stopped")
    assert [part["state"] for part in stopped["parts"]] == ["done", "stopped", "waiting"]
    before = api.numbers(training)
    assert 2 < len(before) < COUNT and not psutil.pid_exists(int(before[0][1]))
    assert api.client.post(f"{path}/stop").json()["state"] == "stopped"
    assert api.client.post(f"{path}/continue").status_code == 202
    api.wait(training, "done")
    after = api.numbers(training)
    assert [int(number) for number, _ in after] == [*range(COUNT)] and after[
        : len(before)
    ] == before
    assert api.client.post(f"{path}/continue").status_code == 409


def test_errors_name_the_recording_and_what_can_be_left_out_is_noted(api: Api) -> None:
    files = [("a talk.mp4", b"1")]
    training = api.wait(api.start("noted_and_fails", files).json(), "failed")
    assert training["notes"] == ["Preprocessing: a talk.mp4: not a video"]
    assert training["error"] == "Speech to pose: a talk.mp4: broken"
    assert [part["state"] for part in training["parts"]] == ["done", "failed", "waiting"]
    assert api.client.post(f"/api/trainings/{training['id']}/continue").status_code == 202
    assert api.wait(training, "failed")["notes"] == training["notes"]
    answer = api.start("Noted_and_Fails", files)
    assert answer.status_code == 409 and "remove it first" in answer.json()["error"]
    assert api.client.delete(f"/api/trainings/{training['id']}").status_code == 204
    assert api.client.get("/api/trainings").json() == []


def test_a_folder_of_the_server_is_trained_on(api: Api) -> None:
    assert api.client.get("/api/limits").json()["training"]["folders"] == {"talks": 1}
    training = api.wait(api.start(files=(), folder="talks", steps="7").json(), "done")
    assert training["folder"] == "talks" and training["files"] == []


def test_links_that_lead_out_of_a_folder_are_refused(api: Api) -> None:
    (api.folder / "secret").mkdir()
    (api.folder / "secret" / "b.mp4").write_bytes(b"1")
    (api.folder / "recordings" / "linked").symlink_to(api.folder / "secret")
    assert "linked" not in api.client.get("/api/limits").json()["training"]["folders"]
    (api.folder / "recordings" / "talks" / "b.mp4").symlink_to(api.folder / "secret" / "b.mp4")
    for folder, line in (("linked", "no such folder"), ("talks", "b.mp4 leads out of it")):
        answer = api.start(files=(), folder=folder)
        assert answer.status_code == 400 and line in answer.json()["error"]
    assert list((api.folder / "results" / "trainings").iterdir()) == []


MP4 = [("a.mp4", b"1")]
BAD: dict[str, tuple[dict[str, Any], int, str]] = {
    "no name": ({"name": ""}, 400, "letters, digits"),
    "path": ({"name": "../anna"}, 400, "letters, digits"),
    "hidden": ({"name": ".anna"}, 400, "letters, digits"),
    "option": ({"name": "--help"}, 400, "letters, digits"),
    "html": ({"name": "<b>"}, 400, "letters, digits"),
    "taken": ({"name": "taken"}, 409, "a speaker of this name"),
    "no steps": ({"steps": "0"}, 400, "from 1 to 1000000"),
    "steps": ({"steps": "many"}, 400, "from 1 to 1000000"),
    "size": ({"size": "300"}, 400, "256, 384, 512"),
    "language": ({"language": "--input=/etc"}, 400, "no such language"),
    "pretrained": ({"pretrained": "../../etc"}, 400, "no speaker"),
    "nothing": ({"files": ()}, 400, "nothing given"),
    "both": ({"folder": "talks"}, 400, "recordings and a folder"),
    "folder": ({"files": (), "folder": "../results"}, 400, "no such folder"),
    "root": ({"files": (), "folder": "/"}, 400, "no such folder"),
    "itself": ({"files": (), "folder": "."}, 400, "no such folder"),
    "program": ({"files": [*MP4, ("a.exe", b"1")]}, 400, "neither a recording nor words"),
    "words": ({"files": [*MP4, ("b.txt", b"1")]}, 400, "words of no recording"),
    "no recording": ({"files": [("a.txt", b"1")]}, 400, "words of no recording"),
    "twice": ({"files": [*MP4, ("A.mov", b"1")]}, 400, "two recordings"),
    "same words": ({"files": [*MP4, ("a.txt", b"1"), ("A.TXT", b"1")]}, 400, "two files"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_requests_get_one_line_and_leave_nothing(api: Api, case: str) -> None:
    fields, status, line = BAD[case]
    answer = api.start(**fields)
    assert answer.status_code == status and line in answer.json()["error"], answer.text
    assert "\n" not in answer.json()["error"]
    assert list((api.folder / "results" / "trainings").iterdir()) == []
    assert api.client.get("/api/trainings").json() == []


def test_too_large_and_too_many_files_are_refused(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = api.start(files=[("a.mp4", bytes(2_100_000))])
    assert answer.status_code == 413 and "at most 2 MB" in answer.json()["error"]
    assert api.start(files=[(f"{n}.mp4", b"1") for n in range(201)]).status_code == 400
    monkeypatch.setattr(trainings_module, "FREE_BYTES", 10**18)
    answer = api.start()
    assert answer.status_code == 400 and "GB are needed" in answer.json()["error"]
    monkeypatch.setattr(trainings_module, "FREE_BYTES", 0)
    assert api.start().status_code == 202


def test_without_the_packages_one_line_is_said(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    line = "mediapipe is not installed: pip install 'speech2video[preprocess]'"
    monkeypatch.setattr(trainings_module, "training_problem", lambda: line)
    assert api.client.get("/api/limits").json()["training"]["problem"] == line
    answer = api.start()
    assert answer.status_code == 400 and answer.json()["error"] == line


def test_reports_are_served_and_nothing_else(api: Api) -> None:
    training = api.wait(api.start().json(), "done")
    assert [one["path"] for one in training["reports"]] == ["dataset/report.html"]
    base = f"/api/trainings/{training['id']}/reports"
    answer = api.client.get(f"{base}/dataset/report.html")
    assert answer.text == "<h1>anna</h1>"
    policy = answer.headers["content-security-policy"]
    assert "sandbox allow-same-origin" in policy and "script" not in policy
    assert "frame-ancestors 'self'" in policy

    folder = api.folder / "results" / "trainings" / training["id"]
    images = folder / "runs" / "anna" / "audio2pose" / "images"
    images.mkdir(parents=True)
    (images / "a.jpg").write_bytes(b"image")
    (images / "out.jpg").symlink_to("/etc/passwd")
    (images / "folder.jpg").mkdir()
    (images.parent / "options.json").write_text("{}")
    assert api.client.get(f"{base}/runs/anna/audio2pose/images/a.jpg").content == b"image"
    for path in (
        "training.json", "log.txt", "numbers.txt", "recordings/recording_001.mp4", "dataset",
        "runs/anna/audio2pose/images/out.jpg", "runs/anna/audio2pose/images/folder.jpg",
        "runs/anna/audio2pose/options.json", "runs/anna/audio2pose/images/..%2f..%2findex.html",
        "..%2f..%2fjobs", "%2e%2e/%2e%2e/x.html", "dataset/..%2ftraining.json", "%2fetc%2fpasswd",
        "dataset/report.html%00", "runs/anna/audio2pose/images/none.jpg",
    ):  # fmt: skip
        answer = api.client.get(f"{base}/{path}")
        assert answer.status_code == 404 and answer.json()["error"], path
    for other in ("..%2fjobs", "%2e%2e", "0" * 16):
        assert api.client.get(f"/api/trainings/{other}").status_code == 404
        assert api.client.post(f"/api/trainings/{other}/stop").status_code in (404, 405)


SERVER = """
import sys, time
from pathlib import Path
from tests.studio.counting_steps import COUNT, counting_trainings, recording
trainings = counting_trainings(Path(sys.argv[1]))
with trainings.receiving(0):
    training = trainings.start({"name": "anna", "steps": str(COUNT)}, recording())
print(training.id, flush=True)
time.sleep(1000)
"""


@pytest.mark.usefixtures("counting")
def test_a_training_whose_server_was_killed_ends_and_can_go_on(tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", SERVER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as server:
        try:
            assert server.stdout is not None
            training_id = server.stdout.readline().strip()
            numbers = tmp_path / "trainings" / training_id / "numbers.txt"
            wait_for(numbers.is_file, bool)
            wait_for(numbers.read_text, lambda text: text.count("\n") > 2)
        finally:
            server.kill()
    process = int(numbers.read_text().split()[0].split("/")[1])
    trainings = counting_trainings(tmp_path)  # a server that starts at once
    found = trainings.get(training_id)
    assert found is not None
    assert (found.state, found.error) == ("interrupted", "the server ended while it ran")
    trainings.go_on(training_id)
    with pytest.raises(Conflict):
        trainings.remove(training_id)
    wait_for(lambda: trainings.get(training_id), lambda one: one.state == "done")
    assert not psutil.pid_exists(process)
    rows = [row.split("/") for row in numbers.read_text().split()]
    assert [int(number) for number, _ in rows] == [*range(COUNT)]
    assert len({one for _, one in rows}) == 2


@pytest.mark.usefixtures("counting")
def test_a_server_that_ends_interrupts_its_training(tmp_path: Path) -> None:
    trainings = Trainings(tmp_path / "trainings", checkpoints=tmp_path / "checkpoints")
    with trainings.receiving(0):
        training = trainings.start({"name": "anna", "steps": str(COUNT)}, recording())
    numbers = tmp_path / "trainings" / training.id / "numbers.txt"
    wait_for(numbers.is_file, bool)
    trainings.close()
    found = trainings.get(training.id)
    assert found is not None and found.state == "interrupted"
    again = Trainings(tmp_path / "trainings", checkpoints=tmp_path / "checkpoints")
    assert again.all() == [found]


def test_broken_states_are_not_taken_for_trainings(tmp_path: Path) -> None:
    named = json.dumps({"id": f"{4:016x}", "name": "../x", "created": 0.0})
    for number, text in enumerate(("{", "[]", '{"id": "../x"}', '{"id": 3}', named)):
        folder = tmp_path / "trainings" / f"{number:016x}"
        folder.mkdir(parents=True)
        (folder / "training.json").write_text(text)
    arriving = tmp_path / "trainings" / ("f" * 16)
    (arriving / "recordings").mkdir(parents=True)
    trainings = Trainings(tmp_path / "trainings", checkpoints=tmp_path / "checkpoints")
    assert trainings.all() == [] and not arriving.exists()
    with pytest.raises(DataError, match="no such folder"):
        Trainings(tmp_path / "t", checkpoints=tmp_path, recordings=tmp_path / "none")


def test_uploads_are_stored_under_other_names_with_their_words() -> None:
    names = ["../../b.MOV", "a.b.mp4", "a.b.txt", "C:\\x\\b.pt-br.srt", "é.webm"]
    stored = stored_names(names)
    assert stored == [
        "recording_001.mov", "recording_002.mp4", "recording_002.txt", "recording_001.pt-br.srt",
        "recording_003.webm",
    ]  # fmt: skip
    assert all(re.fullmatch(r"recording_\d{3}(\.[\w-]+)+", name) for name in stored)


def write_clip(dataset: Path, frames: int) -> None:
    """Write the description of a clip."""
    clip = Clip(dataset / f"clip_{frames}")
    clip.folder.mkdir(parents=True)
    clip.write_info(ClipInfo("a.mp4", frames, 64, 64, "", "open"))


@pytest.mark.parametrize(("frames", "seconds"), [(50, 0.5), (400, 4.0), (5000, 8.0)])
def test_less_is_held_out_of_short_clips(tmp_path: Path, frames: int, seconds: float) -> None:
    write_clip(tmp_path, 50)
    if frames > 50:
        write_clip(tmp_path, frames)
    assert held_out_seconds(tmp_path, 8.0) == seconds
    assert frames > 3 * 25 * seconds  # what the trainers need to cut a clip


def test_the_commands_take_their_options(tmp_path: Path) -> None:
    checkpoints = make_speaker(tmp_path / "checkpoints")
    training = Training(
        "0" * 16, "anna", 0.0, steps=300, size=512, pretrained=NAME, language="de", recognise=True
    )
    place = Place(tmp_path / "training", tmp_path / "recordings", checkpoints)
    write_clip(place.dataset, 50)
    steps = training_steps(training, place)
    commands = {step.key: step.commands() for step in steps}
    place.gestures.mkdir()
    (place.gestures / "dictionary.json").write_text("{}")
    assert training_steps(training, place)[1].commands() == []
    assert list(commands) == ["clips", "gestures", "motion", "images", "speaker", "evaluation"]
    parsers = {
        "preprocess.py": PreprocessOptions,
        "build_dictionary.py": BuildDictionaryOptions,
        "train_audio2pose.py": TrainAudio2PoseOptions,
        "train_pose2video.py": TrainPose2VideoOptions,
        "export_checkpoint.py": ExportCheckpointOptions,
        "motion": options_of.EvaluateMotionOptions,
        "video": options_of.EvaluateVideoOptions,
        "speech": options_of.EvaluateSpeechOptions,
    }
    parsed: dict[str, Any] = {}
    for line in (line for lines in commands.values() for line in lines):
        python, script, *arguments = line
        assert python == sys.executable and Path(script).is_file()
        name = arguments.pop(0) if script.endswith("evaluate.py") else Path(script).name
        parsed[name] = parsers[name].parse(arguments)
    assert parsed.keys() == parsers.keys()
    motion, images = parsed["train_audio2pose.py"], parsed["train_pose2video.py"]
    assert motion.pretrained_folder() == checkpoints / NAME / "audio2pose"
    assert (motion.steps, images.steps, images.width, images.height) == (300, 300, 512, 512)
    assert motion.folder == place.runs / "anna" / "audio2pose"
    assert parsed["preprocess.py"].language == "de" and parsed["preprocess.py"].recognise


def test_motion_starts_from_speakers_of_the_same_architecture(
    counting: None, tmp_path: Path
) -> None:
    checkpoints = make_speaker(tmp_path / "checkpoints")
    trainings = Trainings(tmp_path / "trainings", checkpoints=checkpoints)
    path = checkpoints / NAME / "audio2pose" / "options.json"
    begin = partial(trainings.start, {"name": "anna", "pretrained": NAME})
    path.write_text(json.dumps(json.loads(path.read_text()) | {"hidden_size": 64}))
    with pytest.raises(DataError, match="hidden_size is 64, not 256"):
        begin(recording())
    path.write_text(json.dumps(json.loads(path.read_text()) | {"hidden_size": 256}))
    assert begin(recording()).pretrained == NAME
    trainings.close()


@pytest.mark.slow
def test_the_real_commands_train_a_speaker(demo: Path, tmp_path: Path) -> None:
    pytest.importorskip("mediapipe")
    checkpoints = tmp_path / "checkpoints"
    checkpoints.mkdir()
    trainings = Trainings(tmp_path / "trainings", checkpoints=checkpoints, recordings=demo)
    with trainings.receiving(0):
        training = trainings.start({"name": "anna", "folder": "recordings", "steps": "2"}, [])
    deadline = time.monotonic() + 1800
    while (found := trainings.get(training.id)) and found.state == "running":
        assert time.monotonic() < deadline
        time.sleep(0.5)
    shown = trainings.describe(trainings.all()[0], log=True)
    assert shown["state"] == "done", shown
    paths = [one["path"] for one in shown["reports"]]
    assert {"dataset/report.html", "runs/anna/pose2video/index.html"} <= {*paths}
    assert load_speaker("anna", checkpoints=checkpoints).name == "anna"
