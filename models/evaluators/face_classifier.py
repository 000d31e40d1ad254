"""Face classifiers for evaluation: the speaker's identity and the emotion shown.

They are trained on real clips of the training split with another architecture, other images and
another seed than the teachers of `speech2face`, so that a generator cannot score by fitting its
teachers. Report their accuracy on held-out real clips next to every score.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speech2video.data.speech2face.clip import FaceRecording
from speech2video.models.checkpointing import load_weights, save_weights
from speech2video.models.optim import backward_and_step, cosine_decay, set_lr
from speech2video.util.errors import DataError
from speech2video.util.files import read_json, write_json

IMAGE_SIZE = 64  # pixels of the network's input
WIDTHS = (16, 40, 80, 160)  # channels of the blocks, at 32, 16, 8 and 4 pixels
POSITIONS = 16  # of the last feature map, 4 x 4
GROUPS = 8  # of the group norms
EMBEDDING = 64  # dimensions
FRAMES_PER_CLIP = 10  # training images of each clip, evenly spaced
STEPS, BATCH, LR, WEIGHT_DECAY = 1500, 24, 2e-3, 0.02
GRAD_CLIP = 5.0
WARM_UP = 100  # steps of linear learning-rate warm-up; without it some seeds never learn emotions
LABEL_SMOOTHING = 0.1
FRAME_STEP = 3  # every third frame of a video is classified
MAX_BATCH = 64  # images classified at once
# Augmentation: artefacts of generators that do not change the class.
SHIFT, SCALE, LIGHT, BLUR, NOISE = 0.02, 0.03, 0.10, 1.2, 0.02


@dataclass(frozen=True)
class Prediction:
    """The classification of a video.

    Attributes:
        label: the most probable class.
        features_TD: embeddings of the classified frames.
        embedding_D: their mean direction, of unit length.
        probabilities_C: of all classes, sum 1.
    """

    label: str
    features_TD: np.ndarray
    embedding_D: np.ndarray
    probabilities_C: np.ndarray


class FaceClassifier:
    """An image classifier averaged over the frames of a video.

    Attributes:
        classes: names of the classes.
    """

    def __init__(
        self, network: "ClassifierNetwork", classes: Sequence[str], device: torch.device | str
    ) -> None:
        self._network, self._device = network.to(device).eval(), device
        self.classes = tuple(classes)

    @torch.inference_mode()
    def predict(self, frames_T3HW: np.ndarray) -> Prediction:
        """Classify frames (T, 3, H, W) uint8 of any size; every `FRAME_STEP`th is used."""
        images = resize_frames(frames_T3HW[::FRAME_STEP])
        found = [self._network(batch.to(self._device)) for batch in images.split(MAX_BATCH)]
        embeddings_TD, logits_TC = (torch.cat(parts).cpu() for parts in zip(*found, strict=True))
        mean_D = F.normalize(F.normalize(embeddings_TD, dim=1).mean(0), dim=0)
        probabilities_C = logits_TC.log_softmax(1).mean(0).softmax(0)
        label = self.classes[int(probabilities_C.argmax())]
        return Prediction(label, embeddings_TD.numpy(), mean_D.numpy(), probabilities_C.numpy())


class ClassifierNetwork(nn.Module):
    """Pre-activation residual network (He et al., ECCV 2016) with group norms.

    The last feature map is flattened, not pooled, because faces are aligned.
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, WIDTHS[0], 5, stride=2, padding=2)
        pairs = zip((WIDTHS[0], *WIDTHS[:-1]), WIDTHS, strict=True)
        self.blocks = nn.ModuleList(_Block(*pair, halve=i > 0) for i, pair in enumerate(pairs))
        self.norm = nn.GroupNorm(GROUPS, WIDTHS[-1])
        self.embedding = nn.Linear(POSITIONS * WIDTHS[-1], EMBEDDING)
        self.classifier = nn.Linear(EMBEDDING, classes)

    def forward(self, images_N3SS: Tensor) -> tuple[Tensor, Tensor]:
        """Return embeddings (N, D) and logits (N, C) of images in 0..1."""
        features = self.stem(images_N3SS * 2 - 1)
        for block in self.blocks:
            features = block(features)
        embedding_ND = self.embedding(F.silu(self.norm(features)).flatten(1))
        return embedding_ND, self.classifier(F.silu(embedding_ND))


class _Block(nn.Module):
    def __init__(self, inputs: int, outputs: int, *, halve: bool) -> None:
        super().__init__()
        stride = 2 if halve else 1
        self.norms = nn.ModuleList((nn.GroupNorm(GROUPS, inputs), nn.GroupNorm(GROUPS, outputs)))
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        same = inputs == outputs and not halve
        self.skip = nn.Identity() if same else nn.Conv2d(inputs, outputs, 1, stride=stride)
        nn.init.zeros_(self.conv2.weight)  # each block starts as its skip connection

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(F.silu(self.norms[0](x)))
        return self.skip(x) + self.conv2(F.silu(self.norms[1](y)))


