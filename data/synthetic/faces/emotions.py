"""The emotions of the demo faces: changes of face, head motion and voice, and speech with them.

Faces after the action units that Ekman & Friesen's "Facial Action Coding System" (1978) lists for
each emotion; voices after the summary of Juslin & Laukka, "Communication of emotions in vocal
expression and music performance", Psychological Bulletin 129, 2003. Sizes (emotions.json) are
chosen by hand. Pitch changes by resampling espeak-ng's speech at a rate that varies, so the times
of words and phones stay exact.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.signal import butter, firwin2, oaconvolve, resample_poly, sosfilt

from speech2video.data.speech2face.clip import EMOTIONS
from speech2video.data.synthetic.common import change_times, pad_speech, plateau, step
from speech2video.data.synthetic.speaker.motion import stressed_times
from speech2video.util.audio.augmentation import change_voice
from speech2video.util.files import read_json
from speech2video.util.text.synthesis import PITCHES, RATES, SynthesisedSpeech, synthesise
from speech2video.util.timing import SAMPLE_RATE

SILENT = -90.0  # decibels
TREMOR_HERTZ = (5.5, 7.5)
ACCENT_RISE, ACCENT_FALL = 0.09, 0.16  # seconds around a stressed vowel's middle
FLUTTER_HERTZ = (30.0, 110.0)  # of a rough voice's loudness, drawn anew at each sample
ENVELOPE = 800  # samples over which breath follows the voice
BREATH_HERTZ = (1200.0, 7000.0)  # of an emotion's breath
FINER = 4  # oversampling for linear interpolation
TILT_TAPS = 65
LEVEL = 0.06  # root mean square of speech, of full scale, before the emotion's loudness
NOISE_FLOOR = 4e-4  # deviation of background noise: no recording is digitally silent


@dataclass(frozen=True)
class Delivery:
    """Changes of a voice.

    Attributes:
        pace: times the person's own.
        pitch: times the person's own.
        accents: share by which pitch rises on stressed syllables.
        glide: share by which pitch rises (falls, if negative) from the first to the last word.
        tremor: share by which pitch trembles.
        loudness_tremor: share by which loudness trembles with it.
        swell: decibels by which loudness rises from the first to the last word.
        emphasis: decibels by which stressed syllables are louder.
        breath: decibels of breath noise relative to the voice; `SILENT` is none.
        roughness: share by which loudness flutters from period to period.
        loudness: decibels.
        brightness: decibels by which high frequencies are louder, at 4 kHz.
        mark: punctuation at the end of the sentence, which sets espeak-ng's intonation.
    """

    pace: float = 1.0
    pitch: float = 1.0
    accents: float = 0.05
    glide: float = 0.0
    tremor: float = 0.0
    loudness_tremor: float = 0.0
    swell: float = 0.0
    emphasis: float = 0.0
    breath: float = SILENT
    roughness: float = 0.0
    loudness: float = 0.0
    brightness: float = 0.0
    mark: str = "."


@dataclass(frozen=True)
class EmotionProfile:
    """An emotion's face and voice.

    Attributes:
        face: expression or extra action -> amount added to it.
        jaw: radians by which the jaw hangs lower.
        head: degrees: nod (down is positive), turn, tilt.
        motion: times the usual head motion.
        nods: times the usual nods on stressed words.
        blinks: times the usual number of blinks.
        delivery: of the voice.
    """

    face: dict[str, float] = field(default_factory=dict)
    jaw: float = 0.0
    head: tuple[float, float, float] = (0.0, 0.0, 0.0)
    motion: float = 1.0
    nods: float = 1.0
    blinks: float = 1.0
    delivery: Delivery = Delivery()


EMOTION_PROFILES = {
    emotion: EmotionProfile(**row | {"delivery": Delivery(**row.get("delivery", {}))})
    for emotion, row in read_json(
        Path(__file__).with_name("emotions.json"), what="emotions"
    ).items()
}
assert tuple(EMOTION_PROFILES) == EMOTIONS


@dataclass(frozen=True)
class VoiceProfile:
    """A person's voice.

    Attributes:
        voice: espeak-ng's, with its variant.
        rate_wpm: words a minute.
        pitch: espeak-ng's, 0 to 99.
        formants, fundamental: by which formants and pitch are multiplied.
        brightness: decibels by which high frequencies are louder, at 4 kHz.
        breath: decibels of breath noise relative to the voice.
        breath_hertz: the band of that noise.
        roughness: share by which loudness flutters from period to period.
    """

    voice: str
    rate_wpm: int
    pitch: int
    formants: float = 1.0
    fundamental: float = 1.0
    brightness: float = 0.0
    breath: float = SILENT
    breath_hertz: tuple[float, float] = (1200.0, 7000.0)
    roughness: float = 0.0


def synthesise_sentence(
    text: str,
    voice_profile: VoiceProfile,
    delivery: Delivery,
    *,
    seconds: float,
    quiet: tuple[float, float],
    random: np.random.Generator,
) -> SynthesisedSpeech:
    """Return a sentence in a person's voice with an emotion, within silence.

    Args:
        text: without the mark at its end.
        seconds: at most; longer speech is spoken faster.
        quiet: seconds of silence before and after.

    Raises:
        DataError: espeak-ng is not installed, or lacks the voice.
    """
    rate = voice_profile.rate_wpm * delivery.pace
    tries = 3
    while True:
        speech = _speak(text + delivery.mark, voice_profile, rate)
        speech = _change_prosody(speech, delivery, random)
        over = len(speech.audio_S) / SAMPLE_RATE / (seconds - sum(quiet))
        tries -= 1
        if over <= 1 or not tries:
            break
        rate *= over * 1.03
    audio_S = _change_timbre(speech, voice_profile, delivery, random.spawn(1)[0])
    audio_S = tilt_spectrum(audio_S, voice_profile.brightness + delivery.brightness)
    audio_S = audio_S * (LEVEL * 10 ** (delivery.loudness / 20) / max(_level(audio_S), 1e-6))
    before, after = (round(silence * SAMPLE_RATE) for silence in quiet)
    speech = pad_speech(replace(speech, audio_S=audio_S), before, after)
    audio_S = speech.audio_S + NOISE_FLOOR * random.standard_normal(len(speech.audio_S))
    return replace(speech, audio_S=audio_S.clip(-1, 1).astype(np.float32))


def tilt_spectrum(audio_S: np.ndarray, decibels: float) -> np.ndarray:
    """Return audio (S,) with a level that rises by so many decibels from 500 Hz to 4 kHz."""
    hertz = np.array([0, 500, 1000, 2000, 4000, 8000])
    gain = 10 ** (decibels * np.array([0, 0, 1, 2, 3, 3]) / 3 / 20)
    taps = firwin2(TILT_TAPS, hertz / (SAMPLE_RATE / 2), gain)
    return oaconvolve(audio_S, taps, "same")


def _speak(text: str, voice_profile: VoiceProfile, rate: float) -> SynthesisedSpeech:
    """Return a sentence in the person's own voice, without the pause after it."""
    rate_wpm = round(np.clip(rate, *RATES))
    pitch = round(np.clip(voice_profile.pitch, *PITCHES))
    speech = synthesise(text, voice=voice_profile.voice, rate_wpm=rate_wpm, pitch=pitch)
    end = max((phone.end for phone in speech.phones), default=0.0) + 0.06
    audio_S = speech.audio_S[: round(end * SAMPLE_RATE)]
    audio_S = change_voice(
        audio_S, pitch=voice_profile.fundamental, formants=voice_profile.formants
    )
    return replace(speech, audio_S=audio_S)


