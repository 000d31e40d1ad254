"""The API with a tiny speaker: plans, videos, files, and one line for whatever cannot be done."""

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import httpx
import numpy as np
import pytest
from fastapi.testclient import TestClient

from speech2video.data.gestures.dictionary import GestureDictionary
from speech2video.data.gestures.timeline import plan_gestures
from speech2video.data.motion_io import read_motion
from speech2video.options.studio import StudioOptions
from speech2video.studio.app import create_app
from speech2video.studio.plans import NO_POINT, SUBPIXELS
from speech2video.studio.worker import UPLOAD, StudioWorker, parse_request
from speech2video.util.audio.audio_io import write_audio
from speech2video.util.body.skeleton import POINTS
from speech2video.util.errors import DataError
from speech2video.util.text.languages import language_voice
from speech2video.util.text.synthesis import synthesise
from speech2video.util.text.transcript import Word
from speech2video.util.timing import frame_count
from tests.shared import ROOT
from tests.tiny_speaker import NAME, SIZE, make_speaker, voice

SECONDS = 1.0
URL = "http://127.0.0.1:7860"
TEXT = "hello there, you are here"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """Yield a client of the application, with the speakers of a folder."""
    folder = tmp_path_factory.mktemp("studio")
    checkpoints = make_speaker(folder / "checkpoints")
    (checkpoints / NAME / "README.md").write_text("# <b>Tiny</b>")
    (checkpoints / "no speaker").mkdir()
    options = StudioOptions(
        checkpoints=checkpoints, output=folder / "results", max_upload_mb=1, max_minutes=0.1
    )
    with TestClient(create_app(options), base_url=URL) as client:
        yield client


@pytest.fixture(scope="module")
def audio(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Return the bytes of a file with one second of a voice."""
    path = tmp_path_factory.mktemp("audio") / "voice.wav"
    write_audio(path, voice(SECONDS))
    return path.read_bytes()


@pytest.fixture(scope="module")
def plan(client: TestClient) -> str:
    """Return the name of a plan of a text with two takes."""
    job = submit(client, "plans", text=TEXT, seeds="1,2")
    assert finished(client, job)["state"] == "done"
    return job["id"]


def submit(client: TestClient, what: str, *, audio: bytes | None = None, **fields: Any) -> Any:
    """Post a request of the tiny speaker; return the answer's json."""
    files = None if audio is None else {"audio": ("<i>voice</i>.wav", audio)}
    answer = client.post(f"/api/{what}", data={"speaker": NAME, **fields}, files=files)
    assert answer.status_code == 202, answer.text
    return answer.json()


def finished(client: TestClient, job: dict[str, Any]) -> dict[str, Any]:
    """Return a job once it is over."""
    client.app.state.studio.jobs.wait(job["id"], 120)  # type: ignore[attr-defined]
    return client.get(f"/api/jobs/{job['id']}").json()


def frames_of(path: Path, content: bytes) -> np.ndarray:
    """Return the frames (T, H, W, 3) of a video's bytes."""
    path.write_bytes(content)
    with av.open(path) as container:
        return np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)])


def test_the_speakers_of_the_folder_are_listed(client: TestClient) -> None:
    found = {one["name"]: one for one in client.get("/api/speakers").json()}
    assert set(found) == {NAME}
    assert found[NAME]["model"] == "speech2video" and found[NAME]["gestures"]
    assert (found[NAME]["width"], found[NAME]["height"]) == (SIZE, SIZE)
    assert found[NAME]["card"] == "# <b>Tiny</b>"


