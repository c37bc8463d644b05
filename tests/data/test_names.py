"""Names match by their canonical form only if no equal name exists and only one looks the same."""

import unicodedata

import pytest

from venation.data.names import FileFinder, canonical_file, match_names

ANGSTROM, COMPOSED, DECOMPOSED = "\u212b", "\u00c5", "A\u030a"


def test_names_match_in_any_unicode_form_and_with_blanks_around():
    assert match_names([COMPOSED, "a"], [DECOMPOSED, "a "]) == {COMPOSED: DECOMPOSED, "a": "a "}
    assert match_names([DECOMPOSED], [ANGSTROM]) == {DECOMPOSED: ANGSTROM}
    assert match_names(["a"], ["A", "b"]) == {}


def test_an_equal_name_takes_precedence_and_serves_no_other():
    assert match_names([COMPOSED], [DECOMPOSED, COMPOSED]) == {COMPOSED: COMPOSED}
    assert match_names([COMPOSED, DECOMPOSED], [COMPOSED]) == {COMPOSED: COMPOSED}


def test_several_names_that_look_the_same_match_none():
    assert match_names([COMPOSED], [DECOMPOSED, ANGSTROM]) == {}
    assert match_names([COMPOSED, DECOMPOSED], [ANGSTROM]) == {}


def test_a_file_name_keeps_the_case_of_its_stem():
    assert canonical_file("Leaf .JPG") == "Leaf.jpg"
    assert canonical_file(f"{DECOMPOSED}.TiF ") == f"{COMPOSED}.tif"


@pytest.mark.parametrize(
    "name", ["b\\Leaf_1.JPG", "b/Leaf_1.jpg", "b /Leaf_1.jpg", "./b/Leaf_1.Jpg", "b\\.\\Leaf_1.jpg"]
)
def test_a_path_of_another_system_finds_the_file_under_its_name_on_disk(save, tmp_path, name):
    path = save("b/Leaf_1.JPG")
    assert FileFinder(tmp_path).find(name) == [path]


def test_a_path_in_another_unicode_form_finds_the_file(save, tmp_path):
    path = save(f"{DECOMPOSED}/{DECOMPOSED}.png")
    for form in ("NFC", "NFD"):
        (found,) = FileFinder(tmp_path).find(unicodedata.normalize(form, f"{COMPOSED}/{COMPOSED}.png"))
        assert found.samefile(path) and found.name in (DECOMPOSED + ".png", unicodedata.normalize("NFC", path.name))


def test_a_backslash_in_a_name_on_disk_is_no_separator(save, tmp_path):
    plain, nested = save("b\\1.png"), save("b/1.png")
    assert FileFinder(tmp_path).find("b\\1.png") == [plain]
    assert FileFinder(tmp_path).find("b/1.png") == [nested]


def test_an_ambiguous_path_finds_all_and_an_absent_one_none(save, tmp_path):
    if save("a.JPG").exists() and (tmp_path / "a.jpg").exists():
        pytest.skip("this file system does not tell case apart")
    save("a.Jpg")
    assert [path.name for path in FileFinder(tmp_path).find("a.jpg")] == ["a.JPG", "a.Jpg"]
    assert FileFinder(tmp_path).find("a.png") == [] == FileFinder(tmp_path).find("a.JPG/x.png")
    assert FileFinder(tmp_path).find("A.jpg") == []
