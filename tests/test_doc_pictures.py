"""The pictures of the pages: small, no wider than a window, and each on a page."""

from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).parent.parent
PICTURES = sorted((ROOT / "docs" / "images").glob("*.png"))
PAGES = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]


@pytest.mark.parametrize("path", PICTURES, ids=lambda path: path.stem)
def test_a_picture_is_small_and_shown(path: Path) -> None:
    with Image.open(path) as picture:
        assert picture.width <= 1400
    assert path.stat().st_size < 200_000
    assert any(f"images/{path.name})" in page.read_text() for page in PAGES)
