"""The report of a bundle."""

from datetime import UTC, datetime
from pathlib import Path

from ..bundles.bundle import open_verified
from .bundle_sections import (
    bundle_summary,
    files_section,
    leak_section,
    origin_section,
    samples_section,
    scores_section,
)
from .drawing import drawing_style
from .output import write_report
from .page import Section


def report_bundle(bundle: Path, out: Path, *, data: Path | None = None, device: str = "auto") -> Path:
    """Write the report of a bundle into the folder ``out``; return the path of the page.

    A bundle stores scores, but no answers for single images: with ``data``, it predicts the images
    there that it was not made with, on ``device``, and the page has confusions, pictures and
    calibration too. Raises UserError for a bad bundle, or if ``out`` has other files or cannot be
    written; DataError for data that do not fit the bundle.
    """
    with open_verified(bundle) as (folder, record), drawing_style():
        sections = [bundle_summary(record), scores_section(record)]
        if data is not None:
            from .unseen_sections import unseen_sections

            sections += unseen_sections(bundle, data, device)
        else:
            sections += [leak_section(record), _no_answers()]
        sections += [samples_section(folder, record), files_section(folder, record), origin_section(record)]
    written = f"Written {datetime.now(UTC):%Y-%m-%d %H:%M} UTC by Venation."
    return write_report(out, f"Bundle {bundle.name}", sections, footer=written)


def _no_answers() -> Section:
    section = Section("classes", "Classes")
    section.note(
        "A bundle stores no answers for single images. With --data and labelled images that it was not made with, the"
        " report has confusions, scores of each class, pictures and calibration."
    )
    return section
