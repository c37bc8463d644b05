"""Build optimisers and learning rate schedules from a TrainConfig."""

import math

import torch
from torch import nn

from .parameter_groups import LR_SCALE, parameter_groups
from .trial_config import TrainConfig

# One-cycle policy: first and last learning rate as fractions of the highest and of the first.
_START_DIVISOR = 25.0
_FINAL_DIVISOR = 1e4
# PIM's schedule: the first rate of the warm-up, and the limit of the cosine.
_WARMUP_START, _COSINE_END = 1e-9, 1e-12
# A warm-up of thousands of batches would not end on a small data set.
_MAX_WARMUP_SHARE = 0.1


def build_optimizer(module: nn.Module, config: TrainConfig, device: torch.device) -> torch.optim.Optimizer:
    """Build the optimiser of a module's trainable parameters, in the order of their groups."""
    groups = parameter_groups(module, config)
    fused = device.type in ("cpu", "cuda")
    if config.optimizer == "sgd":
        return torch.optim.SGD(groups, config.lr, momentum=config.momentum, nesterov=config.nesterov, fused=fused)
    return torch.optim.AdamW(groups, config.lr, fused=fused)


def learning_rate(step: int, *, steps_per_epoch: int, config: TrainConfig) -> float:
    """Return the learning rate of a batch, counted from 0 over the whole fit.

    It depends on the arguments alone. ``cosine`` is lr (1 + cos(pi e / epochs)) / 2 with e the
    epoch, from 0 (MGANet, section 4.4). ``onecycle`` rises from lr / 25 to lr over ``warmup`` of
    the steps and falls to lr / 250000 at the last, both by cosine. ``warmcosine`` rises linearly
    from 1e-9 to lr over ``warmup_steps`` batches, but over at most a tenth of all. It then falls by
    a cosine over the length of the whole fit, so that it does not end at zero (PIM section 8, HERBS
    section 6).
    """
    if config.schedule == "constant":
        return config.lr
    if config.schedule == "cosine":
        return _cosine(config.lr, 0.0, (step // steps_per_epoch) / config.epochs)
    if config.schedule == "warmcosine":
        return _warm_cosine(step, steps_per_epoch * config.epochs, config)
    last = steps_per_epoch * config.epochs - 1
    peak = max(config.warmup * (last + 1) - 1, 0.0)
    first = config.lr / _START_DIVISOR
    if step < peak:
        return _cosine(first, config.lr, step / peak)
    return _cosine(config.lr, first / _FINAL_DIVISOR, (step - peak) / max(last - peak, 1.0))


def _warm_cosine(step: int, total: int, config: TrainConfig) -> float:
    warmup = min(config.warmup_steps, int(_MAX_WARMUP_SHARE * total))
    if step < warmup:
        return _WARMUP_START + (config.lr - _WARMUP_START) * step / max(warmup - 1, 1)
    return _cosine(config.lr, _COSINE_END, (step - warmup) / total)


def group_size(step: int, *, steps: int, accumulate: int) -> int:
    """Return the number of batches in the optimiser step that batch ``step`` belongs to.

    It is ``accumulate``, or the rest of the epoch's ``steps`` in the last step (HERBS section 6).
    """
    return min(accumulate, steps - step // accumulate * accumulate)


def set_learning_rate(optimizer: torch.optim.Optimizer, value: float) -> None:
    """Set the learning rate of every parameter group to ``value`` times the group's factor."""
    for group in optimizer.param_groups:
        group["lr"] = value * group[LR_SCALE]


def precision_dtype(config: TrainConfig, device: torch.device) -> torch.dtype | None:
    """Return the type that autocast computes in; None is fp32.

    It is bf16 if the config asks for it, or with ``auto`` on a GPU that supports it.
    """
    has_bf16 = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    if config.precision == "bf16" or (config.precision == "auto" and has_bf16):
        return torch.bfloat16
    return None


def seed_epoch(seed: int, epoch: int) -> None:
    """Seed torch's generator from the seed and the epoch alone."""
    # A large odd multiplier keeps (seed, epoch) pairs from colliding.
    torch.manual_seed((seed * 0x9E3779B97F4A7C15 + epoch) % 2**63)


def _cosine(start: float, end: float, share: float) -> float:
    """Return the cosine annealing from ``start`` (share 0) to ``end`` (share 1)."""
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2
