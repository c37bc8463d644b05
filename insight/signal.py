"""Test whether the configs of a space differ by more than the noise of a few seeds."""

import hashlib
import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from ..data.data_config import DataConfig
from ..data.dataset import LeafDataset
from ..data.loader import Loader, make_loader
from ..errors import UsageError, UserError
from ..models.cost import Cost, cost
from ..search.constraints import complaints
from ..spaces.fields import set_fields
from ..spaces.random_points import DRAWS_PER_POINT, iter_random_configs
from ..storage.attributes import SIGNAL, SIGNAL_RESULT
from ..studies.base import recorded_config
from ..studies.context import StudyContext
from ..trials.auto_fields import resolve_auto
from ..trials.errors import TrialFailed
from ..trials.evaluate import evaluate
from ..trials.kinds import Task
from ..trials.recalibrate import recalibrate
from ..trials.train import fit
from ..trials.trial_config import TrialConfig
from ..workers.costs import MEASURED, trial_costs
from .variance import analyse
from .verdict import Point, Verdict

log = logging.getLogger(__name__)


class SignalCheck:
    """A test that trains points of a study's space with the same seeds and stores every result.

    The first point is the study's config if the space includes it. The others are sampled at random
    by the study's seed, without repeats and without points that break a constraint of the study. An
    interrupted check, or one with more points or seeds than the last, reuses the stored results.
    All trainings with one seed read the images in the same order. A training and its schedule last
    ``epochs`` epochs, by default a quarter of the study's.

    Raises UsageError for a booster study, a space without dimensions, and fewer than 3 points or 2
    seeds; UserError for a study whose base has trials left to run.
    """

    def __init__(self, context: StudyContext, *, points: int = 10, seeds: int = 3, epochs: int | None = None) -> None:
        spec, name = context.spec, context.handle.study.study_name
        # The check sets the number of epochs itself.
        self.space = spec.space.without({"train.epochs"})
        if spec.kind.facts.task is None:
            raise UsageError(f"`{name}` is a {spec.kind} study, whose trials take seconds: search it without a check.")
        if not self.space.dimensions:
            raise UsageError(f"study `{name}` has an empty search space; create one with a `--space`.")
        if points < 3 or seeds < 2:
            raise UsageError(f"points={points}, seeds={seeds}: a check needs at least 3 points and 2 seeds.")
        if not context.ready:
            raise UserError(f"study `{name}` waits for its base; start `venation worker {spec.base} --until-idle`.")
        self.context = context
        full = spec.config.train.epochs
        self.epochs = epochs or min(full, max(2, math.ceil(full / 4)))
        self._seeds = [spec.trial_seed(number) for number in range(seeds)]
        self._wanted = points
        self._task: Task = spec.kind.facts.task
        self._datasets: dict[DataConfig, LeafDataset] = {}

    @property
    def points(self) -> list[Point]:
        """Return the points, trial 0's config first.

        A small space has fewer than requested. Raises UsageError if it has fewer than 3.
        """
        return self._sampled.points

    @cached_property
    def _sampled(self) -> "_SampledPoints":
        spec = self.context.spec
        base = None if spec.base is None else recorded_config(self.context.base)
        config = set_fields(spec.on_base(base), {"train.epochs": self.epochs})
        sampled = _SampledPoints()
        for point in iter_random_configs(self.space, config, DRAWS_PER_POINT * (self._wanted + 1), seed=spec.seed):
            if sampled.count == self._wanted:
                # One more point than wanted exists, so the space is not exhausted.
                sampled.exhausted = False
                break
            self._add(sampled, point)
        if sampled.count < 3:
            kept = f" that satisfy its constraints ({sampled.forbidden} do not)" if sampled.forbidden else ""
            raise UsageError(f"the space has {sampled.count} points{kept}, and a check needs at least 3: widen it.")
        return sampled

    def _add(self, sampled: "_SampledPoints", config: TrialConfig) -> None:
        try:
            known = cost(config.network(self.context.num_classes), joint=self._task == "multitask")
        except UsageError as error:
            sampled.causes[sampled.count] = f"config: {error}"
            return
        if self._breaks(config, known):
            sampled.forbidden += 1
        else:
            point = Point(sampled.count, resolve_auto(config), self.space.point(config), known)
            sampled.points.append(point)

    def _breaks(self, config: TrialConfig, known: Cost) -> bool:
        """Tell whether the network breaks a constraint.

        Counted costs are checked before measured ones.
        """
        constraints = self.context.spec.constraints
        if complaints(constraints, {"parameters": known.parameters, "macs": known.macs}):
            return True
        if not any(constraint.name in MEASURED for constraint in constraints):
            return False
        return bool(complaints(constraints, trial_costs(self.context, config, only=MEASURED)))

    def run(self) -> Verdict:
        """Train the points that have no result yet, and return the verdict.

        A point whose training fails with any seed is left out, and the verdict says why. Raises
        UserError if fewer than 3 points remain.
        """
        results = {(p.number, s): self._result(p, seed) for s, seed in enumerate(self._seeds) for p in self.points}
        causes = {number: str(result["cause"]) for (number, _), result in results.items() if "cause" in result}
        causes |= self._sampled.causes
        kept = [point for point in self.points if point.number not in causes]
        if len(kept) < 3:
            why = min(causes.values()).removesuffix(".")
            raise UserError(f"{len(causes)} of {self._sampled.count} points cannot be trained: {why}.")
        values_PS = np.array([[results[p.number, s]["value"] for s in range(len(self._seeds))] for p in kept])
        spec = self.context.spec
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
            forbidden=self._sampled.forbidden,
            exhausted=self._sampled.exhausted,
        )
        SIGNAL.set(self.context.handle.study, verdict.record())
        return verdict

    def _result(self, point: Point, seed: int) -> Mapping[str, Any]:
        """Return ``value``, or the ``cause`` of a failure, from the study or by training."""
        config = set_fields(point.config, {"train.seed": seed})
        study = self.context.handle.study
        stored = SIGNAL_RESULT.at(hashlib.sha256(config.model_dump_json().encode()).hexdigest()[:24])
        known = stored.get(study)
        if known is None:
            try:
                known = {"value": self._value(config)}
            except TrialFailed as failure:
                known = {"cause": f"{failure.cause}: {failure}"}
            except UsageError as error:
                # Two fields exclude each other, or a batch is too small: a trial would fail too.
                known = {"cause": f"config: {error}"}
            stored.set(study, known)
            log.info("study %s: point %d seed %d: %s", study.study_name, point.number, seed, known)
        return known

    def _value(self, config: TrialConfig) -> float:
        context, objective = self.context, self.context.spec.objective
        network = context.network(config)
        train, val = context.loaders.make(config, "train"), context.loaders.make(config, "val")
        for _ in fit(network, train, val, config.train, task=self._task, device=context.device, monitor=objective):
            pass
        recalibrate(network, self._plain(config), device=context.device, task=self._task)
        return evaluate(network, val, device=context.device, task=self._task)[objective]

    def _plain(self, config: TrialConfig) -> Loader:
        """Return the training split without augmentation, in a fixed order."""
        if config.data not in self._datasets:
            samples = self.context.manifest.split("train")
            # Keep the data set of one view only, as StudyContext does.
            self._datasets = {
                config.data: LeafDataset(samples, self.context.manifest.classes, config.data, train=False)
            }
        return make_loader(
            self._datasets[config.data], batch_size=config.train.batch_size, train=False, seed=config.train.seed
        )


@dataclass
class _SampledPoints:
    """The sampled points of a space.

    ``causes`` says by number why a point cannot be built. ``forbidden`` counts the points that
    break a constraint. ``exhausted`` means that sampling found no more points.
    """

    points: list[Point] = field(default_factory=list)
    causes: dict[int, str] = field(default_factory=dict)
    forbidden: int = 0
    exhausted: bool = True

    @property
    def count(self) -> int:
        """Return the number of points, including those that cannot be built."""
        return len(self.points) + len(self.causes)
