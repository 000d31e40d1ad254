"""What a person may choose for `scripts/build_dictionary.py`."""

from dataclasses import dataclass
from pathlib import Path

from speech2video.options.base_options import REQUIRED, Options, option


@dataclass(frozen=True)
class BuildDictionaryOptions(Options):
    """Make the gesture dictionary of one person: proposed from their clips, listed, or both."""

    dataset: Path = option(REQUIRED, "the data set's folder of clips", group="files")
    output: Path = option(REQUIRED, "the dictionary's folder", group="files")
    list: Path | None = option(
        None,
        "csv of gestures chosen by hand: word,clip,start,end,probability (seconds in that clip)",
        group="files",
    )
    body: Path | None = option(
        None, "SMPLX_NEUTRAL.npz of your own; the open body if left out", group="files"
    )
    overwrite: bool = option(
        False, "replace a dictionary that is there, with all that was edited", group="files"
    )
    name: str | None = option(
        None,
        "a trained run: gestures are what departs from the motion it gives to the same speech; "
        "from the clip's median pose if left out",
        group="search",
    )
    checkpoints: Path = option(Path("checkpoints"), "where all runs' folders are", group="search")
    propose: bool = option(True, "search the clips for gestures", group="search")
    least: int = option(
        3, "how often a word must be said to be considered", group="search", minimum=2
    )
    most: int = option(60, "entries proposed at most", group="search", minimum=1)
    false_share: float = option(
        0.05,
        "about the share of proposals that may be chance",
        group="search",
        minimum=0.0001,
        maximum=0.5,
    )
    seed: int = option(
        0, "draws the moments that words are compared with", group="search", minimum=0
    )
