"""The output folder of predictions: pictures, the tables that name them, and what to go on with."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from ..data.data_config import DataConfig
from ..errors import DataError, UsageError, UserError
from ..escaping import table_cell
from ..trials.mask_pictures import class_shares
from ..trials.prediction import Prediction
from ..trials.unknown import answer
from .compact import Precision
from .output_files import write_output
from .picture_files import EXTENSIONS, PICTURES, PictureFiles
from .picture_names import picture_names
from .prediction_table import CLASS_COLUMN, COLUMNS, PREDICTIONS, PredictionTable, as_csv, encoded, read_table

FAILED = "failed.csv"
RUN = "predictions.run.json"

_DIGITS = 6
_FAILED_COLUMNS = ("path", "reason")


@dataclass(frozen=True)
class Run:
    """The options that all rows of one run share, so that another run may go on with them.

    ``pictures`` are those to write, of ``PICTURES``. An answer whose probability is below
    ``threshold`` is ``unknown``. Heat maps show the class ``heat_label``, or that of each image's
    label. ``bundle`` is the digest of the bundle's record.
    """

    pictures: tuple[str, ...]
    threshold: float | None = None
    heat_label: str | None = None
    bundle: str = ""
    flips: bool = False
    precision: Precision = "fp32"

    def as_json(self) -> bytes:
        """Return the content of ``predictions.run.json``."""
        return json.dumps(asdict(self), indent=2).encode() + b"\n"


class PredictionFolder:
    """The output folder of a run over ``images``: pictures, predictions.csv and failed.csv.

    The files that the tables of an earlier run list are removed before the first file is written,
    except those that are in ``images``. With ``resume`` they stay, and ``images`` are only those
    that the earlier run has no row for. Raises UsageError if that was another kind of run.
    """

    def __init__(self, out: Path, images: Sequence[Path], view: DataConfig, run: Run, *, resume: bool = False) -> None:
        self._out, self._run = out, run
        self._table = PredictionTable(out / PREDICTIONS)
        self._pictures = PictureFiles(out, run.pictures, view, run.heat_label)
        self._inputs = images
        self._begun = False
        self.failures: list[dict[str, str]] = []
        taken: set[str] = set()
        done: Counter[str] = Counter()
        if resume:
            for row in self._kept_rows():
                done[row["path"]] += 1
                taken |= {PurePosixPath(row[column]).stem for column in run.pictures if row.get(column)}
        self._names = dict(zip(images, picture_names(images, taken), strict=True))
        self.kept = done.total()
        self.images = [path for path in images if not _take(done, table_cell(str(path)))]

    def _kept_rows(self) -> Iterator[dict[str, str]]:
        table = self._out / PREDICTIONS
        if not table.exists():
            return
        try:
            same = (self._out / RUN).read_bytes() == self._run.as_json()
        except OSError:
            same = False
        if not same:
            raise UsageError(
                f"`{table}` is of a run with another bundle or other options, or of an earlier version: choose another"
                " folder with -o, or predict without --resume."
            )
        yield from self._table.resume()
        self._begun = True

    def add(self, prediction: Prediction, path: Path) -> dict[str, Any]:
        """Write the pictures and the row of an image; return it. Raises UserError if that fails."""
        self._begin()
        given, mask = answer(prediction.label, prediction.probability, self._run.threshold), prediction.mask
        files = self._pictures.write(prediction, path, given, self._names[path])
        values = (
            str(path),
            prediction.label,
            round(prediction.probability, _DIGITS),
            None if mask is None else round(float((mask > 0).mean()), 4),
            [f"{label} {probability:.3f}" for label, probability in prediction.top[:3]],
        )
        shares = {} if mask is None else class_shares(mask, prediction.mask_classes)
        row = (
            dict(zip(COLUMNS, values, strict=True))
            | {"answer": given}
            | {f"share/{name}": round(each, 4) for name, each in shares.items()}
            | {f"{CLASS_COLUMN}{name}": round(each, _DIGITS) for name, each in prediction.probabilities.items()}
            | files
        )
        self._table.append(row)
        return row

    def add_failure(self, path: Path, error: DataError) -> None:
        """Keep the row of an image that could not be decoded."""
        self.failures.append({"path": str(path), "reason": str(error)})

    def close(self) -> None:
        """Close predictions.csv and write failed.csv if an image failed. Raises UserError.

        A single image that cannot be decoded changes nothing in the folder.
        """
        self._table.close()
        if self.failures and len(self.images) > 1:
            self._begin()
            write_output(self._out / FAILED, encoded(as_csv(self.failures)))
        elif self._begun and not self.failures:
            self._remove(file for file in (self._out / FAILED,) if _is_failed(file))

    def _begin(self) -> None:
        if not self._begun:
            self._begun = True
            self._remove(_files_of_earlier_run(self._out))
            write_output(self._out / RUN, self._run.as_json())

    def _remove(self, files: Iterator[Path]) -> None:
        inputs = {path.resolve() for path in self._inputs}
        for path in files:
            try:
                if path.is_file() and path.resolve() not in inputs:
                    path.unlink()
            except OSError as error:
                raise UserError(
                    f"cannot remove `{path}` of an earlier run ({error.strerror}); choose another folder with -o."
                ) from None


def _take(counts: Counter[str], key: str) -> bool:
    """Return whether ``key`` is left in ``counts``, and take one."""
    found = counts[key] > 0
    counts[key] -= found
    return found


def _files_of_earlier_run(out: Path) -> Iterator[Path]:
    """Yield the pictures that a run's tables list, then the tables; tables of others yield none."""
    rows = read_table(out / PREDICTIONS, COLUMNS, list(PICTURES))
    for row in rows or []:
        for given, folder in zip(row, PICTURES.values(), strict=True):
            name = PurePosixPath(given)
            if name.parts == (folder, name.name) and name.suffix in EXTENSIONS and "\\" not in name.name:
                yield out / name
    if rows is not None:
        yield out / PREDICTIONS
    if _is_failed(out / FAILED):
        yield out / FAILED


def _is_failed(path: Path) -> bool:
    return read_table(path, _FAILED_COLUMNS, ()) is not None
