"""Write the files of predictions: the pictures of each image and the tables that name them."""

import csv
import hashlib
import io
import os
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from PIL import Image

from ..data.data_config import DataConfig
from ..data.images import read_image
from ..data.pixels import shown
from ..errors import DataError, UserError
from ..escaping import printable, table_cell
from ..trials.figures import heat_figure, mask_figure
from ..trials.mask_pictures import class_shares, mask_picture
from ..trials.overlay import draw_kept
from ..trials.prediction import Prediction
from ..trials.unknown import UNKNOWN, answer
from .output_files import as_jpeg, as_png, write_output

PREDICTIONS = "predictions.csv"
FAILED = "failed.csv"
# The column of predictions.csv that names a picture, and the picture's folder.
PICTURES = {"mask": "masks", "overlay": "overlays", "heatmap": "heatmaps", "kept": "kept"}
# Pictures for people are JPEG: a photo of 12 megapixels as PNG takes longer than its prediction.
_PHOTOS = ("overlay", "heatmap")
_EXTENSIONS = (".png", ".jpg")

_COLUMNS = ["path", "label", "probability", "mask_share", "top"]
_FAILED_COLUMNS = ["path", "reason"]
# File systems allow 255 bytes; an extension and the affixes of a temporary file are added.
_NAME_BYTES = 200


class PredictionFolder:
    """The output folder of one run over ``images``: pictures, predictions.csv and failed.csv.

    ``columns`` are the pictures to write, of ``PICTURES``. The files that the tables of an earlier
    run list are removed before the first file is written, except those that are in ``images``.
    Overlays show the images as ``read_image`` reads them in the ``view``. An answer whose
    probability is below ``threshold`` is ``unknown``. Heat maps show the class ``heat_label``, or
    that of each image's label.
    """

    def __init__(
        self,
        out: Path,
        images: Sequence[Path],
        columns: Sequence[str],
        view: DataConfig,
        *,
        threshold: float | None = None,
        heat_label: str | None = None,
    ) -> None:
        self._out = out
        self._threshold = threshold
        self._heat_label = heat_label
        self._images = images
        self._columns = columns
        self._view = view
        self._names = dict(zip(images, picture_names(images), strict=True))
        self._emptied = False
        self.rows: list[dict[str, Any]] = []
        self.failures: list[dict[str, str]] = []

    def add(self, prediction: Prediction, path: Path) -> None:
        """Write the pictures of an image and keep its row. Raises UserError if that fails."""
        self._remove_earlier_run()
        files = {}
        given = answer(prediction.label, prediction.probability, self._threshold)
        for column, picture in self._pictures(prediction, path, given).items():
            extension, encode = (".jpg", as_jpeg) if column in _PHOTOS else (".png", as_png)
            files[column] = f"{PICTURES[column]}/{self._names[path]}{extension}"
            write_output(self._out / files[column], encode(picture))
        share = None if prediction.mask is None else round(float((prediction.mask > 0).mean()), 4)
        values = (
            str(path),
            prediction.label,
            round(prediction.probability, 6),
            share,
            [f"{label} {probability:.3f}" for label, probability in prediction.top[:3]],
        )
        shares = {} if prediction.mask is None else class_shares(prediction.mask, prediction.mask_classes)
        self.rows.append(
            dict(zip(_COLUMNS, values, strict=True))
            | {"answer": given}
            | {f"share/{name}": round(each, 4) for name, each in shares.items()}
            | {column: files.get(column) for column in self._columns}
        )

    def _pictures(self, prediction: Prediction, path: Path, given: str) -> dict[str, Image.Image]:
        """Return the pictures of an image by column.

        All are drawn before one is written: the image may be a picture that this run replaces.
        """
        share = f"{100 * prediction.probability:.1f} %"
        nearest = f"{given} (nearest: {prediction.label} {share})" if given == UNKNOWN else f"{given} {share}"
        caption, classes, mask = f"{printable(path.name)}: {nearest}", prediction.mask_classes, prediction.mask
        pictures = {} if mask is None else {"mask": mask_picture(mask, classes)}
        overlay = mask is not None and "overlay" in self._columns
        if not overlay and prediction.heat is None and prediction.kept is None:
            return pictures
        photo = shown(read_image(path, self._view) if prediction.pixels is None else prediction.pixels)
        if mask is not None and overlay:
            pictures["overlay"] = mask_figure(photo, mask, classes, caption=caption)
        if prediction.heat is not None:
            label = prediction.label if self._heat_label is None else self._heat_label
            pictures["heatmap"] = heat_figure(photo, prediction.heat, caption=caption, label=label)
        if prediction.kept is not None:
            pictures["kept"] = draw_kept(photo, prediction.kept)
        return pictures

    def add_failure(self, path: Path, error: DataError) -> None:
        """Keep the row of an image that could not be decoded."""
        self.failures.append({"path": str(path), "reason": str(error)})

    def write_tables(self) -> None:
        """Write the tables that have rows. Raises UserError if that fails.

        A single image that cannot be decoded changes nothing in the folder.
        """
        failures = self.failures if len(self._images) > 1 else []
        if failures:
            self._remove_earlier_run()
            write_output(self._out / FAILED, _encoded(_csv(failures)))
        if self.rows:
            write_output(self._out / PREDICTIONS, _encoded(as_csv(self.rows)))

    def _remove_earlier_run(self) -> None:
        if self._emptied:
            return
        self._emptied = True
        inputs = {path.resolve() for path in self._images}
        for path in _files_of_earlier_run(self._out):
            try:
                if path.is_file() and path.resolve() not in inputs:
                    path.unlink()
            except OSError as error:
                raise UserError(
                    f"cannot remove `{path}` of an earlier run ({error.strerror}); choose another folder with -o."
                ) from None


