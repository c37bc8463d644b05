"""HEIC photos: read with pillow-heif, left out with a remark without it."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from venation.data.images import read_image
from venation.data.manifest import load_manifest
from venation.errors import DataError
from venation.trials.prediction import expand_paths

pytest.importorskip("pillow_heif", reason="pillow-heif is not installed")

WITHOUT = """
import sys
sys.modules["pillow_heif"] = None
from pathlib import Path
from venation.data.left_out import describe_left_out
from venation.data.scan_folders import IMAGE_EXTENSIONS
print(describe_left_out(Path(sys.argv[1]).iterdir()), ".heic" in IMAGE_EXTENSIONS)
"""


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Write two HEIC photos of two colours: one turned by its EXIF orientation, as phones do."""
    pixels = np.zeros((48, 64, 3), dtype=np.uint8)
    pixels[:, :32], pixels[10:20, 40:50] = (200, 30, 40), (20, 200, 60)
    (tmp_path / "ash").mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels).save(tmp_path / "ash" / "flat.heic", "HEIF", quality=95)
    Image.fromarray(pixels).save(tmp_path / "ash" / "TURNED.HEIC", "HEIF", quality=95, exif=exif.tobytes())
    return tmp_path / "ash"


def test_photos_are_read_upright(photos: Path) -> None:
    assert sorted(path.name for path in expand_paths([photos])) == ["TURNED.HEIC", "flat.heic"]
    assert len(load_manifest(photos.parent).samples) == 2
    flat, turned = read_image(photos / "flat.heic"), read_image(photos / "TURNED.HEIC")
    np.testing.assert_allclose(flat[24, [5, 60]], [(200, 30, 40), (0, 0, 0)], atol=6)
    # Orientation 6: the first row of the file is the right column of the picture.
    assert turned.shape == (64, 48, 3)
    np.testing.assert_allclose(turned.astype(int), np.rot90(flat, -1).astype(int), atol=6)


def test_cut_photos_are_data_errors(photos: Path) -> None:
    content = (photos / "flat.heic").read_bytes()
    for size in range(12, len(content), len(content) // 12):
        (photos / "cut.heic").write_bytes(content[:size])
        with pytest.raises(DataError, match="cut.heic cannot be decoded"):
            read_image(photos / "cut.heic")


def test_without_the_extra_a_remark_counts_them(photos: Path) -> None:
    found = subprocess.run([sys.executable, "-c", WITHOUT, str(photos)], capture_output=True, text=True, check=True)
    assert found.stdout == (
        "left out 2 files that are no images by their extensions (2 .heic);"
        ' pip install "venation[heic]" to have HEIC read, or save photos as JPEG False\n'
    )
