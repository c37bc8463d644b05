"""A contact sheet of what a trial's network says: what people look at first."""

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageOps

from ..data.images import read_image
from ..data.manifest import Sample
from .overlay import draw_prediction
from .predict import Prediction, Predictor

TILE = 192  # pixels
CAPTION = 14
COLUMNS = 4


def sample_sheet(predictor: Predictor, samples: Sequence[Sample], *, heat: bool) -> Image.Image:
    """A sheet of the images ``samples`` with their masks or, if ``heat``, heat maps drawn in.

    Each tile says the label and, where it is another one, what the network takes the image for.
    """
    rows = -(-len(samples) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * TILE, rows * (TILE + CAPTION)), "white")
    predictions = predictor.predict([sample.image for sample in samples], heat=heat)
    for index, (sample, prediction) in enumerate(zip(samples, predictions, strict=True)):
        corner = (index % COLUMNS * TILE, index // COLUMNS * (TILE + CAPTION))
        _draw_tile(sheet, corner, sample, prediction)
    return sheet


def spread(samples: Sequence[Sample], number: int) -> list[Sample]:
    """At most ``number`` of ``samples``, evenly spread: sorted by class, they show as many classes as they can."""
    step = max(1, len(samples) // number)
    return list(samples[::step][:number])


def _draw_tile(sheet: Image.Image, corner: tuple[int, int], sample: Sample, prediction: Prediction) -> None:
    drawn = draw_prediction(read_image(sample.image), prediction)
    sheet.paste(ImageOps.contain(drawn, (TILE - 4, TILE - 4)), corner)
    right = prediction.label == sample.label
    text = sample.label if right else f"{sample.label}, not {prediction.label}"
    place = (corner[0] + 2, corner[1] + TILE)
    ImageDraw.Draw(sheet).text(place, text[:32], fill="darkgreen" if right else "darkred")
