"""The samples of a data set, and the flaws that a scan finds in it."""

from dataclasses import dataclass, field
from pathlib import Path

from .mask_classes import MaskClasses

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Sample:
    """One image with its label, mask, group and split.

    Samples of one ``group`` (one plant, one eye) stay in one split. ``mask_classes`` are those of
    the data set, None if its masks have one structure.
    """

    image: Path
    label: str
    mask: Path | None
    group: str
    split: str | None
    mask_classes: MaskClasses | None = None


@dataclass(frozen=True)
class Flaw:
    """A structural problem: a code, the path or line of the problem, and a one-line message."""

    code: str
    path: str
    message: str


@dataclass
class Scan:
    """The result of a scan; ``folders`` are those that should contain only images or only masks."""

    root: Path
    samples: list[Sample] = field(default_factory=list)
    flaws: list[Flaw] = field(default_factory=list)
    folders: list[Path] = field(default_factory=list)
    mask_classes: MaskClasses | None = None

    def add_flaw(self, code: str, path: str, message: str) -> None:
        """Record a structural problem."""
        self.flaws.append(Flaw(code, path, message))


def relative_key(path: Path, root: Path) -> str:
    """Return the path relative to the root, with ``/`` on every platform."""
    return path.relative_to(root).as_posix()
