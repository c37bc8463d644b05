"""Train, validation and test: stratified by label, whole groups, the same for everyone who has the same seed."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import replace

from ..errors import DataError, UsageError
from .manifest import SPLITS, Manifest, Sample


def assign_splits(manifest: Manifest, *, seed: int, val: float = 0.2, test: float = 0.2) -> Manifest:
    """Give every sample a split: ``val`` and ``test`` are shares of the samples that are still to be divided.

    Splits that the manifest carries stay. What has none is divided; if all have one, then ``train`` is, into the
    parts that are absent (an absent test part too: without it no number would be honest). A group stays whole, every
    class keeps a group in train, and a class of three groups or more has one in val and in test. The result depends
    on the keys, labels, groups and seed alone.

    Raises UsageError for impossible shares; DataError for a class with one group, for a group that the manifest puts
    in two splits, and for a part or a class's train part that ends up empty.
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
    assigned = fixed | _Division(pool, shares, seed).run()
    samples = tuple(replace(sample, split=assigned[sample.group]) for sample in manifest.samples)
    result = replace(manifest, samples=samples)
    _check_result(result, [name for name, share in (("val", val), ("test", test)) if share > 0])
    return result


class _Division:
    """A greedy division of whole groups: first every class reaches every part, then the biggest deficit is filled."""

    def __init__(self, pool: list[Sample], shares: dict[str, float], seed: int) -> None:
        self.shares = {"train": 1 - sum(shares.values())} | {name: share for name, share in shares.items() if share > 0}
        self.members: dict[str, Counter[str]] = defaultdict(Counter)
        for sample in pool:
            self.members[sample.group][sample.label] += 1
        # Sorted by a hash of their names, groups are in a random order that no file system can change.
        self.order = sorted(self.members, key=lambda group: _hash(seed, group))
        self.totals = Counter(sample.label for sample in pool)
        self.counts = {part: Counter[str]() for part in self.shares}
        self.assigned: dict[str, str] = {}

    def run(self) -> dict[str, str]:
        """The part of every group."""
        groups_of: dict[str, list[str]] = defaultdict(list)
        for group in self.order:
            for label in self.members[group]:
                groups_of[label].append(group)
        for label in sorted(groups_of, key=lambda label: (len(groups_of[label]), label)):
            self._reach_every_part(label, groups_of[label])
        rest = [group for group in self.order if group not in self.assigned]
        for group in sorted(rest, key=lambda group: -self.members[group].total()):
            self._assign(group, max(self.shares, key=lambda part: self._deficit(part, group)))
        return self.assigned

    def _reach_every_part(self, label: str, groups: list[str]) -> None:
        # The smallest groups go out, so that a class of few groups keeps most of its images for training.
        free = sorted(
            (g for g in groups if g not in self.assigned), key=lambda g: self.members[g].total(), reverse=True
        )
        for part in self.shares:
            wanted = part == "train" or len(groups) >= len(SPLITS)
            if free and wanted and not self.counts[part][label]:
                self._assign(free.pop(0 if part == "train" else -1), part)

    def _assign(self, group: str, part: str) -> None:
        self.assigned[group] = part
        self.counts[part].update(self.members[group])

    def _deficit(self, part: str, group: str) -> tuple[float, float]:
        """How far the part is below its share: in the group's classes, then over all. Rounded: ties are ties."""
        share, counts = self.shares[part], self.counts[part]
        mine = sum(
            number * (share * self.totals[label] - counts[label]) / self.totals[label]
            for label, number in sorted(self.members[group].items())
        )
        return round(mine, 9), round(share * self.totals.total() - counts.total(), 9)


def _hash(seed: int, group: str) -> bytes:
    return hashlib.sha256(f"{seed}:{group}".encode(errors="surrogateescape")).digest()


def _fixed_groups(manifest: Manifest) -> dict[str, str]:
    """The split of each group that the manifest itself puts in one."""
    fixed: dict[str, str] = {}
    for sample in manifest.samples:
        if sample.split is not None and fixed.setdefault(sample.group, sample.split) != sample.split:
            both = f"{fixed[sample.group]} and {sample.split}"
            raise DataError(f"group {sample.group!r} is in {both}: a group belongs to one split, correct the manifest")
    return fixed


def _check_classes(pool: Iterable[Sample], parts: list[str], given: set[str]) -> None:
    """Refuse a class that cannot be both trained on and measured, unless the user has split the data."""
    if not parts or given:
        return
    groups: dict[str, set[str]] = defaultdict(set)
    images = Counter(sample.label for sample in pool)
    for sample in pool:
        groups[sample.label].add(sample.group)
    for label in sorted(groups):
        if len(groups[label]) == 1:
            has = f"{images[label]} image{'s' * (images[label] > 1)} in 1 group"
            raise DataError(f"class {label!r} has {has} and needs at least 3 (train, val, test): add some or remove it")


def _check_result(manifest: Manifest, parts: list[str]) -> None:
    trained = {sample.label for sample in manifest.split("train")}
    absent = [label for label in manifest.classes if label not in trained]
    if absent:
        raise DataError(f"class {absent[0]!r} has no image to train on: move some of its images or groups to train")
    for part in parts:
        if not manifest.split(part):
            raise DataError(f"the {part} part is empty: add images or groups to the classes, or a split of your own")
