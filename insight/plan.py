"""Estimate the cost of a study from a few steps."""

import functools
import math
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import torch

from ..errors import UserError
from ..models.build import build_network
from ..models.cost import Cost, cost
from ..models.network_config import NetworkConfig
from ..search.handle import StudyHandle
from ..search.oneshot import EXTRA_TRAININGS
from ..spaces.cost_bounds import extreme_config
from ..spaces.fields import get_field
from ..storage.attributes import MIGRATED_FROM, PLAN
from ..studies.base import base_study, recorded_config
from ..studies.context import StudyContext
from ..trials.auto_fields import resolve_auto
from ..trials.errors import TrialFailed, is_out_of_memory
from ..trials.trial_config import TrialConfig
from .price import Price, measure

_MIB = 1 << 20
_SAME_COST = 0.01  # relative difference below which two costs count as equal


def plan_study(context: StudyContext) -> dict[str, Any]:
    """Measure trial 0 and the cheapest and the costliest config of the space; store the plan.

    A point has its parameters, trainable parameters, MACs per image, memory in MiB, seconds per
    epoch, hours per trial, and hours of all trials if all cost as much. Hours count every epoch:
    pruning is ignored. With folds a trial has a training for each. If trial 0 is a supernet, they
    include its extra time over one training of the widest decoder. If the base study has not ended,
    its config is used instead of its best trial. A point that does not fit on the device has no
    seconds. Raises UserError for a booster study, whose trials have no epochs.
    """
    spec = context.spec
    if not spec.kind.facts.has_epochs:
        raise UserError(
            f"`{context.handle.study.study_name}` is a {spec.kind} study: its trials have no epochs and take seconds"
            " once the features are extracted; `study plan` estimates studies whose trials train a network."
        )
    trials = _trials_to_run(context.handle)
    points = [_point(context, names, config, trials) for names, config in _points(context)]
    if spec.search == "oneshot":
        _add_supernet(points)
    plan = {
        "planned": datetime.now(UTC).isoformat(timespec="seconds"),
        "device": _device_name(context.device),
        "threads": torch.get_num_threads(),
        "processes": context.processes,
        "trials": trials,
        "hours": points[0]["hours"],
        "points": points,
    }
    PLAN.set(context.handle.study, plan)
    return plan


def _trials_to_run(handle: StudyHandle) -> int | None:
    """Return the budget minus the trials copied from another study; None without a budget."""
    if handle.spec.trials is None:
        return None
    copied = sum(MIGRATED_FROM.get(trial) is not None for trial in handle.study.get_trials(deepcopy=False))
    return handle.spec.trials - copied


def _points(context: StudyContext) -> Iterator[tuple[list[str], TrialConfig]]:
    """Yield the configs to measure with their names.

    Configs of almost equal cost are measured once.
    """
    spec, first = context.spec, _with_base(context)
    expense = _expense(functools.cache(cost), context.num_classes)
    found: list[tuple[list[str], TrialConfig]] = [(["trial 0"], first)]
    for name, highest in (("cheapest", False), ("costliest", True)):
        config = extreme_config(spec.space, first, expense, highest=highest)
        same = [names for names, known in found if _same_cost(expense(known), expense(config))]
        if same:
            same[0].append(name)
        else:
            found.append(([name], config))
    yield from found


def _same_cost(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return all(math.isclose(*pair, rel_tol=_SAME_COST) for pair in zip(one, other, strict=True))


def _with_base(context: StudyContext) -> TrialConfig:
    if context.spec.base is None:
        return context.spec.config
    base = recorded_config(context.base) if context.ready else base_study(context.handle).spec.config
    return context.spec.on_base(base)


def _expense(cost: Callable[[NetworkConfig], Cost], num_classes: int) -> Callable[[TrialConfig], tuple[float, ...]]:
    """Return MACs over all epochs of a trial, then figures of memory to break ties."""

    def expense(config: TrialConfig) -> tuple[float, ...]:
        known = cost(config.network(num_classes))
        return known.macs * config.train.epochs, known.trainable, known.parameters, config.train.batch_size

    return expense


def _point(context: StudyContext, names: list[str], config: TrialConfig, trials: int | None) -> dict[str, Any]:
    joint = context.spec.kind.facts.task == "multitask"
    known, price = cost(config.network(context.num_classes), joint=joint), _price(context, config)
    seconds = price.epoch_seconds if price else None
    networks = max(1, context.spec.folds)
    hours = None if seconds is None else seconds * config.train.epochs * networks / 3600
    base = context.spec.config
    searched = [dimension.name for dimension in context.spec.space.dimensions]
    return {
        "point": ", ".join(names),
        "parameters": known.parameters,
        "trained": known.trainable,
        "macs": known.macs,
        "memory_mib": price.memory_bytes / _MIB if price else None,
        "memory": ("measured" if price.memory_measured else "estimated") if price else "out of memory",
        "epochs": config.train.epochs,
        "seconds_an_epoch": seconds,
        "hours_a_trial": hours,
        "hours": None if hours is None or trials is None else hours * trials,
        "differs": {
            name: get_field(config, name) for name in searched if get_field(config, name) != get_field(base, name)
        },
    }


def _add_supernet(points: list[dict[str, Any]]) -> None:
    """Add the extra time of trial 0, the first of ``points``, which trains a supernet."""
    alone = points[0]["hours_a_trial"]
    for point in points:
        if alone is not None and point["hours"] is not None:
            point["hours"] += EXTRA_TRAININGS * alone


def _price(context: StudyContext, config: TrialConfig) -> Price | None:
    """Return the price of an epoch, or None if memory runs out.

    The network has random weights: they cost as much as trained ones.
    """
    task = context.spec.kind.facts.task
    assert task is not None
    config = resolve_auto(config)
    loaders = context.fold_loaders(0) if context.spec.folds else context.loaders
    train, val = (loaders.make(config, split).dataset for split in ("train", "val"))
    given: dict[str, Any] = {"task": task, "device": context.device, "processes": context.processes}
    try:
        network = build_network(config.with_random_encoder().network(context.num_classes))
        return measure(network, train, val, context.manifest.classes, config.train, **given)
    except TrialFailed as failure:
        if failure.cause != "oom":
            raise
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
    return None


def _device_name(device: torch.device) -> str:
    return f"{device} {torch.cuda.get_device_name(device)}" if device.type == "cuda" else str(device)
