"""Load a data set: its samples with labels, masks, groups and splits; refuse a malformed one."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from ..errors import DataError
from .mask_classes import MASK_CLASSES, MaskClasses
from .names import match_names
from .samples import SPLITS as SPLITS
from .samples import Flaw, relative_key
from .samples import Sample as Sample
from .scan import ONE_CLASS, scan_data
from .scan_folders import MASKS

_MAX_MESSAGES = 3


@dataclass(frozen=True)
class Manifest:
    """A data set: ``samples`` sorted by key, ``classes`` sorted by name.

    ``mask_classes`` are those of ``mask_classes.csv``, None without that file.
    """

    root: Path
    samples: tuple[Sample, ...]
    classes: tuple[str, ...]
    mask_classes: MaskClasses | None = None

    def split(self, name: str) -> tuple[Sample, ...]:
        """Return the samples of one split, ``train``, ``val`` or ``test``, in key order."""
        return tuple(sample for sample in self.samples if sample.split == name)

    def relabelled(self, classes: Collection[str]) -> "Manifest":
        """Return the data set with the labels written like the ``classes`` that they match.

        Labels match in any Unicode form and with blanks around them; others stay as they are.
        """
        names = match_names(self.classes, classes)
        samples = tuple(replace(sample, label=names.get(sample.label, sample.label)) for sample in self.samples)
        return replace(self, samples=samples, classes=tuple(sorted({sample.label for sample in samples})))

    def with_mask_classes(self, names: Sequence[str]) -> "Manifest":
        """Return the data set with its mask classes numbered as in ``names``, a bundle's.

        Nothing changes for data without masks, and for a bundle of one structure, without names.
        Raises DataError if the data have other mask classes.
        """
        if not names or not self.has_masks:
            return self
        if self.mask_classes is None:
            raise DataError(
                f"{self.root} has masks without classes, but the bundle tells {', '.join(names)} apart:"
                f" name them in {MASK_CLASSES}, or remove the masks"
            )
        if other := sorted(set(self.mask_classes.names) - set(names)):
            raise DataError(
                f"{self.root} has mask classes that the bundle does not have ({', '.join(other)}); its mask classes"
                f" are: {', '.join(names)}"
            )
        classes = self.mask_classes.matched(names)
        samples = tuple(replace(sample, mask_classes=classes) for sample in self.samples)
        return replace(self, samples=samples, mask_classes=classes)

    @property
    def has_masks(self) -> bool:
        """Return whether at least one image has a mask."""
        return any(sample.mask is not None for sample in self.samples)

    @property
    def mask_class_names(self) -> tuple[str, ...]:
        """Return the names of the mask classes; none for masks of one structure."""
        names = () if self.mask_classes is None else self.mask_classes.names
        return names if len(names) > 1 else ()

    def unused_masks(self) -> list[Path]:
        """Return the visible files below ``masks/`` that are no sample's mask, sorted."""
        used = {sample.mask for sample in self.samples}
        files = (path for path in (self.root / MASKS).rglob("*") if path not in used and path.is_file())
        return sorted(path for path in files if not path.name.startswith("."))

    def key(self, sample: Sample) -> str:
        """Return the sample's name: the image path relative to the root, with ``/`` separators."""
        return relative_key(sample.image, self.root)

    def label_index(self, sample: Sample) -> int:
        """Return the position of the sample's label in ``classes``."""
        return self._index[sample.label]

    @cached_property
    def _index(self) -> dict[str, int]:
        return {label: index for index, label in enumerate(self.classes)}


def load_manifest(path: Path, *, for_training: bool = False) -> Manifest:
    """Read a data set from a folder or a CSV file.

    A ``manifest.csv`` in the folder takes precedence over its subfolders. Folders:
    ``images/<class>/*``, ``train|val|test/<class>/*`` or ``<class>/*``, each with optional
    ``masks/[<split>/]<class>/<stem>.png``. CSV: columns ``image,label[,mask][,split][,group]``,
    with paths relative to the file. Names match without regard to their Unicode form, to blanks
    around them or to the case of their extensions; an equal name takes precedence.

    Raises DataError if the path does not exist, there is no image, no mask matches an image, or the
    CSV has an unknown column, an unknown split, a path outside its folder or a file that does not
    exist. With ``for_training`` it also refuses data of one class only.
    """
    scan = scan_data(path)
    if flaws := [flaw for flaw in scan.flaws if for_training or flaw.code != ONE_CLASS]:
        raise DataError(_summary(flaws))
    samples = sorted(scan.samples, key=lambda sample: relative_key(sample.image, scan.root))
    labels = sorted({sample.label for sample in samples})
    return Manifest(scan.root, tuple(samples), tuple(labels), scan.mask_classes)


def evenly_spaced(samples: Sequence[Sample], count: int) -> list[Sample]:
    """Return at most ``count`` of ``samples`` at equal distances.

    Samples are sorted by class, so the result covers as many classes as it can.
    """
    step = max(1, len(samples) // count)
    return list(samples[::step][:count])


def _summary(flaws: list[Flaw]) -> str:
    """Join the first messages of the first kind of flaw in one line; count the further ones."""
    same = [flaw.message for flaw in flaws if flaw.code == flaws[0].code]
    more = f"; and {len(same) - _MAX_MESSAGES} more ({len(same)} in all)" if len(same) > _MAX_MESSAGES else ""
    return "; ".join(same[:_MAX_MESSAGES]) + more
