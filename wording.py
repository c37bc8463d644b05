"""Amounts as people write them."""


def counted(number: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun: ``1 file``, ``2 files``; ``plural`` if it is not noun + s."""
    return f"{number} {noun}" if number == 1 else f"{number} {plural or noun + 's'}"
