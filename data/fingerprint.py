"""Identify a data set by a digest per sample and a fingerprint over all; compare two data sets."""

import hashlib
import json
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..errors import DataError
from .manifest import Manifest, Sample
from .progress import tracked


def digests(manifest: Manifest) -> dict[str, str]:
    """Return a SHA-256 per sample key: over image, mask and its classes, label, split and group.

    Assign the splits first; otherwise two machines with different splits get the same digests.
    Raises DataError if a file cannot be read.
    """
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        found = tracked(pool.map(_digest, manifest.samples), "hashing images", len(manifest.samples))
        return dict(zip(map(manifest.key, manifest.samples), found, strict=True))


def fingerprint(digests: Mapping[str, str]) -> str:
    """Return one hex string over all pairs of key and digest, independent of their order."""
    return hashlib.sha256(json.dumps(sorted(digests.items())).encode()).hexdigest()


def differences(actual: Mapping[str, str], expected: Mapping[str, str]) -> list[str]:
    """List missing, extra and changed images of ``actual`` against ``expected``, one line each."""
    missing = [f"missing: {key}" for key in sorted(expected.keys() - actual.keys())]
    extra = [f"extra: {key}" for key in sorted(actual.keys() - expected.keys())]
    changed = [f"changed: {key}" for key in sorted(actual.keys() & expected.keys()) if actual[key] != expected[key]]
    return missing + extra + changed


def _digest(sample: Sample) -> str:
    mask = None if sample.mask is None else file_hash(sample.mask)
    # JSON delimits the fields: plain concatenation could give two different samples the same
    # digest.
    record: list[Any] = [file_hash(sample.image), mask, sample.label, sample.split, sample.group]
    if mask is not None and sample.mask_classes is not None:
        record.append(asdict(sample.mask_classes))
    return hashlib.sha256(json.dumps(record).encode()).hexdigest()


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file; raise DataError with its path if it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror or error}): restore it or take it out") from error
