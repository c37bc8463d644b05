"""Files that cannot be decoded are found by decoding them, and are named and counted."""

import shutil
from pathlib import Path

import pytest
from PIL import Image

from venation.data.data_config import DataConfig
from venation.data.decodable import check_decodable
from venation.data.manifest import load_manifest
from venation.data.progress import Step, listening
from venation.data.synthetic import write_leaves
from venation.errors import DataError


@pytest.fixture(scope="module")
def leaves(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("decodable") / "leaves"
    write_leaves(path, classes=2, images=3, size=32, seed=1)
    return path


def check(root: Path) -> None:
    check_decodable(load_manifest(root).samples, DataConfig())


def cut(path: Path) -> None:
    """Leave out the end of a file; its header still gives type and size."""
    path.write_bytes(path.read_bytes()[:-60])
    with Image.open(path) as image:
        assert image.size == (32, 32)


def test_whole_files_pass_and_their_number_is_shown(leaves: Path) -> None:
    steps: list[object] = []
    with listening(steps.append):
        check(leaves)
    assert steps[-1] == Step("decoding images", 6, 6)


@pytest.mark.parametrize("folder", ["images", "masks"])
def test_a_truncated_file_is_named(leaves: Path, tmp_path: Path, folder: str) -> None:
    root = Path(shutil.copytree(leaves, tmp_path / "leaves"))
    (one, *_) = sorted((root / folder).rglob("*.png"))
    cut(one)
    with pytest.raises(DataError, match=f"{folder.removesuffix('s')} {one} cannot be decoded") as caught:
        check(root)
    assert "more" not in str(caught.value)


def test_of_many_the_first_are_named_and_all_are_counted(leaves: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(leaves, tmp_path / "leaves"))
    for path in sorted((root / "images").rglob("*.png"))[:5]:
        cut(path)
    with pytest.raises(DataError, match="; and 2 more: `venation data check` lists all$") as caught:
        check(root)
    assert str(caught.value).count("cannot be decoded") == 3 and "\n" not in str(caught.value)
