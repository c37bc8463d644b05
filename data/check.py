"""Check a data set: read every file and return all problems, instead of raising the first."""

import os
import warnings
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .background import background_findings, measure_background
from .brightness import check_brightness
from .channels import common_channels, unread_channel
from .check_names import check_masks, check_names, walk
from .checked import CheckedData, Inspected
from .duplicates import copy_findings, near_copies, same_pictures
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
    return read_checked(path, min_images=min_images).findings


def read_checked(path: Path, *, min_images: int = 4) -> CheckedData:
    """Read every file once; return the problems that ``check_data`` does, and their sources."""
    scan = scan_data(path)
    findings = [Finding("error", flaw.code, flaw.path, flaw.message) for flaw in scan.flaws]
    findings += _unread_files(scan) + check_masks(scan) + check_names(scan) + _classes(scan, min_images)
    with warnings.catch_warnings():
        # Pillow warns of large pictures and damaged EXIF data; this check reports both itself.
        # Warning filters belong to the whole process, so this one is set before any thread starts.
        warnings.simplefilter("ignore")
        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
            found = pool.map(lambda sample: _inspect(sample, scan.root), scan.samples)
            images = list(tracked(found, "checking images", len(scan.samples)))
        # Files with a flaw are not decoded again: some are bombs.
        background = measure_background([image.sample for image in images if not image.problems])
    for image in images:
        findings += image.problems
    seen = frozenset().union(*(image.mask.classes for image in images if image.mask))
    pictures = [image.picture for image in images]
    copies = near_copies(scan, pictures)
    findings += background_findings(background) + _absent_mask_classes(scan, seen) + same_pictures(scan, pictures)
    findings += copy_findings(scan, copies) + check_brightness(pictures) + _channels(scan, pictures)
    shown = {Finding(row.level, row.code, printable(row.path), printable(row.message)) for row in findings}
    ordered = sorted(shown, key=lambda row: (row.level, row.path, row.code, row.message))
    return CheckedData(scan, ordered, images, copies, background)


def printable(text: str) -> str:
    """Return the text in a form that can be printed: undecodable bytes of file names escaped."""
    return text.encode("utf-8", "backslashreplace").decode()


def _inspect(sample: Sample, root: Path) -> Inspected:
    """Read both files of a sample."""
    picture, problems = inspect_image(sample.image)
    rows = [Finding(level, code, relative_key(sample.image, root), message) for level, code, message in problems]
    mask = None
    if sample.mask is not None:
        where = relative_key(sample.mask, root)
        mask = inspect_class_mask(sample.mask, picture, sample.mask_classes)
        rows += [Finding(level, code, where, message) for level, code, message in mask.problems]
    return Inspected(sample, picture, mask, rows)


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
