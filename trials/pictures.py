"""A contact sheet of what a trial's network says: what people look at first."""

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageOps

from ..data.images import read_image
from ..data.manifest import Item
from .overlay import draw_prediction
from .predict import Prediction, Predictor

TILE = 192  # pixels
CAPTION = 14
COLUMNS = 4


def sample_sheet(predictor: Predictor, items: Sequence[Item], *, heat: bool) -> Image.Image:
    """A sheet of the images ``items`` with their masks or, if ``heat``, heat maps drawn in.

    Each tile says the label and, where it is another one, what the network takes the image for.
    """
    rows = -(-len(items) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * TILE, rows * (TILE + CAPTION)), "white")
    predictions = predictor.predict([item.image for item in items], heat=heat)
    for index, (item, prediction) in enumerate(zip(items, predictions, strict=True)):
        corner = (index % COLUMNS * TILE, index // COLUMNS * (TILE + CAPTION))
        _draw_tile(sheet, corner, item, prediction)
    return sheet


def spread(items: Sequence[Item], number: int) -> list[Item]:
    """At most ``number`` of ``items``, evenly spread: sorted by class, they show as many classes as they can."""
    step = max(1, len(items) // number)
    return list(items[::step][:number])


def _draw_tile(sheet: Image.Image, corner: tuple[int, int], item: Item, prediction: Prediction) -> None:
    drawn = draw_prediction(read_image(item.image), prediction)
    sheet.paste(ImageOps.contain(drawn, (TILE - 4, TILE - 4)), corner)
    right = prediction.label == item.label
    text = item.label if right else f"{item.label}, not {prediction.label}"
    place = (corner[0] + 2, corner[1] + TILE)
    ImageDraw.Draw(sheet).text(place, text[:32], fill="darkgreen" if right else "darkred")