def test_a_recording_becomes_a_video_with_its_motion(
    client: TestClient, audio: bytes, tmp_path: Path
) -> None:
    job = submit(client, "videos", audio=audio)
    assert job["title"] == "<i>voice</i>.wav" and job["state"] in ("queued", "running")
    job = finished(client, job)
    frames = frame_count(round(SECONDS * 16_000))
    assert (job["state"], job["done"], job["total"]) == ("done", frames, frames)
    assert set(job["files"]) == {"video", "motion", "bvh"}
    folder = f"/api/jobs/{job['id']}/files"
    answer = client.get(f"{folder}/{job['files']['video']}")
    assert answer.headers["content-type"] == "video/mp4"
    assert frames_of(tmp_path / "video.mp4", answer.content).shape == (frames, SIZE, SIZE, 3)
    (tmp_path / "motion.npz").write_bytes(client.get(f"{folder}/motion.npz").content)
    (tmp_path / "motion.bvh").write_bytes(client.get(f"{folder}/motion.bvh").content)
    motions = [read_motion(tmp_path / f"motion.{ending}") for ending in ("npz", "bvh")]
    assert [len(motion) for motion in motions] == [frames, frames]
    with av.open(tmp_path / "video.mp4") as container:
        assert "synthetic" in json.dumps(dict(container.metadata)).lower()


def test_who_waits_gets_the_video_itself(client: TestClient, audio: bytes, tmp_path: Path) -> None:
    same = [
        client.post(
            "/api/videos?wait=true", data={"speaker": NAME, "seed": "3"}, files={"audio": audio}
        )
        for _ in range(2)
    ]
    assert [answer.status_code for answer in same] == [200, 200]
    assert same[0].content == same[1].content
    assert len(frames_of(tmp_path / "video.mp4", same[0].content)) == 25


def test_a_plan_has_words_gestures_and_a_take_for_each_seed(client: TestClient, plan: str) -> None:
    found = client.get(f"/api/plans/{plan}").json()
    assert [word["text"] for word in found["words"]] == ["hello", "there", "you", "are", "here"]
    assert len(found["waveform"]) == found["frames"] == frame_count(round(found["seconds"] * 16000))
    assert 0.05 < max(found["waveform"]) <= 1
    assert [take["seed"] for take in found["takes"]] == [1, 2]
    names = {gesture["name"] for gesture in found["gestures"]}
    rows = [row for take in found["takes"] for row in take["timeline"]["insertions"]]
    assert rows and {row["entry"] for row in rows} <= names


def points_of(client: TestClient, plan: str, seed: int, timeline: Any) -> np.ndarray:
    """Return the points (T, 144, 2) of a take, in pixels."""
    answer = client.post(f"/api/plans/{plan}/points", json={"seed": seed, "timeline": timeline})
    assert answer.status_code == 200, answer.text
    return np.frombuffer(answer.content, "<i2").reshape(-1, len(POINTS), 2) / SUBPIXELS


def all_inserted(timeline: dict[str, Any]) -> dict[str, Any]:
    """Return a timeline whose first gesture is inserted, and no other."""
    first, *rest = timeline["insertions"]
    rows = [first | {"skipped": ""}, *(row | {"skipped": "chance"} for row in rest)]
    return timeline | {"insertions": rows}


def test_a_gesture_that_is_switched_off_is_gone_from_preview_and_video(
    client: TestClient, plan: str, tmp_path: Path
) -> None:
    found = client.get(f"/api/plans/{plan}").json()
    on = all_inserted(found["takes"][0]["timeline"])
    off = on | {"insertions": [row | {"skipped": "chance"} for row in on["insertions"]]}
    plain, without, moved = (points_of(client, plan, 1, one) for one in (None, off, on))
    assert len(plain) == found["frames"] and plain.min() > NO_POINT / SUBPIXELS
    assert np.array_equal(plain, without)
    assert np.abs(plain - moved).max() > 1
    motions = []
    for timeline in (on, off):
        job = submit(client, "videos", plan=plan, seed=1, timeline=json.dumps(timeline))
        job = finished(client, job)
        assert job["state"] == "done", job
        folder = f"/api/jobs/{job['id']}/files"
        (tmp_path / "motion.npz").write_bytes(client.get(f"{folder}/motion.npz").content)
        motions.append(read_motion(tmp_path / "motion.npz").smplx.rotations.numpy())
        rows = json.loads(client.get(f"{folder}/timeline.json").content)["insertions"]
        assert [row["skipped"] for row in rows] == [
            row["skipped"] for row in timeline["insertions"]
        ]
        assert "hello there" in client.get(f"{folder}/captions.srt").text
    assert np.abs(motions[0] - motions[1]).max() > 0.01


