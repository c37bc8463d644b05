"""Does a search of the decoder pay? Compare it with random search and with the default decoder.

On one set, two studies of equally many short trials search the same space: one by TPE, one at
random. The space is ``widths``, all of MNSA's enhancer and nothing else, or ``default``, the whole
space of the preset. The best trial of each, by its validation IoU, and the preset's own decoder
then train for more epochs, with three seeds each, and are scored on the sealed test split. The
table has their IoU and Dice, and the difference from the default with a 95 % t interval over the
seeds.

Everything is a study in a database of its own in the work folder, so that an interrupted run
continues, and several processes may work at once, each at one decoder of the table (``--only``).
The last call without ``--only`` writes the table. ``--searches`` writes one of the two searches
alone, once they have ended: what their trials reached, against the first, the preset's own.

    python benchmarks/search.py [--set hrf_vessels|leaves] [--space widths|default] [--trials 30]
                                [--epochs 1] [--final-epochs 4] [--patches 2] [--seeds 3]
                                [--only tpe|random|default] [--searches] [--work FOLDER]
                                [--quick]
"""

import argparse
import hashlib
import math
import os
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean, median, stdev
from typing import Any

from _report import write_report
from scipy.stats import t

REAL = Path(os.environ.get("VENATION_REAL_DATA", "../shared/data"))
WORK = Path(__file__).parents[1] / "build" / "search"
SAMPLERS = ("tpe", "random")
# What the search of widths keeps: the preset's small decoder on the frozen encoder.
_FIXED = {"decoder.kind": "mnsa", "decoder.channels": 32}
_TINY = {"encoder.name": "test_resnet", "encoder.weights": "none", "data.size": 32}


def options() -> argparse.Namespace:
    """Return the command line's options."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--set", dest="set", default="hrf_vessels", choices=("hrf_vessels", "leaves"))
    parser.add_argument("--space", default="widths", choices=("widths", "default"))
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--final-epochs", type=int, default=4)
    parser.add_argument(
        "--patches", type=int, default=2, help="of each image an epoch, where the preset trains on patches"
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", choices=(*SAMPLERS, "default"), help="only this decoder; nothing is written")
    parser.add_argument("--searches", action="store_true", help="write the table of the searches' trials")
    parser.add_argument("--work", type=Path, default=WORK)
    parser.add_argument("--quick", action="store_true", help="a few tiny networks, to see that it runs")
    given = parser.parse_args()
    if given.quick:
        given.set, given.trials, given.epochs, given.final_epochs, given.seeds = "leaves", 2, 1, 1, 2
    return given


class Search:
    """The studies of one set and one space."""

    def __init__(self, given: argparse.Namespace) -> None:
        from venation.data.synthetic import write_leaves

        self.given = given
        self.work = given.work.resolve()
        self.prefix = f"{given.set}-{given.space}{'-quick' if given.quick else ''}"
        self.data = REAL / given.set / "manifest.csv"
        if given.set == "leaves":
            self.data = self.work / f"leaves-{'quick' if given.quick else 'full'}"
            if not self.data.exists():
                classes, images, size = (2, 10, 48) if given.quick else (6, 30, 448)
                write_leaves(self.data, classes=classes, images=images, size=size, seed=7)
        # The label of a retina's tile is hardly visible; its classifier only carries the encoder.
        epochs = {"train.epochs": 1} if given.set == "hrf_vessels" or given.quick else {}
        self.base = f"{given.set}{'-quick' if given.quick else ''}-base"
        self.done(self.base, kind="classifier", data=self.data, settings=epochs | (_TINY if given.quick else {}))

    def done(self, name: str, *, trials: int = 1, **options: Any) -> Any:
        """Create the study, or open it if it exists; run it to its end and return it."""
        import venation

        study = venation.create_study(name, trials=trials, pruner="none", **options)
        study.run()
        return study

    @property
    def fixed(self) -> dict[str, Any]:
        """The settings that the space keeps."""
        return _FIXED if self.given.space == "widths" else {}

    def searched(self, sampler: str) -> Any:
        """Return the finished study of a search."""
        return self.done(
            f"{self.prefix}-{sampler}",
            trials=self.given.trials,
            kind="decoder",
            base=self.base,
            sampler=sampler,
            settings=self.fixed | self.length(self.given.epochs),
            space=self.widths() if self.fixed else None,
            objective=["iou"],
        )

    def found(self, sampler: str) -> tuple[Mapping[str, Any], float]:
        """Return what a search's best trial drew, and the seconds of all its trials."""
        study = self.searched(sampler)
        return self.fixed | study.best().params, self.trials(sampler)["seconds"]

    def trials(self, sampler: str) -> dict[str, Any]:
        """Return what the trials of a search reached; the first one is the preset itself."""
        done = [trial for trial in self.searched(sampler).optuna_study.get_trials() if trial.values]
        first, *others = [trial.values[0] for trial in done]
        return {
            "sampler": sampler,
            "trials": len(done),
            "preset": first,
            "best of the others": max(others),
            "median": median(others),
            "worst": min(others),
            "better than the preset": sum(value > first for value in others),
            "seconds": round(sum(trial.duration.total_seconds() for trial in done if trial.duration)),
        }

    def length(self, epochs: int) -> dict[str, int]:
        """Return the settings that say how long a decoder trains."""
        patches = {"data.patches": self.given.patches} if self.given.set == "hrf_vessels" else {}
        return {"train.epochs": epochs} | patches

    def widths(self) -> Path:
        """Write the dimensions of MNSA's enhancer to a file, and return it."""
        from venation.spaces.decoder import DECODER_SPACE
        from venation.spaces.space_file import space_text

        kept = {d.name for d in DECODER_SPACE.dimensions if "decoder.kind" in d.when and d.name not in _FIXED}
        names = {d.name for d in DECODER_SPACE.dimensions} - kept | {"decoder.supervise"}
        path = self.work / "widths.yaml"
        path.write_text(space_text(DECODER_SPACE.without(names)))
        return path

    def final(self, settings: Mapping[str, Any], seed: int) -> dict[str, float]:
        """Return the test IoU and Dice of a decoder that trained for the final epochs.

        Decoders that two searches found alike are trained once.
        """
        import venation

        digest = hashlib.sha256(repr(sorted(settings.items())).encode()).hexdigest()[:8]
        study = self.done(
            f"{self.prefix}-final-{digest}-{seed}",
            kind="decoder",
            base=self.base,
            seed=seed,
            settings=dict(settings) | self.length(self.given.final_epochs),
            objective=["iou"],
        )
        out = self.work / f"{study.name}.bundle"
        bundle = venation.load_bundle(out) if out.exists() else study.export(out)
        return {key: bundle.metrics["test"][key].value for key in ("iou", "dice")}


