"""Where predicted masks go: beside their images or into a data set of their own, with a record of which they are."""

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
from ..data.scan import CSV_COLUMNS, CSV_NAME, relative_key
from ..errors import DataError, UserError
from ..trials.files import atomic_write

# Beside images/ and masks/: within them it would be a stray file.
PREDICTED = "predicted-masks.json"


class PredictedMask(BaseModel):
    """How a mask was made: the sha256 of its file, that of the bundle's record, the fold (from 1; None: no folds)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sha256: str
    bundle: str
    fold: int | None = None


_RECORD = TypeAdapter(dict[str, PredictedMask])


def read_predicted(root: Path) -> dict[str, PredictedMask]:
    """The masks of a data set that were predicted and not changed since, by path relative to its root.

    Raises UserError for a record that is not understood, DataError for a mask that cannot be read.
    """
    path = root / PREDICTED
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
    """A predicted mask (H x W of 0 and 255) on its way to the disk, and the fold whose decoder made it."""

    sample: Sample
    mask: NDArray[np.uint8]
    fold: int | None


class MaskFolder:
    """The masks of ``targets`` below ``root``: the data's own, or that of a copy, whose images are hard links.

    ``names`` holds each target's mask by image, relative to ``root``: ``masks/<class>/<stem>.png``. What is there is
    never replaced. Raises DataError if two images would share a mask, UserError if ``out`` cannot be used.
    """

    def __init__(self, manifest: Manifest, targets: Sequence[Sample], *, out: Path | None) -> None:
        self._manifest = manifest
        self._copied = out is not None
        self.root = manifest.root if out is None else Path(os.path.abspath(out))
        if self._copied:
            _check_out(self.root, manifest)
        wanted = {sample.image for sample in targets}
        self._kept = [sample for sample in manifest.samples if sample.mask is not None and sample.image not in wanted]
        self.names = self._mask_names(targets)
        self._predicted = read_predicted(self.root)

    def missing(self, samples: Sequence[Sample]) -> list[Sample]:
        """Those of the targets whose mask is not there yet."""
        return [sample for sample in samples if not (self.root / self.names[sample.image]).exists()]

    def copy_data(self) -> None:
        """In a copy: the images, the masks that stay, and what is known of these. Raises DataError, UserError."""
        if not self._copied:
            return
        kept = {relative_key(sample.mask, self._manifest.root) for sample in self._kept if sample.mask}
        theirs = read_predicted(self._manifest.root)
        self._record({name: entry for name, entry in theirs.items() if name in kept})
        for path in [sample.image for sample in self._manifest.samples] + [
            sample.mask for sample in self._kept if sample.mask
        ]:
            _link(path, self.root / relative_key(path, self._manifest.root))

    def write(self, files: Sequence[MaskFile], *, bundle: str) -> None:
        """Write masks that the bundle with this ``record_sha256`` made. Raises UserError if the disk is full."""
        contents = {self.names[file.sample.image]: (_png(file.mask), file.fold) for file in files}
        # The record first: a mask that it did not know would pass for a drawn one if the process ended here.
        self._record(
            {
                name: PredictedMask(sha256=hashlib.sha256(content).hexdigest(), bundle=bundle, fold=fold)
                for name, (content, fold) in contents.items()
            }
        )
        for name, (content, _) in contents.items():
            _write(self.root / name, content)

    def write_manifest(self) -> None:
        """In a copy: ``manifest.csv``, with the mask of every image that has one now."""
        if self._copied:
            content = self._manifest_text().encode()
            path = self.root / CSV_NAME
            if not path.exists() or path.read_bytes() != content:
                _write(path, content)

    def _mask_names(self, targets: Sequence[Sample]) -> dict[Path, str]:
        key = self._manifest.key
        plain = {sample.image: PurePosixPath("masks", key(sample).removeprefix("images/")) for sample in targets}
        names = {image: path.with_suffix(".png").as_posix() for image, path in plain.items()}
        if self._copied:
            # A CSV may name files as it likes: what would clash keeps the image's extension in its name.
            taken = Counter([*names.values(), *map(key, self._manifest.samples)])
            taken.update({relative_key(sample.mask, self._manifest.root) for sample in self._kept if sample.mask})
            names = {image: f"{plain[image]}.png" if taken[name] > 1 else name for image, name in names.items()}
        for name, number in Counter(names.values()).items():
            if number > 1:
                raise DataError(f"{number} images would have the mask {name}: give each image a name of its own")
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

    def _record(self, entries: dict[str, PredictedMask]) -> None:
        path = self.root / PREDICTED
        # Even when empty it is what marks a copy as one, for the run that goes on after this one was ended.
        if path.exists() and entries.items() <= self._predicted.items():
            return
        self._predicted |= entries
        _write(path, _RECORD.dump_json(self._predicted, indent=1) + b"\n")


def _check_out(out: Path, manifest: Manifest) -> None:
    if out.resolve().is_relative_to(manifest.root.resolve()):
        raise UserError(f"`{out}` lies in the data, which it would become part of; choose a folder elsewhere with -o.")
    if out.exists() and not (out.is_dir() and ((out / PREDICTED).is_file() or not any(out.iterdir()))):
        raise UserError(f"`{out}` exists and was not written by this command; choose a new folder with -o.")
    for key in map(manifest.key, manifest.samples):
        if key != key.strip().encode(errors="replace").decode():
            raise DataError(f"{key!r} is not UTF-8 or has spaces around it, which {CSV_NAME} cannot hold: rename it")


def _png(mask: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(mask).save(buffer, "PNG")
    return buffer.getvalue()


def _link(source: Path, target: Path) -> None:
    """A hard link, or a copy where there can be none; DataError if another file has that name."""
    if target.exists():
        if not target.samefile(source) and file_hash(target) != file_hash(source):
            raise DataError(f"{target} is there and is not {source}: choose a new folder with -o")
        return
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(source.resolve(), target)
        except OSError:
            with atomic_write(target, fsync=False) as aside:
                shutil.copyfile(source, aside)
    except OSError as error:
        raise _cannot_write(target, error) from None


def _write(path: Path, content: bytes) -> None:
    try:
        with atomic_write(path, fsync=False) as aside:
            aside.write_bytes(content)
    except OSError as error:
        raise _cannot_write(path, error) from None


def _cannot_write(path: Path, error: OSError) -> UserError:
    return UserError(f"cannot write `{path}` ({error.strerror or error}); make room or choose a folder with -o.")
