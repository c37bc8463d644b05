"""Check names of images, masks, classes and groups: some match nothing, others look the same."""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from .finding import Finding
from .names import canonical, canonical_file, group_names
from .samples import Scan, relative_key
from .scan_folders import MASK_EXTENSIONS, MASKS

_DIFFER = "differ only by case, blanks or Unicode form"


def walk(folders: Iterable[Path]) -> Iterator[Path]:
    """Yield every path under the folders, without following links or entering hidden folders."""
    for folder in folders:
        for parent, names, files in os.walk(folder):
            yield from (Path(parent, name) for name in sorted(names + files))
            names[:] = [name for name in names if not name.startswith(".")]


def check_masks(scan: Scan) -> list[Finding]:
    """Report images without a mask, masks without an image and masks of several images."""
    rows = []
    used = Counter(sample.mask for sample in scan.samples if sample.mask is not None)
    for sample in scan.samples:
        where = relative_key(sample.image, scan.root)
        if used and sample.mask is None:
            message = "no mask, though other images have one: draw it, or only the label is learned"
            rows.append(Finding("warning", "missing-mask", where, message))
        elif sample.mask is not None and used[sample.mask] > 1:
            message = (
                f"shares {relative_key(sample.mask, scan.root)} with another image: give each its own name and mask"
            )
            rows.append(Finding("error", "shared-mask", where, message))
    by_place = {_place(mask): mask for mask in used}
    for path in _mask_files(scan):
        if path not in used:
            rows.append(Finding("warning", "extra-mask", relative_key(path, scan.root), _extra(by_place, path)))
    return rows


def _mask_files(scan: Scan) -> list[Path]:
    """Return the files below ``masks/`` that are masks by their extension."""
    return [
        path
        for path in walk(folder for folder in scan.folders if folder == scan.root / MASKS)
        if path.suffix.lower() in MASK_EXTENSIONS and path.name[0] != "." and path.is_file()
    ]


def _place(mask: Path) -> tuple[Path, str]:
    """Return what masks of one image have in common: the folder and the canonical stem."""
    return mask.parent, canonical(mask.stem)


def _extra(used: Mapping[tuple[Path, str], Path], path: Path) -> str:
    """Return why a mask is not used; ``used`` are the masks that are."""
    if other := used.get(_place(path)):
        return f"left out, because its image has the mask {_shown([other.name, path.name])[0]}: delete one of them"
    return "no image of this class has this name: rename it or delete it"


def check_names(scan: Scan) -> list[Finding]:
    """Report names that differ only by case (Windows, macOS ignore it), blanks or Unicode form."""
    rows = []
    for group in _alike({sample.label for sample in scan.samples}, canonical):
        message = f"classes {', '.join(_shown(group))} {_DIFFER}: merge or rename them"
        rows.append(Finding("error", "case", group[0], message))
    keys = {relative_key(sample.image, scan.root) for sample in scan.samples}
    for group in _alike_files(keys) + _alike_files({relative_key(path, scan.root) for path in _mask_files(scan)}):
        message = f"{' and '.join(_shown(group))} {_DIFFER}: rename one"
        rows.append(Finding("warning", "case", group[0], message))
    for group in _alike({sample.group for sample in scan.samples} - keys, canonical):
        message = f"groups {', '.join(_shown(group))} {_DIFFER}: write one name if they are one group"
        rows.append(Finding("warning", "case", group[0], message))
    return rows


def _alike_files(keys: Iterable[str]) -> list[list[str]]:
    """Return the groups of paths that look the same, with the extension or without it."""
    groups = _alike(keys, lambda key: "/".join(map(canonical_file, key.split("/"))))
    for group in group_names(sorted(keys), _look).values():
        if len({os.path.splitext(key)[0] for key in group}) > 1 and group not in groups:
            groups.append(group)
    return groups


def _look(name: str) -> str:
    """Return how a name or path without its extension looks in print."""
    return "/".join(map(canonical, os.path.splitext(name)[0].split("/")))


def _alike(names: Iterable[str], form: Callable[[str], str]) -> list[list[str]]:
    """Return the groups of names that have the same form without regard to case."""
    groups = group_names(sorted(names), lambda name: form(name).casefold())
    return [group for group in groups.values() if len(group) > 1]


def _shown(names: Sequence[str]) -> list[str]:
    """Return the names; with escapes if two of them look the same in print."""
    look_same = len({_look(name) for name in names}) < len({os.path.splitext(name)[0] for name in names})
    return [ascii(name) if look_same else name for name in names]
