"""Measure whether a study's space can be told from noise: a few points of it, each trained with a few seeds."""

import hashlib
import logging
import math
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
import optuna

from ..data.config import DataConfig
from ..data.dataset import LeafDataset, Loader, make_loader
from ..errors import UsageError, UserError
from ..models.cost import cost
from ..spaces.space import Space
from ..trials.config import TrialConfig
from ..trials.errors import TrialFailed
from ..trials.evaluate import evaluate
from ..trials.fields import set_fields
from ..trials.losses import Task
from ..trials.recalibrate import recalibrate
from ..trials.train import fit
from ..trials.variance import analyse
from .bases import recorded_config
from .bench import Bench
from .specs import BASE_PARTS
from .verdict import Point, Verdict

log = logging.getLogger(__name__)

SIGNAL = "signal"  # the study's user attr with the last verdict
RESULT = "venation:signal:"  # what the user attrs with the single results begin with
DRAWS = 50  # draws for each point before a space counts as exhausted


class SignalCheck:
    """Points of a study's space, each trained with the same seeds; every result is kept with the study at once.

    The first point is trial 0's config; the others are drawn at random from the study's seed, without repeats. A check
    that was interrupted, or one with more points or seeds than the last, uses the results that are there. All points of
    a seed see the images in the same order. A training runs for ``epochs``, schedule and all: by default a quarter of
    the study's.

    Raises UsageError for a booster study, a space without dimensions, and fewer than 3 points or 2 seeds; UserError for
    a study whose base has trials left to run.
    """

    def __init__(self, bench: Bench, *, points: int = 10, seeds: int = 3, epochs: int | None = None) -> None:
        spec, name = bench.spec, bench.handle.study.study_name
        # The length is the check's own.
        self.space = spec.space.without({"train.epochs"})
        if spec.kind == "booster":
            raise UsageError(f"`{name}` is a booster study, whose trials take seconds: search it without this check.")
        if not self.space.dimensions:
            raise UsageError(f"study `{name}` searches nothing that could be checked; create one with a `--space`.")
        if points < 3 or seeds < 2:
            raise UsageError(f"points={points}, seeds={seeds}: a check takes at least 3 points and 2 seeds.")
        if not bench.ready:
            raise UserError(f"study `{name}` waits for its base; start `venation worker {spec.base} --until-idle`.")
        self.bench = bench
        full = spec.config.train.epochs
        self.epochs = epochs or min(full, max(2, math.ceil(full / 4)))
        self._seeds = [spec.trial_seed(number) for number in range(seeds)]
        self._wanted = points
        self._task: Task = "segment" if spec.kind == "decoder" else "classify"
        self._datasets: dict[DataConfig, LeafDataset] = {}

    @cached_property
    def points(self) -> list[Point]:
        """The points, trial 0's first: fewer than asked for where the space has no more, UsageError below 3."""
        spec = self.bench.spec
        config = set_fields(spec.config, {"train.epochs": self.epochs})
        configs = draw_configs(self.space, config, self._wanted, seed=spec.seed)
        if len(configs) < 3:
            raise UsageError(f"the space has {len(configs)} points, and a check takes at least 3: search it as it is.")
        points = []
        for number, drawn in enumerate(configs):
            params = self.space.point(drawn)
            if spec.base is not None:
                base = recorded_config(self.bench.base)
                drawn = drawn.model_copy(update={part: getattr(base, part) for part in BASE_PARTS})
            points.append(Point(number, drawn, params, cost(drawn.network(self.bench.num_classes))))
        return points

    def run(self) -> Verdict:
        """Train what is not trained yet, and judge.

        A point whose training fails with any seed is left out, and the verdict says why. Raises UserError if fewer than
        3 points remain.
        """
        results = {(p.number, s): self._result(p, seed) for s, seed in enumerate(self._seeds) for p in self.points}
        causes = {number: str(result["cause"]) for (number, _), result in results.items() if "cause" in result}
        kept = [point for point in self.points if point.number not in causes]
        if len(kept) < 3:
            raise UserError(f"{len(causes)} of {len(self.points)} points cannot be trained: {min(causes.values())}.")
        values_PS = np.array([[results[p.number, s]["value"] for s in range(len(self._seeds))] for p in kept])
        spec = self.bench.spec
        verdict = Verdict(
            analyse(values_PS),
            tuple(kept),
            values_PS,
            causes,
            objective=spec.objective,
            direction=spec.direction,
            trials=max(2, spec.trials or len(kept)),
            epochs=self.epochs,
            full_epochs=spec.config.train.epochs,
        )
        self.bench.handle.study.set_user_attr(SIGNAL, verdict.record())
        return verdict

    def _result(self, point: Point, seed: int) -> Mapping[str, Any]:
        """``value``, or the ``cause`` of a failure: from the study if it is there, else by training."""
        config = set_fields(point.config, {"train.seed": seed})
        study = self.bench.handle.study
        key = RESULT + hashlib.sha256(config.model_dump_json().encode()).hexdigest()[:24]
        known: Mapping[str, Any] | None = study.user_attrs.get(key)
        if known is None:
            try:
                known = {"value": self._value(config)}
            except TrialFailed as failure:
                known = {"cause": f"{failure.cause}: {failure}"}
            study.set_user_attr(key, known)
            log.info("study %s: point %d seed %d: %s", study.study_name, point.number, seed, known)
        return known

    def _value(self, config: TrialConfig) -> float:
        bench, objective = self.bench, self.bench.spec.objective
        network = bench.network(config)
        train, val = bench.loader(config, "train"), bench.loader(config, "val")
        for _ in fit(network, train, val, config.train, task=self._task, device=bench.device, monitor=objective):
            pass
        recalibrate(network, self._plain(config), device=bench.device, task=self._task)
        return evaluate(network, val, device=bench.device, task=self._task)[objective]

    def _plain(self, config: TrialConfig) -> Loader:
        """The training part without random changes, in a fixed order."""
        if config.data not in self._datasets:
            items = self.bench.manifest.part("train")
            # One view at a time, as at the bench.
            self._datasets = {config.data: LeafDataset(items, self.bench.manifest.classes, config.data, train=False)}
        return make_loader(
            self._datasets[config.data], batch_size=config.train.batch_size, train=False, seed=config.train.seed
        )


def draw_configs(space: Space, config: TrialConfig, count: int, *, seed: int) -> list[TrialConfig]:
    """``config`` and up to ``count - 1`` other points of the space around it, in an order that ``seed`` fixes."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    configs = [config]
    for _ in range(DRAWS * count):
        if len(configs) == count:
            break
        drawn = space.suggest(study.ask(), config)
        if drawn not in configs:
            configs.append(drawn)
    return configs
