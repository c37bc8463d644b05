"""Settings of a training that only some tasks know."""

from collections.abc import Mapping
from typing import Any

from ..errors import UsageError
from .kinds import Task
from .trial_config import TrainConfig

_FROZEN_HEAD = "is for the head, which the training of a decoder freezes"
_BOTH = "is for a training that learns labels and masks at once"
_MIXED = "mixes images, and mixed images have no mask for the decoder"
_START = "mixes the weights with the first ones, and a decoder's first ones are random"

# Of each task the fields that it does not have: the values that change nothing, and the reason.
_Fields = Mapping[str, tuple[tuple[Any, ...], str]]
_JOINT: _Fields = {"mask_loss_weight": ((1.0,), _BOTH), "decoder_lr": ((1.0,), _BOTH)}
_FIELDS: Mapping[Task, _Fields] = {
    "classify": _JOINT,
    "segment": {
        "mixup": ((0.0,), _FROZEN_HEAD),
        "cutmix": ((0.0,), _FROZEN_HEAD),
        "balance": (("none", "sampler"), _FROZEN_HEAD),
        "head_start": (("random", "auto"), _FROZEN_HEAD),
        "wise_ft": ((False, "auto"), _FROZEN_HEAD),
        **_JOINT,
    },
    "multitask": {
        "mixup": ((0.0,), _MIXED),
        "cutmix": ((0.0,), _MIXED),
        "wise_ft": ((False, "auto"), _START),
    },
}


def check_task_fields(config: TrainConfig, task: Task) -> None:
    """Raise UsageError for a setting that a training for this task does not have."""
    for name, (allowed, reason) in _FIELDS[task].items():
        value = getattr(config, name)
        if value not in allowed:
            raise UsageError(f"train.{name}={value} {reason}: set train.{name}={allowed[0]}")
