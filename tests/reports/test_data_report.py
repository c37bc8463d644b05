"""The report of a data set: its numbers in words and tables, and the page in Chromium."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from small_bundle import venation

from venation.data.check import read_checked
from venation.reports.data_report import report_data
from venation.reports.data_words import count_rows, data_summary, size_rows

SPLITS = ("train", "train", "train", "train", "val", "test")


@pytest.fixture
def leaves(tmp_path: Path) -> Path:
    """Write two classes on cards of their own colours, with masks, splits, groups and a copy."""
    root, rng = tmp_path / "my leaves", np.random.default_rng(0)
    lines = ["image,label,mask,split,group"]
    for label, colour in (("ash", (200, 60, 60)), ("elm", (60, 60, 200))):
        for number in range(6):
            side = 48 if number else 64
            pixel_HW3 = np.full((side, 48, 3), colour, np.uint8)
            cells = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8))
            pixel_HW3[12:36, 12:36] = np.asarray(cells.resize((24, 24), Image.Resampling.NEAREST))
            mask_HW = np.zeros((side, 48), np.uint8)
            mask_HW[12:36, 12:36] = 255
            for kind, array in (("images", pixel_HW3), ("masks", mask_HW)):
                path = root / kind / label / f"{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(array).save(path)
            name = f"{label}/{number}.png"
            group = f"{label}{number // 2}" if SPLITS[number] == "train" else ""
            lines.append(f"images/{name},{label},masks/{name},{SPLITS[number]},{group}")
    Image.open(root / "images/ash/1.png").save(root / "images/elm/copy.jpg", quality=85)
    lines.append("images/elm/copy.jpg,elm,,test,")
    (root / "manifest.csv").write_text("\n".join(lines))
    return root


def test_counts_sizes_and_words(leaves: Path) -> None:
    checked = read_checked(leaves)
    ash, elm = count_rows(checked)
    share = round(100 * (24 * 24 / (64 * 48) + 5 * 24 * 24 / 48**2) / 6, 2)
    assert ash == {
        "class": "ash", "images": 6, "train": 4, "val": 1, "test": 1, "groups": 4, "masks": 6, "mask, mean %": share
    }  # fmt: skip
    assert elm["images"] == 7 and elm["test"] == 2 and elm["masks"] == 6
    assert size_rows(checked) == [
        {"width": 48, "height": 48, "images": 11},
        {"width": 48, "height": 64, "images": 2},
    ]
    said = data_summary(checked)
    assert said[0] == "13 images of 2 classes: 8 train, 2 val, 3 test."
    assert said[1] == "The classes have 6 (ash) to 7 (elm) images."
    assert said[3].startswith("12 of 13 images have a mask; the structure covers 18.8 to 25 % of an image")
    assert said[4].startswith("The background alone, such as the card behind the leaf, names the class in 100 %")
    assert "1 image looks the same as an earlier one: 1 of another split." in said


def test_a_set_without_masks_and_splits_says_so(tmp_path: Path) -> None:
    for place in range(6):
        path = tmp_path / "ab"[place // 3] / f"{place}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(np.random.default_rng(place).integers(0, 256, (20, 20, 3), dtype=np.uint8)).save(path)
    checked = read_checked(tmp_path)
    assert count_rows(checked) == [{"class": "a", "images": 3}, {"class": "b", "images": 3}]
    said = " ".join(data_summary(checked))
    assert "without splits" in said and "All images have 20 x 20 pixels." in said and "There are no masks" in said
    assert "ackground" not in said


def test_nothing_that_can_be_read_still_has_a_page(tmp_path: Path) -> None:
    for label in "ab":
        (tmp_path / "set" / label).mkdir(parents=True)
        (tmp_path / "set" / label / "0.png").write_bytes(b"no picture")
    page = report_data(read_checked(tmp_path / "set"), tmp_path / "page", "set").read_text()
    assert "not recognised as one of" in page and "<img" not in page


@pytest.mark.parametrize(("width", "scheme"), [(1400, "light"), (390, "dark")])
def test_the_page_opens_offline(browser: Any, leaves: Path, tmp_path: Path, width: int, scheme: str) -> None:
    page = report_data(read_checked(leaves), tmp_path / "page", "my <leaves>")
    assert sorted(path.name for path in (tmp_path / "page" / "figures").iterdir()) == ["classes.png", "masks.png"]
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True)
    tab = context.new_page()
    messages: list[str] = []
    tab.on("console", lambda message: messages.append(message.text))
    tab.on("pageerror", lambda error: messages.append(str(error)))
    tab.goto(page.as_uri())
    assert messages == [] and tab.inner_text("h1") == "Data my <leaves>"
    assert tab.evaluate("document.documentElement.scrollWidth") == width
    tab.wait_for_function("[...document.images].every(image => image.complete)")
    assert tab.evaluate("[...document.images].filter(image => !image.naturalWidth).length") == 0
    # All 13 images, one more for each class with its mask, and the pair that looks the same.
    assert tab.evaluate("document.images.length") == 13 + 2 + 2
    assert re.search(r"0.png, its mask: 19% of the pixels", tab.inner_text("#pictures"))


def test_the_command_writes_the_page_and_leaves_other_folders_alone(leaves: Path, tmp_path: Path) -> None:
    result = venation("data", "check", leaves, "--report", tmp_path / "page")
    assert result.exit_code == 0 and f"report: {tmp_path / 'page' / 'report.html'}" in result.stderr
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    result = venation("data", "check", leaves, "--report", tmp_path / "mine")
    assert result.exit_code == 1 and "other files than a report's" in result.stderr
