"""The fields in which the specs of two studies differ."""

from collections.abc import Mapping
from typing import Any

from .spec import StudySpec


def spec_differences(old: StudySpec, new: StudySpec) -> list[str]:
    """Return the fields in which two specs differ, as ``name: old -> new``."""
    before, after = _flat(old.model_dump(mode="json")), _flat(new.model_dump(mode="json"))
    names = sorted(before.keys() | after.keys())
    return [f"{n}: {before.get(n)} -> {after.get(n)}" for n in names if before.get(n) != after.get(n)]


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in tree.items():
        if isinstance(value, dict):
            flat.update(_flat(value, f"{prefix}{name}."))
        else:
            flat[prefix + name] = value
    return flat
