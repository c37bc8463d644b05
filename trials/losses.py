"""Losses with named parts.

Shapes: B batch, N classes, H W the image's size, h w the gate's or the mask logits' size.
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

# Keeps the Dice ratio defined when mask and prediction are both empty (then it is 1); one pixel's worth.
_DICE_SMOOTHING = 1.0


@dataclass(frozen=True)
class Loss:
    """What is minimised, and the unweighted parts it is made of, by name."""

    total: Tensor
    parts: dict[str, Tensor]


def task_loss(output: NetworkOutput, batch: Batch, config: TrainConfig, *, task: Task, epoch: int) -> Loss:
    """The loss of one task on one batch of epoch ``epoch``, counted from 0."""
    if task == "classify":
        return classify_loss(output, batch, config, epoch=epoch)
    return segment_loss(output, batch, config)


def classify_loss(output: NetworkOutput, batch: Batch, config: TrainConfig, *, epoch: int = 0) -> Loss:
    """Cross-entropy of the labels plus ``mask_weight`` times the gate's MSE to the mask (MGANet section 4.2).

    With a plug-in module its own losses, weighted by ``config.plugin``, stand for the cross-entropy. The MSE counts
    only images that have a mask with something in it; without any, or without a gate, it is zero.
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
    """Mean squared error of the attention to its target over the images that have one; zero if none has."""
    height, width = attention_B1hw.shape[-2:]
    target_B1hw, valid_B = mask_target(mask_B1HW, (height, width))
    error_B = (attention_B1hw - target_B1hw).square().mean(dim=(1, 2, 3))
    return _mean_where(error_B, valid_B & has_mask_B)


def segment_loss(output: NetworkOutput, batch: Batch, config: TrainConfig) -> Loss:
    """Binary cross-entropy with the resized mask plus ``dice_weight`` times soft Dice, over images with a mask.

    Under deep supervision the cross-entropy weighs ``side_weights[0]`` and those of the side outputs follow, shallow to
    deep, each with the mask resized from one output to the next: repeatedly halved (XMNet section 5.4). Side outputs
    beyond the weights weigh nothing. Without side outputs the cross-entropy weighs 1.

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
    """The binary cross-entropy of every side output, whose target is the one before it, resized."""
    losses = []
    for logits_B1hw in side_logits:
        target_B1hw = soft_mask(target_B1hw, logits_B1hw)
        losses.append(mask_bce(logits_B1hw.float(), target_B1hw, has_mask_B))
    return losses


def soft_mask(mask_B1HW: Tensor, logits_B1hw: Tensor) -> Tensor:
    """The {0, 1} mask at the logits' size, bilinear with half-pixel centres.

    At half the size that is the mean of 2 x 2 pixels, hence soft targets (XMNet and MNSA, section 3.4).
    """
    return F.interpolate(mask_B1HW, logits_B1hw.shape[-2:], mode="bilinear", align_corners=False)


def mask_bce(logits_B1hw: Tensor, target_B1hw: Tensor, has_mask_B: Tensor) -> Tensor:
    """Binary cross-entropy over all pixels of the images that have a mask; zero if none has."""
    per_pixel_B1hw = F.binary_cross_entropy_with_logits(logits_B1hw, target_B1hw, reduction="none")
    return _mean_where(per_pixel_B1hw.mean(dim=(1, 2, 3)), has_mask_B)


def soft_dice_loss(logits_B1hw: Tensor, target_B1hw: Tensor, has_mask_B: Tensor) -> Tensor:
    """1 - 2 sum(p t) / (sum p + sum t) over all pixels of the batch's images with a mask, smoothed by one pixel."""
    kept_B111 = has_mask_B.to(logits_B1hw.dtype)[:, None, None, None]
    probability_B1hw = torch.sigmoid(logits_B1hw) * kept_B111
    target_B1hw = target_B1hw * kept_B111
    overlap = 2 * (probability_B1hw * target_B1hw).sum() + _DICE_SMOOTHING
    return 1 - overlap / (probability_B1hw.sum() + target_B1hw.sum() + _DICE_SMOOTHING)


def _mean_where(value_B: Tensor, kept_B: Tensor) -> Tensor:
    kept_B = kept_B.to(value_B.dtype)
    return (value_B * kept_B).sum() / kept_B.sum().clamp(min=1)
