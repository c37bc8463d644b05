"""Read and write a search space as a YAML file: one config field per line, with its values.

The rules for a file are checked here and not in ``Space``, which also reads the spaces of existing
studies.

train.lr: {low: 0.0003, high: 0.01, log: true}
gate: [none, mean, meanmax]
data.size: {low: 96, high: 224, step: 32}
decoder.transfer: {choices: [0, 0.25, 0.5], when: {decoder.kind: mnsa}}
"""

from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from ..data.yaml_file import read_yaml
from ..errors import UsageError
from ..trials.trial_config import TrialConfig
from .fields import check_name, describe, get_field, set_fields
from .space import Choice, Dimension, Float, Int, Space

_MAX_VALIDATED = 256  # values of a whole-number range that are validated one by one
_KEYS = {"choices": ("choices", "when"), "low": ("low", "high", "log", "step", "when")}


def read_space(path: Path) -> Space:
    """Read the space of a YAML file; an empty file is a space with nothing to search.

    Raises UsageError that names the file and the key for a file that cannot be read or parsed, an
    unknown field (with similar ones), an unknown or duplicate key, a value out of the field's
    range, and a dimension that can never be drawn.
    """
    if path == Path():
        raise UsageError("`--space` names no file; give the path of a YAML file, or leave it out.")
    content = read_yaml(path, "space", "--space")
    if content is not None and not (isinstance(content, dict) and all(isinstance(name, str) for name in content)):
        raise UsageError(f"space file `{path}` must contain config fields, one per line: `gate: [none, meanmax]`.")
    try:
        space = Space(dimensions=tuple(_dimension(name, value) for name, value in (content or {}).items()))
        _check_conditions(space)
        return space
    except ValidationError as error:
        reason = "; ".join(item["msg"].removeprefix("Value error, ") for item in error.errors())
        raise UsageError(f"space file `{path}`: {reason}.") from None
    except UsageError as error:
        raise UsageError(f"space file `{path}`: {error}") from None


def space_text(space: Space) -> str:
    """Return the space as YAML for ``read_space``."""
    return "".join(
        yaml.safe_dump({d.name: _as_plain_data(d)}, default_flow_style=None, sort_keys=False, width=120)
        for d in space.dimensions
    )


def _check_conditions(space: Space) -> None:
    """Raise UsageError for a condition on a value that the named dimension never has."""
    for place, dimension in enumerate(space.dimensions):
        always = {other.name: other for other in space.dimensions[:place] if not other.when}
        for name, values in dimension.when.items():
            if name in always and not any(always[name].contains(value) for value in values):
                wanted = ", ".join(map(str, values))
                raise UsageError(
                    f"`{dimension.name}` depends on `{name}` = {wanted}, which `{name}` above never has; add the value"
                    f" there, or remove `{dimension.name}`."
                )


def _dimension(name: str, value: Any) -> Dimension:
    check_name(name)
    if isinstance(value, list):
        value = {"choices": value}
    form = next((form for form in _KEYS if isinstance(value, dict) and form in value), None)
    if form is None:
        raise UsageError(f"`{name}` must be a list of choices, or have `choices`, or `low` and `high`.")
    if unknown := [key for key in value if key not in _KEYS[form]]:
        raise UsageError(f"`{name}` has the key `{unknown[0]}`; its keys are: {', '.join(_KEYS[form])}.")
    fields = {**value, "name": name, "when": _condition(name, value.get("when", {}))}
    if form == "choices":
        fields["choices"] = values = _validated(name, fields["choices"])
        if twice := [choice for choice in values if values.count(choice) > 1]:
            raise UsageError(f"`{name}` has the choice {twice[0]} more than once; list each value once.")
    try:
        return Choice(**fields) if form == "choices" else _range(fields)
    except ValidationError as error:
        raise UsageError(f"`{name}`: {describe(error)}") from None


def _range(fields: dict[str, Any]) -> Int | Float:
    name = fields["name"]
    _check_numbers(name, [fields[key] for key in ("low", "high", "step") if key in fields])
    if not isinstance(get_field(TrialConfig(), name), int):
        real = Float(**fields)
        _validated(name, [real.low, real.high])
        return real
    whole = Int(**fields)
    if whole.step > max(1, whole.high - whole.low):
        raise UsageError(
            f"`{name}` goes from {whole.low} to {whole.high} in steps of {whole.step}, so it is always {whole.low};"
            " lower the step, or fix the field with `--set`."
        )
    # The values that a field accepts may have gaps: kernel sizes are odd.
    _validated(name, [*range(whole.low, whole.high + 1, whole.step)[:_MAX_VALIDATED], whole.high])
    return whole


def _condition(name: str, when: Any) -> dict[str, tuple[Any, ...]]:
    if not isinstance(when, dict):
        raise UsageError(f"`when` of `{name}` must name fields and values: `when: {{decoder.kind: mnsa}}`.")
    if empty := next((field for field, value in when.items() if value == []), None):
        raise UsageError(f"`when` of `{name}` gives `{empty}` no value, so it is never true; give one, or remove it.")
    return {field: _validated(field, value if isinstance(value, list) else [value]) for field, value in when.items()}


def _validated(name: str, values: Any) -> tuple[Any, ...]:
    """Return the values as the config stores them (YAML reads 1e-3 as text).

    Raises UsageError for a value that the field does not accept.
    """
    if not isinstance(values, list) or any(isinstance(value, list | dict) for value in values):
        raise UsageError(f"`{name}` must be a list of single values, not `{values}`.")
    _check_numbers(name, values)
    # One field at a time: rules between fields are checked with the trial's whole config.
    return tuple(get_field(set_fields(TrialConfig(), {name: value}), name) for value in values)


def _check_numbers(name: str, values: list[Any]) -> None:
    """Raise UsageError for `true` or `false` in a field of another type, which reads 1 or 0."""
    switch = isinstance(get_field(TrialConfig(), check_name(name)), bool)
    if not switch and (found := next((value for value in values if isinstance(value, bool)), None)) is not None:
        raise UsageError(f"`{name}` = {str(found).lower()}: the field is not true or false; write the intended value.")


def _as_plain_data(dimension: Dimension) -> Any:
    fields = dimension.model_dump(exclude={"name", "type"}, exclude_defaults=True)
    fields = {key: list(value) if isinstance(value, tuple) else value for key, value in fields.items()}
    if "when" in fields:
        fields["when"] = {name: list(values) for name, values in fields["when"].items()}
    return fields["choices"] if fields.keys() == {"choices"} else fields
