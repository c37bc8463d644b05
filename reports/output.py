"""The folder of a report: the page, and its figures as PNG files."""

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from ..errors import UserError
from .page import Section, render_page

PAGE = "report.html"
FIGURES = "figures"


def check_free(out: Path) -> None:
    """Raise UserError unless ``out`` is new, empty, or holds an earlier report and nothing else."""
    if not out.exists():
        return
    if not out.is_dir():
        raise UserError(f"`{out}` is a file; give a folder with -o.")
    inside = [path for path in out.iterdir() if path.name not in (PAGE, FIGURES)]
    figures = out / FIGURES
    inside += [path for path in figures.iterdir() if path.suffix != ".png"] if figures.is_dir() else []
    if inside or (any(out.iterdir()) and not (out / PAGE).is_file()):
        first = min(inside, default=figures).relative_to(out)
        raise UserError(
            f"`{out}` has other files than a report's (the first is {first}); choose another folder with -o."
        )


def write_report(out: Path, title: str, sections: Sequence[Section], *, footer: str) -> Path:
    """Write page and figures into the folder ``out``, and return the path of the page.

    An earlier report there is replaced; without one, ``out`` appears complete or not at all. Raises
    UserError if ``out`` has other files, or cannot be written.
    """
    check_free(out)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as aside:
            made = Path(aside) / "report"
            (made / FIGURES).mkdir(parents=True)
            (made / PAGE).write_bytes(render_page(title, sections, footer=footer))
            for drawing in (drawing for section in sections for drawing in section.drawings):
                (made / FIGURES / f"{drawing.name}.png").write_bytes(drawing.png)
            if out.exists():
                shutil.move(out, Path(aside) / "earlier")
            made.replace(out)
    except OSError as error:
        raise UserError(
            f"cannot write the report to `{out}` ({error.strerror or error}); make room or choose another folder with"
            " -o."
        ) from None
    return out / PAGE
