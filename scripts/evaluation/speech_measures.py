"""What is measured of one speech: by table or reference, then by system (see `speech`)."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from evaluation.page import Figures
from evaluation.speech_lips import lag_curve, loudness, mouth_figures, silences, sync_figures
from evaluation.speech_picture import found_shares, picture_figures, seen_hand_speed
from evaluation.speech_trials import Made, Trial
from evaluation.video_table import REAL
from speech2video.data.motion import FPS
from speech2video.util.body.skeleton import indices
from speech2video.util.metrics.lips import lip_opening
from speech2video.util.metrics.motion import hand_energy_ratio, mean_derivative

GENERATED, POSE, TRUTH = "generated", "pose", "truth"
WRISTS = indices(("left_wrist", "right_wrist"))
HANDS_SEEN = 0.3  # share of a recording's frames that shows a hand, from which its hands compare


@dataclass(frozen=True, eq=False)
class Measured:
    """One speech.

    Attributes:
        frames: how many, T.
        openings: lip openings (T,) by system, and the truth's where it is known.
        curves: lag curves by reference and system.
        figures: by table and system.
    """

    frames: int
    openings: dict[str, np.ndarray]
    curves: dict[str, dict[str, np.ndarray]]
    figures: dict[str, dict[str, Figures]]


def measure(
    trial: Trial,
    made: Made,
    frames: Mapping[str, np.ndarray],
    found: Mapping[str, np.ndarray],
    wave_S: np.ndarray,
) -> Measured:
    """Return what is measured of one speech.

    Args:
        trial: the speech, and its recording and truth where there are any.
        made: what the speaker made of it.
        frames: (T, 3, H, W) uint8 of the made video and, where there is one, the recording.
        found: points (T, 144, 2) found in them; empty if nobody looked.
        wave_S: the sound, 16 kHz.
    """
    count = len(frames[GENERATED])
    points = {GENERATED: made.points_TK2[:count]}
    if trial.video is not None:
        points[REAL] = trial.video.points_TK2[:count]
    openings = _openings(points, found)
    loudness_T = loudness(wave_S, count)
    references = {"loudness": loudness_T}
    if REAL in openings:
        references[REAL] = openings[REAL]
    if trial.truth_T is not None:
        references[TRUTH] = trial.truth_T[:count]
    silent_T = silences(loudness_T)
    figures = {
        "mouth": {system: mouth_figures(o_T, silent_T) for system, o_T in openings.items()},
        "hands": _hands(trial, made, found, count),
        "picture": {s: picture_figures(video, points[s]) for s, video in frames.items()},
    }
    if found:
        figures["found"] = {system: found_shares(f_TK2) for system, f_TK2 in found.items()}
    drawn = {name: references[name] for name in (TRUTH,) if name in references} | openings
    return Measured(count, drawn, _curves(references, openings), figures)


def _openings(
    points: Mapping[str, np.ndarray], found: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Return lip openings (T,), from what was found where somebody looked."""
    openings = {system: lip_opening(found_TK2) for system, found_TK2 in found.items()}
    openings[POSE] = lip_opening(points[GENERATED])
    if REAL in points:
        openings.setdefault(REAL, lip_opening(points[REAL]))
    return openings


def _curves(
    references: Mapping[str, np.ndarray], openings: Mapping[str, np.ndarray]
) -> dict[str, dict[str, np.ndarray]]:
    """Return lag curves of all lips with all that they are to go with."""
    return {
        reference: {
            system: lag_curve(reference_T, opening_T)
            for system, opening_T in openings.items()
            if system != reference
        }
        for reference, reference_T in references.items()
    }


def _hands(trial: Trial, made: Made, found: Mapping[str, np.ndarray], count: int) -> Figures:
    """Return how fast wrists move in the poses (m/s) and, found again, in the videos."""
    poses = {GENERATED: made.points_TK3[:count]}
    if trial.recorded_TK3 is not None:
        poses[REAL] = trial.recorded_TK3[:count]
    rows: Figures = {}
    for system, points_TK3 in poses.items():
        wrists_TK3 = points_TK3[:, WRISTS]
        rows[system] = {"wrist_speed": mean_derivative(wrists_TK3, order=1, fps=FPS)}
        if found:
            rows[system]["speed_in_picture"] = seen_hand_speed(found[system])
    if REAL in poses and _shows_hands(found):
        ratio = hand_energy_ratio(poses[GENERATED], poses[REAL])
        rows[GENERATED]["energy_over_real"] = ratio if np.isfinite(ratio) else None
    return rows


def _shows_hands(found: Mapping[str, np.ndarray]) -> bool:
    """Return whether a recording's hands are there to compare with, as far as anybody looked."""
    if REAL not in found:
        return True
    shares = found_shares(found[REAL])
    return max(shares["left_hand"], shares["right_hand"]) >= HANDS_SEEN


def in_a_row(one: Measured) -> Figures:
    """Return the few figures of one speech that matter most."""
    judged = GENERATED if GENERATED in one.openings else POSE
    row: Figures = {"seconds": one.frames / FPS}
    for reference, systems in one.curves.items():
        figures = sync_figures([systems[judged]])
        row[f"{reference}_lag"] = figures["lag_frames"]
        row[f"{reference}_within_1"] = figures["within_1_frame"]
    mouth = one.figures["mouth"][judged]
    return row | {name: mouth[name] for name in ("in_silence", "in_speech")}
