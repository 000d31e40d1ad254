"""The contact sheet: every proposed gesture at its start, key and end, for a person to judge."""

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from dominate import document, tags
from dominate.util import raw
from torch import Tensor

from speech2video.data.clip import Clip
from speech2video.data.gestures.dictionary import (
    JSON_NAME,
    Example,
    GestureDictionary,
    GestureEntry,
)
from speech2video.data.gestures.mining import GestureCandidate
from speech2video.data.motion_io import read_motion
from speech2video.util.body.body_model import Body
from speech2video.util.files import atomic_write
from speech2video.util.rendering.camera import Camera
from speech2video.util.rendering.skeleton_maps import draw_skeleton_map
from speech2video.util.timing import FPS

SHOWN = 3  # examples of an entry
HEIGHT, WIDTH = 180, 180  # pixels of a drawing

_STYLE = """
body { font: 15px/1.5 sans-serif; max-width: 1760px; margin: 2em auto; padding: 0 1em; }
section { border-top: 1px solid #ddd; padding: .6em 0; }
h2 { margin: 0; } p { margin: .2em 0 .5em; color: #444; }
figure { display: inline-block; margin: 0 1.2em .4em 0; }
figcaption { font-size: 12px; color: #555; }
"""


def write_contact_sheet(
    path: Path,
    dictionary: GestureDictionary,
    clips: Sequence[Clip],
    body: Body,
    found: Sequence[GestureCandidate] = (),
) -> None:
    """Write the contact sheet, one html file with its pictures inside.

    Drawn are the clips' own poses through the clips' own cameras, or one that frames the person.
    Raises `DataError` if a clip is broken or the file cannot be written.
    """
    evidence = {finding.word: finding for finding in found}
    needed = {e.clip for entry in dictionary.entries for e in entry.examples[:SHOWN]}
    views = {clip.folder.name: _view(clip, body) for clip in clips if clip.folder.name in needed}
    page = document(title="Gesture dictionary")
    page.head.add(tags.meta(charset="utf-8"), tags.style(raw(_STYLE)))
    page.body.add(
        tags.h1(f"{len(dictionary.entries)} gestures"),
        tags.p(
            f"Probabilities, words, ramps and parts can be edited in {JSON_NAME}, and entries "
            'switched off there ("on": false). Each example: first movement, key, last.'
        ),
        *(_section(entry, evidence.get(entry.name), views, body) for entry in dictionary.entries),
    )
    with atomic_write(path) as partial:
        partial.write_text(page.render(), encoding="utf-8")


def _section(
    entry: GestureEntry,
    finding: GestureCandidate | None,
    views: Mapping[str, tuple[Tensor, Camera]],
    body: Body,
) -> tags.section:
    kind = "key pose" if len(entry.motion_NP) == 1 else f"motion of {len(entry.motion_NP)} frames"
    line = (
        f"probability {entry.probability:.2f} ({entry.made} of {entry.seen}); {kind}; "
        f"{', '.join(entry.parts)}; in {entry.ramp_in:.2f} s, hold {entry.hold:.2f} s"
    )
    if finding is not None:
        line += (
            f"; {finding.departure * 100:.0f} cm from what is expected; alike by chance "
            f"{finding.chance:.1%}, p {finding.p:.4f}"
        )
    section = tags.section(tags.h2(" / ".join(entry.words)), tags.p(line))
    section.add(
        _figure(example, *views[example.clip], body)
        for example in entry.examples[:SHOWN]
        if example.clip in views
    )
    return section


def _figure(example: Example, pose_TP: Tensor, camera: Camera, body: Body) -> tags.figure:
    times = np.array([example.start, example.key, example.end])
    frames = np.clip(times * FPS, 0, len(pose_TP) - 1).astype(int)
    points_NK2 = camera.project(body.points(pose_TP[frames])).numpy()
    drawn = [draw_skeleton_map(points, width=WIDTH, height=HEIGHT) for points in points_NK2]
    picture = np.concatenate(drawn, 1)
    caption = f"{example.clip}, {example.start:.2f} – {example.key:.2f} – {example.end:.2f} s"
    image = tags.img(src=_data_url(picture), alt=caption, width=3 * WIDTH, height=HEIGHT)
    return tags.figure(image, tags.figcaption(caption))


def _view(clip: Clip, body: Body) -> tuple[Tensor, Camera]:
    motion = read_motion(clip.pose)
    pose_TP = motion.pose_vector(body)
    camera = motion.camera or Camera.framing(body.points(pose_TP), width=WIDTH, height=HEIGHT)
    return pose_TP, camera.resized(WIDTH, HEIGHT)


def _data_url(rgb_HW3: np.ndarray) -> str:
    _, data = cv2.imencode(".png", rgb_HW3[..., ::-1])
    return "data:image/png;base64," + base64.b64encode(data.tobytes()).decode()
