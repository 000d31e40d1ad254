"""Training of the phonetic network: one step, and the validation on held-out voices."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from speech2video.data.phonetic import PhoneticCopy
from speech2video.models.base_model import BaseModel
from speech2video.models.optim import Precision, cosine_decay
from speech2video.util.audio.phonetic import DELAY, NETWORK, PhoneticNetwork
from speech2video.util.training_log import TrainingLog

WARM_UP = 100  # steps
WEIGHT_DECAY = 0.01


@dataclass(frozen=True)
class PhoneticConfig:
    """How a `PhoneticModel` is trained; see `TrainingConfig` of audio2pose."""

    lr: float
    steps: int | None = None
    ema: float | None = 0.998
    precision: str = "fp32"
    grad_clip: float | None = 1.0


class PhoneticModel(BaseModel):
    """The phonetic network and its cross entropy."""

    def __init__(
        self,
        network: PhoneticNetwork,
        *,
        config: PhoneticConfig,
        device: torch.device | str = "cpu",
    ) -> None:
        super().__init__(device=device, grad_clip=config.grad_clip)
        self.precision = Precision(config.precision)
        self.add_network(NETWORK, network, ema_decay=config.ema)
        optimizer = self.precision.optimizer(
            network.parameters(),
            lambda p: torch.optim.AdamW(p, lr=config.lr, weight_decay=WEIGHT_DECAY),
        )

        def rate(step: int) -> float:
            return config.lr * min(1, (step + 1) / WARM_UP) * cosine_decay(step, config.steps)

        self.add_optimizer(NETWORK, optimizer, rate)

    def training_step(self, batch: Mapping[str, Tensor]) -> dict[str, float | Tensor]:
        """Do one step on a batch of `PhoneticDataset`; return its losses."""
        with self.precision.autocast(self.device):
            logits_NTC, _ = self.net(NETWORK)(batch["states"], batch["bands"])
        log_NTC = logits_NTC[:, DELAY:].float().log_softmax(-1)
        loss_NT = -(batch["shares"] * log_NTC).sum(-1)
        loss = (loss_NT * batch["weight"]).sum() / batch["weight"].sum().clamp(min=1)
        self.backward_and_step(NETWORK, loss)
        return {"loss": loss}

    def validate(self, batches: Iterable[PhoneticCopy], log: TrainingLog) -> dict[str, float]:
        """Return the cross entropy and the share of right steps, of speech and of silence."""
        network, totals = self.networks[NETWORK], torch.zeros(5, dtype=torch.float64)
        for copy in batches:
            inputs = (copy.inputs.states_NS, copy.inputs.bands_NB)
            logits_1NC, _ = network(
                *(torch.from_numpy(a).float()[None].to(self.device) for a in inputs)
            )
            log_NC = logits_1NC[0, DELAY:].log_softmax(-1).cpu()
            shares_NC = torch.from_numpy(copy.shares_NC).float()
            right_N = log_NC.argmax(-1) == shares_NC.argmax(-1)
            speech_N = shares_NC.argmax(-1) > 0
            totals += torch.stack(
                [
                    -(shares_NC * log_NC).sum(),
                    (right_N & speech_N).sum(),
                    speech_N.sum(),
                    (right_N & ~speech_N).sum(),
                    (~speech_N).sum(),
                ]
            ).double()
        loss, right, speech, shut, silent = totals.tolist()
        return {
            "loss": loss / max(speech + silent, 1),
            "phones_right": right / max(speech, 1),
            "silence_right": shut / max(silent, 1),
        }
