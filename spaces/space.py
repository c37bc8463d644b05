"""A search space as data: each dimension names the config field that it sets."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

import optuna
from pydantic import BaseModel, ConfigDict, Field, model_validator

from ..trials.trial_config import TrialConfig
from .fields import check_name, get_field, set_fields

Scalar = bool | int | float | str


class _Dimension(BaseModel):
    """A dimension that is drawn only if each field in ``when`` has one of the listed values."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    when: Mapping[str, tuple[Scalar, ...]] = {}

    @model_validator(mode="after")
    def _known_condition(self) -> Self:
        for name in self.when:
            check_name(name)
        return self

    def applies(self, config: TrialConfig) -> bool:
        """Return whether this dimension is drawn for ``config``."""
        return all(get_field(config, name) in values for name, values in self.when.items())


class Choice(_Dimension):
    """One of a few values, which Optuna treats as unordered."""

    type: Literal["choice"] = "choice"
    choices: tuple[Scalar, ...] = Field(min_length=1)

    def suggest(self, trial: optuna.Trial) -> Scalar:
        """Draw one of the choices for ``trial``."""
        drawn = trial.suggest_categorical(self.name, list(self.choices))
        assert drawn is not None
        return drawn

    def contains(self, value: Any) -> bool:
        """Return whether ``value`` is one of the choices."""
        return value in self.choices


class _Range(_Dimension):
    low: float = Field(allow_inf_nan=False)
    high: float = Field(allow_inf_nan=False)
    log: bool = False

    @model_validator(mode="after")
    def _ordered(self) -> "_Range":
        if self.low > self.high:
            raise ValueError(f"`{self.name}` needs low <= high, but got low={self.low}, high={self.high}")
        if self.log and self.low <= 0:
            raise ValueError(f"`{self.name}` needs low > 0 for a logarithmic scale, but got low={self.low}")
        return self

    def contains(self, value: Any) -> bool:
        """Return whether ``value`` is within the range."""
        return isinstance(value, int | float) and self.low <= value <= self.high


class Float(_Range):
    """A real number, on a linear or logarithmic scale."""

    type: Literal["float"] = "float"

    def suggest(self, trial: optuna.Trial) -> float:
        """Draw a number for ``trial``."""
        return trial.suggest_float(self.name, self.low, self.high, log=self.log)


class Int(_Range):
    """A whole number within a range, in steps."""

    type: Literal["int"] = "int"
    low: int
    high: int
    step: int = Field(default=1, ge=1)

    @model_validator(mode="after")
    def _one_scale(self) -> "Int":
        if self.log and self.step != 1:
            raise ValueError(f"`{self.name}` cannot have steps on a logarithmic scale, but got step={self.step}")
        return self

    def contains(self, value: Any) -> bool:
        """Return whether ``value`` is a whole number of the range, on a step."""
        return isinstance(value, int) and super().contains(value) and (value - self.low) % self.step == 0

    def suggest(self, trial: optuna.Trial) -> int:
        """Draw a whole number for ``trial``."""
        return trial.suggest_int(self.name, self.low, self.high, step=self.step, log=self.log)


Dimension = Annotated[Choice | Float | Int, Field(discriminator="type")]


class Space(BaseModel):
    """Dimensions in the order in which a trial draws them; conditions refer to earlier ones."""

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
                raise ValueError(f"`{dimension.name}` depends on `{name}`, which must come before it")
        return self

    def suggest(self, trial: optuna.Trial, config: TrialConfig) -> TrialConfig:
        """Return ``config`` with every dimension drawn for ``trial``.

        This is the only place where params become a config.
        """
        for dimension in self.dimensions:
            if dimension.applies(config):
                config = set_fields(config, {dimension.name: dimension.suggest(trial)})
        return config

    def without(self, names: set[str]) -> "Space":
        """Return the space without the fields ``names``, for a study that fixes them."""
        return Space(dimensions=tuple(d for d in self.dimensions if d.name not in names))

    def outside(self, config: TrialConfig) -> list[str]:
        """Return the dimensions that apply to ``config`` but do not contain its value.

        The list is empty for a point of this space.
        """
        return [d.name for d in self.dimensions if d.applies(config) and not d.contains(get_field(config, d.name))]

    def point(self, config: TrialConfig) -> dict[str, Scalar]:
        """Return ``config`` as params of this space.

        Values that a dimension does not contain are left out, for the sampler to draw.
        """
        values = {d.name: get_field(config, d.name) for d in self.dimensions if d.applies(config)}
        return {d.name: values[d.name] for d in self.dimensions if d.name in values and d.contains(values[d.name])}
