"""The spec of a study: one JSON that is stored with the study.

Every worker rebuilds sampler and pruner from it.
"""

import functools
import hashlib
from collections.abc import Mapping
from typing import Any, Literal, Self

import optuna
from pydantic import BaseModel, ConfigDict, Field, model_validator

from ..data.data_config import SplitConfig
from ..errors import UsageError
from ..spaces.base_view import on_base
from ..spaces.enumerate_points import enumerate_points
from ..spaces.space import Scalar, Space
from ..trials.kinds import Kind
from ..trials.metrics import MINIMISED
from ..trials.trial_config import TrialConfig
from .asha import reached, rung_epochs
from .constraints import COSTS, Constraint
from .distinct_sampler import DistinctSampler
from .heartbeat import DEFAULT_HEARTBEAT_S, grace_seconds
from .init_source import InitSource
from .optuna_samplers import build_other
from .pruners import Pruner, build_pruner
from .windowed_sampler import WindowedSampler

Direction = Literal["maximize", "minimize"]


class StudySpec(BaseModel):
    """The options of a study: all that a worker needs to know besides the data.

    ``data`` is the place of the data, ``fingerprint`` their identity. ``heartbeat`` is in seconds:
    a worker that is silent for ``grace`` loses its trial to another. Trial 0 is ``config``. The
    fields in ``view`` change how a study with a base sees the images; the rest is the base's. The
    ``starts`` come next; each names the fields in which it differs from ``config``: those of the
    recipe, then the best trials of the study ``warm_start``. The networks of all trials start with
    the weights of ``init``, which are stored with the study, as far as they fit. ``timeout`` is in
    seconds since the first claim.

    The first of several ``objectives`` is the main one, a validation metric: a trial keeps the
    weights that are best in it, and its curve is the one that the study shows. One in ``eta`` of
    the trials at a rung, or in a bracket of hyperband, is promoted; ``first_rung`` is in epochs.
    With ``folds`` a trial trains one network for each fold of the training and validation images,
    and its values are the means over the folds; 0 trains one network.
    With ``search`` oneshot trial 0 is a supernet that ranks the space, and no trial is sampled
    before it has ended.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Kind
    data: str
    fingerprint: str
    split: SplitConfig = SplitConfig()
    classes: tuple[str, ...]
    base: str | None = None
    preset: str = "default"
    config: TrialConfig
    view: dict[str, Scalar] = {}
    space: Space
    starts: tuple[dict[str, Scalar], ...] = ()
    warm_start: str | None = None
    init: InitSource | None = None
    objectives: tuple[str, ...] = Field(min_length=1)
    constraints: tuple[Constraint, ...] = ()
    trials: int | None = Field(default=20, ge=1)
    timeout: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    search: Literal["trials", "oneshot"] = "trials"
    folds: int = Field(default=0, ge=0)
    sampler: Literal["tpe", "random", "gp", "nsga2", "qmc"] = "tpe"
    pruner: Pruner = "median"
    eta: int = Field(default=3, ge=2)
    first_rung: int | None = Field(default=None, ge=1)
    seed: int = Field(default=0, ge=0, lt=2**63)
    heartbeat: float = Field(default=DEFAULT_HEARTBEAT_S, gt=0, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _one_objective(cls, given: Any) -> Any:
        """Read ``objective``, the field of studies from before there were several objectives."""
        if isinstance(given, Mapping) and "objective" in given:
            rest = {name: value for name, value in given.items() if name != "objective"}
            return {"objectives": (given["objective"],)} | rest
        return given

    @model_validator(mode="after")
    def _pruner_fits(self) -> Self:
        if len(self.objectives) > 1 and self.pruner not in ("asha", "none"):
            fitting = "none" if self.folds else "asha or none"
            raise ValueError(
                f"pruner {self.pruner} follows one curve, and the study has {len(self.objectives)} objectives;"
                f" take {fitting}"
            )
        return self

    @model_validator(mode="after")
    def _wilcoxon_has_folds(self) -> Self:
        boosts_folds = self.kind.facts.has_folds and self.config.boost.folds
        if self.pruner == "wilcoxon" and not (self.folds or boosts_folds):
            raise ValueError(
                "pruner wilcoxon compares the same folds of two trials, and the trials of this study have none; take"
                " median or none, --folds, or a booster study with boost.folds"
            )
        return self

    @model_validator(mode="after")
    def _folds_fit(self) -> Self:
        if not self.folds:
            return self
        if not self.kind.facts.has_epochs:
            raise ValueError(f"a {self.kind} study has folds of its own: set boost.folds={self.folds}")
        if self.folds == 1:
            raise ValueError("one fold leaves no image to train on; give folds=2 or more, or 0 for one split")
        if self.search == "oneshot":
            raise ValueError("search oneshot ranks on one split; leave out folds")
        if self.pruner in ("asha", "hyperband"):
            raise ValueError(
                f"pruner {self.pruner} compares epochs, and with folds trials are compared fold by fold; take wilcoxon,"
                " median or none"
            )
        return self

    @model_validator(mode="after")
    def _oneshot_has_one_value(self) -> Self:
        if self.search == "oneshot" and (len(self.objectives) > 1 or self.constraints or self.warm_start):
            raise ValueError(
                "search oneshot ranks by one objective, knows no constraints and has starts of its own; leave out what"
                " goes beyond"
            )
        return self

    @model_validator(mode="after")
    def _rungs_fit(self) -> Self:
        if not self.kind.facts.has_epochs and self.pruner in ("asha", "hyperband"):
            raise ValueError(
                f"pruner {self.pruner} counts epochs, and a {self.kind} study has none; take median or none"
            )
        if self.first_rung is not None and self.first_rung >= self.config.train.epochs:
            given = f"first_rung={self.first_rung} and train.epochs={self.config.train.epochs}"
            raise ValueError(f"the first rung must come before the last epoch, but got {given}")
        return self

    def on_base(self, base: TrialConfig | None) -> TrialConfig:
        """Return the config of trial 0 on the config of its base, if any."""
        return on_base(self.config, base, self.view)

    @property
    def rungs(self) -> tuple[int, ...]:
        """The epochs at which trials pause for promotion; none without asha."""
        return rung_epochs(self.first_rung, self.eta, self.config.train.epochs) if self.pruner == "asha" else ()

    @property
    def objective(self) -> str:
        """The main objective."""
        return self.objectives[0]

    @property
    def direction(self) -> Direction:
        """Whether the main objective is maximised or minimised."""
        return self.directions[0]

    @property
    def directions(self) -> tuple[Direction, ...]:
        """Whether each objective is maximised or minimised; a cost is minimised."""
        return tuple("minimize" if name in (*MINIMISED, *COSTS) else "maximize" for name in self.objectives)

    @property
    def signs(self) -> tuple[int, ...]:
        """The factor of each objective that makes larger better."""
        return tuple(1 if direction == "maximize" else -1 for direction in self.directions)

    @property
    def tie_break(self) -> str:
        """The metric that decides between trials with equal objectives; lower is better."""
        return self.kind.facts.tie_break

    @property
    def curves(self) -> tuple[str, ...]:
        """The metrics that a trial reports at each step besides the main objective."""
        ties = (self.tie_break,) if self.rungs and self.tie_break not in self.objectives else ()
        return (*self.objectives[1:], *ties)

    @property
    def costs(self) -> tuple[str, ...]:
        """The costs that every trial must know, as objectives or for constraints."""
        asked = {*self.objectives, *(constraint.name for constraint in self.constraints)}
        return tuple(name for name in COSTS if name in asked)

    @property
    def grace(self) -> float:
        """Seconds of silence after which a running trial goes to another worker."""
        return grace_seconds(self.heartbeat)

    def trial_seed(self, number: int) -> int:
        """Return the seed of trial ``number``, which is the same on every worker."""
        digest = hashlib.sha256(f"{self.seed}/{number}".encode()).digest()
        return int.from_bytes(digest[:4], "big")

    def build_sampler(self, number: int) -> optuna.samplers.BaseSampler:
        """Build the sampler of trial ``number``."""
        seed = self.trial_seed(number)
        sampler: optuna.samplers.BaseSampler
        if self.sampler != "tpe":
            sampler = build_other(self.sampler, seed=seed, study_seed=self.trial_seed(0))
        else:
            ranked = self.pruner == "asha" and len(self.objectives) > 1
            tpe = optuna.samplers.TPESampler(seed=seed)
            sampler = WindowedSampler(
                tpe,
                functools.partial(reached, objectives=self.objectives, signs=self.signs) if ranked else None,
                tie_break=self.tie_break,
            )
        return DistinctSampler(sampler, enumerate_points(self.space, self.config), seed=seed)

    def build_pruner(self) -> optuna.pruners.BasePruner:
        """Build the pruner that every worker of this study uses."""
        return build_pruner(self.pruner, self.config.train.epochs, first_rung=self.first_rung, eta=self.eta)


def split_base(base: str) -> tuple[str, int | None]:
    """Split ``STUDY`` or ``STUDY:NUMBER`` into name and number; UsageError for a bad number."""
    name, _, number = base.partition(":")
    if number and not number.isdigit():
        raise UsageError(f"base `{base}` is not understood; write STUDY (its best trial) or STUDY:NUMBER.")
    return name, int(number) if number else None
