"""Study files in YAML."""

from pathlib import Path

import pytest

from venation.errors import UsageError
from venation.studies.request import OPTIONS
from venation.studies.study_file import read_study_file


def written(folder: Path, text: str) -> Path:
    path = folder / "study.yaml"
    path.write_text(text)
    return path


def test_a_file_gives_the_options_with_paths_relative_to_it(tmp_path: Path) -> None:
    path = written(tmp_path, "kind: classifier\ndata: leaves\ntrials: 7\nset:\n  train.lr: 0.01\n")
    assert read_study_file(path) == {
        "kind": "classifier",
        "data": tmp_path / "leaves",
        "trials": 7,
        "set": {"train.lr": 0.01},
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("trails: 3\n", "`trails` in .* is not an option of a study; did you mean: trials"),
        ("qqqq: 3\n", f"did you mean: {OPTIONS[0]}, {OPTIONS[1]}"),
        ("kind: [\n", "is not YAML"),
        ("", "holds no options"),
        ("- kind\n", "holds no options"),
        ("set: [train.lr]\n", "`set` in .* must hold config fields"),
        ("!!python/object/apply:os.system ['true']\n", "is not YAML"),
    ],
)
def test_an_invalid_file_is_rejected_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        read_study_file(written(tmp_path, text))
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        read_study_file(tmp_path / "none.yaml")
