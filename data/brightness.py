"""Find data sets whose values do not fill their type: 10, 12 or 14 bits in 16, floats."""

from collections import defaultdict
from collections.abc import Iterable

from .finding import Finding
from .inspection import Picture

# The largest value of the types that have a white.
_LARGEST = {"bool": 1, "uint8": 255, "uint16": 65535}
# Below this share of the largest value the images of a data set are almost black.
_DARK = 1 / 4


def check_brightness(pictures: Iterable[Picture | None]) -> list[Finding]:
    """Return a warning for each type of values that the data set does not fill.

    It names the brightest value of all images of the type, and the setting ``data.white``.
    """
    brightest: dict[str, list[float]] = defaultdict(list)
    for picture in pictures:
        if picture is not None:
            brightest[picture.dtype].append(picture.brightest)
    findings = [_finding(dtype, max(values), len(values)) for dtype, values in sorted(brightest.items())]
    return [finding for finding in findings if finding is not None]


def _finding(dtype: str, value: float, images: int) -> Finding | None:
    largest = _LARGEST.get(dtype)
    if largest is None:
        message = (
            f"{images} images of {dtype} have no white of their own, and their brightest value is {value:g}:"
            f" set data.white={_white(dtype, value):g}, or another value that is white"
        )
        return Finding("warning", "no-white", ".", message)
    if value >= _DARK * largest:
        return None
    remedy = "brighten them" if dtype == "uint8" else f"set data.white={_white(dtype, value):g}"
    message = f"the brightest value of {images} images of {dtype} is {value:g} of {largest}, almost black: {remedy}"
    return Finding("warning", "dark", ".", message)


def _white(dtype: str, value: float) -> float:
    """Return the largest value of the fewest bits that hold ``value``; of floats, ``value``."""
    return value if dtype.startswith("float") else 2 ** max(1, int(value)).bit_length() - 1
