"""Judge what was made, in numbers: metrics.json, report.html, and the tables printed.

python scripts/evaluate.py KIND --help
python scripts/evaluate.py preprocess --dataset datasets/demo/clips --truth datasets/demo/truth \\
    --output results/preprocess
python scripts/evaluate.py motion --name demo --output results/motion
python scripts/evaluate.py video --name demo --output results/video
python scripts/evaluate.py speech --name demo --output results/speech --audio speech.wav
python scripts/evaluate.py face --name faces --output results/faces/face
"""

import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import _checkout  # noqa: F401
from evaluation import face, motion, preprocess, speech, video
from evaluation.tables import Metrics, print_metrics, write_metrics

from speech2video.options.base import Options
from speech2video.options.evaluation import (
    EvaluateFaceOptions,
    EvaluateMotionOptions,
    EvaluatePreprocessOptions,
    EvaluateSpeechOptions,
    EvaluateVideoOptions,
)
from speech2video.util.errors import OptionError, run_command


class Kind(NamedTuple):
    """Something to judge; its options have `output`, a folder."""

    options: type[Options]
    evaluate: Callable[[Any], Metrics]


KINDS = {
    "preprocess": Kind(EvaluatePreprocessOptions, preprocess.evaluate),
    "motion": Kind(EvaluateMotionOptions, motion.evaluate),
    "video": Kind(EvaluateVideoOptions, video.evaluate),
    "speech": Kind(EvaluateSpeechOptions, speech.evaluate),
    "face": Kind(EvaluateFaceOptions, face.evaluate),
}


def main() -> None:
    name, *arguments = sys.argv[1:] or [""]
    if name not in KINDS:
        raise OptionError(f"evaluate.py {name}: a kind is needed: {', '.join(KINDS)}")
    options = KINDS[name].options.parse(arguments)
    figures = KINDS[name].evaluate(options)
    write_metrics(options.output, f"{name}: how it compares", figures)
    print_metrics(figures)
    print(f"report: {options.output / 'report.html'}")


if __name__ == "__main__":
    run_command(main)
