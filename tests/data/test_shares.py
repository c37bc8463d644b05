"""Shares of a batch: those of NumPy's array_split, and one place at least."""

import numpy as np
import pytest

from venation.data.shares import is_idle, share_of


@pytest.mark.parametrize("number", [2, 3, 7, 16])
@pytest.mark.parametrize("world", [1, 2, 3, 5])
def test_shares_are_those_of_array_split(number: int, world: int) -> None:
    places = range(4, 4 + number)
    for rank, expected in enumerate(np.array_split(np.array(places), world)):
        idle = is_idle(number, rank)
        assert idle is (len(expected) == 0)
        assert [*share_of(places, rank, world)] == ([4] if idle else expected.tolist())
