"""Measure how many generated leaves are written per second, with masks and files."""

import tempfile
from pathlib import Path

from _report import best_seconds, write_report

from venation.data.synthetic import write_leaves

CLASSES, IMAGES = 4, 10


def row(size: int) -> dict[str, object]:
    """Return one line of the table."""
    with tempfile.TemporaryDirectory() as folder:
        seconds = best_seconds(
            lambda: write_leaves(Path(folder) / "leaves", classes=CLASSES, images=IMAGES, size=size, seed=size),
            repeats=1,
        )
    return {"size": size, "images": CLASSES * IMAGES, "images_per_second": CLASSES * IMAGES / seconds}


if __name__ == "__main__":
    write_report("leaves", [row(size) for size in (128, 256, 512)])
