"""Losses with named parts.

Shapes: B batch, N classes, H W the image's size, h w the size of the gate or of the mask logits.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..data.dataset import Batch
from ..models.gate import mask_target
from ..models.network import NetworkOutput
from .kinds import Task
from .plugin_losses import plugin_losses, weighted_total
from .trial_config import TrainConfig

# One pixel's worth: keeps the Dice ratio defined, at 1, when mask and prediction are both empty.
_DICE_SMOOTHING = 1.0


@dataclass(frozen=True)
class Loss:
    """The minimised total and its unweighted parts by name."""

    total: Tensor
    parts: dict[str, Tensor]


def task_loss(output: NetworkOutput, batch: Batch, config: TrainConfig, *, task: Task, epoch: int) -> Loss:
    """Return the loss of one task on one batch of epoch ``epoch``, counted from 0."""
    if task == "classify":
        return classify_loss(output, batch, config, epoch=epoch)
    return segment_loss(output, batch, config)


def classify_loss(output: NetworkOutput, batch: Batch, config: TrainConfig, *, epoch: int = 0) -> Loss:
    """Return label cross-entropy plus ``mask_weight`` x the gate's MSE to the mask (MGANet, 4.2).

    With a plug-in module, its losses, weighted by ``config.plugin``, replace the cross-entropy. The
    MSE covers only images with a mask that is not empty; it is zero without such images or without
    a gate.
    """
    if output.plugin is None:
        logits_BN = output.logits_BN.float()
        parts = {"ce": F.cross_entropy(logits_BN, batch.label_B, label_smoothing=config.label_smoothing)}
        total = parts["ce"]
    else:
        parts = plugin_losses(output.plugin, batch.label_B, config, epoch=epoch)
        total = weighted_total(parts, config.plugin)
    if config.mask_weight > 0 and output.attention_B1hw is not None:
        parts["gate"] = gate_loss(output.attention_B1hw.float(), batch.mask_B1HW, batch.has_mask_B)
        total = total + config.mask_weight * parts["gate"]
    return Loss(total, parts)


def gate_loss(attention_B1hw: Tensor, mask_B1HW: Tensor, has_mask_B: Tensor) -> Tensor:
    """Return the mean squared error of the attention to its target over images that have one.

    It is zero if no image has one.
    """
    height, width = attention_B1hw.shape[-2:]
    target_B1hw, valid_B = mask_target(mask_B1HW, (height, width))
    error_B = (attention_B1hw - target_B1hw).square().mean(dim=(1, 2, 3))
    return _mean_where(error_B, valid_B & has_mask_B)


def segment_loss(output: NetworkOutput, batch: Batch, config: TrainConfig) -> Loss:
    """Return the loss of the mask: binary cross-entropy plus ``dice_weight`` times soft Dice.

    The target is the resized mask; only images with a mask count. Under deep supervision the
    cross-entropy has weight ``side_weights[0]``, and the side outputs follow, shallow to deep. The
    target of each is that of the output before it, resized: repeatedly halved (XMNet, section 5.4).
    Side outputs beyond the weights have weight zero. Without side outputs the cross-entropy has
    weight 1.

    Raises ValueError for an output without mask logits: the network has no decoder.
    """
    if output.mask_logits_B1HW is None:
        raise ValueError("the network has no decoder, so there are no mask logits to train")
    logits_B1hw = output.mask_logits_B1HW.float()
    target_B1hw = soft_mask(batch.mask_B1HW, logits_B1hw)
    parts = {"bce": mask_bce(logits_B1hw, target_B1hw, batch.has_mask_B)}
    total = parts["bce"]
    if output.side_logits:
        sides = side_losses(output.side_logits, target_B1hw, batch.has_mask_B)
        parts |= {f"side{level}": side for level, side in enumerate(sides, start=2)}
        weighted = zip(config.side_weights, (parts["bce"], *sides), strict=False)
        total = torch.stack([weight * part for weight, part in weighted]).sum()
    if config.dice_weight > 0:
        parts["dice"] = soft_dice_loss(logits_B1hw, target_B1hw, batch.has_mask_B)
        total = total + config.dice_weight * parts["dice"]
    return Loss(total, parts)


def side_losses(side_logits: Sequence[Tensor], target_B1hw: Tensor, has_mask_B: Tensor) -> list[Tensor]:
    """Return the binary cross-entropy of every side output.

    The target of each is that of the output before it, resized.
    """
    losses = []
    for logits_B1hw in side_logits:
        target_B1hw = soft_mask(target_B1hw, logits_B1hw)
        losses.append(mask_bce(logits_B1hw.float(), target_B1hw, has_mask_B))
    return losses


def soft_mask(mask_B1HW: Tensor, logits_B1hw: Tensor) -> Tensor:
    """Resize the {0, 1} mask to the logits' size, bilinearly with half-pixel centres.

    At half the size this is the mean of 2 x 2 pixels, hence soft targets (XMNet and MNSA, section
    3.4).
    """
    return F.interpolate(mask_B1HW, logits_B1hw.shape[-2:], mode="bilinear", align_corners=False)


def mask_bce(logits_B1hw: Tensor, target_B1hw: Tensor, has_mask_B: Tensor) -> Tensor:
    """Return binary cross-entropy over all pixels of the images with a mask; zero if none has."""
    per_pixel_B1hw = F.binary_cross_entropy_with_logits(logits_B1hw, target_B1hw, reduction="none")
    return _mean_where(per_pixel_B1hw.mean(dim=(1, 2, 3)), has_mask_B)


def soft_dice_loss(logits_B1hw: Tensor, target_B1hw: Tensor, has_mask_B: Tensor) -> Tensor:
    """Return 1 - 2 sum(p t) / (sum p + sum t) over the images with a mask, smoothed by a pixel."""
    valid_B111 = has_mask_B.to(logits_B1hw.dtype)[:, None, None, None]
    probability_B1hw = torch.sigmoid(logits_B1hw) * valid_B111
    target_B1hw = target_B1hw * valid_B111
    overlap = 2 * (probability_B1hw * target_B1hw).sum() + _DICE_SMOOTHING
    return 1 - overlap / (probability_B1hw.sum() + target_B1hw.sum() + _DICE_SMOOTHING)


def _mean_where(value_B: Tensor, valid_B: Tensor) -> Tensor:
    valid_B = valid_B.to(value_B.dtype)
    return (value_B * valid_B).sum() / valid_B.sum().clamp(min=1)
