"""Manifests of other systems load like plain ones, or one line says what to change."""

from pathlib import Path

import pytest

from venation.data.fingerprint import digests
from venation.data.manifest import load_manifest
from venation.data.scan import scan_data
from venation.errors import DataError

PLAIN = "image,label,mask\nimages/ash/0.png,a,masks/ash/0.png\nimages/oak/1.png,b,\nimages/oak/2.png,b,\n"


def load(root: Path, content: bytes):
    (root / "manifest.csv").write_bytes(content)
    return load_manifest(root)


@pytest.mark.parametrize(
    "content",
    [
        PLAIN.replace("images/", "images\\").replace("/", "\\").encode(),
        PLAIN.replace("/", "\\", 1).encode(),
        PLAIN.replace("\n", "\r\n").encode(),
        PLAIN.replace("\n", "\r").encode(),
        PLAIN.encode("utf-8-sig"),
        PLAIN.replace(",", ";").replace("\n", "\r\n").encode("utf-8-sig"),
        PLAIN.replace(",", "\t").encode(),
        PLAIN.replace(",", " , ").encode(),
        PLAIN.replace(".png", ".PNG").encode(),
        PLAIN.replace("a,", '"a",').encode(),
    ],
    ids=["backslash", "mixed", "crlf", "cr", "bom", "semicolon", "tab", "blanks", "extension", "quotes"],
)
def test_a_manifest_of_another_system_is_the_same_data_set(leaves, content):
    expected = load(leaves, PLAIN.encode())
    found = load(leaves, content)
    assert found == expected and digests(found) == digests(expected)


def test_separators_inside_fields_do_not_count(leaves):
    manifest = load(leaves, b'image;label\nimages/ash/0.png;"a;b,c"\nimages/oak/1.png;d\n')
    assert manifest.classes == ("a;b,c", "d")
    assert load(leaves, b"image,label\nimages/ash/0.png,a;b\nimages/oak/1.png,d\n").classes == ("a;b", "d")


def test_a_surplus_separator_is_named(leaves):
    with pytest.raises(
        DataError, match=r"line 2 of manifest.csv has more fields than columns: quote fields with a ';'"
    ):
        load(leaves, b"image;label\nimages/ash/0.png;a;b\n")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf_16_is_named(leaves, encoding):
    with pytest.raises(DataError, match=r"^manifest.csv is UTF-16 text, and UTF-8 is read: save it as UTF-8"):
        load(leaves, PLAIN.encode(encoding))


def test_the_key_is_the_name_on_disk(leaves):
    (leaves / "images/ash/0.png").rename(leaves / "images/ash/Bla\u0308tter.PNG")
    manifest = load(leaves, "image,label\nimages\\ash\\Bl\u00e4tter.png,a\nimages/oak/1.png,b\n".encode())
    assert [manifest.key(sample) for sample in manifest.samples] == ["images/ash/Bla\u0308tter.PNG", "images/oak/1.png"]


def test_one_file_under_two_spellings_is_repeated(leaves):
    with pytest.raises(DataError, match="lists images/ash/0.png 2 times"):
        load(leaves, b"image,label\nimages/ash/0.png,a\nimages\\ash\\0.PNG,b\n")


def test_a_row_that_may_be_two_files_names_both(leaves, save):
    save("images/ash/x.PNG")
    if (leaves / "images/ash/x.png").exists():
        pytest.skip("this file system does not tell case apart")
    save("images/ash/x.Png")
    message = r"line 2 names 'images/ash/x.png', which may be 'images/ash/x.PNG', 'images/ash/x.Png': write one"
    with pytest.raises(DataError, match=message):
        load(leaves, b"image,label\nimages/ash/x.png,a\nimages/oak/1.png,b\n")


@pytest.mark.parametrize("root", ["/srv/set", "C:\\set", "\\\\server\\share\\set"])
def test_absolute_paths_are_one_flaw_with_the_path_to_write(leaves, root):
    rows = [f"{root}/images/{label}/{n}.png,{label}" for label in ("ash", "oak") for n in range(4)]
    (leaves / "manifest.csv").write_text("image,label\n" + "\n".join(rows))
    (flaw,) = scan_data(leaves).flaws
    assert (flaw.code, flaw.path) == ("absolute-path", "manifest.csv")
    assert flaw.message.startswith("line 2 names ")
    assert flaw.message.endswith("the CSV's folder (8 absolute in all): write images/ash/0.png and so on")


def test_absolute_paths_to_files_elsewhere(leaves):
    with pytest.raises(DataError, match=r"\(1 absolute in all\): copy the files there, and write their paths"):
        load(leaves, b"image,label\nC:\\other\\9.png,a\n")


@pytest.mark.parametrize("name", ["..\\x.png", "images\\..\\..\\x.png", "images/..\\../x.png", "..\\images/ash/0.png"])
def test_a_backslash_does_not_lead_out_of_the_folder(leaves, name):
    with pytest.raises(DataError, match="line 2 names .* outside the CSV's folder: use a path relative to it"):
        load(leaves, f"image,label\n{name},a\n".encode())