def against(mine: list[float], theirs: list[float]) -> tuple[float, float, float]:
    """Return the mean of the differences, and the ends of its 95 % t interval."""
    differences = [a - b for a, b in zip(mine, theirs, strict=True)]
    mean = fmean(differences)
    half = t.ppf(0.975, len(differences) - 1) * stdev(differences) / math.sqrt(len(differences))
    return mean, mean - half, mean + half


def main() -> None:
    """Search, train the winners and the default, and write the table."""
    given = options()
    os.environ["VENATION_HOME"] = str((given.work / "home").resolve())
    given.work.mkdir(parents=True, exist_ok=True)
    search = Search(given)
    if given.searches:
        write_report(f"search-trials-{search.prefix}", [search.trials(sampler) for sampler in SAMPLERS])
        return
    names = [given.only] if given.only else [*SAMPLERS, "default"]
    candidates = {name: search.found(name) if name in SAMPLERS else ({}, 0.0) for name in names}
    scores = {
        name: [search.final(settings, seed) for seed in range(given.seeds)]
        for name, (settings, _) in candidates.items()
    }
    if given.only:
        return
    rows = []
    for name, finals in scores.items():
        drawn = {key.removeprefix("decoder."): value for key, value in candidates[name][0].items()}
        row: dict[str, Any] = {"decoder": name, "drawn": drawn, "search s": round(candidates[name][1])}
        for key in ("iou", "dice"):
            values = [final[key] for final in finals]
            row[key], row[f"{key} sd"] = fmean(values), stdev(values)
        mean, low, high = against([f["iou"] for f in finals], [f["iou"] for f in scores["default"]])
        rows.append(row | {"iou - default": mean, "low": low, "high": high})
    write_report(f"search-{search.prefix}", rows)


if __name__ == "__main__":
    main()
