"""Find the params of a study's space that make the config of a trial."""

from typing import Any

from ..errors import UsageError
from ..search.spec import StudySpec
from ..spaces.fields import field_names, get_field, set_fields
from ..spaces.space import Choice, Dimension, Int, Scalar
from ..trials.auto_fields import resolve_auto
from ..trials.trial_config import TrialConfig


class Misfit(Exception):
    """The reason why a trial is no point of a study."""


def place(config: TrialConfig, spec: StudySpec) -> dict[str, Scalar]:
    """Return the params that make ``config`` from a study's space and config.

    Raises Misfit that names the field if there are none. Seeds may differ, and parts of a base are
    ignored, except for the fields of its view that the study sets.
    """
    drawn, params = spec.on_base(config if spec.kind.facts.needs_base else None), dict[str, Scalar]()
    for dimension in spec.space.dimensions:
        if dimension.applies(drawn):
            value = drawn_value(config, dimension)
            if not dimension.contains(value):
                raise Misfit(f"`{dimension.name}` = {value}, and the space holds {_extent(dimension)}")
            try:
                drawn = set_fields(drawn, {dimension.name: value})
            except UsageError as error:
                raise Misfit(f"it does not go with the new config: {error}") from None
            params[dimension.name] = value
    # As a trial records them: with the encoder's own values for `auto`.
    config, drawn = resolve_auto(config), resolve_auto(drawn)
    for field in field_names():
        part = field.split(".")[0]
        if part not in spec.kind.facts.parts or field.endswith(".seed"):
            continue
        had, has = get_field(config, field), get_field(drawn, field)
        if had != has:
            raise Misfit(f"`{field}` = {had}, and the new study has {has}")
    return params


def drawn_value(config: TrialConfig, dimension: Dimension) -> Any:
    """Return the value of ``dimension`` that a trial with the recorded ``config`` had drawn.

    That is ``auto`` where the space has it and the record has the value that stands for it.
    """
    value = get_field(config, dimension.name)
    if not dimension.contains(value) and dimension.contains("auto"):
        auto = resolve_auto(set_fields(config, {dimension.name: "auto"}))
        return "auto" if get_field(auto, dimension.name) == value else value
    return value


def _extent(dimension: Dimension) -> str:
    if isinstance(dimension, Choice):
        return ", ".join(str(choice) for choice in dimension.choices)
    steps = f" in steps of {dimension.step}" if isinstance(dimension, Int) and dimension.step > 1 else ""
    return f"{dimension.low:g} to {dimension.high:g}{steps}"
