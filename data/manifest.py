"""A data set as it is to be learnt from: images, labels, masks, groups and splits, found sound in structure."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ..errors import DataError
from .scan import SPLITS as SPLITS
from .scan import Flaw, relative_key, scan_data
from .scan import Sample as Sample

_SHOWN = 3


@dataclass(frozen=True)
class Manifest:
    """A data set: ``samples`` sorted by key, ``classes`` sorted by name."""

    root: Path
    samples: tuple[Sample, ...]
    classes: tuple[str, ...]

    def split(self, name: str) -> tuple[Sample, ...]:
        """The samples of one split, ``train``, ``val`` or ``test``, in order of their keys."""
        return tuple(sample for sample in self.samples if sample.split == name)

    @property
    def has_masks(self) -> bool:
        """Whether at least one image has a mask."""
        return any(sample.mask is not None for sample in self.samples)

    def key(self, sample: Sample) -> str:
        """The image's path relative to the root, with ``/`` on every platform: the sample's name everywhere."""
        return relative_key(sample.image, self.root)

    def label_index(self, sample: Sample) -> int:
        """The position of the sample's label in ``classes``."""
        return self._index[sample.label]

    @cached_property
    def _index(self) -> dict[str, int]:
        return {label: index for index, label in enumerate(self.classes)}


def load_manifest(path: Path) -> Manifest:
    """Read a data set: a folder (``manifest.csv`` in it wins over its folders) or a CSV file.

    Folders: ``images/<class>/*``, ``train|val|test/<class>/*`` or ``<class>/*``, each with optional
    ``masks/[<split>/]<class>/<stem>.png``. CSV: columns ``image,label[,mask][,split][,group]``, paths relative to it.

    Raises DataError where nothing is there, no image or only one class is found, the CSV has an unknown column, a
    bad split, a path outside its folder or a file that does not exist, or no mask belongs to any image.
    """
    scan = scan_data(path)
    if scan.flaws:
        raise DataError(_summary(scan.flaws))
    samples = sorted(scan.samples, key=lambda sample: relative_key(sample.image, scan.root))
    return Manifest(scan.root, tuple(samples), tuple(sorted({sample.label for sample in samples})))


def _summary(flaws: list[Flaw]) -> str:
    """The flaws of the first kind in one line: the first few, then how many more."""
    same = [flaw.message for flaw in flaws if flaw.code == flaws[0].code]
    more = f"; and {len(same) - _SHOWN} more ({len(same)} in all)" if len(same) > _SHOWN else ""
    return "; ".join(same[:_SHOWN]) + more
