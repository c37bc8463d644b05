"""The request for a new study: the options of `venation study create`, typed."""

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from ..errors import UsageError
from ..spaces.fields import describe
from ..trials.kinds import Kind, read_kind


def _text(value: Any) -> Any:
    # A name in a file may look like a number or a date.
    return value if isinstance(value, list | dict) else str(value)


def _texts(value: Any) -> Any:
    return [_text(each) for each in value] if isinstance(value, list | tuple) else [_text(value)]


Text = Annotated[str, BeforeValidator(_text)]
Texts = Annotated[tuple[str, ...], BeforeValidator(_texts)]


class StudyRequest(BaseModel):
    """The options of a new study. None means the default of ``StudySpec``.

    ``base`` is STUDY or STUDY:NUMBER. ``space`` is a file that replaces the preset's space.
    ``settings`` fixes config fields by dotted name and takes them out of the space. The first of
    several ``objectives`` is the main one. Each of the ``constraints`` is written
    ``parameters<=5e6``. ``warm_start`` names a study whose best trials come first. ``init`` is
    STUDY:NUMBER, a bundle or a file, whose weights the networks start from. ``timeout`` and
    ``heartbeat`` are in seconds, ``first_rung`` in epochs.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Text
    kind: Kind
    data: Path | None = None
    base: Text | None = None
    preset: Text = "default"
    space: Path | None = None
    warm_start: Text | None = Field(default=None, validation_alias=AliasChoices("from", "warm_start"))
    init: Text | None = None
    trials: int | None = None
    timeout: float | None = None
    objectives: Texts = Field(default=(), validation_alias=AliasChoices("objective", "objectives"))
    constraints: Texts = Field(default=(), validation_alias=AliasChoices("constraint", "constraints"))
    settings: Mapping[str, Any] = Field(default={}, validation_alias=AliasChoices("set", "settings"))
    folds: int | None = None
    search: Text | None = None
    sampler: Text | None = None
    pruner: Text | None = None
    eta: int | None = None
    first_rung: int | None = None
    seed: int | None = None
    heartbeat: float | None = None


def _option(name: str) -> str:
    alias = StudyRequest.model_fields[name].validation_alias
    return str(alias.choices[0]) if isinstance(alias, AliasChoices) else name


# The options as files and the command line spell them.
OPTIONS = tuple(_option(name) for name in StudyRequest.model_fields)
# The options that take one name or several.
LISTS = ("objective", "constraint")


def make_request(options: Mapping[str, Any]) -> StudyRequest:
    """Return the request with these ``options``; those that are None are left out.

    An option is named as in a study file or as the model's field. Raises UsageError for a missing
    name or kind, an option that does not exist, and a value of the wrong type.
    """
    given = {key: value for key, value in options.items() if value is not None}
    for key, spelling in (("name", "a NAME"), ("kind", f"`--kind {'|'.join(Kind)}`")):
        if key not in given:
            raise UsageError(f"a new study needs {spelling}, on the command line or in the file of `-f`.")
    check_options((key for key in given if key not in StudyRequest.model_fields), where="the request")
    try:
        return StudyRequest.model_validate(given | {"kind": read_kind(str(given["kind"]))})
    except ValidationError as error:
        raise UsageError(describe(error)) from None


def check_options(keys: Iterable[Any], *, where: str) -> None:
    """Raise UsageError for an unknown option; the message lists the nearest options, or all."""
    for key in keys:
        if key not in OPTIONS:
            near = difflib.get_close_matches(str(key), OPTIONS, n=2) or OPTIONS
            raise UsageError(f"`{key}` in {where} is not an option of a study; did you mean: {', '.join(near)}?")
