"""The images of a new study, in their splits."""

from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from ..data.data_config import SplitConfig
from ..data.fingerprint import fingerprint
from ..data.manifest import Manifest
from ..errors import UsageError
from ..search.spec import StudySpec
from ..spaces.fields import describe
from .data import load_split
from .request import StudyRequest


@dataclass(frozen=True)
class Images:
    """The images of a study in their splits, with the digest of each."""

    data: Path
    split: SplitConfig
    manifest: Manifest
    digests: dict[str, str]

    @property
    def fingerprint(self) -> str:
        """The fingerprint of all digests."""
        return fingerprint(self.digests)

    @property
    def num_classes(self) -> int:
        """The number of classes."""
        return len(self.manifest.classes)


def load_images(request: StudyRequest, base: StudySpec | None) -> Images:
    """Load the images, split as the base splits them.

    Raises UsageError without any, DataError for bad ones.
    """
    data = request.data
    if base is None:
        if data is None:
            raise UsageError(f"a {request.kind} study needs `--data`: the folder or CSV file of its images.")
        split = _split(request.seed or 0)
    else:
        data, split = data or Path(base.data), base.split
    return Images(data, split, *load_split(data, split))


def _split(seed: int) -> SplitConfig:
    try:
        return SplitConfig(seed=seed)
    except ValidationError as error:
        raise UsageError(describe(error)) from None
