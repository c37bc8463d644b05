"""What identifies a data set: a digest an image, one fingerprint over all, and the differences between two sets."""

import hashlib
import json
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ..errors import DataError
from .manifest import Manifest, Sample


def digests(manifest: Manifest) -> dict[str, str]:
    """The SHA-256 of each sample by key: over the image's bytes, the mask's bytes, the label, the split and the group.

    Digest after the splits are assigned, or two machines with different splits look the same. Raises DataError if a
    file cannot be read.
    """
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        return dict(zip(map(manifest.key, manifest.samples), pool.map(_digest, manifest.samples), strict=True))


def fingerprint(digests: Mapping[str, str]) -> str:
    """One hex string over the pairs of key and digest, whatever their order."""
    return hashlib.sha256(json.dumps(sorted(digests.items())).encode()).hexdigest()


def differences(mine: Mapping[str, str], theirs: Mapping[str, str]) -> list[str]:
    """What ``mine`` is against ``theirs``, one line an image: missing, extra or changed, sorted by key within each."""
    missing = [f"missing: {key}" for key in sorted(theirs.keys() - mine.keys())]
    extra = [f"extra: {key}" for key in sorted(mine.keys() - theirs.keys())]
    changed = [f"changed: {key}" for key in sorted(mine.keys() & theirs.keys()) if mine[key] != theirs[key]]
    return missing + extra + changed


def _digest(sample: Sample) -> str:
    mask = None if sample.mask is None else file_hash(sample.mask)
    # JSON marks where one field ends and the next begins, so no two samples can share a digest by concatenation.
    record = [file_hash(sample.image), mask, sample.label, sample.split, sample.group]
    return hashlib.sha256(json.dumps(record).encode()).hexdigest()


def file_hash(path: Path) -> str:
    """The SHA-256 of a file of the data; DataError naming it if it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror or error}): restore it or take it out") from error
