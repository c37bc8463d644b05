"""Archives and folders that would fill memory or disk, or are no plain files, are refused."""

import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from venation.bundles import archive
from venation.bundles.archive import list_files, pack, read_text_file, unpack
from venation.errors import UserError


def entry(name: str, method: int = zipfile.ZIP_DEFLATED) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.compress_type = method
    return info


def bomb(file: zipfile.ZipFile) -> None:
    with file.open(entry("weights.safetensors"), "w") as out:
        for _ in range(40):
            out.write(bytes(1 << 20))


def many(file: zipfile.ZipFile) -> None:
    for number in range(archive.MAX_FILES + 1):
        file.writestr(str(number), b"")


def twice(file: zipfile.ZipFile) -> None:
    file.writestr("a", b"1")
    file.writestr("A", b"2")


REFUSED: dict[str, tuple[Callable[[zipfile.ZipFile], None], str]] = {
    "a bomb": (bomb, "expands to more than 100 times"),
    "60,000 files": (many, "more than 10000 files"),
    "one name twice": (twice, "two files of one name"),
    "LZMA": (lambda file: file.writestr(entry("a", zipfile.ZIP_LZMA), b"1"), "another method than deflate"),
    "bzip2": (lambda file: file.writestr(entry("a", zipfile.ZIP_BZIP2), b"1"), "another method than deflate"),
    "deep folders": (lambda file: file.writestr("a/" * 1500 + "b", b"1"), "no name of a bundle's file"),
    "a long name": (lambda file: file.writestr("a" * 300, b"1"), "no name of a bundle's file"),
    "no name": (lambda file: file.writestr(entry("."), b"1"), "no name of a bundle's file"),
}


@pytest.mark.parametrize(("fill", "reason"), REFUSED.values(), ids=REFUSED)
def test_an_archive_above_the_bounds_is_refused_before_it_is_unpacked(
    fill: Callable[[zipfile.ZipFile], None], reason: str, tmp_path: Path
) -> None:
    path, out = tmp_path / "evil.zip", tmp_path / "out"
    with zipfile.ZipFile(path, "w") as file:
        fill(file)
    with pytest.raises(UserError, match=reason) as caught:
        unpack(path, out)
    assert not out.exists() and len(str(caught.value)) < 400 and "\n" not in str(caught.value)


def test_every_cut_of_an_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(entry("bundle.json"), b"{}" * 20)
    content = path.read_bytes()
    for end in range(len(content)):
        path.write_bytes(content[:end])
        with pytest.raises(UserError):
            unpack(path, tmp_path / "out")


def test_every_flipped_byte_of_an_archive_is_read_or_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(entry("bundle.json"), b"{}" * 20)
    content = path.read_bytes()
    for at in range(len(content)):
        for mask in (1, 0x80, 0xFF):
            changed = bytearray(content)
            changed[at] ^= mask
            path.write_bytes(changed)
            try:
                unpack(path, tmp_path / f"{at}-{mask}")
            except UserError as error:
                assert "\n" not in str(error)


def test_what_is_packed_is_unpacked(tmp_path: Path) -> None:
    (tmp_path / "in" / "samples").mkdir(parents=True)
    (tmp_path / "in" / "samples" / "0.png").write_bytes(b"0")
    unpack(pack(tmp_path / "in", tmp_path / "a.zip"), tmp_path / "out")
    assert [path.relative_to(tmp_path / "out").as_posix() for path in list_files(tmp_path / "out")] == ["samples/0.png"]


def test_a_folder_has_plain_files_only(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "weights.safetensors")
    with pytest.raises(UserError, match=r"weights\.safetensors` in the bundle is no file"):
        list_files(tmp_path)


def test_a_deep_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "/".join("a" * 40)).mkdir(parents=True)
    with pytest.raises(UserError, match="folders deep"):
        list_files(tmp_path)


def test_a_large_file_of_text_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "bundle.json").open("wb") as file:
        file.truncate(3 << 30)
    with pytest.raises(UserError, match=r"bundle\.json has more than 64 MiB"):
        read_text_file(tmp_path / "bundle.json")
