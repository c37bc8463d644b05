"""Losses of the plug-in module (PIM section 7, HERBS section 4).

Shapes: B batch, N classes, S positions of a level, K selected ones.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import UsageError
from ..models.plugin import PluginOutput
from .trial_config import PluginLossConfig, TrainConfig

# The target of every logit of a dropped position after tanh: "no class".
_NO_CLASS = -1.0
# Keeps the division finite if a schedule halves the temperature without end; HERBS ends at 0.5.
_MIN_TEMPERATURE = 2.0**-20


def plugin_losses(output: PluginOutput, label_B: Tensor, config: TrainConfig, *, epoch: int) -> dict[str, Tensor]:
    """Return the unweighted parts, each summed over the levels, by their names in PluginLossConfig.

    Parts of weight zero are left out, and so is the refinement without a second pyramid.
    ``label_smoothing`` applies to all cross-entropies. All parts are computed in float32,
    independent of the network's precision.
    """
    losses = config.plugin
    smoothing = config.label_smoothing
    parts: dict[str, Callable[[], Tensor]] = {
        "stage": lambda: stage_loss(output.level_logits, label_B, label_smoothing=smoothing),
        "selected": lambda: selected_loss(output.kept_logits, label_B, label_smoothing=smoothing),
        "dropped": lambda: dropped_loss(output.dropped_logits),
        "combined": lambda: F.cross_entropy(output.combined_BN.float(), label_B, label_smoothing=smoothing),
    }
    if output.first_logits:
        parts["refine"] = lambda: refine_loss(output, losses, epoch=epoch)
    return {name: part() for name, part in parts.items() if getattr(losses, name) > 0}


def weighted_total(parts: Mapping[str, Tensor], config: PluginLossConfig) -> Tensor:
    """Return the weighted sum of the parts.

    Raises UsageError if no part has a weight, because then nothing can be learnt.
    """
    if not parts:
        raise UsageError("no loss in train.plugin has a weight: give one, such as train.plugin.combined=1")
    return _total(getattr(config, name) * value for name, value in parts.items())


def temperature(epoch: int, config: PluginLossConfig) -> float:
    """Return the refinement's temperature in an epoch counted from 0.

    It is T * 0.5 ** floor(e / decade) (HERBS section 5), but never zero.
    """
    return max(config.temperature * 0.5 ** (epoch // config.temperature_epochs), _MIN_TEMPERATURE)


def stage_loss(level_logits: Sequence[Tensor], label_B: Tensor, *, label_smoothing: float = 0.0) -> Tensor:
    """Return the sum over levels of the cross-entropy of the mean logits.

    The logits are ``(B, S, N)``; the mean is over positions.
    """
    return _total(
        F.cross_entropy(logits_BSN.float().mean(dim=1), label_B, label_smoothing=label_smoothing)
        for logits_BSN in level_logits
    )


def selected_loss(kept_logits: Sequence[Tensor], label_B: Tensor, *, label_smoothing: float = 0.0) -> Tensor:
    """Return the sum over levels of the mean cross-entropy of the selected positions ``(B, K, N)``.

    Every position has the label of its image.
    """
    return _total(
        F.cross_entropy(
            logits_BKN.float().flatten(0, 1),
            label_B[:, None].expand(-1, logits_BKN.shape[1]).flatten(),
            label_smoothing=label_smoothing,
        )
        for logits_BKN in kept_logits
    )


def dropped_loss(dropped_logits: Sequence[Tensor]) -> Tensor:
    """Return the sum over levels of the mean of (tanh(logits) + 1)^2.

    The mean covers images, positions and all classes, the true one too. A level that keeps all its
    positions adds zero.
    """
    errors = [
        (logits_BSN.float().tanh() - _NO_CLASS).square().mean() for logits_BSN in dropped_logits if logits_BSN.numel()
    ]
    return _total(errors) if errors else dropped_logits[0].new_zeros((), dtype=torch.float32)


def refine_loss(output: PluginOutput, config: PluginLossConfig, *, epoch: int) -> Tensor:
    """Return the sum over levels of the divergence of the first heads from the second heads.

    Per position it is sum_c t (log t - log s), with t the softmax of the second heads' logits over
    the epoch's temperature T, without gradient, and s that of the first heads. ``elements`` takes
    the mean over images, positions and classes, as in HERBS section 4; ``positions`` takes the mean
    over images and positions, the true divergence. ``refine_scaled`` multiplies by T^2.
    """
    divisor = temperature(epoch, config)
    scale = divisor**2 if config.refine_scaled else 1.0
    return scale * _total(
        _divergence(teacher_BSN.detach().float() / divisor, student_BSN.float() / divisor, mean=config.refine_mean)
        for teacher_BSN, student_BSN in zip(output.level_logits, output.first_logits, strict=True)
    )


def _divergence(teacher_BSN: Tensor, student_BSN: Tensor, *, mean: str) -> Tensor:
    teacher_BSN, student_BSN = teacher_BSN.log_softmax(dim=2), student_BSN.log_softmax(dim=2)
    summed = F.kl_div(student_BSN, teacher_BSN, reduction="sum", log_target=True)
    images, positions, classes = student_BSN.shape
    return summed / (images * positions * (classes if mean == "elements" else 1))


def _total(values: Iterable[Tensor]) -> Tensor:
    return torch.stack(list(values)).sum()
