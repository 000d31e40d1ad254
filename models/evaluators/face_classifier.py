"""Judges of faces for measuring: who it is, and which emotion it shows.

They are no part of any talking face: trained on the training split's real clips, with another
architecture, other pictures and another seed than the teachers of `speech2face`, so that a
generator which has learned to please its teachers does not please them too. A judge is only as
good as its score on real clips that it was not trained on, which belongs beside every figure.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speech2video.models.checkpointing import load_weights, save_weights
from speech2video.models.optim import backward_and_step, cosine_decay, set_lr
from speech2video.util.errors import DataError
from speech2video.util.files import atomic_write, read_json

IMAGE_SIZE = 64  # pixels of the pictures that a judge sees
WIDTHS = (16, 40, 80, 160)  # channels of the features, from 32 down to 4 pixels a side
PLACES = 16  # of the last ones
GROUPS = 8  # of the norms
EMBEDDING = 64  # numbers that a face is told by
PER_CLIP = 10  # pictures of each clip trained on, evenly apart
STEPS, BATCH, RATE, WEIGHT_DECAY = 1500, 24, 2e-3, 0.02
CLIP = 5.0  # largest norm of a gradient
WARM_UP = 100  # steps over which the rate rises: some seeds never learn emotions without
SMOOTHING = 0.1  # of the labels
LOOK_STEP = 3  # frames from one to the next that is looked at
LOOK_BATCH = 64  # pictures looked at at once
# What generated pictures may be off by, without being of somebody else: it is trained on.
SHIFT, SCALE, LIGHT, BLUR, NOISE = 0.02, 0.03, 0.10, 1.2, 0.02


class LabelledVideo(Protocol):
    """A recording of a face: `data.face_recording.FaceRecording` is one."""

    name: str
    frames_T3HW: np.ndarray


@dataclass(frozen=True)
class Prediction:
    """What a judge says of a video.

    Attributes:
        features_TD: what each frame looked at is told by.
        embedding_D: their mean direction, of length 1.
        shares_C: how sure it is of each class, adding up to 1.
    """

    features_TD: np.ndarray
    embedding_D: np.ndarray
    shares_C: np.ndarray


class FaceClassifier:
    """A picture classifier, asked for all frames of a video together.

    Attributes:
        classes: their names.
    """

    def __init__(
        self,
        network: "ClassifierNetwork",
        classes: Sequence[str],
        *,
        device: torch.device | str = "cpu",
    ) -> None:
        self._network, self._device = network.to(device).eval(), device
        self.classes = tuple(classes)

    @torch.inference_mode()
    def look(self, frames_T3HW: np.ndarray) -> Prediction:
        """Return the mean opinion of every third of frames uint8, of any size, at least one."""
        pictures = resize_frames(frames_T3HW[::LOOK_STEP])
        found = [self._network(batch.to(self._device)) for batch in pictures.split(LOOK_BATCH)]
        embeddings_TD, logits_TC = (torch.cat(parts).cpu() for parts in zip(*found, strict=True))
        mean_D = F.normalize(F.normalize(embeddings_TD, dim=1).mean(0), dim=0)
        shares_C = logits_TC.log_softmax(1).mean(0).softmax(0)
        return Prediction(embeddings_TD.numpy(), mean_D.numpy(), shares_C.numpy())

    def says(self, opinion: Prediction) -> str:
        """Return the class that an opinion is surest of."""
        return self.classes[int(opinion.shares_C.argmax())]


class ClassifierNetwork(nn.Module):
    """Residual blocks with group norms, then all places by themselves: faces are aligned.

    Pre-activation residual blocks after He et al. (ECCV 2016).
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, WIDTHS[0], 5, stride=2, padding=2)
        pairs = zip((WIDTHS[0], *WIDTHS[:-1]), WIDTHS, strict=True)
        self.blocks = nn.ModuleList(_Block(*pair, halve=i > 0) for i, pair in enumerate(pairs))
        self.norm = nn.GroupNorm(GROUPS, WIDTHS[-1])
        self.embed = nn.Linear(PLACES * WIDTHS[-1], EMBEDDING)
        self.classify = nn.Linear(EMBEDDING, classes)

    def forward(self, pictures_N3SS: Tensor) -> tuple[Tensor, Tensor]:
        """Return embeddings (N, D) and logits (N, C) of pictures in 0..1."""
        features = self.stem(pictures_N3SS * 2 - 1)
        for block in self.blocks:
            features = block(features)
        embedding_ND = self.embed(F.silu(self.norm(features)).flatten(1))
        return embedding_ND, self.classify(F.silu(embedding_ND))


