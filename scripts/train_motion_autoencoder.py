"""Train the autoencoder of the Fréchet gesture distance on the synthetic speaker's motion.

python scripts/train_motion_autoencoder.py

Takes some minutes on two cores. Writes model.safetensors, options.json and metrics.json.
"""

from collections.abc import Iterator

import _checkout  # noqa: F401
import torch
from torch import Tensor

from speech2video.data.synthetic.speaker.motion import animate_speaker
from speech2video.data.synthetic.speaker.recording import RecordingPlan
from speech2video.models.evaluators import gesture_distance
from speech2video.models.evaluators.gesture_distance import MotionAutoencoder, gesture_features
from speech2video.options.tools import TrainMotionAutoencoderOptions
from speech2video.util.body.body_model import Body
from speech2video.util.errors import run_command
from speech2video.util.files import folder_lock, write_json
from speech2video.util.iteration import progress_bar
from speech2video.util.text.synthesis import synthesise

HELD_OUT = 10  # every tenth recording is held out
VARIANTS = 2  # augmented copies of each recording
STRIDE = 4  # frames between windows
MIN_SPREAD = 0.1  # of a 6D number; keeps joints that hardly move from being amplified
WEIGHT_DECAY = 1e-4


def main() -> None:
    options = TrainMotionAutoencoderOptions.parse()
    with folder_lock(options.output):
        run(options)


def run(options: TrainMotionAutoencoderOptions) -> None:
    """Synthesise motion, train, evaluate, write."""
    torch.manual_seed(options.seed)
    body = Body.load()
    poses = list(synthesise_motion(options, body))
    held_out = poses[::HELD_OUT]
    training = [pose_TP for number, pose_TP in enumerate(poses) if number % HELD_OUT]
    varied = [
        gesture_distance.vary_motion(training[i // VARIANTS], seed=options.seed + i)
        for i in range(VARIANTS * len(training))
    ]
    features = [gesture_features(pose_TP, body.hands) for pose_TP in training + varied]
    model = new_autoencoder(options, features)
    train(model, features, options)
    model.save(options.output)
    metrics = evaluate(model, held_out, body)
    options.save(options.output / "options.json")
    write_json(options.output / "metrics.json", metrics)
    print(f"{options.output}: " + ", ".join(f"{k} {v:.3g}" for k, v in metrics.items()))


def synthesise_motion(options: TrainMotionAutoencoderOptions, body: Body) -> Iterator[Tensor]:
    """Yield the synthetic speaker's pose vectors (T, 106), one recording at a time."""
    for number in progress_bar(range(options.recordings), name="motion", unit="recording"):
        plan = RecordingPlan(number, options.seed, options.seconds, 0)
        sentences, voice = plan.sentences_and_voice()
        speech = synthesise(" ".join(sentences), **voice._asdict())
        yield animate_speaker(speech, seed=options.seed * 10_007 + number, body=body).pose_TP


def new_autoencoder(
    options: TrainMotionAutoencoderOptions, features: list[Tensor]
) -> MotionAutoencoder:
    """Return an untrained autoencoder that standardises these features."""
    sizes = {name: getattr(options, name) for name in ("frames", "width", "code", "depth")}
    model = MotionAutoencoder(features=gesture_distance.GESTURE_FEATURES, **sizes)
    features_TF = torch.cat(features)
    model.mean.copy_(features_TF.mean(0))
    model.spread.copy_(features_TF.std(0).clamp(min=MIN_SPREAD))
    return model


def train(
    model: MotionAutoencoder, features: list[Tensor], options: TrainMotionAutoencoderOptions
) -> None:
    """Train in place: AdamW, one cycle of the learning rate (Smith & Topin, 2019)."""
    lr, steps = options.lr, options.steps
    optimizer = torch.optim.AdamW(model.parameters(), lr, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=steps)
    features_TF, starts = torch.cat(features), window_starts(features, options.frames)
    window = torch.arange(options.frames)
    for _ in progress_bar(range(steps), name="training", unit="step"):
        begin = starts[torch.randint(len(starts), (options.batch_size, 1))]
        loss = gesture_distance.reconstruction_loss(model, features_TF[begin + window])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()


def window_starts(features: list[Tensor], frames: int) -> Tensor:
    """Return the first frames (N,) of windows in the concatenated recordings, none across two."""
    starts, begin = [], 0
    for features_TF in features:
        starts.append(begin + torch.arange(0, len(features_TF) - frames + 1, STRIDE))
        begin += len(features_TF)
    return torch.cat(starts)


def evaluate(model: MotionAutoencoder, held_out: list[Tensor], body: Body) -> dict[str, float]:
    """Return the loss on held-out motion, and its distances to itself and to noise."""
    distance = gesture_distance.GestureDistance(model, body.hands)
    features = [gesture_features(pose_TP, body.hands) for pose_TP in held_out]
    windows, frames = gesture_distance.sliding_windows, model.sizes["frames"]
    cut_NTF = torch.cat([windows(f_TF, frames=frames, stride=STRIDE) for f_TF in features])
    with torch.inference_mode():
        loss = gesture_distance.reconstruction_loss(model, cut_NTF).item()
    found = distance.compare(held_out, held_out)
    return {
        "held_out_loss": loss,
        "real_distance": found.real_distance,
        "noise_distance": found.noise_distance,
    }


if __name__ == "__main__":
    run_command(main)
