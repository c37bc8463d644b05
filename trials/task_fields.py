"""Settings of a training that only one task knows."""

from ..errors import UsageError
from .kinds import Task
from .trial_config import TrainConfig

# The value of each field that changes nothing; others need a trained head.
_CLASSIFY_ONLY = {
    "mixup": (0.0,),
    "cutmix": (0.0,),
    "balance": ("none", "sampler"),
    "head_start": ("random", "auto"),
    "wise_ft": (False, "auto"),
}


def check_task_fields(config: TrainConfig, task: Task) -> None:
    """Raise UsageError for a setting of the head in a training that freezes it."""
    if task == "classify":
        return
    for name, allowed in _CLASSIFY_ONLY.items():
        value = getattr(config, name)
        if value not in allowed:
            raise UsageError(
                f"train.{name}={value} is for the head, which the training of a decoder freezes:"
                f" set train.{name}={allowed[0]}"
            )