def test_a_timeline_of_a_file_is_checked_and_completed(
    client: TestClient, plan: str, tmp_path: Path
) -> None:
    found = client.get(f"/api/plans/{plan}").json()
    words = [Word(**word) for word in found["words"]]
    dictionary = GestureDictionary.load(ROOT / "checkpoints" / "demo" / "gestures")
    plan_gestures(dictionary, words, frames=found["frames"], seed=1).save(tmp_path / "saved.json")
    saved = json.loads((tmp_path / "saved.json").read_text())

    def ask(timeline: Any) -> httpx.Response:
        return client.post(f"/api/plans/{plan}/timeline", json={"timeline": timeline})

    assert ask(saved).json() == saved == found["takes"][0]["timeline"]
    row = saved["insertions"][0]
    short = {"format": 1, "insertions": [{"entry": row["entry"], "key": 0.5}]}
    complete = ask(short).json()["insertions"][0]
    assert set(complete) == set(row) and complete["skipped"] == "" and complete["key"] == 0.5
    times = dictionary.entry(row["entry"]).times(0.5)
    assert [complete[name] for name in ("start", "arrival", "hold_end", "end")] == [*times]
    drawn = [points_of(client, plan, 1, one) for one in (None, short, ask(short).json())]
    assert np.abs(drawn[0] - drawn[1]).max() > 1 and np.array_equal(drawn[1], drawn[2])
    for broken, line in (
        ({"format": 2, "insertions": []}, '"format": 1'),
        ({"format": 1, "insertions": [{"entry": "wave", "key": 0.5}]}, "wave"),
        ({"format": 1, "insertions": [{"entry": row["entry"]}]}, "insertion 1: no 'key'"),
        ({"format": 1, "insertions": [{"entry": row["entry"], "key": "1"}]}, "insertion 1: key"),
        ({"format": 1, "insertions": [row | {"start": row["end"] + 1}]}, "start <= arrival"),
        (None, "one of them is needed"),
    ):
        answer = ask(broken)
        assert answer.status_code == 400 and line in answer.json()["error"], answer.text


def test_edited_words_move_their_gestures(client: TestClient, plan: str) -> None:
    words = client.get(f"/api/plans/{plan}").json()["words"]
    later = [word | {name: word[name] + 0.1 for name in ("start", "end")} for word in words[:-1]]
    later = later[:-1]  # which leave room for a tenth of a second
    before, after = (
        client.post(f"/api/plans/{plan}/timeline", json={"seed": 1, "words": one}).json()
        for one in (words[:-2], later)
    )
    keys = [[row["key"] for row in one["insertions"]] for one in (before, after)]
    assert keys[0] and np.allclose(np.subtract(*keys[::-1]), 0.1, atol=1e-3)


def test_backgrounds(client: TestClient, audio: bytes, tmp_path: Path) -> None:
    job = submit(client, "videos", audio=audio, format="webm", skeleton=True)
    assert finished(client, job)["state"] == "done"
    answer = client.post(
        "/api/videos",
        data={"speaker": NAME, "format": "mp4", "background": "transparent"},
        files={"audio": audio},
    )
    assert answer.status_code == 400 and "cannot be transparent" in answer.json()["error"]