def _change_prosody(
    speech: SynthesisedSpeech, delivery: Delivery, random: np.random.Generator
) -> SynthesisedSpeech:
    """Return speech resampled to the emotion's pitch, with its words' and phones' new times."""
    times_S = np.arange(len(speech.audio_S)) / SAMPLE_RATE
    rate_S = _pitch_course(times_S, stressed_times(speech.words, speech.phones), delivery, random)
    played_S = np.concatenate(([0.0], np.cumsum(1 / rate_S)[:-1])) / SAMPLE_RATE
    count = int(played_S[-1] * SAMPLE_RATE)
    source_N = np.interp(np.arange(count) / SAMPLE_RATE, played_S, times_S)
    fine_S = resample_poly(speech.audio_S.astype(np.float64), FINER, 1)
    audio_S = np.interp(source_N * SAMPLE_RATE * FINER, np.arange(len(fine_S)), fine_S)
    return change_times(
        replace(speech, audio_S=audio_S),
        lambda seconds: float(np.interp(seconds, times_S, played_S)),
    )


def _pitch_course(
    times_S: np.ndarray, stresses: list[float], delivery: Delivery, random: np.random.Generator
) -> np.ndarray:
    """Return the factor of pitch (S,)."""
    length = max(float(times_S[-1]), 0.1) if len(times_S) else 0.1
    rate_S = delivery.pitch * (1 + delivery.glide * (step(times_S, 0.0, length) - 0.5))
    for time in stresses:
        accent_S = plateau(times_S, time - 0.03, time + 0.03, ACCENT_RISE, ACCENT_FALL)
        rate_S = rate_S * (1 + delivery.accents * random.uniform(0.7, 1.2) * accent_S)
    hertz, phase = random.uniform(*TREMOR_HERTZ), random.uniform(0, 2 * np.pi)
    return rate_S * (1 + delivery.tremor * np.sin(2 * np.pi * hertz * times_S + phase))


