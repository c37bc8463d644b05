"""A data set of which every file was read once: its problems, and what a report shows of it."""

from dataclasses import dataclass

from .background import Background
from .channels import common_channels
from .duplicates import Copy
from .finding import Finding
from .inspection import MaskFacts, Picture
from .samples import Sample, Scan


@dataclass(frozen=True)
class Inspected:
    """A sample, and what its files hold: None for a file that is unusable or absent."""

    sample: Sample
    picture: Picture | None
    mask: MaskFacts | None
    problems: list[Finding]


@dataclass(frozen=True)
class CheckedData:
    """A data set after the check.

    ``copies`` are images that look like an earlier one; ``background`` is None where too few images
    have a mask.
    """

    scan: Scan
    findings: list[Finding]
    images: list[Inspected]
    copies: list[Copy]
    background: Background | None

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """The (width, height) of every readable image."""
        return [image.picture.size for image in self.images if image.picture]

    @property
    def mask_shares(self) -> list[float]:
        """The share of pixels in the mask, 0 to 1, of every image with a readable mask."""
        return [image.mask.share for image in self.images if image.mask and image.mask.share is not None]

    @property
    def channels(self) -> int:
        """The number of channels that most images can be read with."""
        return common_channels([image.picture.channels for image in self.images if image.picture])

    def by_class(self) -> dict[str, list[Inspected]]:
        """Return the images of each class, the classes in the order of their names."""
        classes: dict[str, list[Inspected]] = {label: [] for label in sorted({i.sample.label for i in self.images})}
        for image in self.images:
            classes[image.sample.label].append(image)
        return classes
