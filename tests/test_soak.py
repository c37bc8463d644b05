"""The verdicts of a soak run, on made-up samples."""

from importlib import util
from pathlib import Path

import pytest

SPEC = util.spec_from_file_location("verdicts", Path(__file__).parents[1] / "benchmarks" / "_soak_verdicts.py")
assert SPEC is not None and SPEC.loader is not None
module = util.module_from_spec(SPEC)
SPEC.loader.exec_module(module)
verdicts = module.verdicts


def samples(memory: list[float], files: list[int]) -> list[dict[str, float]]:
    return [
        {"minute": float(minute), "trials": 4.0 * minute, "worker memory MiB": used, "worker open files": opened}
        for minute, (used, opened) in enumerate(zip(memory, files, strict=True))
    ]


def flat(memory: list[float], files: list[int]) -> list[bool]:
    return [row["flat"] for row in verdicts(samples(memory, files))]


def test_warm_up_and_noise_are_flat() -> None:
    assert flat([100, 300, 500, 800, 801, 799, 800, 802, 798], [9, 12, 14, 15, 15, 16, 15, 15, 15]) == [True, True]


@pytest.mark.parametrize("growth", [9, -9])
def test_memory_may_grow_by_8_mebibytes_or_3_percent(growth: float) -> None:
    small = [100.0] * 6 + [100.0 + growth] * 3
    large = [1000.0] * 6 + [1000.0 + growth] * 3
    assert flat(small, [5] * 9) == [growth < 0, True] and flat(large, [5] * 9) == [True, True]


def test_one_more_open_file_is_not_flat_and_the_growth_is_by_the_hour() -> None:
    rows = verdicts(samples([50.0] * 9, [5] * 6 + [6] * 3))
    assert [row["flat"] for row in rows] == [True, False]
    # One file in three minutes.
    assert rows[1]["an hour"] == pytest.approx(20) and (rows[1]["second third"], rows[1]["last third"]) == (5, 6)
