"""Write Venation's split of a data set as a CSV file, for the plain scripts beside.

python benchmarks/peers/write_split.py DATA OUT.csv [--seed 0] [--val 0.2] [--test 0.2]
"""

import argparse
import csv
from pathlib import Path

from venation.data.manifest import Manifest, load_manifest
from venation.data.splits import assign_splits


def write_split(split: Manifest, path: Path) -> None:
    """Write one row for each image: its path, label, mask and split."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "label", "mask", "split"])
        for sample in split.samples:
            writer.writerow([sample.image.resolve(), sample.label, sample.mask and sample.mask.resolve(), sample.split])


def main() -> None:
    """Read the options and write the file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--val", type=float, default=0.2)
    parser.add_argument("--test", type=float, default=0.2)
    options = parser.parse_args()
    split = assign_splits(load_manifest(options.data), seed=options.seed, val=options.val, test=options.test)
    write_split(split, options.out)


if __name__ == "__main__":
    main()
