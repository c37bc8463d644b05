"""Masks of shapes against matplotlib, pycocotools, and values computed by hand."""

import numpy as np
import pytest
from matplotlib.path import Path as Outline

from venation.data.shapes import (
    expand_runs,
    fill_polygon,
    read_brush,
    read_coco_counts,
    run_lengths,
    write_brush,
    write_coco_counts,
)


@pytest.mark.parametrize("seed", range(4))
def test_a_polygon_holds_the_pixels_whose_centre_matplotlib_finds_inside(seed: int) -> None:
    random = np.random.default_rng(seed)
    angles = np.sort(random.uniform(0, 2 * np.pi, 9))
    radii = random.uniform(5, 30, 9)
    points_P2 = np.stack([20 + radii * np.cos(angles), 16 + radii * np.sin(angles)], axis=1)
    y_HW, x_HW = np.mgrid[:32, :40] + 0.5
    inside = Outline(np.vstack([points_P2, points_P2[:1]]), closed=True).contains_points(
        np.stack([x_HW.ravel(), y_HW.ravel()], axis=1)
    )
    assert fill_polygon(points_P2, (40, 32)).ravel().tolist() == inside.tolist()


def test_a_rectangle_has_its_area_and_two_points_are_refused() -> None:
    mask_HW = fill_polygon(np.array([[2.0, 1], [7, 1], [7, 4], [2, 4]]), (10, 6))
    assert mask_HW.sum() == 15 and mask_HW[1:4, 2:7].all()
    assert fill_polygon(np.array([[-9.0, -9], [99, -9], [99, 99], [-9, 99]]), (10, 6)).all()
    for points in ([[0.0, 0], [5, 5]], [[0.0, 0], [5, 5], [np.nan, 1]]):
        with pytest.raises(ValueError, match="three or more finite points"):
            fill_polygon(np.array(points), (10, 6))


@pytest.mark.parametrize("seed", range(3))
def test_run_lengths_are_those_of_pycocotools(seed: int) -> None:
    coco = pytest.importorskip("pycocotools.mask", reason="pycocotools is not installed")
    random = np.random.default_rng(seed)
    # Long and short runs, so that differences are negative and take several characters.
    mask_HW = np.repeat(random.random((90, 35)) < 0.4, 2, axis=0) & (np.arange(35) > 7)
    code = coco.encode(np.asfortranarray(mask_HW.astype(np.uint8)))
    counts = read_coco_counts(code["counts"].decode())
    assert (expand_runs(counts, (35, 180), by_columns=True) == mask_HW).all()
    assert run_lengths(mask_HW.T.ravel()) == counts
    assert write_coco_counts(counts) == code["counts"].decode()


def test_runs_along_rows_and_their_faults() -> None:
    assert expand_runs([1, 3, 2], (3, 2), by_columns=False).tolist() == [[False, True, True], [True, False, False]]
    assert run_lengths(np.array([True, True, False])) == [0, 2, 1]
    with pytest.raises(ValueError, match="of 5 pixels in all, but 3x2 are 6"):
        expand_runs([1, 4], (3, 2), by_columns=True)
    for text, message in (("o", "end within a number"), ("é", "character")):
        with pytest.raises(ValueError, match=message):
            read_coco_counts(text)


def test_a_brush_packed_by_hand() -> None:
    """Of 2 x 1 pixels: one run of four zeros, and four single values, of which the last is 255."""
    bits = f"{8:032b}" + f"{7:05b}" + "0010" * 4
    bits += "1" + "00" + f"{3:03b}" + f"{0:08b}"
    bits += "0" + "01" + f"{3:03b}" + "".join(f"{value:08b}" for value in (9, 9, 9, 255))
    bits += "0" * (-len(bits) % 8)
    code = [int(bits[at : at + 8], 2) for at in range(0, len(bits), 8)]
    assert read_brush(code, (2, 1)).tolist() == [[False, True]]
    with pytest.raises(ValueError, match="bytes end early"):
        read_brush(code[:-3], (2, 1))
    with pytest.raises(ValueError, match="a brush of 2 pixels, but 3x1 are 3"):
        read_brush(code, (3, 1))


def test_a_brush_is_read_as_it_was_written() -> None:
    mask_HW = np.zeros((300, 260), dtype=bool)
    mask_HW[40:240, 30:200] = np.random.default_rng(0).random((200, 170)) < 0.9
    for mask in (mask_HW, ~mask_HW, np.zeros((300, 260), dtype=bool), np.ones((1, 1), dtype=bool)):
        code = write_brush(mask)
        assert max(code) < 256 and (read_brush(code, mask.shape[::-1]) == mask).all()
