"""Everything that can be wrong with a data set, as rows: it reads every file and raises for none of them."""

import os
import unicodedata
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from .inspection import Picture, inspect_image, inspect_mask
from .manifest import Sample
from .scan import IMAGE_EXTENSIONS, Scan, relative_key, scan_data

Level = Literal["error", "warning"]


@dataclass(frozen=True)
class Finding:
    """A problem: ``error`` keeps the set from being used or makes it mean something else, ``warning`` need not."""

    level: Level
    code: str
    path: str
    message: str


def check_data(path: Path, *, min_images: int = 4) -> list[Finding]:
    """Every problem of a folder or CSV manifest, errors first, then by path.

    ``min_images``: a class with fewer is a warning, one that cannot be split (fewer than 3, unless the set carries
    splits) an error. Raises DataError only where there is nothing to check: no such path, or an empty folder.
    """
    scan = scan_data(path)
    findings = [Finding("error", flaw.code, flaw.path, flaw.message) for flaw in scan.flaws]
    findings += _strays(scan) + _masks(scan) + _names(scan) + _classes(scan, min_images)
    with warnings.catch_warnings():
        # Pillow warns of large pictures and damaged EXIF data: here they are findings. Set before any thread starts.
        warnings.simplefilter("ignore")
        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
            inspected = list(pool.map(lambda sample: _inspect(sample, scan.root), scan.samples))
    for _, rows in inspected:
        findings += rows
    findings += _same_pictures(scan, [picture for picture, _ in inspected])
    shown = {Finding(row.level, row.code, printable(row.path), printable(row.message)) for row in findings}
    return sorted(shown, key=lambda row: (row.level, row.path, row.code, row.message))


def printable(text: str) -> str:
    """The text with what no terminal or UTF-8 file can take (bytes of broken file names) written as escapes."""
    return text.encode("utf-8", "backslashreplace").decode()


def _inspect(sample: Sample, root: Path) -> tuple[Picture | None, list[Finding]]:
    picture, problems = inspect_image(sample.image)
    rows = [Finding(level, code, relative_key(sample.image, root), message) for level, code, message in problems]
    if sample.mask is not None:
        where = relative_key(sample.mask, root)
        rows += [Finding(level, code, where, message) for level, code, message in inspect_mask(sample.mask, picture)]
    return picture, rows


def _strays(scan: Scan) -> list[Finding]:
    """Files beside the images and masks: hidden, of another kind, too deep, links to nothing, empty folders."""
    rows = []
    for path in _walk(scan.folders):
        where = relative_key(path, scan.root)
        if path.name.startswith("."):
            rows.append(Finding("warning", "hidden", where, "hidden, so it is left out: delete it"))
        elif path.is_symlink() and not path.exists():
            rows.append(Finding("error", "broken-link", where, "a link to nothing: restore its target or delete it"))
        elif path.is_dir():
            if next(os.walk(path), None) == (str(path), [], []):
                rows.append(Finding("warning", "empty-folder", where, "an empty folder is no class: fill or delete it"))
        elif not path.is_file():
            rows.append(Finding("warning", "not-a-file", where, "neither a file nor a folder: delete it"))
        elif path.suffix.lower() not in IMAGE_EXTENSIONS:
            rows.append(Finding("warning", "not-an-image", where, "not an image by its name, left out: move it away"))
    known = {sample.image for sample in scan.samples}
    for path in _walk(folder for folder in scan.folders if folder.name != "masks"):
        if path.suffix.lower() in IMAGE_EXTENSIONS and path not in known and path.is_file() and path.name[0] != ".":
            where = relative_key(path, scan.root)
            rows.append(
                Finding("warning", "not-read", where, "not directly in a class folder, left out: move it there")
            )
    return rows


def _walk(folders: Iterable[Path]) -> Iterator[Path]:
    """All that lies under the folders; links are not followed, hidden folders named but not entered."""
    for folder in folders:
        for parent, names, files in os.walk(folder):
            yield from (Path(parent, name) for name in sorted(names + files))
            names[:] = [name for name in names if not name.startswith(".")]


