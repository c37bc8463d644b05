"""The report of a data set in words, and its tables of counts."""

from collections import Counter
from statistics import fmean
from typing import Any

from ..data.background import Background
from ..data.checked import CheckedData
from ..data.samples import SPLITS
from ..wording import counted

_MOST_SIZES = 12


def data_summary(checked: CheckedData) -> list[str]:
    """Return what a data set holds and what is wrong with it, in sentences."""
    points = [_contents(checked), _balance(checked), _sizes(checked), _masks(checked)]
    points += [_background(checked.background, masks=bool(checked.mask_shares)), _copies(checked), _problems(checked)]
    return [point for point in points if point]


def count_rows(checked: CheckedData) -> list[dict[str, Any]]:
    """Return a row for each class: images by split, groups if there are any, masks."""
    grouped = len({image.sample.group for image in checked.images}) < len(checked.images)
    splits = [split for split in (*SPLITS, None) if any(image.sample.split == split for image in checked.images)]
    rows = []
    for label, images in checked.by_class().items():
        row: dict[str, Any] = {"class": label, "images": len(images)}
        if splits != [None]:
            parts = Counter(image.sample.split for image in images)
            row |= {split or "no split": parts[split] for split in splits}
        if grouped:
            row["groups"] = len({image.sample.group for image in images})
        shares = [image.mask.share for image in images if image.mask and image.mask.share is not None]
        if checked.mask_shares:
            row |= {"masks": len(shares), "mask, mean %": round(100 * fmean(shares), 2) if shares else None}
        rows.append(row)
    return rows


def size_rows(checked: CheckedData) -> list[dict[str, Any]]:
    """Return a row for each of the most frequent image sizes, and one for all others."""
    sizes = Counter(checked.sizes)
    rows: list[dict[str, Any]] = [
        {"width": width, "height": height, "images": number}
        for (width, height), number in sorted(sizes.items(), key=lambda item: (-item[1], item[0]))
    ]
    if len(rows) <= _MOST_SIZES:
        return rows
    rest = rows[_MOST_SIZES:]
    others = {"width": f"{len(rest)} other sizes", "height": "", "images": sum(row["images"] for row in rest)}
    return [*rows[:_MOST_SIZES], others]


def _contents(checked: CheckedData) -> str:
    images = [image.sample for image in checked.images]
    parts = Counter(sample.split for sample in images)
    said = f"{counted(len(images), 'image')} of {counted(len(checked.by_class()), 'class', 'classes')}"
    given = [f"{parts[split]} {split}" for split in SPLITS if parts[split]]
    if given:
        given += [f"{parts[None]} without a split"] if parts[None] else []
        return f"{said}: {', '.join(given)}."
    return f"{said}, without splits: a study divides them 60 : 20 : 20."


def _balance(checked: CheckedData) -> str:
    counts = Counter(image.sample.label for image in checked.images)
    if len(counts) < 2:
        return ""
    (most, high), (fewest, low) = counts.most_common()[0], counts.most_common()[-1]
    if high == low:
        return f"Every class has {counted(high, 'image')}."
    return f"The classes have {low} ({fewest}) to {high} ({most}) images."


def _sizes(checked: CheckedData) -> str:
    sizes = Counter(checked.sizes)
    if len(sizes) <= 1:
        return "".join(f"All images have {width} x {height} pixels." for width, height in sizes)
    sides = sorted(min(size) for size in checked.sizes)
    shorter = f"{sides[0]} to {sides[-1]}" if sides[0] < sides[-1] else f"{sides[0]}"
    return f"The images have {len(sizes)} sizes; the shorter side has {shorter} pixels."


def _masks(checked: CheckedData) -> str:
    shares = checked.mask_shares
    if not shares:
        return "There are no masks: labels can be learned, structures cannot."
    return (
        f"{len(shares)} of {counted(len(checked.images), 'image')} have a mask; the structure covers"
        f" {100 * min(shares):.3g} to {100 * max(shares):.3g} % of an image, {100 * fmean(shares):.3g} % on average."
    )


def _background(background: Background | None, *, masks: bool) -> str:
    if background is None and not masks:
        return ""
    if background is None:
        return "Whether the background names the class was not measured: too few images have a mask."
    said = (
        f"The background alone, such as the card behind the leaf, names the class in {100 * background.share:.0f} % of"
        f" the images; always naming the largest class is right in {100 * background.chance:.0f} %."
    )
    if background.leaks:
        return (
            f"{said} A network can learn the background in place of the structure: photograph all classes alike, or"
            " train with `--set data.blank=0.5`."
        )
    return f"{said} This is no sign of a leak."


def _copies(checked: CheckedData) -> str:
    counts = Counter(copy.differs for copy in checked.copies)
    if not counts:
        return "No image looks the same as one of another class, split or group."
    said = ", ".join(f"{counts[name]} of another {name}" for name in ("split", "label", "group") if counts[name])
    looks = "image looks" if len(checked.copies) == 1 else "images look"
    return f"{len(checked.copies)} {looks} the same as an earlier one: {said}."


def _problems(checked: CheckedData) -> str:
    errors = sum(row.level == "error" for row in checked.findings)
    return f"{counted(errors, 'error')} and {counted(len(checked.findings) - errors, 'warning')} were found."
