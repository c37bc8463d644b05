"""Check whether two decoder spaces have a signal, with `venation study signal` on two sets.

Sets: ``hrf_vessels`` in VENATION_REAL_DATA (by default ``../shared/data``; skipped with a message
if it is missing; its ``manifest.csv`` keeps eyes whole) and leaves generated here. Spaces: the 243
width combinations of MNSA, and the decoder space of the default preset. Both are searched around
the default decoder on the same frozen classifier, so that only the space differs. The studies are
in a database of the benchmark and store every training, so an interrupted run continues. The report
is written again after each set. On two slow cores it takes some twelve minutes of CPU time.

    python benchmarks/signal_check.py [--quick] [--work FOLDER]
"""

import argparse
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import torch
from _report import write_report
from optuna.storages import RDBStorage

from venation.data.synthetic import write_leaves
from venation.insight.signal import SignalCheck
from venation.insight.verdict import Verdict
from venation.search.handle import StudyHandle
from venation.spaces.decoder import DECODER_SPACE, MNSA_SPACE
from venation.spaces.space_file import space_text
from venation.storage import embedded
from venation.storage.artifacts import Artifacts, open_artifacts
from venation.storage.database import open_storage
from venation.studies.context import open_context
from venation.studies.create import create_requested
from venation.studies.request import make_request
from venation.workers.worker import work

REAL = Path(os.environ.get("VENATION_REAL_DATA", "../shared/data"))
WORK = Path(__file__).parents[1] / "build" / "signal"
SPACES = {"paper": MNSA_SPACE, "wide": DECODER_SPACE}


@dataclass(frozen=True)
class CheckSize:
    """Image side of one set in pixels, and the points and seeds of its checks."""

    size: int
    points: int
    seeds: int


@dataclass(frozen=True)
class Scale:
    """The sizes; the epochs are those of the base and of a training of the check."""

    encoder: str
    sets: dict[str, CheckSize]
    leaf_classes: int
    leaves: int
    base_epochs: int
    epochs: int


# A training on the retinas takes twice as long, so they get fewer points and seeds.
_FEW, _FEWER, _MANY = CheckSize(64, 7, 3), CheckSize(80, 5, 2), CheckSize(256, 16, 4)
CPU = Scale("resnet10t", {"leaves": _FEW, "hrf_vessels": _FEWER}, 4, 25, base_epochs=10, epochs=4)
CUDA = Scale("resnet50", {"leaves": _MANY, "hrf_vessels": CheckSize(384, 16, 4)}, 6, 60, base_epochs=40, epochs=10)
QUICK = Scale("test_resnet", {"leaves": CheckSize(32, 3, 2)}, 2, 10, base_epochs=1, epochs=1)


@dataclass(frozen=True)
class Workspace:
    """The database and folder of the benchmark's studies."""

    storage: RDBStorage
    artifacts: Artifacts
    folder: Path

    def study(self, name: str, kind: str, **options: Any) -> StudyHandle:
        """Open the study ``name``, or create it."""
        request = make_request({"name": name, "kind": kind} | options)
        return create_requested(self.storage, self.artifacts, request)[0]


def set_path(name: str, scale: Scale, work_folder: Path) -> Path | None:
    """Return the path of one set; if it is missing, print why and return None."""
    if name != "leaves":
        path = REAL / name / "manifest.csv"
        if path.exists():
            return path
        print(f"{name}: skipped, {path} does not exist; set VENATION_REAL_DATA")
        return None
    size = scale.sets[name].size
    folder = work_folder / f"leaves-{scale.leaf_classes}-{scale.leaves}-{size}"
    if not folder.exists():
        write_leaves(folder, classes=scale.leaf_classes, images=scale.leaves, size=size, seed=3)
    return folder


def checks(workspace: Workspace, name: str, data: Path, scale: Scale) -> Iterator[tuple[str, Verdict]]:
    """Yield the verdict on each space over one set, on one frozen classifier."""
    size = scale.sets[name]
    label = f"{name}-{scale.encoder}-{size.size}"
    own = {"encoder.name": scale.encoder, "encoder.weights": "none"}
    own |= {"data.size": size.size, "train.epochs": scale.base_epochs}
    base = workspace.study(label, "classifier", data=data, trials=1, settings=own)
    work([open_context(base, workspace.artifacts, device="auto")], until_idle=True)
    for space, dimensions in SPACES.items():
        text = space_text(dimensions)
        path = workspace.folder / f"{space}.yaml"
        path.write_text(text)
        # A changed space needs another study.
        digest = hashlib.sha256(text.encode()).hexdigest()[:8]
        study = workspace.study(f"{label}-{space}-{digest}", "decoder", base=label, space=path)
        context = open_context(study, workspace.artifacts, device="auto")
        yield space, SignalCheck(context, points=size.points, seeds=size.seeds, epochs=scale.epochs).run()


def row(name: str, space: str, verdict: Verdict) -> dict[str, Any]:
    """Return one line of the table."""
    seen, record = verdict.variance, verdict.record()
    means_P = verdict.values_PS.mean(axis=1)
    return {
        "set": name,
        "space": space,
        "dimensions": len(SPACES[space].dimensions),
        "points": seen.points,
        "seeds": seen.seeds,
        "epochs": verdict.epochs,
        "iou": float(means_P.mean()),
        "between": seen.between,
        "within": seen.within,
        "p": seen.p,
        "reliability": seen.reliability,
        "tau": seen.tau,
        "tau_low": seen.tau_low,
        "tau_high": seen.tau_high,
        "gain_20": record["gain"],
        "verdict": seen.outcome,
    }


def main() -> None:
    """Read the options, run the checks, and write the table after every set."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a smoke run of about a minute; nothing is written")
    parser.add_argument("--work", type=Path, default=WORK, help="folder that stores studies and leaves")
    options = parser.parse_args()
    scale = QUICK if options.quick else CUDA if torch.cuda.is_available() else CPU
    folder = options.work.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    os.environ["VENATION_HOME"] = str(folder / "home")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    rows = []
    try:
        workspace = Workspace(open_storage(embedded.start()), open_artifacts(None), folder)
        for name in scale.sets:
            data = set_path(name, scale, folder)
            for space, verdict in checks(workspace, name, data, scale) if data else ():
                print(f"{name}, {space}: {verdict.text}", flush=True)
                rows.append(row(name, space, verdict))
            if rows and not options.quick:
                write_report("signal", rows)
    finally:
        embedded.stop()


if __name__ == "__main__":
    main()
