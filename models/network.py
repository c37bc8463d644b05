"""One encoder pass, two answers: the label and the mask.

Shapes: B batch, N classes, C the last level's channels, H W the image's size, h w the last level's.
"""

from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .encoder import Encoder
from .gate import SpatialGate


class NetworkOutput(NamedTuple):
    """What a network says about a batch; None where it has no gate or no decoder, or where none was asked for."""

    logits_BN: Tensor
    attention_B1hw: Tensor | None
    mask_logits_B1HW: Tensor | None
    features_BC: Tensor


class MultitaskNetwork(nn.Module):
    """Encoder -> gate -> pooled features -> head, and encoder -> decoder (MGANet, XMNet, MNSA).

    The features are the global average of the gated last level (after ReLU where the encoder ends before it); the
    decoder reads the encoder's levels without this gate. With ``full_size`` mask logits are resized to the image,
    else they have the size of the first level.
    """

    def __init__(
        self, encoder: Encoder, gate: SpatialGate, decoder: nn.Module | None, *, num_classes: int, full_size: bool
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.gate = gate
        self.head = nn.Linear(encoder.out_channels[-1], num_classes)
        self.decoder = decoder
        self.full_size = full_size
        self._base_frozen = False

    def forward(self, x_BCHW: Tensor, segment: bool = True) -> NetworkOutput:
        """Normalised images ``(B, 3, H, W)`` -> logits; ``segment`` False skips the decoder."""
        with self._base_context():
            levels = self.encoder(x_BCHW)
            logits_BN, attention_B1hw, features_BC = self.classify(levels[-1])
        mask_logits_B1HW = None
        if segment and self.decoder is not None:
            mask_logits_B1HW = self.decoder(levels)
            if self.full_size:
                # Half-pixel centres, as the resizing of images and masks has them.
                mask_logits_B1HW = F.interpolate(mask_logits_B1HW, x_BCHW.shape[-2:], mode="bilinear")
        return NetworkOutput(logits_BN, attention_B1hw, mask_logits_B1HW, features_BC)

    def classify(self, level_BChw: Tensor) -> tuple[Tensor, Tensor | None, Tensor]:
        """The encoder's last level -> logits ``(B, N)``, attention (None without a gate), features ``(B, C)``."""
        blended_BChw, attention_B1hw = self.gate(level_BChw)
        if self.encoder.final_relu:
            blended_BChw = F.relu(blended_BChw)
        features_BC = blended_BChw.mean(dim=(2, 3))
        return self.head(features_BC), attention_B1hw, features_BC

    def freeze_base(self) -> None:
        """Fix encoder, gate and head for good: no gradients, no graph, and eval mode whatever ``train`` says."""
        self._base_frozen = True
        for part in self._base():
            part.requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        """Switch to training mode, except for a frozen base."""
        super().train(mode)
        if self._base_frozen:
            for part in self._base():
                part.eval()
        return self

    def _base(self) -> tuple[nn.Module, ...]:
        return self.encoder, self.gate, self.head

    def _base_context(self) -> AbstractContextManager[None]:
        return torch.no_grad() if self._base_frozen else nullcontext()
