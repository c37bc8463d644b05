"""Get and set fields of a trial's config by dotted name (`train.lr`)."""

import difflib
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from ..errors import UsageError
from ..escaping import printable
from ..trials.trial_config import TrialConfig


def field_names(model: type[BaseModel] = TrialConfig, prefix: str = "") -> tuple[str, ...]:
    """Return every settable name, depth first: ``('encoder.name', ..., 'train.lr', ...)``."""
    names: list[str] = []
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            names.extend(field_names(inner, f"{prefix}{name}."))
        else:
            names.append(prefix + name)
    return tuple(names)


def get_field(config: TrialConfig, name: str) -> Any:
    """Return the value of ``config`` at a dotted ``name``."""
    value: Any = config
    for part in check_name(name).split("."):
        value = getattr(value, part)
    return value


def changed_fields(config: TrialConfig) -> dict[str, Any]:
    """Return the fields of ``config`` that differ from the config's defaults, by dotted name."""
    default = TrialConfig()
    pairs = {name: (get_field(config, name), get_field(default, name)) for name in field_names()}
    return {name: value for name, (value, usual) in pairs.items() if value != usual}


def set_fields(config: TrialConfig, values: Mapping[str, Any]) -> TrialConfig:
    """Return a copy of ``config`` with the dotted names in ``values`` replaced.

    Strings are parsed as numbers, booleans or comma-separated lists, depending on the field. Raises
    UsageError for an unknown name (lists similar ones) or a value out of the field's range (states
    the range).
    """
    tree = config.model_dump()
    for name, value in values.items():
        *path, last = check_name(name).split(".")
        node = tree
        for part in path:
            node = node[part]
        # "0.9, 0.5" and "[0.9, 0.5]" are lists if the field is one; pydantic parses the numbers.
        listed = isinstance(value, str) and isinstance(node[last], tuple)
        node[last] = tuple(value.strip("[]() ").split(",")) if listed else value
    try:
        return TrialConfig.model_validate(tree)
    except ValidationError as error:
        raise UsageError(describe(error)) from None


def check_name(name: str) -> str:
    """Return ``name`` if the config has it; else raise UsageError with the nearest names."""
    names = field_names()
    if name in names:
        return name
    group = name.split(".")[0]
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.6) or [n for n in names if n.split(".")[0] == group]
    raise UsageError(f"`{printable(name)}` is not a config field; similar fields are: {', '.join(near or names)}.")


def describe(error: ValidationError) -> str:
    """Return a pydantic error on one line: the key, the given value and the rule.

    A rule between several keys comes alone.
    """
    parts = []
    for item in error.errors():
        name, rule = ".".join(str(part) for part in item["loc"]), _as_clause(item["msg"])
        if isinstance(item["input"], Mapping):
            parts.append(f"`{name}`: {rule}" if name else rule)
        else:
            parts.append(f"`{name or 'value'}` = {item['input']!r}: {rule}")
    return "; ".join(parts) + "."


def _as_clause(message: str) -> str:
    """Return pydantic's message as the middle of a sentence."""
    message = message.removeprefix("Value error, ")
    return message[0].lower() + message[1:]
