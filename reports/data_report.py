"""The report of a data set: counts, sizes, masks, look-alikes, problems, and a sheet per class."""

from datetime import UTC, datetime
from pathlib import Path

from ..data.checked import CheckedData
from ..data.data_config import DataConfig
from ..data.progress import tracked
from ..data.samples import Sample, relative_key
from ..wording import counted
from .data_figures import class_counts, mask_shares
from .data_words import count_rows, data_summary, size_rows
from .drawing import drawing_style
from .images import sample_picture
from .output import write_report
from .page import Section, tile

# Pictures on the page, all classes together and of one class; more would make it too large.
_ALL_TILES, _MOST_TILES, _FEWEST_TILES = 1000, 12, 3
_MOST_COPIES, _MOST_FINDINGS = 40, 500


def report_data(checked: CheckedData, out: Path, name: str) -> Path:
    """Write the report of a data set into the folder ``out``; return the path of the page.

    Raises UserError if ``out`` has other files or cannot be written.
    """
    view = _view(checked)
    with drawing_style():
        sections = [_summary(checked), _classes(checked), _sizes(checked)]
        sections += [_copies(checked, view), _problems(checked), _sheets(checked, view)]
    written = f"Written {datetime.now(UTC):%Y-%m-%d %H:%M} UTC by Venation."
    return write_report(out, f"Data {name}", sections, footer=written)


def _view(checked: CheckedData) -> DataConfig:
    """Return the view that shows most images: their channels, and the brightest value as white."""
    pictures = [image.picture for image in checked.images if image.picture]
    deep = [picture.brightest for picture in pictures if picture.dtype not in ("bool", "uint8")]
    return DataConfig(channels=checked.channels, white=max(0.0, *deep) if deep else 0.0)


def _summary(checked: CheckedData) -> Section:
    section = Section("summary", "Summary")
    section.points(data_summary(checked))
    return section


def _classes(checked: CheckedData) -> Section:
    section = Section("classes", "Classes and splits")
    section.figure(class_counts(checked))
    section.table(count_rows(checked), label="Images of each class and split")
    section.figure(mask_shares(checked))
    return section


def _sizes(checked: CheckedData) -> Section:
    section = Section("sizes", "Image sizes")
    section.table(size_rows(checked), label="Image sizes")
    return section


def _copies(checked: CheckedData, view: DataConfig) -> Section:
    section = Section("look-alikes", "Images that look the same")
    section.text(
        "The perceptual hashes of these pairs differ in few bits, but their pixels differ: copies that were saved"
        " again, resized or brightened, or two photos of one object. Copies of equal pixels are among the problems."
    )
    if not checked.copies:
        section.note("There are none.")
    for copy in checked.copies[:_MOST_COPIES]:
        pair = [(copy.sample, _copy_caption(copy.sample, checked)), (copy.first, _copy_caption(copy.first, checked))]
        section.heading(f"Another {copy.differs}")
        section.pictures(tile(sample_picture(sample, view), caption, mark="wrong") for sample, caption in pair)
    if len(checked.copies) > _MOST_COPIES:
        section.note(f"The first {_MOST_COPIES} of {len(checked.copies)} pairs are shown; the problems list all.")
    return section


def _copy_caption(sample: Sample, checked: CheckedData) -> str:
    parts = [relative_key(sample.image, checked.scan.root), sample.label, sample.split or ""]
    return " · ".join(filter(None, parts))


def _problems(checked: CheckedData) -> Section:
    section = Section("problems", "Problems")
    if not checked.findings:
        section.note("There are none.")
    rows = [
        {"level": row.level, "code": row.code, "path": row.path, "message": row.message}
        for row in checked.findings[:_MOST_FINDINGS]
    ]
    section.table(rows, label="Problems")
    if len(checked.findings) > _MOST_FINDINGS:
        section.note(
            f"The first {_MOST_FINDINGS} of {len(checked.findings)} are shown; `venation data check --json` lists all."
        )
    return section


def _sheets(checked: CheckedData, view: DataConfig) -> Section:
    """Return the section with some images of every class, spread evenly, the first with masks."""
    section = Section("pictures", "Pictures of each class")
    classes = checked.by_class()
    number = min(_MOST_TILES, max(_FEWEST_TILES, _ALL_TILES // max(1, len(classes))))
    for label, all_images in tracked(classes.items(), "drawing contact sheets", len(classes)):
        images = [image for image in all_images if image.picture]
        shown = images[:: -(-len(images) // number)] if images else []
        section.heading(f"{label}: {counted(len(images), 'image')}" + _of_all(len(shown), len(images)))
        tiles = [tile(sample_picture(image.sample, view), image.sample.image.name) for image in shown]
        masked = next((image for image in shown if image.mask and image.mask.share), None)
        if masked is not None and masked.mask is not None:
            caption = f"{masked.sample.image.name}, its mask: {masked.mask.share:.0%} of the pixels"
            tiles.insert(0, tile(sample_picture(masked.sample, view, mask=True), caption))
        section.pictures(tiles)
    return section


def _of_all(shown: int, images: int) -> str:
    return f", {shown} of them shown" if shown < images else ""
