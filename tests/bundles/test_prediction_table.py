"""The growing table of predictions: whole lines, torn lines, damaged ones, a full disk."""

import csv
import subprocess
import sys
from pathlib import Path

import pytest

from venation.bundles.prediction_table import PredictionTable, as_csv, for_reading
from venation.errors import UserError

ROW = {"path": "a.png", "label": "oak", "probability": 0.5, "mask_share": None, "top": ["oak 0.5", "ash 0.5"]}


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_every_row_is_on_the_disk_before_the_next(tmp_path: Path) -> None:
    table = PredictionTable(tmp_path / "new" / "predictions.csv")
    for number in range(3):
        table.append(ROW | {"path": f"{number}.png"})
        assert [row["path"] for row in read(tmp_path / "new" / "predictions.csv")] == [
            f"{each}.png" for each in range(number + 1)
        ]
    table.close()
    assert read(tmp_path / "new" / "predictions.csv")[0]["top"] == "oak 0.5; ash 0.5"


@pytest.mark.parametrize("torn", ["", "b.png,oak", 'b.png,"oa', "b" * 5000])
def test_a_line_without_an_end_is_cut_off_and_the_rows_go_on(tmp_path: Path, torn: str) -> None:
    path = tmp_path / "predictions.csv"
    path.write_text(as_csv([ROW]) + torn)
    table = PredictionTable(path)
    assert [row["path"] for row in table.resume()] == ["a.png"]
    table.append(ROW | {"path": "c.png"})
    table.close()
    assert path.read_text() == as_csv([ROW, ROW | {"path": "c.png"}])


@pytest.mark.parametrize("text", ["path,lab", ""])
def test_a_header_without_an_end_is_written_again(tmp_path: Path, text: str) -> None:
    path = tmp_path / "predictions.csv"
    path.write_text(text)
    table = PredictionTable(path)
    assert list(table.resume()) == []
    table.append(ROW)
    table.close()
    assert path.read_text() == as_csv([ROW])


@pytest.mark.parametrize(
    ("text", "says"),
    [(as_csv([ROW]) + "b.png,oak\n", "line 3 of .* is damaged"), ("name,mask\nx,y\n", "no table of predictions")],
)
def test_a_damaged_table_is_not_continued(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "predictions.csv").write_text(text)
    with pytest.raises(UserError, match=says):
        list(PredictionTable(tmp_path / "predictions.csv").resume())
    assert (tmp_path / "predictions.csv").read_text() == text


def test_a_full_disk_leaves_whole_lines(tmp_path: Path) -> None:
    """A process may write 1000 bytes to a file, so the row that does not fit is taken back."""
    code = f"""
import resource, signal
from venation.bundles.prediction_table import PredictionTable
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
table = PredictionTable(__import__("pathlib").Path({str(tmp_path / "predictions.csv")!r}))
try:
    for number in range(99):
        table.append({ROW!r})
except Exception as error:
    print(error)
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "cannot write" in found.stdout and "choose another folder" in found.stdout
    text = (tmp_path / "predictions.csv").read_text()
    assert text.endswith("\n") and text == as_csv([ROW] * (text.count("\n") - 1)) and len(text) > 900


def test_a_link_is_replaced_and_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "predictions.csv").symlink_to(tmp_path / "mine")
    table = PredictionTable(tmp_path / "predictions.csv")
    table.append(ROW)
    table.close()
    assert (tmp_path / "mine").read_text() == "mine" and read(tmp_path / "predictions.csv")


def test_a_terminal_gets_neither_files_nor_classes() -> None:
    row = ROW | {"answer": "oak", "probability/oak": 0.5, "mask": "masks/a.png"}
    assert list(for_reading(row)) == [*ROW, "answer"]
