"""Losses with named parts.

Shapes: B batch, N classes, K maps of mask logits (1, or one for the background and for each mask
class), C structures, H W the image's size, h w the size of the gate or of the mask logits.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..data.dataset import Batch
from ..models.gate import mask_target
from ..models.mask_logits import mask_probabilities, mask_shares, resize_shares
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


def task_loss(
    output: NetworkOutput,
    batch: Batch,
    config: TrainConfig,
    *,
    task: Task,
    epoch: int,
    class_weight_N: Tensor | None = None,
) -> Loss:
    """Return the loss of one task on one batch of epoch ``epoch``, counted from 0.

    That of ``multitask`` is the joint loss of both others.
    """
    if task == "multitask":
        label = task_loss(output, batch, config, task="classify", epoch=epoch, class_weight_N=class_weight_N)
        return joint_loss(label, segment_loss(output, batch, config), config)
    if task == "classify":
        return classify_loss(output, batch, config, epoch=epoch, class_weight_N=class_weight_N)
    return segment_loss(output, batch, config)


def joint_loss(label: Loss, mask: Loss, config: TrainConfig) -> Loss:
    """Return the label's loss plus ``mask_loss_weight`` times the mask's."""
    return Loss(label.total + config.mask_loss_weight * mask.total, label.parts | mask.parts)


def classify_loss(
    output: NetworkOutput,
    batch: Batch,
    config: TrainConfig,
    *,
    epoch: int = 0,
    class_weight_N: Tensor | None = None,
) -> Loss:
    """Return label cross-entropy plus ``mask_weight`` x the gate's MSE to the mask (MGANet, 4.2).

    Labels are classes ``(B,)``, or probabilities ``(B, N)`` of mixed images. ``class_weight_N``
    weighs the cross-entropy of each image by its class; the mean is over images, so that chunks of
    a batch add up to the batch.
    With a plug-in module, its losses, weighted by ``config.plugin``, replace the cross-entropy. The
    MSE covers only images with a mask that is not empty; it is zero without such images or without
    a gate.
    """
    if output.plugin is None:
        logits_BN = output.logits_BN.float()
        smoothing = config.label_smoothing
        ce_B = F.cross_entropy(logits_BN, batch.label_B, class_weight_N, reduction="none", label_smoothing=smoothing)
        parts = {"ce": ce_B.mean()}
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
    """Return the loss of the mask: cross-entropy plus ``dice_weight`` times soft Dice.

    The cross-entropy, part ``bce``, is binary for one structure; for several mask classes it is
    that of the softmax over background and classes. The target is the resized mask; only images
    with a mask count. Under deep supervision the cross-entropy has weight ``side_weights[0]``, and
    the side outputs follow, shallow to deep. The target of each is that of the output before it,
    resized: repeatedly halved (XMNet, section 5.4). Side outputs beyond the weights have weight
    zero. Without side outputs the cross-entropy has weight 1.

    Raises ValueError for an output without mask logits: the network has no decoder.
    """
    if output.mask_logits_B1HW is None:
        raise ValueError("the network has no decoder, so there are no mask logits to train")
    logits_BKhw = output.mask_logits_B1HW.float()
    maps = logits_BKhw.shape[1]
    target_BKhw = resize_shares(mask_shares(batch.mask_B1HW, maps), logits_BKhw)
    entropy = mask_entropy(logits_BKhw, target_BKhw, batch.has_mask_B)
    parts, total = {"bce": entropy}, entropy
    if output.side_logits:
        sides = side_losses(output.side_logits, target_BKhw, batch.has_mask_B)
        parts |= {f"side{level}": side for level, side in enumerate(sides, start=2)}
        weighted = zip(config.side_weights, (entropy, *sides), strict=False)
        total = torch.stack([weight * part for weight, part in weighted]).sum()
    if config.dice_weight > 0:
        parts["dice"] = soft_dice_loss(logits_BKhw, target_BKhw, batch.has_mask_B)
        total = total + config.dice_weight * parts["dice"]
    return Loss(total, parts)


def side_losses(side_logits: Sequence[Tensor], target_BKhw: Tensor, has_mask_B: Tensor) -> list[Tensor]:
    """Return the cross-entropy of every side output.

    The target of each is that of the output before it, resized.
    """
    losses = []
    for logits_BKhw in side_logits:
        target_BKhw = resize_shares(target_BKhw, logits_BKhw)
        losses.append(mask_entropy(logits_BKhw.float(), target_BKhw, has_mask_B))
    return losses


def mask_entropy(logits_BKhw: Tensor, target_BKhw: Tensor, has_mask_B: Tensor) -> Tensor:
    """Return the cross-entropy over all pixels of the images with a mask; zero if none has."""
    return _mean_where(pixel_entropy(logits_BKhw, target_BKhw).mean(dim=(1, 2, 3)), has_mask_B)


def pixel_entropy(logits_BKhw: Tensor, target_BKhw: Tensor) -> Tensor:
    """Return the cross-entropy of each pixel ``(B, 1, h, w)``: binary for one map, else softmax."""
    if logits_BKhw.shape[1] == 1:
        return F.binary_cross_entropy_with_logits(logits_BKhw, target_BKhw, reduction="none")
    return F.cross_entropy(logits_BKhw, target_BKhw, reduction="none")[:, None]


def soft_dice_loss(logits_BKhw: Tensor, target_BKhw: Tensor, has_mask_B: Tensor) -> Tensor:
    """Return 1 - 2 sum(p t) / (sum p + sum t) over the images with a mask, smoothed by a pixel.

    With several classes it is the mean over them; the background is none.
    """
    valid_B111 = has_mask_B.to(logits_BKhw.dtype)[:, None, None, None]
    structures = slice(0 if logits_BKhw.shape[1] == 1 else 1, None)
    probability_BChw = mask_probabilities(logits_BKhw)[:, structures] * valid_B111
    target_BChw = target_BKhw[:, structures] * valid_B111
    dims = (0, 2, 3)
    overlap_C = 2 * (probability_BChw * target_BChw).sum(dims) + _DICE_SMOOTHING
    return (1 - overlap_C / (probability_BChw.sum(dims) + target_BChw.sum(dims) + _DICE_SMOOTHING)).mean()


def _mean_where(value_B: Tensor, valid_B: Tensor) -> Tensor:
    valid_B = valid_B.to(value_B.dtype)
    return (value_B * valid_B).sum() / valid_B.sum().clamp(min=1)
