"""The width of a mask's structure against figures whose width is known."""

import numpy as np
import pytest
from PIL import Image, ImageDraw
from scipy.ndimage import distance_transform_edt

from venation.data.structure_width import structure_width


@pytest.mark.parametrize("width", [1, 3, 8])
@pytest.mark.parametrize("angle", [0, 20, 45, 70])
def test_lines_of_every_direction_have_about_their_width(width: int, angle: int) -> None:
    """A diagonal line of single pixels that touch at corners is 0.71 wide, and 0.64 is measured."""
    image = Image.new("L", (400, 400))
    across, down = 150 * np.cos(np.radians(angle)), 150 * np.sin(np.radians(angle))
    ImageDraw.Draw(image).line((200 - across, 200 - down, 200 + across, 200 + down), fill=255, width=width)
    assert structure_width(np.asarray(image)) == pytest.approx(width, rel=0.37)


def test_a_disk_has_half_of_its_diameter() -> None:
    """Twice the area over the circumference is the radius."""
    down, across = np.mgrid[:101, :101] - 50
    disk = (down**2 + across**2 <= 40**2).astype(np.uint8)
    assert structure_width(disk) == pytest.approx(40, rel=0.03)
    assert distance_transform_edt(disk).max() == pytest.approx(40, abs=1)


def test_a_structure_at_the_border_ends_there_and_an_empty_mask_has_no_width() -> None:
    strip = np.zeros((50, 200), np.uint8)
    strip[:4] = 255
    assert structure_width(strip) == pytest.approx(4, rel=0.3)
    assert structure_width(np.zeros((8, 8), np.uint8)) == 0
