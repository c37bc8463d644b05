"""Where an encoder's levels are read when timm's own feature networks read them elsewhere.

Shapes: B batch, C channels, H W the image's size, h w a level's.
"""

from typing import Any

import timm
from timm.models import FeatureInfo
from timm.models.swin_transformer import SwinTransformerStage
from timm.models.swin_transformer_v2 import SwinTransformerV2Stage
from torch import Tensor, nn

# timm's modules of plain transformers: tokens of one size from the first block to the last.
_PLAIN = ("vision_transformer", "eva", "deit", "beit")
_NUM_TAPS = 4


class TokenLevels(nn.Module):
    """Four evenly spread blocks of a plain transformer, the last block among them, as maps of one size.

    Each passes the final norm, as DINOv2's own intermediate layers do: tokens before it differ in scale by orders of
    magnitude from block to block. Class and register tokens are left out. Models that timm builds for average pooling
    keep that norm under ``fc_norm``. The classifier and any attention pooling are dropped.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self._norm = "fc_norm" if isinstance(model.norm, nn.Identity) else "norm"
        model.reset_classifier(0, "")
        self.model = model
        blocks = len(model.feature_info)
        taps = min(_NUM_TAPS, blocks)
        self.taps = [(tap + 1) * blocks // taps - 1 for tap in range(taps)]
        self.feature_info = FeatureInfo(model.feature_info, tuple(self.taps))

    def forward(self, x_BCHW: Tensor) -> list[Tensor]:
        """Normalised images -> maps ``(B, C, h, w)``, shallow to deep."""
        raw = self.model.forward_intermediates(x_BCHW, indices=self.taps, intermediates_only=True)
        norm = getattr(self.model, self._norm)
        return [norm(level_BChw.permute(0, 2, 3, 1)).permute(0, 3, 1, 2) for level_BChw in raw]


def is_plain(name: str) -> bool:
    """Whether timm's ``name`` is a plain transformer, one that ``TokenLevels`` reads."""
    return bool(timm.models.is_model_in_modules(name.split(".")[0], _PLAIN))


def has_merging(body: nn.Module) -> bool:
    """Whether the feature network is a Swin: stages that begin by merging patches, but for the first."""
    return any(isinstance(module, SwinTransformerStage | SwinTransformerV2Stage) for module in body.children())


def merged_levels(body: nn.Module, x_BCHW: Tensor) -> list[Tensor]:
    """The outputs ``(B, h, w, C)`` of a Swin's three patch mergings and of its last stage, without the final norm.

    What PIM and HERBS read: their Swin merges at the end of a stage, timm's at the start of the next (PIM section 2).
    """
    levels = []
    x = x_BCHW
    for module in body.children():
        if not isinstance(module, SwinTransformerStage | SwinTransformerV2Stage):
            x = module(x)
            continue
        x = module.downsample(x)
        if not isinstance(module.downsample, nn.Identity):
            levels.append(x)
        for block in module.blocks:
            x = block(x)
    return [*levels, x]


def shift(of_stages: tuple[int, ...]) -> tuple[int, ...]:
    """A Swin's channels or reductions by stage -> those of its merged levels."""
    return (*of_stages[1:], of_stages[-1])
