"""Can the published widths be told from noise, and can the wide space? `venation study signal` on two sets.

Sets: ``hrf_vessels`` below VENATION_REAL_DATA (by default ``../shared/data``; skipped, and said so, if absent; the eyes
of its ``manifest.csv`` stay whole) and leaves generated here. Spaces: the 243 width combinations of MNSA, and the
decoder space of the default preset, both around the default decoder on the same frozen classifier, so that nothing but
the space differs. This is the product's own path: studies in a database of the benchmark's, which keep every single
training, so a run that was interrupted goes on; the report is written anew after each set. On two slow cores it takes
some twelve minutes of processor time.

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
class Look:
    """How one set is looked at: its images' side in pixels, and the points and seeds of its checks."""

    size: int
    points: int
    seeds: int


@dataclass(frozen=True)
class Scale:
    """How large everything is; the epochs are the base's and those of a training of the check."""

    encoder: str
    sets: dict[str, Look]
    leaf_classes: int
    leaves: int
    base_epochs: int
    epochs: int


# A training takes twice as long on the retinas, so they get fewer.
_FEW, _FEWER, _MANY = Look(64, 7, 3), Look(80, 5, 2), Look(256, 16, 4)
CPU = Scale("resnet10t", {"leaves": _FEW, "hrf_vessels": _FEWER}, 4, 25, base_epochs=10, epochs=4)
CUDA = Scale("resnet50", {"leaves": _MANY, "hrf_vessels": Look(384, 16, 4)}, 6, 60, base_epochs=40, epochs=10)
QUICK = Scale("test_resnet", {"leaves": Look(32, 3, 2)}, 2, 10, base_epochs=1, epochs=1)


@dataclass(frozen=True)
class Place:
    """Where the benchmark's studies live."""

    storage: RDBStorage
    artifacts: Artifacts
    folder: Path

    def study(self, name: str, kind: str, **options: Any) -> StudyHandle:
        """The study ``name``, made if it is not there."""
        request = make_request({"name": name, "kind": kind} | options)
        return create_requested(self.storage, self.artifacts, request)[0]


def set_path(name: str, scale: Scale, work_folder: Path) -> Path | None:
    """The data of one set, or None, with the reason printed."""
    if name != "leaves":
        path = REAL / name / "manifest.csv"
        if path.exists():
            return path
        print(f"{name}: skipped, {path} is not there; set VENATION_REAL_DATA")
        return None
    size = scale.sets[name].size
    folder = work_folder / f"leaves-{scale.leaf_classes}-{scale.leaves}-{size}"
    if not folder.exists():
        write_leaves(folder, classes=scale.leaf_classes, images=scale.leaves, size=size, seed=3)
    return folder


def checks(place: Place, name: str, data: Path, scale: Scale) -> Iterator[tuple[str, Verdict]]:
    """The verdict on each space over one set, on one frozen classifier."""
    look = scale.sets[name]
    label = f"{name}-{scale.encoder}-{look.size}"
    own = {"encoder.name": scale.encoder, "data.size": look.size, "train.epochs": scale.base_epochs}
    base = place.study(label, "classifier", data=data, trials=1, settings=own)
    work([open_context(base, place.artifacts, device="auto")], until_idle=True)
    for space, dimensions in SPACES.items():
        text = space_text(dimensions)
        path = place.folder / f"{space}.yaml"
        path.write_text(text)
        # A space that has changed since is another study.
        digest = hashlib.sha256(text.encode()).hexdigest()[:8]
        study = place.study(f"{label}-{space}-{digest}", "decoder", base=label, space=path)
        context = open_context(study, place.artifacts, device="auto")
        yield space, SignalCheck(context, points=look.points, seeds=look.seeds, epochs=scale.epochs).run()


def row(name: str, space: str, verdict: Verdict) -> dict[str, Any]:
    """One line of the table."""
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
    """Read the options, make the table, and write what there is of it after every set."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a smoke run of about a minute; nothing is written")
    parser.add_argument("--work", type=Path, default=WORK, help="where studies and leaves are kept")
    options = parser.parse_args()
    scale = QUICK if options.quick else CUDA if torch.cuda.is_available() else CPU
    folder = options.work.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    os.environ["VENATION_HOME"] = str(folder / "home")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    rows = []
    try:
        place = Place(open_storage(embedded.start()), open_artifacts(None), folder)
        for name in scale.sets:
            data = set_path(name, scale, folder)
            for space, verdict in checks(place, name, data, scale) if data else ():
                print(f"{name}, {space}: {verdict.text}", flush=True)
                rows.append(row(name, space, verdict))
            if rows and not options.quick:
                write_report("signal", rows)
    finally:
        embedded.stop()


if __name__ == "__main__":
    main()
