"""Set fields of a trial's config by their dotted names (`train.lr`), as options, spaces and study files do."""

import difflib
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from ..errors import UsageError
from ..trials.trial_config import TrialConfig


def field_names(model: type[BaseModel] = TrialConfig, prefix: str = "") -> tuple[str, ...]:
    """Every settable name, depth first: ``('encoder.name', ..., 'train.lr', ...)``."""
    names: list[str] = []
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            names.extend(field_names(inner, f"{prefix}{name}."))
        else:
            names.append(prefix + name)
    return tuple(names)


def get_field(config: TrialConfig, name: str) -> Any:
    """The value that ``config`` holds under a dotted ``name``."""
    value: Any = config
    for part in check_name(name).split("."):
        value = getattr(value, part)
    return value


def set_fields(config: TrialConfig, values: Mapping[str, Any]) -> TrialConfig:
    """A copy of ``config`` with the dotted names in ``values`` replaced.

    Strings are read as numbers, booleans or lists (by commas) where the field is one. Raises UsageError for an unknown
    name (lists its neighbours) or a value out of the field's range (says the range).
    """
    tree = config.model_dump()
    for name, value in values.items():
        *path, last = check_name(name).split(".")
        node = tree
        for part in path:
            node = node[part]
        # "0.9, 0.5" and "[0.9, 0.5]" are a list where the field is one; pydantic reads the numbers in it.
        listed = isinstance(value, str) and isinstance(node[last], tuple)
        node[last] = tuple(value.strip("[]() ").split(",")) if listed else value
    try:
        return TrialConfig.model_validate(tree)
    except ValidationError as error:
        raise UsageError(describe(error)) from None


def check_name(name: str) -> str:
    """Return ``name`` if the config has it; UsageError with the nearest names if not."""
    names = field_names()
    if name in names:
        return name
    room = name.split(".")[0]
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.6) or [n for n in names if n.split(".")[0] == room]
    raise UsageError(f"`{name}` is not a config field; its neighbours are: {', '.join(near or names)}.")


def describe(error: ValidationError) -> str:
    """One line of a pydantic error: which key, what was given, what holds; the rule alone if it is between keys."""
    parts = []
    for item in error.errors():
        name, said = ".".join(str(part) for part in item["loc"]), _said(item["msg"])
        if isinstance(item["input"], Mapping):
            parts.append(f"`{name}`: {said}" if name else said)
        else:
            parts.append(f"`{name or 'value'}` = {item['input']!r}: {said}")
    return "; ".join(parts) + "."


def _said(message: str) -> str:
    """Pydantic's message as the middle of a sentence."""
    message = message.removeprefix("Value error, ")
    return message[0].lower() + message[1:]
