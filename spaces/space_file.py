"""A search space written down in a YAML file: one config field a line, and what it may be.

train.lr: {low: 0.0003, high: 0.01, log: true}
gate: [none, mean, meanmax]
data.size: {low: 96, high: 224, step: 32}
decoder.transfer: {choices: [0, 0.25, 0.5], when: {decoder.kind: mnsa}}
"""

from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from ..errors import UsageError
from ..trials.config import TrialConfig
from ..trials.fields import check_name, describe, get_field, set_fields
from .space import Choice, Dimension, Float, Int, Space

_KEYS = {"choices": ("choices", "when"), "low": ("low", "high", "log", "step", "when")}


def read_space(path: Path) -> Space:
    """The space in a YAML file; an empty file is a space with nothing to search.

    Raises UsageError that names the file and the key for a file that cannot be read or parsed, a field that does not
    exist (with its neighbours), an unknown key, and a value out of the field's range.
    """
    try:
        content = yaml.safe_load(path.read_bytes())
    except OSError as error:
        raise UsageError(f"space file `{path}` cannot be read ({error.strerror}); give another with --space.") from None
    except yaml.YAMLError as error:
        raise UsageError(f"space file `{path}` is not YAML: {' '.join(str(error).split())}.") from None
    if content is not None and not (isinstance(content, dict) and all(isinstance(name, str) for name in content)):
        raise UsageError(f"space file `{path}` must hold config fields, one a line: `gate: [none, meanmax]`.")
    try:
        return Space(dimensions=tuple(_dimension(name, value) for name, value in (content or {}).items()))
    except ValidationError as error:
        reason = "; ".join(item["msg"].removeprefix("Value error, ") for item in error.errors())
        raise UsageError(f"space file `{path}`: {reason}.") from None
    except UsageError as error:
        raise UsageError(f"space file `{path}`: {error}") from None


def space_text(space: Space) -> str:
    """The space as the YAML that ``read_space`` reads."""
    return "".join(
        yaml.safe_dump({d.name: _plain(d)}, default_flow_style=None, sort_keys=False, width=120)
        for d in space.dimensions
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
        fields["choices"] = _taken(name, fields["choices"])
    try:
        return Choice(**fields) if form == "choices" else _range(fields)
    except ValidationError as error:
        raise UsageError(f"`{name}`: {describe(error)}") from None


def _range(fields: dict[str, Any]) -> Int | Float:
    name = fields["name"]
    whole = isinstance(get_field(TrialConfig(), name), int)
    found = Int(**fields) if whole else Float(**fields)
    _taken(name, [found.low, found.high])
    return found


def _condition(name: str, when: Any) -> dict[str, tuple[Any, ...]]:
    if not isinstance(when, dict):
        raise UsageError(f"`when` of `{name}` must name fields and values: `when: {{decoder.kind: mnsa}}`.")
    return {field: _taken(field, value if isinstance(value, list) else [value]) for field, value in when.items()}


def _taken(name: str, values: Any) -> tuple[Any, ...]:
    """The values as the config holds them (YAML reads 1e-3 as a text); UsageError for one that it does not take."""
    if not isinstance(values, list) or any(isinstance(value, list | dict) for value in values):
        raise UsageError(f"`{name}` must be a list of single values, not `{values}`.")
    # One field at a time: what two of them exclude is for the trial's whole config to say.
    return tuple(get_field(set_fields(TrialConfig(), {name: value}), name) for value in values)


def _plain(dimension: Dimension) -> Any:
    fields = dimension.model_dump(exclude={"name", "type"}, exclude_defaults=True)
    fields = {key: list(value) if isinstance(value, tuple) else value for key, value in fields.items()}
    if "when" in fields:
        fields["when"] = {name: list(values) for name, values in fields["when"].items()}
    return fields["choices"] if fields.keys() == {"choices"} else fields
