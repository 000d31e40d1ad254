"""Speech that training never heard, of people it knows: what the faces painted to it are like."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from speech2video.data.face_clip import EMOTIONS
from speech2video.data.face_dataset import MOUTH, part_boxes
from speech2video.data.face_motion import lip_shapes
from speech2video.data.face_recording import FaceRecording
from speech2video.models.pose2video import to_floats
from speech2video.models.speech2face import Speech2Face
from speech2video.util.log_mels import log_mels, normalised
from speech2video.util.metrics.image import mean_in_boxes, psnr, ssim_map
from speech2video.util.metrics.lips import correlation
from speech2video.util.training_log import TrainingLog
from speech2video.util.video import write_video

if TYPE_CHECKING:
    from speech2video.models.speech2face_model import Speech2FaceModel

LOOKS = 5  # frames of a clip that teachers look at
SHOWN, SHOWN_FRAMES = 8, 4  # clips of the page's table, and frames of each


def validated(
    model: "Speech2FaceModel",
    recordings: Iterable[FaceRecording],
    page: TrainingLog | None,
    *,
    frames: int,
) -> dict[str, float]:
    """Return figures, means over recordings, and show the first of them.

    Of the voice alone: identity (share whose nearest face, of all recordings' people, is the right
    one), emotion (share), lips (correlation of the gap). The same of the face that is painted, as
    the teachers see it; and PSNR, SSIM of the mouth. A figure that no recording has, as emotion
    where none is labelled, is left out.
    """
    recordings = [one.part(0, min(len(one), frames)) for one in recordings]
    face = Speech2Face(model.networks, device=model.device)
    people = _people(model, recordings)
    figures, shown = [], []
    for number, recording in enumerate(recordings):
        painted = _painted(face, recording, recordings)
        figures.append(_figures(model, face, recording, painted, people))
        if page is not None and number < SHOWN:
            shown.append((recording, painted))
    if page is not None:
        _show(model, shown, page)
    names = dict.fromkeys(name for found in figures for name in found)
    known = {n: [f[n] for f in figures if np.isfinite(f.get(n, np.nan))] for n in names}
    return {name: float(np.mean(values)) for name, values in known.items() if values}


def _painted(
    face: Speech2Face, recording: FaceRecording, others: Sequence[FaceRecording]
) -> np.ndarray:
    if not face.takes_still:
        return face.of_wave(recording.wave_S)
    same = (one for one in others if one.speaker == recording.speaker and one is not recording)
    still = next(same, recording).frames_T3HW[0]
    return face.of_wave(recording.wave_S, still=still)


def _people(model: "Speech2FaceModel", recordings: Sequence[FaceRecording]) -> dict[str, Tensor]:
    """Return each person's mean identity (128,), as the teacher sees their real faces."""
    seen: dict[str, list[Tensor]] = {}
    for one in recordings:
        identity_D = model.recognise(_looks(one.frames_T3HW, model)).mean(0)
        seen.setdefault(one.speaker, []).append(identity_D)
    return {speaker: torch.stack(found).mean(0) for speaker, found in seen.items()}


def _figures(
    model: "Speech2FaceModel",
    face: Speech2Face,
    recording: FaceRecording,
    painted: np.ndarray,
    people: dict[str, Tensor],
) -> dict[str, float]:
    mel_BL = log_mels(recording.wave_S)
    heard = face.hear([mel_BL])
    boxes = part_boxes(recording.points_TK2, painted.shape[-1], MOUTH)
    looks = _looks(painted, model)
    gap_T = lip_shapes(recording.points_TK2)[:, 0]
    said = torch.cat(list(face.content([normalised(mel_BL)])), 1)
    heard_T = model.networks["heads"]({"lips": said})["lips"][0, :, 0].cpu().numpy()
    pictures = to_floats(torch.from_numpy(painted)).to(model.device)
    boxes_T4 = torch.from_numpy(boxes).to(model.device)
    shown_T = model.teachers.read_lips(pictures, boxes_T4)[:, 0].cpu().numpy()
    found = {
        "voice_identity": float(_nearest(heard.identity_D, people) == recording.speaker),
        "identity": float(_nearest(model.recognise(looks).mean(0), people) == recording.speaker),
        "voice_lips": correlation(heard_T, gap_T),
        "lips": correlation(shown_T, gap_T),
        "psnr": float(np.mean(psnr(painted, recording.frames_T3HW))),
        "mouth_ssim": float(
            np.nanmean(mean_in_boxes(ssim_map(painted, recording.frames_T3HW), boxes))
        ),
    }
    if recording.emotion:
        felt = EMOTIONS[int(model.feel(looks).amax(0).argmax())]
        found["voice_emotion"] = float(heard.emotion == recording.emotion)
        found["emotion"] = float(felt == recording.emotion)
    return found


def _show(
    model: "Speech2FaceModel",
    shown: Sequence[tuple[FaceRecording, np.ndarray]],
    page: TrainingLog,
) -> None:
    rows = [(_strip(one.frames_T3HW), _strip(painted)) for one, painted in shown]
    real, made = (np.stack(column) for column in zip(*rows, strict=True))
    page.pictures(model.step, {"real": real, "painted": made})
    recording, painted = shown[0]
    path = page.video_path(model.step, "real_painted")
    count = min(len(painted), len(recording))
    pairs = zip(recording.frames_T3HW[:count], painted[:count], strict=True)
    write_video(path, (np.concatenate(pair, 2) for pair in pairs))
    page.video(model.step, "real_painted", path)


def _strip(frames_T3HW: np.ndarray) -> np.ndarray:
    numbers = np.linspace(0, len(frames_T3HW) - 1, SHOWN_FRAMES).round().astype(int)
    return np.concatenate(list(frames_T3HW[numbers]), 2)


def _looks(frames_T3HW: np.ndarray, model: "Speech2FaceModel") -> Tensor:
    numbers = np.linspace(0, len(frames_T3HW) - 1, LOOKS).round().astype(int)
    return to_floats(torch.from_numpy(frames_T3HW[numbers])).to(model.device)


def _nearest(identity_D: Tensor, people: dict[str, Tensor]) -> str:
    return max(people, key=lambda name: float(identity_D @ people[name]))
