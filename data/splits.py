"""Divide samples into train, val and test: stratified, in whole groups, reproducible by seed."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import replace

from ..errors import DataError, UsageError
from .manifest import SPLITS, Manifest, Sample


def assign_splits(manifest: Manifest, *, seed: int, val: float = 0.2, test: float = 0.2) -> Manifest:
    """Give every sample a split; ``val`` and ``test`` are shares of the samples that are divided.

    Splits in the manifest stay. Samples without a split are divided. If all samples have one, the
    train split is divided into the splits that are absent (also into an absent test split: without
    one no score would be unbiased). A group stays whole, every class keeps a group in train, and a
    class of three or more groups has one in val and in test. The result depends on keys, labels,
    groups and seed alone.

    Raises UsageError for impossible shares. Raises DataError for a class with one group, a group
    that the manifest puts in two splits, an empty split, and a class without samples in train.
    """
    if not (0 <= val < 1 and 0 <= test < 1 and val + test < 1):
        raise UsageError(f"val={val} and test={test} leave nothing to train on: give shares whose sum is below 1")
    fixed = _fixed_groups(manifest)
    given = set(fixed.values())
    shares = {"val": 0.0 if "val" in given else val, "test": 0.0 if "test" in given else test}
    pool = [sample for sample in manifest.samples if sample.group not in fixed]
    if not pool:
        pool = [sample for sample in manifest.samples if sample.split == "train"]
    _check_classes(pool, [name for name in shares if shares[name] > 0], given)
    assigned = fixed | _GroupAssigner(pool, shares, seed).run()
    samples = tuple(replace(sample, split=assigned[sample.group]) for sample in manifest.samples)
    result = replace(manifest, samples=samples)
    _check_result(result, [name for name, share in (("val", val), ("test", test)) if share > 0])
    return result


class _GroupAssigner:
    """Greedy assignment of groups: cover every split by class, then fill the largest deficit."""

    def __init__(self, pool: list[Sample], shares: dict[str, float], seed: int) -> None:
        self.shares = {"train": 1 - sum(shares.values())} | {name: share for name, share in shares.items() if share > 0}
        self.members: dict[str, Counter[str]] = defaultdict(Counter)
        for sample in pool:
            self.members[sample.group][sample.label] += 1
        # Sorting by a hash of the name gives a random order that does not depend on the file
        # system.
        self.order = sorted(self.members, key=lambda group: _hash(seed, group))
        self.totals = Counter(sample.label for sample in pool)
        self.counts = {split: Counter[str]() for split in self.shares}
        self.assigned: dict[str, str] = {}

    def run(self) -> dict[str, str]:
        """Return the split of each group."""
        groups_of: dict[str, list[str]] = defaultdict(list)
        for group in self.order:
            for label in self.members[group]:
                groups_of[label].append(group)
        for label in sorted(groups_of, key=lambda label: (len(groups_of[label]), label)):
            self._cover_splits(label, groups_of[label])
        rest = [group for group in self.order if group not in self.assigned]
        for group in sorted(rest, key=lambda group: -self.members[group].total()):
            self._assign(group, max(self.shares, key=lambda split: self._deficit(split, group)))
        return self.assigned

    def _cover_splits(self, label: str, groups: list[str]) -> None:
        # Assign the smallest groups to val and test: a class of few groups keeps most images for
        # training.
        free = sorted(
            (g for g in groups if g not in self.assigned), key=lambda g: self.members[g].total(), reverse=True
        )
        for split in self.shares:
            wanted = split == "train" or len(groups) >= len(SPLITS)
            if free and wanted and not self.counts[split][label]:
                self._assign(free.pop(0 if split == "train" else -1), split)

    def _assign(self, group: str, split: str) -> None:
        self.assigned[group] = split
        self.counts[split].update(self.members[group])

    def _deficit(self, split: str, group: str) -> tuple[float, float]:
        """Return how far a split is below its share: in the group's classes, and overall.

        Rounded, so that float noise does not break ties.
        """
        share, counts = self.shares[split], self.counts[split]
        in_classes = sum(
            number * (share * self.totals[label] - counts[label]) / self.totals[label]
            for label, number in sorted(self.members[group].items())
        )
        return round(in_classes, 9), round(share * self.totals.total() - counts.total(), 9)


def _hash(seed: int, group: str) -> bytes:
    return hashlib.sha256(f"{seed}:{group}".encode(errors="surrogateescape")).digest()


def _fixed_groups(manifest: Manifest) -> dict[str, str]:
    """Return the split of each group that has one in the manifest."""
    fixed: dict[str, str] = {}
    for sample in manifest.samples:
        if sample.split is not None and fixed.setdefault(sample.group, sample.split) != sample.split:
            both = f"{fixed[sample.group]} and {sample.split}"
            raise DataError(f"group {sample.group!r} is in {both}: a group belongs to one split, correct the manifest")
    return fixed


def _check_classes(pool: Iterable[Sample], splits: list[str], given: set[str]) -> None:
    """Raise DataError for a class of one group, which cannot be both trained on and evaluated.

    A manifest that gives splits is accepted.
    """
    if not splits or given:
        return
    groups: dict[str, set[str]] = defaultdict(set)
    images = Counter(sample.label for sample in pool)
    for sample in pool:
        groups[sample.label].add(sample.group)
    for label in sorted(groups):
        if len(groups[label]) == 1:
            has = f"{images[label]} image{'s' * (images[label] > 1)} in 1 group"
            raise DataError(f"class {label!r} has {has} and needs at least 3 (train, val, test): add some or remove it")


def _check_result(manifest: Manifest, splits: list[str]) -> None:
    trained = {sample.label for sample in manifest.split("train")}
    absent = [label for label in manifest.classes if label not in trained]
    if absent:
        raise DataError(f"class {absent[0]!r} has no image to train on: move some of its images or groups to train")
    for split in splits:
        if not manifest.split(split):
            raise DataError(
                f"the {split} split is empty: add images or groups to the classes, or give the split in the manifest"
            )
