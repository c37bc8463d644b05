"""Coarse groups of classes: what ``groups.json`` beside the images says, found sound."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import DataError
from .import_rows import few
from .importers import GROUPS_NAME


def find_groups(root: Path) -> Path | None:
    """The ``groups.json`` of a data set whose folder is ``root``; None if it has none."""
    path = root / GROUPS_NAME
    return path if path.is_file() else None


def read_groups(path: Path, classes: Sequence[str]) -> dict[str, str]:
    """The coarse group of every one of ``classes``: one flat JSON object, class to group.

    Raises DataError if the file cannot be read, is no such object, names a class twice or one that is not in
    ``classes``, or leaves one out.
    """
    try:
        pairs = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=list)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}): give a file that can, or none") from error
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise DataError(f"{path} is not JSON ({error}): write one object, class to group") from error
    if not _is_flat(pairs):
        raise DataError(f"{path} is no flat JSON object of texts: write one, class to group")
    groups = dict(pairs)
    names = [name for name, _ in pairs]
    if len(groups) < len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise DataError(f"{path} gives class {few(twice)} a group twice: keep one of them")
    if unknown := sorted(set(groups) - set(classes)):
        raise DataError(f"{path} has class {few(unknown)}, which the model does not know: take it out")
    if missing := sorted(set(classes) - set(groups)):
        raise DataError(f"{path} gives class {few(missing)} no group: add one")
    return groups


def _is_flat(pairs: Any) -> bool:
    """Whether the pairs that an object was parsed into are texts; an array's elements are no pairs."""
    if not isinstance(pairs, list) or not pairs:
        return False
    return all(isinstance(pair, tuple) and isinstance(pair[1], str) for pair in pairs)
