"""Names of pictures: the shortest that no other image has."""

from pathlib import Path

import pytest

from venation.bundles.picture_names import picture_names


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        ("a/1.png b/2.png", "1 2"),
        ("a/1.png b/1.png b/2.png", "a_1 b_1 2"),
        ("b/IMG_2.jpg b/IMG_2.png", "IMG_2_jpg IMG_2_png"),
        ("a/1.jpg a/1.png b/1.jpg b/1.png", "a_1_jpg a_1_png b_1_jpg b_1_png"),
        ("x/a/1.png y/a/1.png", "x_a_1_png y_a_1_png"),
        # A name that another image has at an earlier step is not free.
        ("a/1.png b/1.png c/a_1.png", "1_png b_1 a_1"),
        ("a/IMG.png b/img.png", "a_IMG b_img"),
        ("a/1.png ./a/1.png x/../a/1.png", "1 1 1"),
        ("a/1.tar.png a/1", "1.tar 1"),
    ],
)
def test_the_shortest_name_that_no_other_image_has(paths: str, names: str) -> None:
    assert picture_names([Path(path) for path in paths.split()]) == names.split()
    backwards = picture_names([Path(path) for path in reversed(paths.split())])
    assert backwards == list(reversed(names.split()))


def test_names_that_are_equal_in_every_part_are_told_apart_by_a_hash() -> None:
    images = [Path("/a_b/c/1.png"), Path("/a/b_c/1.png"), Path("/a/b/c_1.png"), Path("/a_b/c_1.png")]
    names = picture_names(images)
    assert len(set(names)) == 4 and all("/" not in name for name in names)


def test_a_name_that_a_picture_on_the_disk_has_is_not_free() -> None:
    images = [Path("a/1.png"), Path("b/2.png")]
    assert picture_names(images, taken=["1", "B_2"]) == ["a_1", "2"]
    assert picture_names(images, taken=["2", "b_2"]) == ["1", "2_png"]
