"""Clips of speech with exact poses and phones, without video: many voices, breaths and levels.

Each clip has one voice of one engine. What follows from a plan is the same at every run, as long as
the engines are the same.
"""

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from scipy import signal

from speech2video.data.clip import Clip, ClipInfo
from speech2video.data.motion import motion_from_pose
from speech2video.data.motion_io import write_motion
from speech2video.data.synthetic.common import Progress, check_plan
from speech2video.data.synthetic.speaker.motion import animate_speaker
from speech2video.data.synthetic.speaker.recording import demo_camera, spoken_seconds
from speech2video.util.audio.audio_io import write_audio
from speech2video.util.body.body_model import Body
from speech2video.util.files import write_json, write_text
from speech2video.util.text.engines import USUAL_PITCH, USUAL_RATE
from speech2video.util.text.synthesis import (
    PITCHES,
    RATES,
    VOICES,
    SynthesisedSpeech,
    Voice,
    join_speech,
    synthesise_all,
)
from speech2video.util.text.transcript import Phone, write_phones, write_words
from speech2video.util.timing import FPS, SAMPLE_RATE, SAMPLES_PER_FRAME

# Written for this project: plain English of many kinds, no names of people.
SENTENCES = tuple((Path(__file__).parent / "sentences.txt").read_text("ascii").splitlines())
SHARES = {  # of the clips
    "espeak": 0.22,
    "flite": 0.22,
    "festival": 0.10,
    "piper": 0.16,
    "kokoro": 0.30,
}
SHOUTED, WHISPERED = 0.08, 0.08  # shares of the clips
RATE = (0.8, 1.25)  # times the voice's own
PITCH = {
    "espeak": 14.0,
    "flite": 35.0,
    "festival": 35.0,
    "piper": 35.0,
    "kokoro": 35.0,
}  # most from the voice's own
QUIET = (0.5, 1.0)  # seconds before the first word and after the last
SHORT_PAUSE, LONG_PAUSE, LONG = (0.15, 0.3), (0.3, 1.5), 0.6  # seconds between sentences; chance
BREATH = "↓"  # air drawn in, in the extensions to the IPA
BREATH_CHANCE = 0.35  # before a sentence after a long pause
BREATH_SECONDS, BREATH_AHEAD = (0.25, 0.5), (0.04, 0.12)  # how long; how long before the sentence
BREATH_LEVEL = (-26.0, -17.0)  # dB relative to the speech
BREATH_BAND = (350.0, 4500.0)  # Hz
LEVEL = (-28.0, -20.0)  # dB of full scale, of the speech
SHOUT_LEVEL, WHISPER_LEVEL = 6.0, -6.0  # dB more
STOPS = "pbtdkɡg"
EARLIER = 0.028  # seconds that espeak-ng's stops close and open before it says so
HEAD, TAIL = 0.03, 0.12  # seconds of audio kept before the first phone and after the last
CAMERA_SIZE = 512
GOLDEN = 0.6180339887


@dataclass(frozen=True)
class SpeechPlan:
    """What determines a clip: the same plan gives the same files.

    Attributes:
        number: which clip of its data set.
        seed: of the data set.
        seconds: about how long it is.
        voice: as `synthesise` takes it.
        rate_wpm, pitch: of the voice.
        style: "spoken", "shouted" or "whispered".
    """

    number: int
    seed: int
    seconds: float
    voice: str
    rate_wpm: int
    pitch: int
    style: str

    @property
    def name(self) -> str:
        """The name of its folder."""
        return f"{self.number:04d}"

    @property
    def frames(self) -> int:
        """About how many frames it will have."""
        return round(FPS * self.seconds)

    def sentences(self) -> list[str]:
        """Return what is said, in random order; none returns before all have been spoken."""
        generator = np.random.default_rng((self.seed, self.number, 0))
        left, chosen, pool = self.seconds - sum(QUIET), [], []
        while left > 0 or not chosen:
            pool = pool or list(generator.permutation(len(SENTENCES)))
            chosen.append(SENTENCES[pool.pop()])
            left -= spoken_seconds(chosen[-1]) * USUAL_RATE / self.rate_wpm
        return chosen


