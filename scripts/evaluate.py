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
from typing import Any

import _checkout  # noqa: F401
import torch
from evaluation import face, motion, preprocessing, speech, video
from evaluation.tables import Metrics, print_metrics, write_metrics

from speech2video.options import evaluation as options_of
from speech2video.util.errors import OptionError, run_command

KINDS: dict[str, tuple[type[options_of.EvaluationOptions], Callable[[Any], Metrics]]] = {
    "preprocess": (options_of.EvaluatePreprocessOptions, preprocessing.evaluate),
    "motion": (options_of.EvaluateMotionOptions, motion.evaluate),
    "video": (options_of.EvaluateVideoOptions, video.evaluate),
    "speech": (options_of.EvaluateSpeechOptions, speech.evaluate),
    "face": (options_of.EvaluateFaceOptions, face.evaluate),
}


def main() -> None:
    name, *arguments = sys.argv[1:] or [""]
    if name not in KINDS:
        raise OptionError(f"evaluate.py {name}: a kind is needed: {', '.join(KINDS)}")
    option_class, evaluate = KINDS[name]
    options = option_class.parse(arguments)
    if threads := getattr(options, "threads", None):
        torch.set_num_threads(threads)
    metrics = evaluate(options)
    write_metrics(options.output, f"Evaluation: {name}", metrics)
    print_metrics(metrics)
    print(f"report: {options.output / 'report.html'}")


if __name__ == "__main__":
    run_command(main)