def _masks(scan: Scan) -> list[Finding]:
    """Images without a mask where others have one, masks without an image, masks that two images claim."""
    rows = []
    used = Counter(sample.mask for sample in scan.samples if sample.mask is not None)
    for sample in scan.samples:
        where = relative_key(sample.image, scan.root)
        if used and sample.mask is None:
            message = "no mask, though other images have one: draw it, or it only teaches the label"
            rows.append(Finding("warning", "missing-mask", where, message))
        elif sample.mask is not None and used[sample.mask] > 1:
            message = (
                f"shares {relative_key(sample.mask, scan.root)} with another image: give each its own name and mask"
            )
            rows.append(Finding("error", "shared-mask", where, message))
    for path in _walk(folder for folder in scan.folders if folder.name == "masks"):
        if path.suffix.lower() in IMAGE_EXTENSIONS and path.name[0] != "." and path not in used and path.is_file():
            message = "no image of this class has this name: rename it or delete it"
            rows.append(Finding("warning", "extra-mask", relative_key(path, scan.root), message))
    return rows


def _names(scan: Scan) -> list[Finding]:
    """Classes and images whose names a file system without letter case (Windows, macOS) takes for one."""
    rows = []
    for group in _alike({sample.label for sample in scan.samples}):
        message = f"classes {', '.join(group)} differ only by case or accent encoding: merge or rename them"
        rows.append(Finding("error", "case", group[0], message))
    for group in _alike({relative_key(sample.image, scan.root) for sample in scan.samples}):
        message = f"differs only by case or accent encoding from {', '.join(group[1:])}: rename one"
        rows.append(Finding("warning", "case", group[0], message))
    return rows


def _alike(names: Iterable[str]) -> list[list[str]]:
    groups: dict[str, list[str]] = defaultdict(list)
    for name in sorted(names):
        groups[unicodedata.normalize("NFC", name).casefold()].append(name)
    return [group for group in groups.values() if len(group) > 1]


def _classes(scan: Scan, min_images: int) -> list[Finding]:
    """Classes with too few images, or with none in a train part that the set carries."""
    rows = []
    images = Counter(sample.label for sample in scan.samples)
    groups: dict[str, set[str]] = defaultdict(set)
    for sample in scan.samples:
        groups[sample.label].add(sample.group)
    trained = {sample.label for sample in scan.samples if sample.split in (None, "train")}
    has_splits = any(sample.split for sample in scan.samples)
    for label, number in images.items():
        if label not in trained:
            rows.append(Finding("error", "not-trained", label, "class has no image in train: move some there"))
        if len(groups[label]) < 3 and not has_splits:
            message = (
                f"class has {number} images in {len(groups[label])} groups; 3 groups make train, val and test: add"
            )
            rows.append(Finding("error", "few-images", label, message))
        elif number < min_images:
            rows.append(Finding("warning", "few-images", label, f"class has {number} images, fewer than {min_images}"))
    for group, splits in _splits_of_groups(scan).items():
        if len(splits) > 1:
            message = f"group is in {' and '.join(sorted(splits))}: put all of it in one split"
            rows.append(Finding("error", "split-group", group, message))
    return rows


def _splits_of_groups(scan: Scan) -> dict[str, set[str]]:
    splits: dict[str, set[str]] = defaultdict(set)
    for sample in scan.samples:
        if sample.split is not None:
            splits[sample.group].add(sample.split)
    return splits


def _same_pictures(scan: Scan, pictures: list[Picture | None]) -> list[Finding]:
    """The same pixels twice: an error across splits or labels, else a warning, as a split may part them."""
    same: dict[str, list[Sample]] = defaultdict(list)
    for sample, picture in zip(scan.samples, pictures, strict=True):
        if picture is not None:
            same[picture.digest].append(sample)
    rows = []
    for samples in same.values():
        for sample in samples[1:]:
            other = relative_key(samples[0].image, scan.root)
            where = relative_key(sample.image, scan.root)
            rows.append(_same_picture(sample, samples[0], where, other))
    return rows


def _same_picture(sample: Sample, first: Sample, where: str, other: str) -> Finding:
    if sample.split != first.split:
        message = f"the same picture as {other}, in {sample.split} and {first.split}: keep it in one"
        return Finding("error", "split-duplicate", where, message)
    if sample.label != first.label:
        message = f"the same picture as {other}, labelled {sample.label} and {first.label}: keep the right one"
        return Finding("error", "label-duplicate", where, message)
    return Finding("warning", "duplicate", where, f"the same picture as {other}: delete one, or give both one group")
