"""The multitask network: one encoder pass predicts the label and the mask.

Shapes: B batch, N classes, C the last level's channels, H W the image's size, h w the last level's.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .encoder import Encoder
from .gate import SpatialGate
from .plugin import PluginModule, PluginOutput
from .run_decoder import run_decoder


class Classification(NamedTuple):
    """Output of the classification path; ``plugin`` is None without a plug-in module."""

    logits_BN: Tensor
    attention_B1hw: Tensor | None
    features_BC: Tensor
    plugin: PluginOutput | None


class NetworkOutput(NamedTuple):
    """A network's output for a batch; None for parts that it lacks or that were not requested.

    ``side_logits`` are the deeper outputs of a decoder under deep supervision, shallow to deep, in
    training only.
    """

    logits_BN: Tensor
    attention_B1hw: Tensor | None
    mask_logits_B1HW: Tensor | None
    features_BC: Tensor
    plugin: PluginOutput | None = None
    side_logits: tuple[Tensor, ...] = ()


class MultitaskNetwork(nn.Module):
    """Encoder -> gate -> pooled features -> head, and encoder -> decoder (MGANet, XMNet, MNSA).

    The features are the global average of the gated last level, after a ReLU if the encoder ends
    before its own. The decoder reads the encoder's levels without this gate. With ``full_size``
    mask logits are resized to the image; otherwise they have the size of the first level.

    With a ``plugin`` (PIM, HERBS) there is no head. The module reads the levels, the last one
    gated. The logits are the logarithm of the mean of its heads' probabilities, so that their
    softmax is that mean.

    ``mask_classes`` names the classes of a mask of several; see ``mask_logits``.
    """

    def __init__(
        self,
        encoder: Encoder,
        gate: SpatialGate,
        decoder: nn.Module | None,
        *,
        num_classes: int,
        full_size: bool,
        plugin: PluginModule | None = None,
        mask_classes: tuple[str, ...] = (),
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.gate = gate
        self.head = nn.Linear(encoder.out_channels[-1], num_classes) if plugin is None else None
        self.plugin = plugin
        self.decoder = decoder
        self.num_classes = num_classes
        self.full_size = full_size
        self.mask_classes = mask_classes
        self._base_frozen = False

    def forward(self, x_BCHW: Tensor, segment: bool = True) -> NetworkOutput:
        """Predict from normalised images ``(B, C, H, W)``; without ``segment``, no mask."""
        with self._base_context():
            levels = self.encoder(x_BCHW)
            answer = self.classify(levels)
        masks: list[Tensor] = []
        if segment and self.decoder is not None:
            masks = run_decoder(self.decoder, levels, x_BCHW)
            if self.full_size:
                # Half-pixel centres, as in every resize of images and masks.
                masks[0] = F.interpolate(masks[0], x_BCHW.shape[-2:], mode="bilinear")
        return NetworkOutput(
            answer.logits_BN,
            answer.attention_B1hw,
            masks[0] if masks else None,
            answer.features_BC,
            plugin=answer.plugin,
            side_logits=tuple(masks[1:]),
        )

    def classify(self, levels: Sequence[Tensor]) -> Classification:
        """Return logits ``(B, N)``, attention and features ``(B, C)`` from the encoder's levels."""
        blended_BChw, attention_B1hw = self.gate(levels[-1])
        if self.encoder.final_relu:
            blended_BChw = F.relu(blended_BChw)
        if self.plugin is not None:
            output: PluginOutput = self.plugin([*levels[:-1], blended_BChw])
            return Classification(output.log_probability_BN, attention_B1hw, output.features_BD, output)
        assert self.head is not None
        features_BC = blended_BChw.mean(dim=(2, 3))
        return Classification(self.head(features_BC), attention_B1hw, features_BC, None)

    def freeze_base(self) -> None:
        """Freeze all but the decoder permanently: no gradients, no graph, and always eval mode."""
        self._base_frozen = True
        for part in self._base():
            part.requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        """Set the mode of all parts but a frozen base."""
        super().train(mode)
        if self._base_frozen:
            for part in self._base():
                part.eval()
        return self

    def _base(self) -> tuple[nn.Module, ...]:
        parts = (self.encoder, self.gate, self.head, self.plugin)
        return tuple(part for part in parts if part is not None)

    def _base_context(self) -> AbstractContextManager[None]:
        return torch.no_grad() if self._base_frozen else nullcontext()
