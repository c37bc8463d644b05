"""Draw every picture of the pages from the results of ``venation demo``: ``make pictures``.

The demo must have ended on this machine; its folder is the argument. Pages are photographed in
Chromium.
"""

import sys
import tempfile
from pathlib import Path

from PIL import Image, ImageDraw
from screens import photograph

from venation.bundles.predict import predict_paths
from venation.data.manifest import load_manifest
from venation.data.synthetic import write_leaves

HERE = Path(__file__).parent
CLASSES = 5  # of the demo
SIDE, GAP, MARGIN, LINE = 220, 6, 96, 18
OVERLAY_WIDTH = 960
UNSEEN = 99
ROWS = ("leaf", "its veins", "predicted")


def draw(bundle: Path, folder: Path) -> None:
    """Write ``leaves.png``: a column for each cultivar, with the rows of ``ROWS``."""
    write_leaves(folder / "unseen", classes=CLASSES, images=1, size=SIDE, seed=UNSEEN)
    samples = load_manifest(folder / "unseen").samples
    rows = predict_paths(bundle, [sample.image for sample in samples], folder / "found")
    size = (MARGIN + len(samples) * (SIDE + GAP), LINE + len(ROWS) * (SIDE + GAP) + LINE)
    sheet = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(sheet)
    for at, name in enumerate(ROWS):
        pen.text((4, LINE + at * (SIDE + GAP) + SIDE // 2), name, fill="black", font_size=16)
    for column, (sample, row) in enumerate(zip(samples, rows, strict=True)):
        left = MARGIN + column * (SIDE + GAP)
        pen.text((left, 1), sample.label, fill="black", font_size=14)
        for at, path in enumerate((sample.image, sample.mask, folder / "found" / row["mask"])):
            with Image.open(path) as picture:
                sheet.paste(picture.convert("RGB"), (left, LINE + at * (SIDE + GAP)))
        predicted = f"{row['label']} {row['probability']:.0%}"
        pen.text((left, size[1] - LINE), predicted, fill="black", font_size=14)
    save(sheet, "leaves.png")


def draw_overlay(bundle: Path, folder: Path) -> None:
    """Write ``overlay.png``: overlay and heat map of a leaf, as ``venation predict`` draws them."""
    write_leaves(folder / "large", classes=CLASSES, images=1, size=480, seed=UNSEEN)
    leaf = load_manifest(folder / "large").samples[0].image
    (row,) = predict_paths(bundle, [leaf], folder / "one", overlay=True, heatmap=True)
    pair = [Image.open(folder / "one" / row[name]) for name in ("overlay", "heatmap")]
    sheet = Image.new("RGB", (sum(each.width for each in pair) + GAP, max(each.height for each in pair)), "white")
    sheet.paste(pair[0], (0, 0))
    sheet.paste(pair[1], (pair[0].width + GAP, 0))
    sheet.thumbnail((OVERLAY_WIDTH, sheet.height))
    save(sheet, "overlay.png")


def save(picture: Image.Image, name: str) -> None:
    """Write a picture of few colours beside this file."""
    few = picture.quantize(128, kmeans=1, dither=Image.Dither.NONE)
    few.save(HERE / name, optimize=True)


if __name__ == "__main__":
    demo = Path(sys.argv[1])
    with tempfile.TemporaryDirectory() as scratch:
        draw(demo / "demo.bundle", Path(scratch))
        draw_overlay(demo / "demo.bundle", Path(scratch))
        photograph(demo / "demo.bundle", HERE, Path(scratch))
