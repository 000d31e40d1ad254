"""Build the gesture dictionary of one person, with a contact sheet of its gestures.

python scripts/build_dictionary.py --dataset datasets/NAME --output gestures/
python scripts/build_dictionary.py --dataset datasets/NAME --output gestures/ --list mine.csv
python scripts/build_dictionary.py --dataset datasets/NAME --output gestures/ --name NAME
"""

from collections.abc import Mapping, Sequence

import _checkout  # noqa: F401
import numpy as np
from torch import Tensor

from speech2video.data.clip import Clip, list_clips
from speech2video.data.gestures.dictionary import (
    JSON_NAME,
    Example,
    GestureDictionary,
    GestureEntry,
)
from speech2video.data.gestures.extraction import merge_entries, mine_gestures, read_gesture_list
from speech2video.data.gestures.mining import GestureCandidate, Predict, read_mining_clips
from speech2video.data.motion_io import read_motion
from speech2video.models.audio2pose.predictor import PosePredictor
from speech2video.options.audio2pose import TrainAudio2PoseOptions
from speech2video.options.tools import BuildDictionaryOptions
from speech2video.util.audio.audio_io import load_audio
from speech2video.util.body.body_model import Body
from speech2video.util.errors import DataError, OptionError, run_command
from speech2video.util.files import folder_lock
from speech2video.util.html_report import Tag, data_url, figure, image, section, tags, write_page
from speech2video.util.rendering.camera import Camera
from speech2video.util.rendering.skeleton_maps import draw_skeleton_map
from speech2video.util.timing import FPS

SHEET_NAME = "sheet.html"
SHEET_EXAMPLES = 3  # of an entry
SIZE = 180  # pixels of a drawing
View = tuple[Tensor, Camera]


def main() -> None:
    options = BuildDictionaryOptions.parse()
    with folder_lock(options.output):
        build(options)


def build(options: BuildDictionaryOptions) -> None:
    """Find the gestures, write them and their sheet."""
    if not options.propose and options.list is None:
        raise OptionError("--no-propose needs --list: there is nothing else to take gestures from")
    if (options.output / JSON_NAME).exists() and not options.overwrite:
        raise DataError(
            f"{options.output / JSON_NAME}: there already, perhaps edited; give --overwrite or "
            "another --output"
        )
    predict = pose_prediction(options)
    body = Body.load(options.body)
    clips = list_clips(options.dataset)
    mining_clips = read_mining_clips(clips, body, predict)
    listed = read_gesture_list(options.list, mining_clips, body) if options.list else ()
    dictionary, candidates = GestureDictionary((), body.name), list[GestureCandidate]()
    if options.propose:
        dictionary, candidates = mine_gestures(
            mining_clips,
            body,
            min_count=options.min_count,
            max_entries=options.max_entries,
            false_discovery_rate=options.false_discovery_rate,
            seed=options.seed,
        )
    dictionary = merge_entries(listed, dictionary)
    dictionary.save(options.output)
    views = example_views(dictionary, clips, body)
    by_word = {candidate.word: candidate for candidate in candidates}
    sections = (entry_section(e, by_word.get(e.name), views, body) for e in dictionary.entries)
    write_page(
        options.output / SHEET_NAME,
        f"{len(dictionary.entries)} gestures",
        tags.p(
            f"Probabilities, words, ramps and parts can be edited in {JSON_NAME}; "
            '"on": false switches an entry off. Each example: start, key, end.'
        ),
        *sections,
    )
    for entry in dictionary.entries:
        print(f"{entry.name:16} {entry.probability:.2f}  {entry.made} of {entry.seen}")
    print(f"{len(dictionary.entries)} gestures in {options.output}, to review: {SHEET_NAME}")


def pose_prediction(options: BuildDictionaryOptions) -> Predict | None:
    """Return the function that predicts the poses of a clip by the run --name, None without it."""
    if options.name is None:
        return None
    folder = options.checkpoints / options.name / TrainAudio2PoseOptions.KIND
    predictor = PosePredictor.load(folder, body=options.body)
    return lambda clip: predictor.predict_from_audio(load_audio(clip.audio))


def example_views(
    dictionary: GestureDictionary, clips: Sequence[Clip], body: Body
) -> dict[str, View]:
    """Return poses and camera of the clips with examples on the sheet.

    The camera is the clip's own, or one that frames the person.
    """
    shown = {e.clip for entry in dictionary.entries for e in entry.examples[:SHEET_EXAMPLES]}
    views = {}
    for clip in clips:
        if clip.folder.name in shown:
            motion = read_motion(clip.pose)
            pose_TP = motion.pose_vector(body)
            camera = motion.camera or Camera.framing(body.points(pose_TP), width=SIZE, height=SIZE)
            views[clip.folder.name] = pose_TP, camera.resized(SIZE, SIZE)
    return views


def entry_section(
    entry: GestureEntry,
    candidate: GestureCandidate | None,
    views: Mapping[str, View],
    body: Body,
) -> Tag:
    """Return an entry's part of the sheet: its values, and drawings of its examples."""
    kind = "key pose" if len(entry.motion_NP) == 1 else f"motion of {len(entry.motion_NP)} frames"
    line = (
        f"probability {entry.probability:.2f} ({entry.made} of {entry.seen}); {kind}; "
        f"{', '.join(entry.parts)}; in {entry.ramp_in:.2f} s, hold {entry.hold:.2f} s"
    )
    if candidate is not None:
        line += (
            f"; {candidate.deviation * 100:.0f} cm from the expected pose; by chance "
            f"{candidate.chance:.1%}, p {candidate.p:.4f}"
        )
    examples = (e for e in entry.examples[:SHEET_EXAMPLES] if e.clip in views)
    drawings = (example_figure(example, *views[example.clip], body) for example in examples)
    return section(" / ".join(entry.words), tags.p(line), *drawings)


def example_figure(example: Example, pose_TP: Tensor, camera: Camera, body: Body) -> Tag:
    """Return drawings of an example's start, key and end."""
    times = np.array([example.start, example.key, example.end])
    frames = np.clip(times * FPS, 0, len(pose_TP) - 1).astype(int)
    points_NK2 = camera.project(body.points(pose_TP[frames])).numpy()
    drawn = [draw_skeleton_map(points_K2, width=SIZE, height=SIZE) for points_K2 in points_NK2]
    caption = f"{example.clip}, {example.start:.2f} – {example.key:.2f} – {example.end:.2f} s"
    url = data_url(np.concatenate(drawn, 1), lossless=True)
    return figure(image(url, caption, style="max-width: none"), caption)


if __name__ == "__main__":
    run_command(main)