def plan_speech(
    minutes: float, seconds: float, seed: int, voices: dict[str, list[str]]
) -> list[SpeechPlan]:
    """Return the clips to make; more minutes make more of them, and the first stay the same.

    Engines get their `SHARES`, and their voices take turns.

    Args:
        minutes: of all clips.
        seconds: of one clip.
        seed: of voices, sentences and motion.
        voices: engine -> names of its voices, apart from espeak-ng's.
    """
    pools: dict[str, list[Voice]] = {"espeak": list(VOICES)}
    for engine, names in voices.items():
        pools[engine] = [Voice(name, USUAL_RATE, USUAL_PITCH) for name in names]
    shares = {engine: SHARES[engine] for engine, pool in pools.items() if pool}
    generator = np.random.default_rng(seed)
    pools = {k: [pool[i] for i in generator.permutation(len(pool))] for k, pool in pools.items()}
    offset = generator.random()
    seconds = min(seconds, 60 * minutes)
    counts, plans, total = dict.fromkeys(shares, 0), [], sum(shares.values())
    for number in range(max(1, round(60 * minutes / seconds))):
        engine = max(shares, key=lambda name: shares[name] * (number + 1) - counts[name] * total)
        voice = pools[engine][counts[engine] % len(pools[engine])]
        counts[engine] += 1
        rng = np.random.default_rng((seed, number, 1))
        factor = float(np.exp(rng.uniform(*np.log(RATE))))
        pitch = voice.pitch + rng.uniform(-1, 1) * PITCH[engine]
        turn = (offset + GOLDEN * number) % 1  # evenly spread
        style = "spoken"
        if turn < SHOUTED:
            style, pitch = "shouted", pitch + 0.6 * PITCH[engine]
        elif turn < SHOUTED + WHISPERED:
            style = "whispered"
        rate_wpm = round(np.clip(voice.rate_wpm * factor, *RATES))
        pitch = round(np.clip(pitch, *PITCHES))
        plans.append(SpeechPlan(number, seed, seconds, voice.voice, rate_wpm, pitch, style))
    return plans


def is_complete(folder: Path, plan: SpeechPlan) -> bool:
    """Return whether the clip exists; raises `DataError` if another plan made it."""
    clip = Clip(folder / plan.name)
    check_plan(clip.folder / "plan.json", plan, clip.folder)
    return clip.is_complete


def make_clip(
    folder: Path, plan: SpeechPlan, body: Body, progress: Progress = lambda _: None
) -> int:
    """Make a clip and return the number of its frames.

    Raises:
        DataError: a file cannot be written, or the voice's engine is not installed.
    """
    speech = plan_audio(plan)
    motion = animate_speaker(speech, seed=plan.seed * 10_007 + plan.number, body=body)
    frames = len(motion.pose_TP)
    with Clip.create(folder / plan.name) as clip:
        write_audio(clip.audio, speech.audio_S)
        camera = demo_camera(CAMERA_SIZE)
        write_motion(clip.pose, motion_from_pose(motion.pose_TP, body, camera=camera))
        write_words(clip.words, speech.words)
        write_phones(clip.phones, speech.phones)
        write_json(clip.folder / "plan.json", asdict(plan), indent=1)
        clip.write_info(ClipInfo(plan.voice, frames, 0, 0, "", body.name, words="given"))
    progress(plan.frames)
    return frames


def write_voices(path: Path, plans: Sequence[SpeechPlan]) -> None:
    """Write the voice of each clip as csv: `clip,voice,rate_wpm,pitch,style`."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("clip", "voice", "rate_wpm", "pitch", "style"))
    writer.writerows((p.name, p.voice, p.rate_wpm, p.pitch, p.style) for p in plans)
    write_text(path, text.getvalue())


def plan_audio(plan: SpeechPlan) -> SynthesisedSpeech:
    """Return a plan's speech: sentences, pauses, breaths; as loud as its style asks."""
    rng = np.random.default_rng((plan.seed, plan.number, 2))
    voice = Voice(plan.voice, plan.rate_wpm, plan.pitch)
    parts = [_trimmed(speech) for speech in synthesise_all(plan.sentences(), **voice._asdict())]
    if plan.style == "shouted":
        parts = [replace(part, audio_S=shout(part.audio_S)) for part in parts]
    elif plan.style == "whispered":
        parts = [replace(part, audio_S=whisper(part.audio_S, rng)) for part in parts]
    before, after = rng.uniform(*QUIET, size=2)
    pauses, breaths = [before], []
    for _ in parts[1:]:
        is_long = rng.random() < LONG
        pauses.append(rng.uniform(*(LONG_PAUSE if is_long else SHORT_PAUSE)))
        has_breath = is_long and rng.random() < BREATH_CHANCE
        breaths.append(has_breath)
    breaths.insert(0, rng.random() < BREATH_CHANCE)
    spans = []
    for i, has_breath in enumerate(breaths):
        seconds, ahead = rng.uniform(*BREATH_SECONDS), rng.uniform(*BREATH_AHEAD)
        if has_breath:
            pauses[i] = max(pauses[i], seconds + ahead + 0.2)
        spans.append((seconds, ahead))
    samples = [round(pause * SAMPLE_RATE) for pause in [*pauses, after]]
    speech = join_speech(parts, samples[1:], before=samples[0])
    level = np.sqrt(np.mean(np.square(np.concatenate([part.audio_S for part in parts]))))
    audio_S, phones, end = speech.audio_S.copy(), list(speech.phones), 0
    if ":" not in plan.voice:
        phones = earlier_stops(phones)
    for part, pause, has_breath, (seconds, ahead) in zip(
        parts, samples, breaths, spans, strict=False
    ):
        end += pause
        if has_breath:
            stop = end - round(ahead * SAMPLE_RATE)
            breath_S = breath_noise(round(seconds * SAMPLE_RATE), rng)
            breath_S *= level * 10 ** (rng.uniform(*BREATH_LEVEL) / 20)
            audio_S[stop - len(breath_S) : stop] += breath_S
            phones.append(Phone(BREATH, (stop - len(breath_S)) / SAMPLE_RATE, stop / SAMPLE_RATE))
        end += len(part.audio_S)
    more = {"shouted": SHOUT_LEVEL, "whispered": WHISPER_LEVEL}.get(plan.style, 0.0)
    gain = 10 ** ((rng.uniform(*LEVEL) + more) / 20) / max(level, 1e-6)
    audio_S = np.tanh(np.pad(audio_S * gain, (0, -len(audio_S) % SAMPLES_PER_FRAME)))
    phones.sort(key=lambda phone: phone.start)
    return SynthesisedSpeech(audio_S.astype(np.float32), speech.words, phones)