def test_a_studio_with_a_certificate_signs_its_videos(
    client: TestClient, audio: bytes, tmp_path: Path
) -> None:
    c2pa = pytest.importorskip("c2pa", reason="the extra `c2pa` is not installed")
    from tests.certificates import write_credentials

    plain = client.app.state.studio.options  # type: ignore[attr-defined]
    signing = write_credentials(tmp_path)
    options = dataclasses.replace(plain, output=tmp_path / "results", **signing)
    with TestClient(create_app(options), base_url=URL) as signed:
        asked = {"data": {"speaker": NAME}, "files": {"audio": audio}}
        answer = signed.post("/api/videos?stream=true", **asked)
        assert answer.status_code == 400 and "signed here" in answer.json()["error"]
        assert signed.get("/api/jobs").json() == []
    worker = StudioWorker(options.checkpoints, max_seconds=9, signing=signing)
    (tmp_path / UPLOAD).write_bytes(audio)
    request = parse_request({"speaker": NAME, "skeleton": True})
    worker.video(tmp_path, request, lambda done, total: None)
    with c2pa.Reader(str(tmp_path / "video.mp4")) as reader:
        found = json.loads(reader.json())
    assert found["validation_state"] == "Valid"
    assert f"{NAME}: audio2pose" in json.dumps(found["manifests"])
    (tmp_path / "key.pem").write_text("-----BEGIN nothing")
    with pytest.raises(DataError, match="not a private key"):
        create_app(options)


BAD = {
    "no speaker": ({"text": "hi"}, 400, "speaker: "),
    "unknown speaker": ({"speaker": "../demo", "text": "hi"}, 404, "no such speaker"),
    "nothing": ({"speaker": NAME}, 400, "nothing given"),
    "two things": ({"speaker": NAME, "text": "hi", "plan": "0" * 16}, 400, "text and plan"),
    "seed": ({"speaker": NAME, "text": "hi", "seed": "-1"}, 400, "seed: "),
    "format": ({"speaker": NAME, "text": "hi", "format": "exe"}, 400, "no such format"),
    "path": ({"speaker": NAME, "text": "hi", "format": "/../x.mp4"}, 400, "no such format"),
    "colour": ({"speaker": NAME, "text": "hi", "background": "#12"}, 400, "no such colour"),
    "file": ({"speaker": NAME, "text": "hi", "background": "/etc/passwd"}, 400, "#rrggbb or"),
    "voice": ({"speaker": NAME, "text": "hi", "voice": "a/../b"}, 400, "no such voice"),
    "language": ({"speaker": NAME, "text": "hi", "language": "../en"}, 400, "no such language"),
    "emotion": ({"speaker": NAME, "text": "hi", "emotion": "happy"}, 400, "no such emotion"),
    "plan": ({"speaker": NAME, "plan": "../../x"}, 404, "no such plan"),
    "timeline": ({"speaker": NAME, "text": "hi", "timeline": "{}"}, 400, "with a plan only"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_requests_get_one_line(client: TestClient, case: str) -> None:
    fields, status, line = BAD[case]
    before = client.get("/api/jobs").json()
    answer = client.post("/api/videos", data=fields)
    assert answer.status_code == status and line in answer.json()["error"], answer.text
    assert "\n" not in answer.json()["error"]
    assert client.get("/api/jobs").json() == before


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"no audio", "upload: "),
        (b"#EXTM3U\nfile:///etc/passwd\n", "playlist"),
        (b"", "upload: "),
    ],
)
def test_unusable_uploads_fail_with_one_line(client: TestClient, content: bytes, line: str) -> None:
    job = finished(client, submit(client, "videos", audio=content))
    assert job["state"] == "failed" and line in job["error"]
    assert not any(char in job["error"] for char in ("\n", "/tmp", "Traceback"))


def test_long_and_large_uploads_are_refused(client: TestClient, tmp_path: Path) -> None:
    path = tmp_path / "long.wav"
    write_audio(path, voice(7.0))
    job = finished(client, submit(client, "videos", audio=path.read_bytes()))
    assert job["state"] == "failed" and "at most 6 s" in job["error"]
    files = {"audio": bytes(1_100_000)}
    answer = client.post("/api/videos", data={"speaker": NAME}, files=files)
    assert answer.status_code == 413 and "at most 1 MB" in answer.json()["error"]


def test_a_transcript_is_never_read_from_a_file(
    client: TestClient, audio: bytes, tmp_path: Path
) -> None:
    secret = tmp_path / "words.txt"
    secret.write_text("...")  # it would be said that it has no words
    job = finished(client, submit(client, "videos", audio=audio, transcript=str(secret)))
    assert "no words" not in (job["error"] or "")


