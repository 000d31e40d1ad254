"""Benchmark of live sessions: the studio's server and its page in a browser, on one machine.

A fake microphone says "Ah!" now and then. The page's video is compared with it: an utterance's
first sample, and the first frame whose mouth is open. Needs the extra `studio`, Playwright and
Chromium.
"""

import contextlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import Metrics
from speech2video.models.pipelines.body_video import BodySpeaker, project_points
from speech2video.models.pipelines.speaker import load_speaker
from speech2video.options.evaluation import BenchmarkOptions
from speech2video.util.audio.audio_io import write_audio
from speech2video.util.body.skeleton import region_boxes
from speech2video.util.errors import DataError, UserError
from speech2video.util.text.synthesis import synthesise
from speech2video.util.timing import SAMPLE_RATE

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = [
    "--no-sandbox",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
    "--autoplay-policy=no-user-gesture-required",
]
SERVER = Path(__file__).resolve().parents[1] / "studio.py"
SAMPLE_SECONDS = 10.0  # between two measurements of memory and delay
LEAD_SECONDS = 6.0  # in which the session settles
UTTERANCE, INTERVALS = "Ah!", (1.6, 2.1, 1.8, 2.4)  # seconds from one to the next, repeated
LOUD = 0.03  # root mean square of 5 ms of the microphone, as the page gets it
QUIET_SECONDS = 0.5  # before an utterance's first sample
OPEN_SHARE = 0.5  # of the way from a shut mouth to the open one, from which on it is open
LONGEST_WAIT = 1.6  # seconds from audio to mouth at most, to belong together

# Keeps the microphone that the page asks for, its loudness, and the mouth of each frame shown.
WATCH = """
() => {
  window.watched = { level: [], frames: [] };
  const devices = navigator.mediaDevices;
  const ask = devices.getUserMedia.bind(devices);
  devices.getUserMedia = async (wanted) => {
    const stream = await ask(wanted);
    const context = new AudioContext();
    await context.resume();
    const analyser = new AnalyserNode(context, { fftSize: 256 });
    context.createMediaStreamSource(stream).connect(analyser);
    const samples = new Float32Array(analyser.fftSize);
    setInterval(() => {
      analyser.getFloatTimeDomainData(samples);
      const power = samples.reduce((sum, one) => sum + one * one, 0) / samples.length;
      window.watched.level.push([performance.now() / 1000, Math.sqrt(power)]);
    }, 5);
    return stream;
  };
}
"""
WATCH_VIDEO = """
([x0, y0, x1, y1]) => {
  const video = document.querySelector("#live-stage video");
  const canvas = new OffscreenCanvas(24, 24);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const take = (now, frame) => {
    const [w, h] = [frame.width, frame.height];
    context.drawImage(video, x0 * w, y0 * h, (x1 - x0) * w, (y1 - y0) * h, 0, 0, 24, 24);
    const { data } = context.getImageData(0, 0, 24, 24);
    let light = 0;
    for (let at = 0; at < data.length; at += 4) light += data[at] + data[at + 1] + data[at + 2];
    const seen = performance.now() / 1000;
    window.watched.frames.push([seen, light / (3 * 24 * 24), frame.presentedFrames, w]);
    video.requestVideoFrameCallback(take);
  };
  video.requestVideoFrameCallback(take);
}
"""


def benchmark_live(options: BenchmarkOptions) -> Metrics:
    """Measure a live session in a browser: frames a second, audio to mouth, delay, memory.

    Raises:
        DataError: not a speaker with a body.
        UserError: Playwright or Chromium is missing.
    """
    name = options.name or "demo"
    speaker = load_speaker(name, checkpoints=options.checkpoints, device="cpu")
    if not isinstance(speaker, BodySpeaker):
        raise DataError(f"{name}: a speaker with a body is needed")
    box = mouth_box(speaker)
    width, height = speaker.size
    del speaker  # its memory is not the server's
    with tempfile.TemporaryDirectory() as scratch:
        audio = Path(scratch) / "microphone.wav"
        write_audio(audio, utterances(60))
        with (
            open_server(Path(scratch) / "results", options.checkpoints) as (url, server),
            open_page(url, microphone=audio) as page,
        ):
            found = watch_live(page, server, name, box, seconds=60 * options.minutes)
    return {"name": name, "size": f"{width}x{height}", **found}


def utterances(seconds: float) -> np.ndarray:
    """Return audio (S,) float32 at 16 kHz with a short utterance now and then."""
    audio_S = np.zeros(round(seconds * SAMPLE_RATE), np.float32)
    spoken_S = synthesise(UTTERANCE).audio_S
    begin, number = 1.0, 0
    while round(begin * SAMPLE_RATE) + len(spoken_S) < len(audio_S):
        place = round(begin * SAMPLE_RATE)
        audio_S[place : place + len(spoken_S)] = spoken_S
        begin += INTERVALS[number % len(INTERVALS)]
        number += 1
    return audio_S


def mouth_box(speaker: BodySpeaker) -> tuple[float, float, float, float]:
    """Return where a speaker's inner mouth is at rest, as shares of width and height."""
    assert speaker.audio2pose is not None
    rest_TP = speaker.audio2pose.network.pose_mean.cpu()[None]
    points_TK2 = np.stack(list(project_points([rest_TP], speaker.body, speaker.camera())))
    x0, y0, x1, y1 = region_boxes(points_TK2, "mouth")[0].tolist()
    third = (x1 - x0) / 4
    width, height = speaker.size
    return (
        (x0 + third) / width,
        (y0 + third) / height,
        (x1 - third) / width,
        (y1 - third) / height,
    )


