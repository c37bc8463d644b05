"""Match names that look the same: other Unicode forms, blanks around them, case of extensions."""

import unicodedata
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from functools import cache
from pathlib import Path, PurePosixPath


def canonical(name: str) -> str:
    """Return the name in Unicode form NFC without blanks at its ends."""
    return unicodedata.normalize("NFC", name).strip()


def canonical_file(name: str) -> str:
    """Return the canonical form of a file name: the extension in lower case."""
    path = PurePosixPath(name)
    return canonical(path.stem) + canonical(path.suffix).lower()


def group_names(names: Iterable[str], form: Callable[[str], str]) -> dict[str, list[str]]:
    """Return the names by their ``form``, in the given order."""
    groups: dict[str, list[str]] = defaultdict(list)
    for name in names:
        groups[form(name)].append(name)
    return dict(groups)


def match_names(wanted: Collection[str], found: Collection[str]) -> dict[str, str]:
    """Return the name in ``found`` for each name in ``wanted``.

    An equal name takes precedence. Otherwise it is the only name with the same canonical form. A
    name that matches none, or of which several have the same form, is left out.
    """
    known = set(found)
    pairs = {name: name for name in wanted if name in known}
    rest = group_names((name for name in found if name not in pairs), canonical)
    for form, names in group_names((name for name in wanted if name not in pairs), canonical).items():
        candidates = rest.get(form, [])
        if len(names) == len(candidates) == 1:
            pairs[names[0]] = candidates[0]
    return pairs


class FileFinder:
    r"""Find the files below ``root`` that a list names, even if another system wrote the list.

    An equal path takes precedence. Otherwise ``\`` separates folders, and each part of the path
    matches by its canonical form.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._entries = cache(_entries)

    def find(self, name: str) -> list[Path]:
        """Return the file, under its name on disk; several if ``name`` is ambiguous."""
        if (self._root / name).is_file():
            return [self._root / PurePosixPath(name)]
        paths = [self._root]
        for part in PurePosixPath(name.replace("\\", "/")).parts:
            paths = [match for path in paths for match in self._matches(path, part)]
        return [path for path in paths if path.is_file()]

    def _matches(self, folder: Path, name: str) -> list[Path]:
        path = folder / name
        return [path] if path.exists() else self._entries(folder).get(canonical_file(name), [])


def _entries(folder: Path) -> dict[str, list[Path]]:
    """Return the entries of a folder by canonical name; empty if it is not a folder."""
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    return {form: [folder / name for name in group] for form, group in group_names(names, canonical_file).items()}
