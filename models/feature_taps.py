"""Feature levels at other places than timm's own feature networks read them.

Shapes: B batch, C channels, H W the image's size, h w a level's.
"""

from typing import Any

import timm
from timm.models import FeatureInfo
from timm.models.swin_transformer import SwinTransformerStage
from timm.models.swin_transformer_v2 import SwinTransformerV2Stage
from torch import Tensor, nn

# timm's modules of plain transformers, whose tokens keep one size from first to last block.
_PLAIN = ("vision_transformer", "eva", "deit", "beit")
_NUM_TAPS = 4


class TokenLevels(nn.Module):
    """Four evenly spaced blocks of a plain transformer, ending with the last, as maps of one size.

    Each passes through the final norm, as DINOv2's own intermediate layers do: before the norm,
    tokens differ in scale by orders of magnitude between blocks. Class and register tokens are left
    out. Models that timm builds for average pooling keep that norm under ``fc_norm``. The
    classifier and any attention pooling are removed.
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
        """Return the maps ``(B, C, h, w)`` of normalised images, shallow to deep."""
        raw = self.model.forward_intermediates(x_BCHW, indices=self.taps, intermediates_only=True)
        norm = getattr(self.model, self._norm)
        return [norm(level_BChw.permute(0, 2, 3, 1)).permute(0, 3, 1, 2) for level_BChw in raw]


def is_plain_transformer(name: str) -> bool:
    """Return whether timm's ``name`` is a plain transformer, which needs ``TokenLevels``."""
    return bool(timm.models.is_model_in_modules(name.split(".")[0], _PLAIN))


def has_patch_merging(body: nn.Module) -> bool:
    """Return whether the network is a Swin, whose stages but the first begin by merging patches."""
    return any(isinstance(module, SwinTransformerStage | SwinTransformerV2Stage) for module in body.children())


def merged_levels(body: nn.Module, x_BCHW: Tensor) -> list[Tensor]:
    """Return the outputs ``(B, h, w, C)`` of a Swin's three patch mergings and of its last stage.

    PIM and HERBS read these, without the final norm: their Swin merges at the end of a stage,
    timm's at the start of the next (PIM section 2).
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


def shift_to_merged(per_stage: tuple[int, ...]) -> tuple[int, ...]:
    """Turn a Swin's channels or reductions per stage into those of its merged levels."""
    return (*per_stage[1:], per_stage[-1])
