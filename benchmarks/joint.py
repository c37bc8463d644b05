"""Compare one network for labels and masks with the papers' two steps, at equal epochs.

Two steps train the default classifier, then the default decoder on the frozen classifier; their
epochs together are those of ``joint``, which trains one network for both by the default recipe.
``joint short`` has the epochs of the decoder alone. All see the same split, the same whole image at
the same size and the same encoder with its pretrained weights. Two steps choose the best epochs by
accuracy and by IoU, one network by the mean of both (``accuracy_iou``), on the validation split.

Every seed has its own split. The table shows mean and standard deviation over the seeds on the
sealed test split, and the difference from two steps with a 95 % interval, from paired resampling of
the images of all seeds.

    python benchmarks/joint.py [--quick] [--sets uci_leaf,leaves] [--seeds 0] [--work FOLDER]

Every outcome is stored in ``results/joint-fits-DEVICE.jsonl``, so an interrupted run continues, and
two processes may work at different seeds or sets at once; the last call without options writes the
table.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean, pstdev
from typing import Any

import numpy as np
from _joint_runs import METHODS, JointRuns, Plan
from _report import write_report
from methods import open_set, read_options

from venation.trials.paired import compare_paired

WORK = Path(__file__).parents[1] / "build" / "joint"
SETS = ("uci_leaf", "leaves")
_RESAMPLES = 10_000


def set_rows(runs: Sequence[JointRuns]) -> list[dict[str, Any]]:
    """Return the lines of one set, and print each."""
    found = {method: [run.outcome(method) for run in runs] for method in METHODS}
    rows = []
    for method, outcomes in found.items():
        row: dict[str, Any] = {"set": runs[0].name, "method": method, "epochs": runs[0].plan.epochs(method)}
        for name in ("accuracy", "iou"):
            values = [one[name] for one in outcomes]
            row |= {name: fmean(values), f"{name}_std": pstdev(values)}
        row |= _differences(outcomes, found[METHODS[0]])
        row |= {"M_params": outcomes[0]["parameters"] / 1e6, "seconds": min(one["seconds"] for one in outcomes)}
        print(" ".join(f"{v:.4g}" if isinstance(v, float) else str(v) for v in row.values()), flush=True)
        rows.append(row)
    return rows


def _differences(outcomes: Sequence[dict[str, Any]], others: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Return the differences from ``others`` in accuracy and in the mean IoU of an image."""
    right, other_right = (np.concatenate([one["right"] for one in each]).astype(bool) for each in (outcomes, others))
    labels = compare_paired(right, other_right)
    iou, other_iou = (np.concatenate([one["image_iou"] for one in each]) for each in (outcomes, others))
    gaps = iou - other_iou
    drawn = np.random.default_rng(0).choice(gaps, (_RESAMPLES, len(gaps))).mean(axis=1)
    low, high = np.percentile(drawn, (2.5, 97.5))
    return {
        "accuracy_gap": f"{labels.difference:+.3f} ({labels.low:+.3f} to {labels.high:+.3f})",
        "iou_gap": f"{gaps.mean():+.3f} ({low:+.3f} to {high:+.3f})",
    }


def main() -> None:
    """Read the options, run the comparison, and write it if it is complete."""
    options, scale, seeds = read_options(__doc__, WORK)
    names = options.sets.split(",") if options.sets else [name for name in SETS if name in scale.places]
    rows = []
    for name in names:
        plan = Plan(scale, replace(scale.places[name], mask_view={}))
        rows += [JointRuns(run, plan) for run in open_set(name, scale, options, seeds)]
    lines = [line for name in names if (group := [run for run in rows if run.name == name]) for line in set_rows(group)]
    if not (options.quick or options.sets or options.seeds):
        write_report("joint", lines)


if __name__ == "__main__":
    main()
