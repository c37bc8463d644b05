"""Find the number of channels that all images of a data set have."""

from collections import Counter
from collections.abc import Sequence
from itertools import chain

from ..errors import DataError
from .band_files import channel_choices
from .images import DECODE_ERRORS, FORMATS, decode_reason
from .manifest import Manifest, Sample


def find_channels(manifest: Manifest, asked: int | None = None) -> int:
    """Return the number of channels of a data set's images, which must be ``asked`` if that is set.

    Raises DataError for the first image that has another number, or whose header is damaged.
    """
    choices = [_choices(sample) for sample in manifest.samples]
    common = asked or common_channels(choices)
    for sample, numbers in zip(manifest.samples, choices, strict=True):
        if common not in numbers:
            given = "data.channels asks for" if asked else "others have"
            raise DataError(
                f"image {sample.image} has {numbers[0]} channels, and {given} {common}: all images of a data set"
                " have the same number; convert or remove it"
            )
    return common


def common_channels(choices: Sequence[tuple[int, ...]]) -> int:
    """Return the number that most images can be read with; of equal ones the smallest."""
    counts = Counter(chain.from_iterable(choices))
    return max(sorted(counts), key=lambda number: counts[number], default=3)


def note_unread_channel(manifest: Manifest, channels: int) -> str | None:
    """Return ``unread_channel`` of a data set that is read with ``channels`` channels."""
    return unread_channel([_choices(sample) for sample in manifest.samples], channels)


def unread_channel(choices: Sequence[tuple[int, ...]], channels: int) -> str | None:
    """Return a note of TIFFs whose last channel is not read, as transparency; None without any."""
    unread = sum(numbers == (channels, channels + 1) for numbers in choices)
    if not unread:
        return None
    return (
        f"the last of {channels + 1} channels of {unread} TIFFs is declared as transparency, and is not read: create"
        f" a study with `--set data.channels={channels + 1}` if it is a band"
    )


def _choices(sample: Sample) -> tuple[int, ...]:
    try:
        return channel_choices(sample.image)
    except DECODE_ERRORS as error:
        reason = decode_reason(error, FORMATS)
        raise DataError(f"image {sample.image} cannot be decoded ({reason}): replace or remove it") from error
