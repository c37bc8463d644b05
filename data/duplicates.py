"""Find copies in a data set: images of equal pixels, and images that look the same."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from .finding import Finding
from .inspection import Picture
from .perceptual_hash import near_pairs
from .samples import Sample, Scan, relative_key


@dataclass(frozen=True)
class Copy:
    """An image that looks like an earlier one, and what the two disagree about.

    ``differs`` is ``split``, ``label`` or ``group``, the first of them that differs.
    """

    sample: Sample
    first: Sample
    differs: str


def same_pictures(scan: Scan, pictures: Sequence[Picture | None]) -> list[Finding]:
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


def near_copies(scan: Scan, pictures: Sequence[Picture | None]) -> list[Copy]:
    """Return the images that look like an earlier one of another split, label or group.

    Images of equal pixels do not count. Of several earlier images, the one that matters most is
    named: another split before another label before another group.
    """
    copies = []
    for place, earlier in near_pairs([picture.look if picture else b"" for picture in pictures]):
        sample, digest = scan.samples[place], _digest(pictures[place])
        others = [scan.samples[other] for other in earlier.tolist() if _digest(pictures[other]) != digest]
        found = [Copy(sample, first, differs) for first in others if (differs := _difference(sample, first))]
        if found:
            copies.append(min(found, key=lambda copy: _ORDER.index(copy.differs)))
    return copies


def copy_findings(scan: Scan, copies: Sequence[Copy]) -> list[Finding]:
    """Return a warning for each copy."""
    rows = []
    for copy in copies:
        advice = {
            "split": f", in {copy.sample.split} and {copy.first.split}: keep both in one split",
            "label": f", labelled {copy.sample.label} and {copy.first.label}: look at both, and keep the right one",
            "group": ": delete one, or give both one group",
        }
        other = relative_key(copy.first.image, scan.root)
        message = f"looks the same as {other}{advice[copy.differs]}"
        rows.append(Finding("warning", "near-duplicate", relative_key(copy.sample.image, scan.root), message))
    return rows


_ORDER = ("split", "label", "group")


def _difference(sample: Sample, first: Sample) -> str:
    """Return the first of split, label and group that differs; empty if none does."""
    return next((name for name in _ORDER if getattr(sample, name) != getattr(first, name)), "")


def _digest(picture: Picture | None) -> str:
    return "" if picture is None else picture.digest