@contextlib.contextmanager
def open_server(output: Path, checkpoints: Path) -> Iterator[tuple[str, subprocess.Popen]]:
    """Yield address and process of the studio."""
    command = [sys.executable, str(SERVER), "--port", "0", "--output", str(output)]
    command += ["--checkpoints", str(checkpoints)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        url = process.stdout.readline().strip().rstrip("/")
        if not url:
            raise UserError("the studio does not start; see above")
        yield url, process
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)


def find_browser() -> str | None:
    """Return the path of a browser, if there is one."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


@contextlib.contextmanager
def open_page(url: str, *, microphone: Path | None = None) -> Iterator[Any]:
    """Yield the studio's page in a browser without window, a Playwright `Page`.

    Args:
        microphone: audio file that its microphone plays again and again.
    """
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        raise UserError("no playwright: pip install 'speech2video[dev]' brings it") from None
    browser_path = find_browser()
    if browser_path is None:
        raise UserError(f"no browser: one of {', '.join(BROWSERS)} is needed")
    flags = [*FLAGS, *([f"--use-file-for-fake-audio-capture={microphone}"] if microphone else [])]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=flags)
        page = browser.new_page(viewport={"width": 1280, "height": 900}, bypass_csp=True)
        page.set_default_timeout(120_000)
        page.add_init_script(f"({WATCH})()")
        page.goto(url)
        page.wait_for_selector("html[data-ready]")
        yield page
        browser.close()


def watch_live(
    page: Any,
    server: subprocess.Popen,
    name: str,
    box: tuple[float, float, float, float],
    *,
    seconds: float,
) -> Metrics:
    """Return the metrics of a live session of so many seconds."""
    page.locator("#tab-live").click()
    form = page.locator("#live-form")
    form.locator("select[name=speaker]").select_option(name)
    form.locator("[type=submit]").click()
    page.wait_for_function("document.querySelector('#live-stage video').videoWidth > 0")
    page.evaluate(WATCH_VIDEO, list(box))
    page.wait_for_timeout(1000 * LEAD_SECONDS)
    page.evaluate("() => { watched.level = []; watched.frames = []; }")
    rows: list[tuple[float, float, float, float]] = []
    begin = time.monotonic()
    while time.monotonic() - begin < seconds:
        page.wait_for_timeout(1000 * min(SAMPLE_SECONDS, seconds))
        shown = [
            page.locator(f"[data-number={name}]").inner_text() for name in ("delay", "dropped")
        ]
        delay, dropped = (float(text.split()[0]) for text in shown)
        rows.append((time.monotonic() - begin, delay / 1000, dropped, memory_mb(server)))
    watched = page.evaluate("() => watched")
    page.locator("[data-do=stop]").click()
    frames_TX, level_TX = np.array(watched["frames"]), np.array(watched["level"])
    starts, waits = audio_to_mouth(level_TX, frames_TX)
    times, delays, dropped, memory = np.array(rows).T
    shown = len(frames_TX) / (frames_TX[-1, 0] - frames_TX[0, 0])
    half = max(len(rows) // 2, 1)
    return {
        "seconds": float(times[-1]),
        "frames_per_second": float(shown),
        "dropped_per_second": float(dropped[-1] - dropped[0]) / max(times[-1] - times[0], 1),
        "utterances": starts,
        "utterances_seen": len(waits),
        "audio_to_mouth_seconds": float(np.median(waits)) if waits else float("nan"),
        "audio_to_mouth_seconds_90_percent": float(np.quantile(waits, 0.9)) if waits else np.nan,
        "delay_seconds_first_half": float(np.mean(delays[:half])),
        "delay_seconds_second_half": float(np.mean(delays[-half:])),
        "server_mb_first_half": float(np.max(memory[:half])),
        "server_mb_second_half": float(np.max(memory[-half:])),
    }


def audio_to_mouth(level_TX: np.ndarray, frames_TX: np.ndarray) -> tuple[int, list[float]]:
    """Return the number of utterances, and the seconds from the first sample of those whose mouth
    opens to the first frame that shows it.

    Args:
        level_TX: time and loudness of the microphone.
        frames_TX: time a frame was shown, and the lightness of its mouth; an open one is darker.
    """
    times_T, light_T = frames_TX[:, 0], frames_TX[:, 1]
    loud_T = level_TX[level_TX[:, 1] > LOUD, 0]
    starts = loud_T[np.diff(loud_T, prepend=-np.inf) > QUIET_SECONDS]
    shut = float(np.quantile(light_T, 0.8))
    darkest = [
        float(light_T[(times_T > start) & (times_T < start + LONGEST_WAIT)].min(initial=shut))
        for start in starts
    ]
    threshold = shut + OPEN_SHARE * (float(np.median(darkest)) - shut) if darkest else shut
    waits = []
    for start in starts:
        after = times_T[(times_T > start) & (light_T < threshold)]
        if len(after) and after[0] - start < LONGEST_WAIT:
            waits.append(float(after[0] - start))
    return len(starts), waits


def memory_mb(process: subprocess.Popen) -> float:
    """Return the memory in use by a process and those that it started."""
    import psutil

    parent = psutil.Process(process.pid)
    family = [parent, *parent.children(recursive=True)]
    return sum(one.memory_info().rss for one in family) / 1e6
