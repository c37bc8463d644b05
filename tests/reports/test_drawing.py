import io
import re
from xml.etree import ElementTree

from PIL import Image

from venation.reports.drawing import INK, Canvas, Drawing, drawing_style


def draw(name: str) -> Drawing:
    """Draw a line with a label that would be a formula if it were parsed."""
    with drawing_style():
        canvas = Canvas(height=2)
        canvas.axes.plot([1, 2], [3, 4], label="cost in $ & <b>")
        canvas.axes.legend()
        return canvas.finish(name, "A line", "It rises.")


def test_svg_is_an_element_of_the_page_with_text_and_own_ids() -> None:
    root = ElementTree.fromstring(draw("one").svg)
    ids = [element.get("id") for element in root.iter() if element.get("id")]
    assert ids and all(found.startswith("one-") for found in ids)
    assert "cost in $ & <b>" in {element.text for element in root.iter()}
    for reference in re.findall(r'(?:href="#|url\(#)([^")]+)', draw("one").svg):
        assert reference in ids


def test_text_of_the_svg_has_the_colour_of_the_page() -> None:
    svg = draw("one").svg
    assert "currentColor" in svg and INK not in svg


def test_png_is_a_picture_on_white() -> None:
    picture = Image.open(io.BytesIO(draw("one").png)).convert("RGB")
    assert picture.width > 1000 and picture.getpixel((2, 2)) == (255, 255, 255)


def test_a_figure_is_drawn_the_same_again() -> None:
    assert draw("one") == draw("one")