def earlier_stops(phones: Sequence[Phone]) -> list[Phone]:
    """Return espeak-ng's phones with the stops where they are in its audio: `EARLIER`."""
    moved = list(phones)
    for i, phone in enumerate(moved):
        if phone.text[0] not in STOPS:
            continue
        before, after = moved[i - 1] if i else None, moved[i + 1] if i + 1 < len(moved) else None
        first = 0.0 if before is None else (before.start + before.end) / 2
        start = max(phone.start - EARLIER, first)
        if before is not None and before.end > start:
            moved[i - 1] = replace(before, end=start)
        end = max(phone.end - EARLIER, (start + phone.end) / 2)
        if after is not None and after.start <= phone.end:
            moved[i + 1] = replace(after, start=end)
            moved[i] = replace(phone, start=start, end=end)
        else:
            moved[i] = replace(phone, start=start)
    return moved


def _trimmed(speech: SynthesisedSpeech) -> SynthesisedSpeech:
    """Return speech without the silence before its first phone and after its last."""
    first = max(0, round((speech.phones[0].start - HEAD) * SAMPLE_RATE))
    last = min(len(speech.audio_S), round((speech.phones[-1].end + TAIL) * SAMPLE_RATE))
    audio_S = speech.audio_S[first:last].copy()
    fade = min(len(audio_S) // 2, round(0.02 * SAMPLE_RATE))
    audio_S[:fade] *= np.linspace(0, 1, fade)
    audio_S[-fade:] *= np.linspace(1, 0, fade)
    early = first / SAMPLE_RATE
    return SynthesisedSpeech(
        audio_S,
        [replace(w, start=w.start - early, end=w.end - early) for w in speech.words],
        [replace(p, start=p.start - early, end=p.end - early) for p in speech.phones],
    )


def shout(audio_S: np.ndarray) -> np.ndarray:
    """Return speech with the flatter spectrum and the saturation of a shout, as loud as before."""
    level = np.sqrt(np.mean(np.square(audio_S))) + 1e-9
    tilted_S = audio_S - 0.65 * np.pad(audio_S[:-1], (1, 0))
    raised_S = np.tanh(tilted_S / (2 * level))
    raised_S *= level / (np.sqrt(np.mean(np.square(raised_S))) + 1e-9)
    return raised_S.astype(np.float32)


def whisper(audio_S: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return speech with its voice replaced by noise through the same spectral envelope."""
    size, hop, kept = 512, 128, 28  # samples; cepstral coefficients of the envelope
    _, _, speech_FT = signal.stft(audio_S, nperseg=size, noverlap=size - hop)
    _, _, noise_FT = signal.stft(
        rng.standard_normal(len(audio_S)), nperseg=size, noverlap=size - hop
    )
    cepstra_CT = np.fft.irfft(np.log(np.abs(speech_FT) + 1e-7), axis=0)
    cepstra_CT[kept : size - kept + 1] = 0
    envelope_FT = np.exp(np.fft.rfft(cepstra_CT, axis=0).real)
    hertz_F1 = np.fft.rfftfreq(size, 1 / SAMPLE_RATE)[:, None]
    envelope_FT *= 1 / (1 + (500 / np.maximum(hertz_F1, 1)) ** 2)  # no voice: weak low formants
    envelope_FT /= np.abs(noise_FT).mean() + 1e-9
    _, whispered_S = signal.istft(envelope_FT * noise_FT, nperseg=size, noverlap=size - hop)
    whispered_S = np.pad(whispered_S, (0, max(0, len(audio_S) - len(whispered_S))))[: len(audio_S)]
    level = np.sqrt(np.mean(np.square(audio_S)))
    whispered_S *= level / (np.sqrt(np.mean(np.square(whispered_S))) + 1e-9)
    return whispered_S.astype(np.float32)


def breath_noise(samples: int, rng: np.random.Generator) -> np.ndarray:
    """Return the noise of air drawn in (S,), of unit level at its loudest."""
    sections = signal.butter(2, BREATH_BAND, "bandpass", fs=SAMPLE_RATE, output="sos")
    noise_S = np.asarray(signal.sosfilt(sections, rng.standard_normal(samples)))
    noise_S /= np.sqrt(np.mean(np.square(noise_S)))
    course_S = np.sin(np.pi * np.linspace(0, 1, samples) ** 0.8) ** 1.5
    return (noise_S * course_S).astype(np.float32)