def load_or_train_classifier(
    folder: Path,
    clips: Sequence[FaceRecording],
    labels: Sequence[str],
    *,
    seed: int,
    steps: int = STEPS,
    device: torch.device | str = "cpu",
) -> FaceClassifier:
    """Load the classifier of these clips from a folder, or train it and save it there.

    Args:
        folder: contains classifier.json and classifier.safetensors.
        clips: real clips of the training split.
        labels: the class of each clip.
        seed: of weights, batches and augmentation.
        steps: training steps.
        device: for training and inference.

    Raises:
        DataError: fewer than two classes, or the folder is not writable.
    """
    classes = sorted(set(labels))
    if len(classes) < 2 or len(clips) != len(labels):
        raise DataError(f"{len(classes)} classes of {len(clips)} clips; a classifier needs two")
    images_N3SS = [_training_images(clip.frames_T3HW) for clip in clips]
    fingerprint = _fingerprint(clips, labels, images_N3SS)
    config = {"classes": classes, "seed": seed, "steps": steps, "clips": fingerprint}
    network = ClassifierNetwork(len(classes))
    json_path, weights = folder / "classifier.json", folder / "classifier.safetensors"
    saved = json_path.is_file() and weights.is_file()
    if saved and read_json(json_path, what="classifier") == config:
        load_weights(weights, network)
    else:
        numbers = [classes.index(label) for label in labels]
        labels_N = np.repeat(numbers, [len(images) for images in images_N3SS])
        images = torch.cat(images_N3SS)
        network = train_classifier(images, labels_N, seed=seed, steps=steps, device=device)
        save_weights(weights, network)
        write_json(json_path, config)  # last: it marks the classifier as complete
    return FaceClassifier(network, classes, device)


def train_classifier(
    images_N3SS: Tensor,
    labels_N: np.ndarray,
    *,
    seed: int,
    steps: int = STEPS,
    device: torch.device | str = "cpu",
) -> ClassifierNetwork:
    """Train a network on images (N, 3, 64, 64) in 0..1 and their classes 0 to C − 1.

    Batches are balanced over classes. The result depends on the seed only.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = ClassifierNetwork(int(labels_N.max()) + 1).to(device).train()
        optimizer = torch.optim.AdamW(network.parameters(), LR, weight_decay=WEIGHT_DECAY)
        for step, rows in enumerate(_balanced_batches(labels_N, seed, steps)):
            set_lr(optimizer, LR * (cosine_decay(step, steps) * min(1.0, (step + 1) / WARM_UP)))
            _, logits = network(augment_images(images_N3SS[rows]).to(device))
            targets = torch.from_numpy(labels_N[rows]).to(device)
            loss = F.cross_entropy(logits, targets, label_smoothing=LABEL_SMOOTHING)
            backward_and_step(optimizer, loss, grad_clip=GRAD_CLIP)
    return network


def augment_images(images_N3SS: Tensor) -> Tensor:
    """Return images randomly shifted, scaled, mirrored, blurred, relit and with noise."""
    count = len(images_N3SS)
    affine_N23 = torch.zeros(count, 2, 3)
    scale_N = 1 + SCALE * (2 * torch.rand(count) - 1)
    affine_N23[:, 0, 0] = scale_N * (1 - 2 * torch.randint(0, 2, (count,)))  # half are mirrored
    affine_N23[:, 1, 1] = scale_N
    affine_N23[:, :, 2] = 2 * SHIFT * (2 * torch.rand(count, 2) - 1)
    grid = F.affine_grid(affine_N23, list(images_N3SS.shape), align_corners=False)
    moved = F.grid_sample(images_N3SS, grid, padding_mode="border", align_corners=False)
    blurred = _gaussian_blur(moved, float(torch.rand(()) * BLUR))
    gain_N3, offset_N = 1 + LIGHT * torch.randn(count, 3, 1, 1) / 2, torch.randn(count, 1, 1, 1)
    relit = blurred * gain_N3 + LIGHT / 2 * offset_N
    return (relit + NOISE * torch.rand(()) * torch.randn(relit.shape)).clamp(0, 1)


def resize_frames(frames_N3HW: np.ndarray) -> Tensor:
    """Return frames uint8 as images (N, 3, `IMAGE_SIZE`, `IMAGE_SIZE`) in 0..1."""
    batches = torch.from_numpy(np.ascontiguousarray(frames_N3HW)).split(MAX_BATCH)
    size = (IMAGE_SIZE, IMAGE_SIZE)
    return torch.cat(
        [F.interpolate(b.float() / 255, size, mode="bilinear", antialias=True) for b in batches]
    )


def _training_images(frames_T3HW: np.ndarray) -> Tensor:
    last, count = len(frames_T3HW) - 1, min(FRAMES_PER_CLIP, len(frames_T3HW))
    return resize_frames(frames_T3HW[np.linspace(0, last, count).round().astype(int)])


def _balanced_batches(labels_N: np.ndarray, seed: int, steps: int) -> Iterator[np.ndarray]:
    """Yield the rows of each step's batch, classes drawn uniformly."""
    random = np.random.default_rng(seed)
    rows = [np.flatnonzero(labels_N == label) for label in np.unique(labels_N)]
    for _ in range(steps):
        classes = random.integers(len(rows), size=BATCH)
        yield np.array([random.choice(rows[label]) for label in classes])


def _gaussian_blur(images: Tensor, sigma: float) -> Tensor:
    """Return blurred images; unchanged for a sigma under a quarter pixel."""
    if sigma < 0.25:
        return images
    offsets = torch.arange(-4, 5).float()
    kernel = torch.exp(-offsets.square() / (2 * sigma**2))
    kernel = (kernel / kernel.sum()).expand(3, 1, 1, -1)
    padded = F.pad(images, (4, 4, 4, 4), mode="replicate")
    return F.conv2d(F.conv2d(padded, kernel, groups=3), kernel.transpose(2, 3), groups=3)


def _fingerprint(
    clips: Sequence[FaceRecording], labels: Sequence[str], images: Sequence[Tensor]
) -> str:
    """Return a hash of labelled clips."""
    digest = hashlib.sha256()
    for clip, label, shown in zip(clips, labels, images, strict=True):
        digest.update(f"{clip.name}\0{label}\0{float(shown.double().mean()):.6f}\n".encode())
    return digest.hexdigest()
