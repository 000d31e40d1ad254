"""Evaluate one stage: writes metrics.json and report.html, and prints their tables.

python scripts/evaluate.py KIND --help
python scripts/evaluate.py preprocess --dataset datasets/demo/clips \\
    --ground_truth datasets/demo/ground_truth --output results/preprocess
python scripts/evaluate.py motion --name demo --output results/motion
python scripts/evaluate.py video --name demo --output results/video
python scripts/evaluate.py speech --name demo --output results/speech --audio speech.wav
python scripts/evaluate.py face --name faces --output results/faces/face
"""

import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import _checkout  # noqa: F401
import torch
from evaluation import face, motion, preprocessing, speech, video
from evaluation.tables import Metrics, print_metrics, write_metrics

from speech2video.options.evaluation import (
    EvaluateFaceOptions,
    EvaluateMotionOptions,
    EvaluatePreprocessOptions,
    EvaluateSpeechOptions,
    EvaluateVideoOptions,
    EvaluationOptions,
)
from speech2video.util.errors import OptionError, run_command


class Kind(NamedTuple):
    """A kind of evaluation."""

    options: type[EvaluationOptions]
    evaluate: Callable[[Any], Metrics]


KINDS = {
    "preprocess": Kind(EvaluatePreprocessOptions, preprocessing.evaluate),
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
    threads = getattr(options, "threads", None)
    if threads is not None:
        torch.set_num_threads(threads)
    metrics = KINDS[name].evaluate(options)
    write_metrics(options.output, f"Evaluation: {name}", metrics)
    print_metrics(metrics)
    print(f"report: {options.output / 'report.html'}")


if __name__ == "__main__":
    run_command(main)
