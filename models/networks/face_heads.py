"""What reads a voice's codes while students learn, and is not needed in use."""

from torch import Tensor, nn

from speech2video.models.networks.face_encoders import CONTENT, EMOTIONS, IDENTITY

HIDDEN = 128


class Heads(nn.Module):
    """What reads codes in training only: lips out of content, and what ought not to be in them."""

    def __init__(self, *, speakers: int, lips: int) -> None:
        super().__init__()
        self.heads = nn.ModuleDict(
            {
                "lips": nn.Linear(CONTENT, lips),
                "speaker_in_emotion": _head(EMOTIONS, speakers),
                "emotion_in_identity": _head(IDENTITY, EMOTIONS),
                "speaker_in_content": _head(CONTENT, speakers),
            }
        )

    def forward(self, codes: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return what each of the named heads reads."""
        return {name: self.heads[name](code) for name, code in codes.items()}


def _head(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, outputs))
