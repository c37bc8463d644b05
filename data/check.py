"""Check a data set: read every file and return all problems, instead of raising the first."""

import os
import warnings
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .background import check_background
from .brightness import check_brightness
from .channels import common_channels, unread_channel
from .check_names import check_masks, check_names, walk
from .finding import Finding
from .inspection import Picture, inspect_class_mask, inspect_image
from .mask_classes import MASK_CLASSES
from .names import canonical
from .progress import tracked
from .samples import Sample, Scan, relative_key
from .scan import scan_data
from .scan_folders import IMAGE_EXTENSIONS, MASK_EXTENSIONS, MASKS, visible_folders


def check_data(path: Path, *, min_images: int = 4) -> list[Finding]:
    """Return every problem of a folder or CSV manifest, errors first, then by path.

    A class with fewer than ``min_images`` images gets a warning. A class that cannot be split
    (fewer than 3 groups, unless the data set has splits already) gets an error. Raises DataError
    only if the path does not exist or is an empty folder.
    """
    scan = scan_data(path)
    findings = [Finding("error", flaw.code, flaw.path, flaw.message) for flaw in scan.flaws]
    findings += _unread_files(scan) + check_masks(scan) + check_names(scan) + _classes(scan, min_images)
    with warnings.catch_warnings():
        # Pillow warns of large pictures and damaged EXIF data; this check reports both itself.
        # Warning filters belong to the whole process, so this one is set before any thread starts.
        warnings.simplefilter("ignore")
        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
            found = pool.map(lambda sample: _inspect(sample, scan.root), scan.samples)
            inspected = list(tracked(found, "checking images", len(scan.samples)))
        # Files with a flaw are not decoded again: some are bombs.
        sound = [sample for sample, (_, _, rows) in zip(scan.samples, inspected, strict=True) if not rows]
        findings += check_background(sound)
    for _, _, rows in inspected:
        findings += rows
    findings += _absent_mask_classes(scan, frozenset().union(*(found for _, found, _ in inspected)))
    pictures = [picture for picture, _, _ in inspected]
    findings += _same_pictures(scan, pictures) + check_brightness(pictures) + _channels(scan, pictures)
    shown = {Finding(row.level, row.code, printable(row.path), printable(row.message)) for row in findings}
    return sorted(shown, key=lambda row: (row.level, row.path, row.code, row.message))


def printable(text: str) -> str:
    """Return the text in a form that can be printed: undecodable bytes of file names escaped."""
    return text.encode("utf-8", "backslashreplace").decode()


def _inspect(sample: Sample, root: Path) -> tuple[Picture | None, frozenset[int], list[Finding]]:
    """Return the picture, the mask classes in its mask, and the problems of both files."""
    picture, problems = inspect_image(sample.image)
    rows = [Finding(level, code, relative_key(sample.image, root), message) for level, code, message in problems]
    found: frozenset[int] = frozenset()
    if sample.mask is not None:
        where = relative_key(sample.mask, root)
        problems, found = inspect_class_mask(sample.mask, picture, sample.mask_classes)
        rows += [Finding(level, code, where, message) for level, code, message in problems]
    return picture, found, rows


def _absent_mask_classes(scan: Scan, found: frozenset[int]) -> list[Finding]:
    """Report the mask classes that no mask of the data set has."""
    names = () if scan.mask_classes is None else scan.mask_classes.names
    message = "no mask has the class {!r}: draw it, or delete its line"
    return [
        Finding("warning", "absent-mask-class", MASK_CLASSES, message.format(name))
        for index, name in enumerate(names, start=1)
        if index not in found
    ]


def _unread_files(scan: Scan) -> list[Finding]:
    """Report unread files (hidden, no image, nested too deep, broken link) and empty folders."""
    rows, masks = [], scan.root / MASKS
    for path in walk(scan.folders):
        where = relative_key(path, scan.root)
        if path.name.startswith("."):
            rows.append(Finding("warning", "hidden", where, "hidden, so it is left out: delete it"))
        elif path.is_symlink() and not path.exists():
            rows.append(Finding("error", "broken-link", where, "a broken link: restore its target or delete it"))
        elif path.is_dir():
            if next(os.walk(path), None) == (str(path), [], []):
                rows.append(
                    Finding("warning", "empty-folder", where, "an empty folder is not a class: fill or delete it")
                )
        elif not path.is_file():
            rows.append(Finding("warning", "not-a-file", where, "neither a file nor a folder: delete it"))
        elif path.is_relative_to(masks) and path.suffix.lower() not in MASK_EXTENSIONS:
            message = "not a mask by its extension, left out: save it as PNG, or move it away"
            rows.append(Finding("warning", "not-an-image", where, message))
        elif not path.is_relative_to(masks) and path.suffix.lower() not in IMAGE_EXTENSIONS:
            message = "not an image by its extension, left out: move it away"
            rows.append(Finding("warning", "not-an-image", where, message))
    if scan.folders and not masks.is_dir():
        for folder in visible_folders(scan.root):
            if canonical(folder.name).lower() == MASKS:
                message = f"folder {folder.name!r} is left out, because masks are in {MASKS}/: rename it"
                rows.append(Finding("warning", "not-read", relative_key(folder, scan.root), message))
    known = {sample.image for sample in scan.samples}
    for path in walk(folder for folder in scan.folders if folder != masks):
        if path.suffix.lower() in IMAGE_EXTENSIONS and path not in known and path.is_file() and path.name[0] != ".":
            where = relative_key(path, scan.root)
            rows.append(
                Finding("warning", "not-read", where, "not directly in a class folder, left out: move it there")
            )
    return rows


def _classes(scan: Scan, min_images: int) -> list[Finding]:
    """Report classes with few images or none in train, and groups in more than one split."""
    rows = []
    images = Counter(sample.label for sample in scan.samples)
    groups: dict[str, set[str]] = defaultdict(set)
    for sample in scan.samples:
        groups[sample.label].add(sample.group)
    trained = {sample.label for sample in scan.samples if sample.split in (None, "train")}
    has_splits = any(sample.split for sample in scan.samples)
    for label, number in images.items():
        if label not in trained:
            rows.append(
                Finding("error", "not-trained", label, "class has no image in the train split: move some there")
            )
        if len(groups[label]) < 3 and not has_splits:
            message = (
                f"class has {number} images in {len(groups[label])} groups; train, val and test need 3: add images"
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
    """Report images with equal pixels: an error across splits or labels, otherwise a warning.

    Duplicates without splits are a warning because a later split may separate them.
    """
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
        message = f"the same picture as {other}, in {sample.split} and {first.split}: keep it in one split"
        return Finding("error", "split-duplicate", where, message)
    if sample.label != first.label:
        message = f"the same picture as {other}, labelled {sample.label} and {first.label}: keep the right one"
        return Finding("error", "label-duplicate", where, message)
    return Finding("warning", "duplicate", where, f"the same picture as {other}: delete one, or give both one group")


def _channels(scan: Scan, pictures: list[Picture | None]) -> list[Finding]:
    """Report images with another number of channels than most, and channels that are not read."""
    given = {sample: picture.channels for sample, picture in zip(scan.samples, pictures, strict=True) if picture}
    common = common_channels(list(given.values()))
    message = "it has {} channels, and most images have {}: give it that number, or remove it"
    rows = [
        Finding("error", "channels", relative_key(sample.image, scan.root), message.format(numbers[0], common))
        for sample, numbers in given.items()
        if common not in numbers
    ]
    if unread := unread_channel(list(given.values()), common):
        rows.append(Finding("warning", "transparency", ".", unread))
    return rows