class _Block(nn.Module):
    def __init__(self, inputs: int, outputs: int, *, halve: bool) -> None:
        super().__init__()
        stride = 2 if halve else 1
        self.norms = nn.ModuleList((nn.GroupNorm(GROUPS, inputs), nn.GroupNorm(GROUPS, outputs)))
        self.first = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1)
        same = inputs == outputs and not halve
        self.past = nn.Identity() if same else nn.Conv2d(inputs, outputs, 1, stride=stride)
        nn.init.zeros_(self.second.weight)  # each block begins as none

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(F.silu(self.norms[0](x)))
        return self.past(x) + self.second(F.silu(self.norms[1](y)))


def load_or_train_classifier(
    folder: Path,
    recordings: Sequence[LabelledVideo],
    labels: Sequence[str],
    *,
    seed: int,
    steps: int = STEPS,
    device: torch.device | str = "cpu",
) -> FaceClassifier:
    """Return the judge that a folder keeps, trained and kept now if it has none of these clips.

    Args:
        folder: for judge.json and judge.safetensors.
        recordings: real clips of the training split.
        labels: the class of each.
        seed: draws weights, order and what is done to the pictures.
        steps: of training.

    Raises:
        DataError: fewer than two classes, or the folder takes no files.
    """
    classes = sorted(set(labels))
    if len(classes) < 2 or len(recordings) != len(labels):
        raise DataError(f"{len(classes)} classes of {len(recordings)} clips; a judge needs two")
    numbers = [classes.index(label) for label in labels]
    pictures_N3SS = [_spread(recording.frames_T3HW) for recording in recordings]
    about = {
        "classes": classes,
        "seed": seed,
        "steps": steps,
        "clips": _fingerprint(recordings, labels, pictures_N3SS),
    }
    network = ClassifierNetwork(len(classes))
    json_path, weights = folder / "judge.json", folder / "judge.safetensors"
    if json_path.is_file() and weights.is_file() and read_json(json_path, what="judge") == about:
        load_weights(weights, network)
    else:
        labels_N = np.repeat(numbers, [len(p) for p in pictures_N3SS])
        network = train_classifier(
            torch.cat(pictures_N3SS), labels_N, seed=seed, steps=steps, device=device
        )
        save_weights(weights, network)
        with atomic_write(json_path) as partial:  # last: without it there is no judge
            partial.write_text(json.dumps(about, indent=2, ensure_ascii=False) + "\n", "utf-8")
    return FaceClassifier(network, classes, device=device)


