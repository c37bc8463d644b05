"""Combine a study's config with its base, whose view of the images it may change in parts."""

from collections.abc import Iterable, Mapping
from typing import Any

from ..errors import UsageError
from ..trials.kinds import Kind
from ..trials.trial_config import TrialConfig
from .fields import get_field, set_fields

_PART = "data."
# The reasons why a study with a base cannot set these.
OF_THE_BASE = {
    "data.mean": "is what the base's encoder learned with",
    "data.std": "is what the base's encoder learned with",
    "data.interpolation": "is what the base's encoder learned with",
    "data.channels": "is the number that the base's encoder reads",
    "data.white": "belongs to the images, and is the base's",
    "data.blank": "would show a decoder the mask, so it is 0",
}


def split_view(kind: Kind, settings: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the settings of the study's own config, and those that change the base's view."""
    if not kind.facts.needs_base:
        return dict(settings), {}
    view = {name: value for name, value in settings.items() if name.startswith(_PART)}
    return {name: value for name, value in settings.items() if name not in view}, view


def check_view(kind: Kind, names: Iterable[str]) -> None:
    """Raise UsageError for a field of the view that a study with a base takes from there."""
    for name in names:
        if kind.facts.needs_base and name in OF_THE_BASE:
            raise UsageError(f"`{name}` cannot be set in a {kind} study: it {OF_THE_BASE[name]}; leave it out.")


def on_base(config: TrialConfig, base: TrialConfig | None, view: Mapping[str, Any]) -> TrialConfig:
    """Return ``config`` with the parts of the base, and the base's view changed by ``view``.

    Raises UsageError for a value out of range, or one that does not go with the base's view.
    """
    return config if base is None else set_fields(config.with_base(base), view)


def view_values(whole: TrialConfig, view: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of ``view`` as a config on its base has them, parsed from text."""
    return {name: get_field(whole, name) for name in view}


def searches_view(names: Iterable[str]) -> bool:
    """Tell whether one of these fields belongs to the view."""
    return any(name.startswith(_PART) for name in names)
