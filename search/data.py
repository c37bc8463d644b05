"""A study's data, as they must be on every machine."""

import json
import tempfile
from pathlib import Path

import optuna

from ..data.config import SplitConfig
from ..data.fingerprint import differences, digests, fingerprint
from ..data.manifest import Manifest, load_manifest
from ..data.splits import assign_splits
from ..errors import DataError
from ..storage.artifacts import Artifacts, get_file, put_file
from .lease import StudyHandle

DIGESTS = "digests.json"
SHOWN = 5


def load_split(data: Path, split: SplitConfig) -> tuple[Manifest, dict[str, str]]:
    """The manifest of ``data`` with every image in its part, and the digest of each image."""
    manifest = assign_splits(load_manifest(data), seed=split.seed, val=split.val, test=split.test)
    return manifest, digests(manifest)


def record_digests(artifacts: Artifacts, study: optuna.Study, prints: dict[str, str]) -> None:
    """Keep the digests with the study, so that a worker whose data differ can say which files."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / DIGESTS
        path.write_text(json.dumps(prints))
        put_file(artifacts, study, path)


def checked_split(handle: StudyHandle, artifacts: Artifacts, data: Path | None) -> Manifest:
    """The study's data from where they lie here; DataError that names the files if they are not the study's."""
    spec = handle.spec
    where = data or Path(spec.data)
    manifest, prints = load_split(where, spec.split)
    if fingerprint(prints) == spec.fingerprint:
        return manifest
    with tempfile.TemporaryDirectory() as folder:
        path = get_file(artifacts, handle.study, DIGESTS, to=Path(folder) / DIGESTS)
        rows = differences(prints, json.loads(path.read_text()))
    shown = "; ".join(rows[:SHOWN]) + (f"; and {len(rows) - SHOWN} more" if len(rows) > SHOWN else "")
    raise DataError(
        f"`{where}` does not hold the data of study `{handle.study.study_name}` ({shown}); bring the same files, or say"
        " where they are with --data."
    )
