"""Make the gesture dictionary of one person, with a contact sheet to judge it by.

python scripts/build_dictionary.py --dataset datasets/NAME --output gestures/
python scripts/build_dictionary.py --dataset datasets/NAME --output gestures/ --list mine.csv
python scripts/build_dictionary.py --dataset datasets/NAME --output gestures/ --name NAME
"""

import _checkout  # noqa: F401
from torch import Tensor

from speech2video.data.clip import Clip, list_clips
from speech2video.data.gestures.contact_sheet import write_contact_sheet
from speech2video.data.gestures.dictionary import JSON_NAME, GestureDictionary
from speech2video.data.gestures.extraction import (
    Predict,
    merge_entries,
    propose,
    read_gesture_list,
    read_mining_clips,
)
from speech2video.data.gestures.mining import GestureCandidate
from speech2video.models.audio2pose.predictor import PosePredictor
from speech2video.options.audio2pose import TrainAudio2PoseOptions
from speech2video.options.tools import BuildDictionaryOptions
from speech2video.util.audio.audio_io import load_audio
from speech2video.util.body.body_model import Body
from speech2video.util.errors import DataError, OptionError, run_command

SHEET_NAME = "sheet.html"


def main() -> None:
    options = BuildDictionaryOptions.parse()
    build(options, expected_by(options))


def expected_by(options: BuildDictionaryOptions) -> Predict | None:
    """Return what gives the pose expected in a clip: a trained run's, None where none is named."""
    if options.name is None:
        return None
    predictor = PosePredictor.load(
        options.checkpoints / options.name / TrainAudio2PoseOptions.KIND, body=options.body
    )

    def predict(clip: Clip) -> Tensor:
        return predictor.predict_from_audio(load_audio(clip.audio, normalise=True))

    return predict


def build(options: BuildDictionaryOptions, predict: Predict | None = None) -> None:
    """Write the dictionary and its sheet; `predict` says what pose is expected in a clip."""
    if not options.propose and options.list is None:
        raise OptionError("--no-propose needs --list: there is nothing else to take gestures from")
    if (options.output / JSON_NAME).exists() and not options.overwrite:
        raise DataError(
            f"{options.output / JSON_NAME}: there already, perhaps edited; give --overwrite or "
            "another --output"
        )
    body = Body.load(options.body)
    clips = list_clips(options.dataset)
    takes = read_mining_clips(clips, body, predict)
    listed = read_gesture_list(options.list, takes, body) if options.list else ()
    dictionary, found = GestureDictionary((), body.name), list[GestureCandidate]()
    if options.propose:
        dictionary, found = propose(
            takes,
            body,
            least=options.least,
            most=options.most,
            false_share=options.false_share,
            seed=options.seed,
        )
    dictionary = merge_entries(listed, dictionary)
    dictionary.save(options.output)
    write_contact_sheet(options.output / SHEET_NAME, dictionary, clips, body, found)
    for entry in dictionary.entries:
        print(f"{entry.name:16} {entry.probability:.2f}  {entry.made} of {entry.seen}")
    print(f"{len(dictionary.entries)} gestures in {options.output}, to judge: {SHEET_NAME}")


if __name__ == "__main__":
    run_command(main)