def train_classifier(
    pictures_N3SS: Tensor,
    labels_N: np.ndarray,
    *,
    seed: int,
    steps: int = STEPS,
    device: torch.device | str = "cpu",
) -> ClassifierNetwork:
    """Return a network that tells the classes 0 to C − 1 of pictures (N, 3, 64, 64) in 0..1.

    Every class is seen equally often. The same seed gives the same network.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = ClassifierNetwork(int(labels_N.max()) + 1).to(device).train()
        optimizer = torch.optim.AdamW(network.parameters(), RATE, weight_decay=WEIGHT_DECAY)
        for step, rows in enumerate(_balanced(labels_N, seed, steps)):
            share = cosine_decay(step, steps) * min(1.0, (step + 1) / WARM_UP)
            set_lr(optimizer, RATE * share)
            _, logits = network(augment_images(pictures_N3SS[rows]).to(device))
            wanted = torch.from_numpy(labels_N[rows]).to(device)
            loss = F.cross_entropy(logits, wanted, label_smoothing=SMOOTHING)
            backward_and_step(optimizer, loss, grad_clip=CLIP)
    return network


def augment_images(pictures_N3SS: Tensor) -> Tensor:
    """Return pictures as a generator might show them: moved, mirrored, soft, noisy, lit anew."""
    count = len(pictures_N3SS)
    turn_N23 = torch.zeros(count, 2, 3)
    scale_N = 1 + SCALE * (2 * torch.rand(count) - 1)
    turn_N23[:, 0, 0] = scale_N * (1 - 2 * torch.randint(0, 2, (count,)))  # half are mirrored
    turn_N23[:, 1, 1] = scale_N
    turn_N23[:, :, 2] = 2 * SHIFT * (2 * torch.rand(count, 2) - 1)
    grid = F.affine_grid(turn_N23, list(pictures_N3SS.shape), align_corners=False)
    moved = F.grid_sample(pictures_N3SS, grid, padding_mode="border", align_corners=False)
    soft = _blurred(moved, float(torch.rand(()) * BLUR))
    light_N3, dark_N = 1 + LIGHT * torch.randn(count, 3, 1, 1) / 2, torch.randn(count, 1, 1, 1)
    noisy = soft * light_N3 + LIGHT / 2 * dark_N
    return (noisy + NOISE * torch.rand(()) * torch.randn(noisy.shape)).clamp(0, 1)


def resize_frames(frames_N3HW: np.ndarray) -> Tensor:
    """Return frames uint8 as pictures (N, 3, `IMAGE_SIZE`, `IMAGE_SIZE`) in 0..1."""
    found = []
    for begin in range(0, len(frames_N3HW), LOOK_BATCH):
        batch = np.ascontiguousarray(frames_N3HW[begin : begin + LOOK_BATCH])
        pictures = torch.from_numpy(batch).float() / 255
        size = (IMAGE_SIZE, IMAGE_SIZE)
        found.append(F.interpolate(pictures, size, mode="bilinear", antialias=True))
    return torch.cat(found)


def _spread(frames_T3HW: np.ndarray) -> Tensor:
    count = min(PER_CLIP, len(frames_T3HW))
    return resize_frames(
        frames_T3HW[np.linspace(0, len(frames_T3HW) - 1, count).round().astype(int)]
    )


def _balanced(labels_N: np.ndarray, seed: int, steps: int) -> Iterator[np.ndarray]:
    """Yield the rows of each step's batch, classes drawn evenly."""
    chance = np.random.default_rng(seed)
    rows = [np.flatnonzero(labels_N == label) for label in np.unique(labels_N)]
    for _ in range(steps):
        chosen = chance.integers(len(rows), size=BATCH)
        yield np.array([chance.choice(rows[label]) for label in chosen])


def _blurred(pictures: Tensor, sigma: float) -> Tensor:
    """Return pictures under a Gaussian of σ pixels; as they are under a quarter."""
    if sigma < 0.25:
        return pictures
    reach = torch.arange(-4, 5).float()
    kernel = torch.exp(-reach.square() / (2 * sigma**2))
    kernel = (kernel / kernel.sum()).expand(3, 1, 1, -1)
    wide = F.pad(pictures, (4, 4, 4, 4), mode="replicate")
    return F.conv2d(F.conv2d(wide, kernel, groups=3), kernel.transpose(2, 3), groups=3)


def _fingerprint(
    recordings: Sequence[LabelledVideo], labels: Sequence[str], pictures: Sequence[Tensor]
) -> str:
    """Return what tells one set of labelled clips from another."""
    digest = hashlib.sha256()
    for recording, label, shown in zip(recordings, labels, pictures, strict=True):
        digest.update(f"{recording.name}\0{label}\0{float(shown.double().mean()):.6f}\n".encode())
    return digest.hexdigest()