def as_csv(rows: Sequence[dict[str, Any]]) -> str:
    """Return rows of predictions as CSV; the top classes are joined by ``; ``."""
    return _csv([row | {"top": "; ".join(row["top"])} for row in rows])


def without_files(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return rows of predictions without the columns that name files."""
    return [{name: value for name, value in row.items() if name not in PICTURES} for row in rows]


def picture_names(images: Sequence[Path]) -> list[str]:
    """Return a file name without extension for each image, which depends only on the paths.

    It is the first of these that no other image has: the stem; the folder's name and the stem; the
    stem and the extension; both with one, two and more folders; the stem and a hash of the path.
    Names that differ in case or Unicode form only count as equal. A file that is given twice has
    one name.
    """
    places = [Path(os.path.abspath(path)) for path in images]
    waiting, taken = list(dict.fromkeys(places)), set[str]()
    names: dict[Path, str] = {}
    level = 0
    while waiting:
        candidates = {place: _candidate(place, level) for place in waiting}
        uses = Counter(map(_comparable, candidates.values()))
        free = {
            place: name
            for place, name in candidates.items()
            if uses[_comparable(name)] == 1 and _comparable(name) not in taken
        }
        names |= free
        taken |= set(map(_comparable, free.values()))
        waiting = [place for place in waiting if place not in free]
        level += 1
    return [names[place] for place in places]


def _candidate(path: Path, level: int) -> str:
    folders = path.parts[1:-1]
    with_extension = [path.stem, path.suffix[1:]]
    match level:
        case 0:
            parts = [path.stem]
        case 1:
            parts = [path.parent.name, path.stem]
        case 2:
            parts = with_extension
        case _:
            parts = [*folders[-(level - 2) :], *with_extension]
    name = _portable("_".join(filter(None, parts)))
    if level > len(folders) + 2 or len(name.encode()) > _NAME_BYTES:
        digest = hashlib.sha256(os.fsencode(path) + str(level).encode()).hexdigest()[:12]
        return f"{_portable(path.stem)[:40]}_{digest}"
    return name


def _portable(name: str) -> str:
    """Replace what a table or another system's path cannot have in a file name."""
    return printable(name).replace("\\", "_")


def _comparable(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _files_of_earlier_run(out: Path) -> Iterator[Path]:
    """Yield the pictures that a run's tables list, then the tables; tables of others yield none."""
    rows = _read_table(out / PREDICTIONS, _COLUMNS)
    for row in rows or []:
        for column, folder in PICTURES.items():
            name = PurePosixPath(row.get(column) or "")
            if name.parts == (folder, name.name) and name.suffix in _EXTENSIONS and "\\" not in name.name:
                yield out / name
    if rows is not None:
        yield out / PREDICTIONS
    if _read_table(out / FAILED, _FAILED_COLUMNS) is not None:
        yield out / FAILED


def _read_table(path: Path, columns: Sequence[str]) -> list[dict[str, str]] | None:
    """Return the rows of a table whose header starts with ``columns``; None for any other file."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            return list(reader) if list(reader.fieldnames or ())[: len(columns)] == columns else None
    except (OSError, ValueError, csv.Error):
        return None


def _csv(rows: Sequence[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([table_cell(value) for value in row] for row in [rows[0], *(row.values() for row in rows)])
    return text.getvalue()


def _encoded(table: str) -> bytes:
    return table.encode("utf-8", "backslashreplace")