def _change_timbre(
    speech: SynthesisedSpeech,
    voice_profile: VoiceProfile,
    delivery: Delivery,
    random: np.random.Generator,
) -> np.ndarray:
    """Return the speech (S,), timing unchanged, with breath, roughness and loudness changed."""
    audio_S = speech.audio_S
    times_S = np.arange(len(audio_S)) / SAMPLE_RATE
    length = max(float(times_S[-1]), 0.1)
    decibels_S = delivery.swell * (times_S / length - 0.5)
    for time in stressed_times(speech.words, speech.phones):
        louder_S = plateau(times_S, time - 0.04, time + 0.04, ACCENT_RISE, ACCENT_FALL)
        decibels_S = decibels_S + delivery.emphasis * louder_S
    hertz, phase = random.uniform(*TREMOR_HERTZ), random.uniform(0, 2 * np.pi)
    gain_S = 10 ** (decibels_S / 20)
    gain_S = gain_S * (1 + delivery.loudness_tremor * np.sin(2 * np.pi * hertz * times_S + phase))
    flutter_S = 2 * np.pi * np.cumsum(random.uniform(*FLUTTER_HERTZ, len(audio_S))) / SAMPLE_RATE
    gain_S = gain_S * (1 + (voice_profile.roughness + delivery.roughness) * np.sin(flutter_S))
    loud_S = np.sqrt(np.convolve(np.square(audio_S), np.ones(ENVELOPE) / ENVELOPE, "same").clip(0))
    breath_S = _noise(len(audio_S), voice_profile.breath_hertz, voice_profile.breath, random)
    breath_S = breath_S + _noise(len(audio_S), BREATH_HERTZ, delivery.breath, random)
    return gain_S * (audio_S + loud_S * breath_S)


def _noise(
    size: int, hertz: tuple[float, float], decibels: float, random: np.random.Generator
) -> np.ndarray:
    """Return noise (size,) between two frequencies, decibels relative to a deviation of 1."""
    band = butter(2, hertz, "bandpass", fs=SAMPLE_RATE, output="sos")
    noise_S: Any = sosfilt(band, random.standard_normal(size))
    return noise_S / max(_level(noise_S), 1e-6) * 10 ** (decibels / 20)


def _level(audio_S: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(audio_S)))) if len(audio_S) else 0.0