@pytest.mark.parametrize(
    ("method", "path", "values", "status", "line"),
    [
        ("POST", "", {"speaker": NAME, "sdp": "no offer"}, 400, "an offer of WebRTC"),
        ("POST", "", {"speaker": "none", "sdp": "v=0"}, 404, "no such speaker"),
        ("POST", "", {"speaker": NAME}, 400, "sdp: "),
        ("POST", "/0123/text", {"text": "hello"}, 404, "no such session"),
        ("POST", "/0123/text", {"text": "hello", "voice": "a/b"}, 400, "no such voice"),
        ("DELETE", "/0123", None, 404, "no such session"),
    ],
)
def test_live_sessions_that_cannot_be(
    client: TestClient, method: str, path: str, values: Any, status: int, line: str
) -> None:
    answer = client.request(method, f"/api/live{path}", json=values)
    assert answer.status_code == status and line in answer.json()["error"], answer.text


def test_more_viewers_than_allowed_are_asked_to_come_again(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = pytest.importorskip("speech2video.studio.live")
    monkeypatch.setattr(live.LiveSessions, "__len__", lambda sessions: 2)
    answer = client.post("/api/live", json={"speaker": NAME, "sdp": "v=0"})
    assert answer.status_code == 503 and "2 viewers at most" in answer.json()["error"]


def test_languages_and_voices_that_are_offered_can_be_spoken(client: TestClient) -> None:
    pytest.importorskip("espeakng_loader")
    found = client.get("/api/limits").json()
    tags = [one["tag"] for one in found["languages"]]
    assert {"de", "pt-br", "en-us", "en-gb", "cmn"} <= {*tags}
    assert len({language_voice(tag) for tag in tags}) == len(tags) > 100
    names = {one["tag"]: one["name"] for one in found["languages"]}
    assert names["de"] == "German" and [*names.values()] == sorted(names.values())
    assert found["text"] and found["voices"][0] == "en-us"
    for name in found["voices"]:
        if ":" not in name:  # another engine's, which tests/util/text/test_engines.py tries
            assert len(synthesise("yes", voice=name).audio_S) > 1000


@pytest.mark.parametrize(
    "path",
    [
        "/api/jobs/..%2f..%2fetc", "/api/jobs/%2e%2e", "/api/jobs/0000000000000000",
        "/api/jobs/{id}/files/..%2fjob.json", "/api/jobs/{id}/files/job.json",
        "/api/jobs/{id}/files/upload", "/api/jobs/{id}/files/request.json",
        "/static/..%2fapp.py", "/static/%2e%2e/app.py", "/api/plans/{id}x",
    ],
)  # fmt: skip
def test_nothing_else_can_be_read(client: TestClient, audio: bytes, path: str) -> None:
    jobs = client.get("/api/jobs").json()
    job = jobs[0] if jobs else submit(client, "videos", audio=audio)
    answer = client.get(path.replace("{id}", job["id"]))
    assert answer.status_code == 404
    assert answer.json()["error"]


def test_other_origins_and_hosts_are_refused(client: TestClient) -> None:
    origin = {"origin": "https://example.org"}
    assert client.delete("/api/jobs/0000000000000000", headers=origin).status_code == 403
    assert client.get("/api/jobs", headers={"host": "example.org"}).status_code == 403


def test_finished_jobs_are_removed_with_their_files(client: TestClient, audio: bytes) -> None:
    job = finished(client, submit(client, "videos", audio=audio, skeleton=True))
    folder = client.app.state.studio.jobs.folder(job["id"])  # type: ignore[attr-defined]
    assert folder.is_dir()
    assert client.delete(f"/api/jobs/{job['id']}").status_code == 204
    assert not folder.exists()
    assert client.get(f"/api/jobs/{job['id']}").status_code == 404


def test_the_interface_is_described(client: TestClient) -> None:
    paths = client.get("/api/openapi.json").json()["paths"]
    assert {"/api/videos", "/api/plans", "/api/jobs/{job_id}", "/api/speakers"} <= set(paths)
    assert all(one["description"] for path in paths.values() for one in path.values())
