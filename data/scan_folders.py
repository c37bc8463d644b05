"""Scan a folder whose subfolders are classes, or splits with classes."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from . import heic
from .names import canonical, match_names
from .samples import SPLITS, Sample, Scan, relative_key

_COMMON = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".tif", ".tiff", ".bmp", ".webp"})
IMAGE_EXTENSIONS = _COMMON | {".npy"} | (heic.EXTENSIONS if heic.FORMATS else frozenset())
MASK_EXTENSIONS = _COMMON | {".gif"}
IMAGES, MASKS = "images", "masks"
_SPLIT_NAMES = {name: name for name in SPLITS} | {
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "training": "train",
    "testing": "test",
}


def scan_folders(root: Path) -> Scan:
    """Return the samples and flaws of a folder without a CSV manifest."""
    scan = Scan(root)
    base = root / IMAGES if (root / IMAGES).is_dir() else root
    masks = root / MASKS
    if masks.is_dir():
        scan.folders.append(masks)
    names = [folder.name for folder in visible_folders(base)]
    if any(name in SPLITS for name in names):
        _flag_misnamed_splits(scan, base, names)
        bases: dict[str | None, Path] = {split: base / split for split in SPLITS if split in names}
        scan.folders += bases.values()
    else:
        bases = {None: base}
        scan.folders += [base] if base != root else [f for f in visible_folders(root) if f != masks]
    _add_samples(scan, bases)
    if None in bases and not scan.samples:
        _flag_misnamed_splits(scan, base, names)
    _flag_unused_masks(scan, masks)
    return scan


def _add_samples(scan: Scan, bases: Mapping[str | None, Path]) -> None:
    """Add the images below the folder of each split as samples, with their masks."""
    masks = scan.root / MASKS
    images = {
        split: {folder.name: visible_images(folder) for folder in visible_folders(base) if folder != masks}
        for split, base in bases.items()
    }
    # Matched with the images of all splits: a similar name in one split must not take the mask of
    # an equal name in another.
    of_class = _find_masks(masks, images.values())
    for split, base in bases.items():
        of_split = _find_masks(masks / split, [images[split]]) if split else {}
        for label, paths in images[split].items():
            for image in paths:
                key, place = relative_key(image, scan.root), (label, image.stem)
                mask = of_split.get(place) or of_class.get(place)
                scan.samples.append(Sample(image, label, mask, key, split))
        loose = len(visible_images(base))
        if loose and (split or base != scan.root):
            name = relative_key(base, scan.root)
            message = f"{loose} images directly in {name}/ have no class: move them to {name}/<class>/"
            scan.add_flaw("no-class", name, message)


def _find_masks(place: Path, images: Iterable[Mapping[str, list[Path]]]) -> dict[tuple[str, str], Path]:
    """Return the masks in the class folders of ``place`` by label and stem of their images."""
    stems: dict[str, set[str]] = defaultdict(set)
    for by_label in images:
        for label, paths in by_label.items():
            stems[label].update(path.stem for path in paths)
    return {
        (label, stem): mask
        for label, folder in _mask_folders(place, list(stems)).items()
        for stem, mask in _masks_by_stem(stems[label], folder).items()
    }


def _mask_folders(place: Path, labels: list[str]) -> Mapping[str, Path]:
    """Return the folder of masks of each label that has one."""
    if not place.is_dir():
        return {}
    # A file system that ignores case finds more folders than a comparison of names does.
    found = {label: label for label in labels if (place / label).is_dir()}
    rest = [label for label in labels if label not in found]
    unused = [folder.name for folder in visible_folders(place) if folder.name not in found]
    return {label: place / name for label, name in (found | match_names(rest, unused)).items()}


def _masks_by_stem(stems: Collection[str], folder: Path) -> dict[str, Path]:
    """Return the mask in the folder for each of the stems that has one."""
    files = [path for path in folder.iterdir() if _is_visible_file(path, MASK_EXTENSIONS)]
    by_stem = {path.stem: path for path in sorted(files, key=_mask_precedence)}
    return {stem: by_stem[name] for stem, name in match_names(stems, by_stem).items()}


def _mask_precedence(path: Path) -> tuple[int, Path]:
    """Return a sort key that puts the preferred one of several masks with the same stem last."""
    # PNG is the documented format; GIF files beside other masks were never read.
    return {".png": 1, ".gif": -1}.get(path.suffix.lower(), 0), path


def _flag_misnamed_splits(scan: Scan, base: Path, names: list[str]) -> None:
    for name in names:
        right = _SPLIT_NAMES.get(canonical(name).lower())
        if right is not None and name not in SPLITS:
            where = relative_key(base / name, scan.root)
            scan.add_flaw(
                "bad-split", where, f"folder {where}/ is not one of {', '.join(SPLITS)}: rename it to {right}/"
            )


def _flag_unused_masks(scan: Scan, masks: Path) -> None:
    if not scan.samples or any(sample.mask for sample in scan.samples) or not masks.is_dir():
        return
    strays = sum(path.suffix.lower() in MASK_EXTENSIONS for path in masks.rglob("*"))
    if strays:
        message = f"none of {strays} files in masks/ is named after an image: name them masks/<class>/<image stem>.png"
        scan.add_flaw("no-mask-matches", MASKS, message)


def visible_folders(folder: Path) -> list[Path]:
    """Return the subfolders whose names do not begin with a dot, sorted."""
    return sorted(path for path in folder.iterdir() if not path.name.startswith(".") and path.is_dir())


def visible_images(folder: Path) -> list[Path]:
    """Return the image files directly in the folder, by extension, without hidden ones, sorted."""
    return sorted(path for path in folder.iterdir() if _is_visible_file(path, IMAGE_EXTENSIONS))


def _is_visible_file(path: Path, extensions: frozenset[str]) -> bool:
    return not path.name.startswith(".") and path.suffix.lower() in extensions and path.is_file()
