r"""Draw ``leaves.png``: unseen leaves, their exact veins, and the predictions of a bundle.

venation data synth leaves --classes 4 --images 30 --size 160 --seed 7
venation study create soy --kind classifier --data leaves --trials 1 \
    --set train.epochs=14 --set data.vflip=0 --set data.rotate=0 --set data.min_area=1 \
    --set data.colour=0 --set data.blank=0
venation study create soy-veins --kind decoder --base soy --trials 1 \
    --set train.epochs=10 --set train.batch_size=8
venation worker soy soy-veins --until-idle
venation bundle export soy-veins -o leaves.bundle
python docs/images/draw.py leaves.bundle
"""

import sys
import tempfile
from pathlib import Path

from PIL import Image, ImageDraw

from venation.bundles.predict import predict_paths
from venation.data.manifest import load_manifest
from venation.data.synthetic import write_leaves

SIDE, GAP, MARGIN, LINE = 220, 6, 96, 18
UNSEEN = 99
ROWS = ("leaf", "its veins", "predicted")


def draw(bundle: Path, out: Path) -> None:
    """Draw one column for each cultivar, with the rows of ``ROWS``."""
    with tempfile.TemporaryDirectory() as scratch:
        leaves, found = Path(scratch) / "leaves", Path(scratch) / "found"
        write_leaves(leaves, classes=4, images=1, size=SIDE, seed=UNSEEN)
        samples = load_manifest(leaves).samples
        rows = predict_paths(bundle, [sample.image for sample in samples], found, overlay=True)
        size = (MARGIN + len(samples) * (SIDE + GAP), LINE + len(ROWS) * (SIDE + GAP) + LINE)
        sheet = Image.new("RGB", size, "white")
        pen = ImageDraw.Draw(sheet)
        for at, name in enumerate(ROWS):
            pen.text((4, LINE + at * (SIDE + GAP) + SIDE // 2), name, fill="black", font_size=16)
        overlays = sorted((found / "overlays").iterdir())
        for column, (sample, overlay, row) in enumerate(zip(samples, overlays, rows, strict=True)):
            left = MARGIN + column * (SIDE + GAP)
            pen.text((left, 1), sample.label, fill="black", font_size=14)
            for at, path in enumerate((sample.image, sample.mask, overlay)):
                with Image.open(path) as picture:
                    sheet.paste(picture.convert("RGB"), (left, LINE + at * (SIDE + GAP)))
            predicted = f"{row['label']} {row['probability']:.0%}"
            pen.text((left, size[1] - LINE), predicted, fill="black", font_size=14)
        sheet.quantize(256).save(out, optimize=True)


if __name__ == "__main__":
    draw(Path(sys.argv[1]), Path(__file__).with_name("leaves.png"))
