"""Read and validate the coarse groups of classes in ``groups.json`` beside the images."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import DataError
from .import_rows import first_few
from .importers import GROUPS_NAME
from .names import match_names


def find_groups(root: Path) -> Path | None:
    """Return the path of ``groups.json`` in a data set's folder; None if there is none."""
    path = root / GROUPS_NAME
    return path if path.is_file() else None


def read_groups(path: Path, classes: Sequence[str]) -> dict[str, str]:
    """Read the coarse group of each of ``classes``: one flat JSON object, class to group.

    Classes match in any Unicode form and with blanks around them. Raises DataError if the file
    cannot be read, is not such an object, names a class twice or one that is not in ``classes``, or
    lacks a class.
    """
    try:
        pairs = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=list)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}): give a readable file, or none") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not JSON ({error}): write one object, class to group") from error
    if not _is_flat(pairs):
        raise DataError(f"{path} is not a flat JSON object of strings: write one, class to group")
    groups = dict(pairs)
    names = [name for name, _ in pairs]
    if len(groups) < len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise DataError(f"{path} gives class {first_few(twice)} a group twice: keep one of them")
    matches = match_names(classes, groups)
    if unknown := sorted(set(groups) - set(matches.values())):
        raise DataError(f"{path} has class {first_few(unknown)}, which the model does not know: take it out")
    if missing := sorted(set(classes) - set(matches)):
        raise DataError(f"{path} gives class {first_few(missing)} no group: add one")
    class_of = {name: label for label, name in matches.items()}
    return {class_of[name]: group for name, group in groups.items()}


def _is_flat(pairs: Any) -> bool:
    """Return whether a JSON object of strings was parsed; an array's elements are not tuples."""
    if not isinstance(pairs, list) or not pairs:
        return False
    return all(isinstance(pair, tuple) and isinstance(pair[1], str) for pair in pairs)
