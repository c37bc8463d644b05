"""Store predicted masks in a data set or a copy of it, with a record of the predicted ones."""

import csv
import hashlib
import io
import os
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from ..data.fingerprint import file_hash
from ..data.manifest import Manifest, Sample
from ..data.mask_classes import MASK_CLASSES, MaskClasses, mask_classes_text
from ..data.samples import relative_key
from ..data.scan_csv import CSV_COLUMNS, CSV_NAME
from ..errors import DataError, UserError
from ..trials.files import atomic_write
from .output_files import unwritable, write_output

# Next to images/ and masks/: inside them it would be a stray file.
PREDICTED_MASKS = "predicted-masks.json"


class PredictedMask(BaseModel):
    """The origin of a mask: sha256 of its file and of the bundle's record, and the fold.

    Folds count from 1; None means that no folds were trained.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    sha256: str
    bundle: str
    fold: int | None = None


_RECORD = TypeAdapter(dict[str, PredictedMask])


def read_predicted_masks(root: Path) -> dict[str, PredictedMask]:
    """Return the unchanged predicted masks of a data set, by path relative to its root.

    Raises UserError for an invalid record, DataError for a mask that cannot be read.
    """
    path = root / PREDICTED_MASKS
    try:
        entries = _RECORD.validate_json(path.read_bytes()) if path.exists() else {}
    except (OSError, ValidationError) as error:
        reason = error.strerror if isinstance(error, OSError) else error.errors(include_input=False)[0]["msg"]
        raise UserError(
            f"`{path}` cannot be read ({reason}), so predicted masks look like drawn ones: restore it, or delete it and"
            " them."
        ) from None
    return {
        name: entry
        for name, entry in entries.items()
        if (root / name).is_file() and file_hash(root / name) == entry.sha256
    }


@dataclass(frozen=True)
class MaskFile:
    """A predicted mask as in ``Prediction``, and the fold of the decoder that made it."""

    sample: Sample
    mask: NDArray[np.uint8]
    fold: int | None


class MaskFolder:
    """The mask files of ``targets`` below ``root``: the data's own folder or a copy's.

    A copy has hard links to the images. ``names`` maps each target's image to its mask, relative to
    ``root``: ``masks/<class>/<stem>.png``. Existing files are never replaced. ``classes`` are the
    mask classes of the masks, if they have any; their file is written where it is missing.
    Raises DataError if two images would share a mask, UserError if ``out`` cannot be used.
    """

    def __init__(
        self, manifest: Manifest, targets: Sequence[Sample], *, out: Path | None, classes: MaskClasses | None = None
    ) -> None:
        self._manifest = manifest
        self._classes = classes
        self._is_copy = out is not None
        self.root = manifest.root if out is None else Path(os.path.abspath(out))
        if self._is_copy:
            _check_out(self.root, manifest)
        targeted = {sample.image for sample in targets}
        self._kept = [sample for sample in manifest.samples if sample.mask is not None and sample.image not in targeted]
        self.names = self._mask_names(targets)
        self._predicted = read_predicted_masks(self.root)

    def missing(self, samples: Sequence[Sample]) -> list[Sample]:
        """Return the samples without a mask file."""
        return [sample for sample in samples if not (self.root / self.names[sample.image]).exists()]

    def copy_data(self) -> None:
        """Copy the images, the other masks and their records; without ``out`` do nothing.

        Raises DataError and UserError.
        """
        if not self._is_copy:
            return
        kept = {relative_key(sample.mask, self._manifest.root) for sample in self._kept if sample.mask}
        source_entries = read_predicted_masks(self._manifest.root)
        self._record({name: entry for name, entry in source_entries.items() if name in kept})
        for path in [sample.image for sample in self._manifest.samples] + [
            sample.mask for sample in self._kept if sample.mask
        ]:
            _link(path, self.root / relative_key(path, self._manifest.root))
        if self._manifest.mask_classes is not None:
            _link(self._manifest.root / MASK_CLASSES, self.root / MASK_CLASSES)

    def write(self, files: Sequence[MaskFile], *, bundle: str) -> None:
        """Write masks made by the bundle with this ``record_sha256``.

        Raises UserError if the disk is full.
        """
        contents = {self.names[file.sample.image]: (self._png(file.mask), file.fold) for file in files}
        # Write the record first: if the process ended before it, masks would count as drawn ones.
        self._record(
            {
                name: PredictedMask(sha256=hashlib.sha256(content).hexdigest(), bundle=bundle, fold=fold)
                for name, (content, fold) in contents.items()
            }
        )
        if self._classes is not None and not (self.root / MASK_CLASSES).exists():
            write_output(self.root / MASK_CLASSES, mask_classes_text(self._classes).encode())
        for name, (content, _) in contents.items():
            write_output(self.root / name, content)

    def write_manifest(self) -> None:
        """In a copy, write ``manifest.csv`` with every mask that exists now."""
        if self._is_copy:
            content = self._manifest_text().encode()
            path = self.root / CSV_NAME
            if not path.exists() or path.read_bytes() != content:
                write_output(path, content)

    def _mask_names(self, targets: Sequence[Sample]) -> dict[Path, str]:
        key = self._manifest.key
        stems = {sample.image: PurePosixPath("masks", key(sample).removeprefix("images/")) for sample in targets}
        names = {image: path.with_suffix(".png").as_posix() for image, path in stems.items()}
        if self._is_copy:
            # A CSV may use any file names: a mask whose name would clash keeps the image's
            # extension.
            uses = Counter([*names.values(), *map(key, self._manifest.samples)])
            uses.update({relative_key(sample.mask, self._manifest.root) for sample in self._kept if sample.mask})
            names = {image: f"{stems[image]}.png" if uses[name] > 1 else name for image, name in names.items()}
        for name, number in Counter(names.values()).items():
            if number > 1:
                raise DataError(f"{number} images would have the mask {name}: give each image a different name")
        return names

    def _manifest_text(self) -> str:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(CSV_COLUMNS)
        for sample in self._manifest.samples:
            key = self._manifest.key(sample)
            mask = (
                self.names.get(sample.image) or (sample.mask and relative_key(sample.mask, self._manifest.root)) or ""
            )
            mask = mask if (self.root / mask).is_file() else ""
            writer.writerow([key, sample.label, mask, sample.split or "", "" if sample.group == key else sample.group])
        return text.getvalue()

    def _png(self, mask: NDArray[np.uint8]) -> bytes:
        buffer = io.BytesIO()
        # One structure is 255 in a prediction, and the first class in the data's file.
        mask = np.minimum(mask, 1) if self._classes and len(self._classes.names) == 1 else mask
        picture = Image.fromarray(mask) if self._classes is None else self._classes.picture(mask)
        picture.save(buffer, "PNG")
        return buffer.getvalue()

    def _record(self, entries: dict[str, PredictedMask]) -> None:
        path = self.root / PREDICTED_MASKS
        # Write the record even if it is empty: it marks the folder as a copy for the next run.
        if path.exists() and entries.items() <= self._predicted.items():
            return
        self._predicted |= entries
        write_output(path, _RECORD.dump_json(self._predicted, indent=1) + b"\n")


def classes_to_write(names: Sequence[str], manifest: Manifest) -> MaskClasses | None:
    """Return the classes of a decoder's masks, as the data's file marks them; None without any.

    Raises DataError if the file lacks one of them, or tells several apart and the decoder does not.
    """
    if manifest.mask_classes is None:
        return MaskClasses.of(names) if names else None
    several = manifest.mask_class_names
    if several and not names:
        raise DataError(
            f"{manifest.root / MASK_CLASSES} tells {', '.join(several)} apart, but the decoder draws one structure:"
            " give a bundle whose decoder was trained on these classes"
        )
    classes = manifest.mask_classes.matched(names) if names else manifest.mask_classes
    marked = {mark.index for mark in classes.marks}
    if absent := [name for index, name in enumerate(names, start=1) if index not in marked]:
        raise DataError(f"{manifest.root / MASK_CLASSES} lists no {', '.join(absent)}, which the decoder draws: add it")
    return classes


def _check_out(out: Path, manifest: Manifest) -> None:
    if out.resolve().is_relative_to(manifest.root.resolve()):
        raise UserError(f"`{out}` is inside the data; choose a folder elsewhere with -o.")
    if out.exists() and not (out.is_dir() and ((out / PREDICTED_MASKS).is_file() or not any(out.iterdir()))):
        raise UserError(f"`{out}` exists and was not written by this command; choose a new folder with -o.")
    for name in (*map(manifest.key, manifest.samples), *manifest.classes):
        if name != name.strip().encode(errors="replace").decode():
            raise DataError(f"{name!r} is not UTF-8 or has spaces around it, which {CSV_NAME} cannot store: rename it")


def _link(source: Path, target: Path) -> None:
    """Make a hard link, or a copy if links are not possible.

    Raises DataError if another file has that name.
    """
    if target.exists():
        if not target.samefile(source) and file_hash(target) != file_hash(source):
            raise DataError(f"{target} exists and differs from {source}: choose a new folder with -o")
        return
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(source.resolve(), target)
        except OSError:
            with atomic_write(target, fsync=False) as aside:
                shutil.copyfile(source, aside)
    except OSError as error:
        raise unwritable(target, error) from None
