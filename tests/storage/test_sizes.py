"""Parsing and formatting of sizes in bytes."""

import pytest

from venation.errors import UsageError
from venation.storage.sizes import format_size, parse_size


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("500", 500),
        ("500MB", 500_000_000),
        ("20 gb", 20_000_000_000),
        ("1.5GiB", 1_610_612_736),
        ("0", 0),
        ("3k", 3_000),
    ],
)
def test_sizes_are_parsed(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "GB", "-1GB", "nan", "1e9", "5 XB", "5iB", "1,5GB", "1 2"])
def test_malformed_sizes_raise_usage_errors(text: str) -> None:
    with pytest.raises(UsageError, match="write 500MB, 20GB or 1.5GiB"):
        parse_size(text)


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 B"), (999, "999 B"), (1530, "1.53 kB"), (20_000_000_000, "20 GB"), (999_999, "1 MB")]
)
def test_sizes_are_formatted(size: int, text: str) -> None:
    assert format_size(size) == text
