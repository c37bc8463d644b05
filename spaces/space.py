"""A search space as data: each dimension names the config field that it sets."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

import optuna
from pydantic import BaseModel, ConfigDict, Field, model_validator

from ..trials.trial_config import TrialConfig
from .fields import check_name, get_field, set_fields

Scalar = bool | int | float | str


class _Dimension(BaseModel):
    """A dimension with ``when`` is drawn only while each field named there has one of the values beside it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    when: Mapping[str, tuple[Scalar, ...]] = {}

    @model_validator(mode="after")
    def _known_condition(self) -> Self:
        for name in self.when:
            check_name(name)
        return self

    def applies(self, config: TrialConfig) -> bool:
        """Whether ``config`` is one in which this dimension means something."""
        return all(get_field(config, name) in values for name, values in self.when.items())


class Choice(_Dimension):
    """One of a few values; Optuna treats them as unordered."""

    type: Literal["choice"] = "choice"
    choices: tuple[Scalar, ...] = Field(min_length=1)

    def suggest(self, trial: optuna.Trial) -> Scalar:
        """Draw one of the choices for ``trial``."""
        drawn = trial.suggest_categorical(self.name, list(self.choices))
        assert drawn is not None
        return drawn

    def holds(self, value: Any) -> bool:
        """Whether ``value`` is a point of this dimension."""
        return value in self.choices


class _Range(_Dimension):
    low: float = Field(allow_inf_nan=False)
    high: float = Field(allow_inf_nan=False)
    log: bool = False

    @model_validator(mode="after")
    def _ordered(self) -> "_Range":
        if self.low > self.high:
            raise ValueError(f"`low <= high` must hold for `{self.name}`, but got low={self.low}, high={self.high}")
        if self.log and self.low <= 0:
            raise ValueError(f"a logarithmic scale for `{self.name}` needs low > 0, but got low={self.low}")
        return self

    def holds(self, value: Any) -> bool:
        """Whether ``value`` is a point of this dimension."""
        return isinstance(value, int | float) and self.low <= value <= self.high


class Float(_Range):
    """A real number, on a linear or logarithmic scale."""

    type: Literal["float"] = "float"

    def suggest(self, trial: optuna.Trial) -> float:
        """Draw a number for ``trial``."""
        return trial.suggest_float(self.name, self.low, self.high, log=self.log)


class Int(_Range):
    """A whole number in steps."""

    type: Literal["int"] = "int"
    low: int
    high: int
    step: int = Field(default=1, ge=1)

    @model_validator(mode="after")
    def _one_scale(self) -> "Int":
        if self.log and self.step != 1:
            raise ValueError(f"a logarithmic scale for `{self.name}` has no steps, but got step={self.step}")
        return self

    def holds(self, value: Any) -> bool:
        """Whether ``value`` is a point of this dimension."""
        return isinstance(value, int) and super().holds(value) and (value - self.low) % self.step == 0

    def suggest(self, trial: optuna.Trial) -> int:
        """Draw a whole number for ``trial``."""
        return trial.suggest_int(self.name, self.low, self.high, step=self.step, log=self.log)


Dimension = Annotated[Choice | Float | Int, Field(discriminator="type")]


class Space(BaseModel):
    """Dimensions in the order in which a trial draws them: a condition may name what was drawn before it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dimensions: tuple[Dimension, ...] = ()

    @model_validator(mode="after")
    def _names(self) -> "Space":
        names = [check_name(dimension.name) for dimension in self.dimensions]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"`{name}` is a dimension more than once")
        for place, dimension in enumerate(self.dimensions):
            for name in dimension.when.keys() & set(names[place:]):
                raise ValueError(f"`{dimension.name}` depends on `{name}`, which must stand before it")
        return self

    def suggest(self, trial: optuna.Trial, config: TrialConfig) -> TrialConfig:
        """``config`` with every dimension drawn for ``trial``: the one place where params become a config."""
        for dimension in self.dimensions:
            if dimension.applies(config):
                config = set_fields(config, {dimension.name: dimension.suggest(trial)})
        return config

    def without(self, names: set[str]) -> "Space":
        """The space that is left when the fields ``names`` are fixed."""
        return Space(dimensions=tuple(d for d in self.dimensions if d.name not in names))

    def misses(self, config: TrialConfig) -> list[str]:
        """The dimensions that apply to ``config`` and do not hold its value; empty for a point of this space."""
        return [d.name for d in self.dimensions if d.applies(config) and not d.holds(get_field(config, d.name))]

    def point(self, config: TrialConfig) -> dict[str, Scalar]:
        """``config`` as params of this space; dimensions that do not hold its value are left to the sampler."""
        values = {d.name: get_field(config, d.name) for d in self.dimensions if d.applies(config)}
        return {d.name: values[d.name] for d in self.dimensions if d.name in values and d.holds(values[d.name])}
