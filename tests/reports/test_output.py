from pathlib import Path

import pytest

from venation.errors import UserError
from venation.reports.drawing import Canvas, drawing_style
from venation.reports.output import PAGE, write_report
from venation.reports.page import Section


def section() -> Section:
    with drawing_style():
        canvas = Canvas(height=1)
        canvas.axes.plot([0, 1])
        part = Section("one", "One")
        part.figure(canvas.finish("line", "A line", "It rises."))
    return part


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_an_earlier_report_is_replaced_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    out = tmp_path / "below" / "report"
    write_report(out, "Earlier", [section()], footer="")
    assert files(out) == {PAGE, "figures/line.png"}
    page = write_report(out, "Later", [Section("two", "Two")], footer="")
    assert files(out) == {PAGE} and "<h1>Later</h1>" in page.read_text()
    assert [path.name for path in out.parent.iterdir()] == ["report"]


@pytest.mark.parametrize("name", ["notes.txt", "figures/notes.txt", "figures/line.png"])
def test_a_folder_with_other_files_is_left_alone(tmp_path: Path, name: str) -> None:
    kept = tmp_path / name
    kept.parent.mkdir(exist_ok=True)
    kept.write_text("mine")
    with pytest.raises(UserError, match="other files than a report's"):
        write_report(tmp_path, "New", [section()], footer="")
    assert files(tmp_path) == {name} and kept.read_text() == "mine"


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UserError, match="is a file"):
        write_report(tmp_path / "file", "New", [], footer="")
    with pytest.raises(UserError, match="cannot write the report"):
        write_report(tmp_path / "file" / "below", "New", [], footer="")
