"""Numbers that are not finite are found in tensors, arrays and plain numbers."""

import numpy as np
import pytest
import torch

from venation.errors import UserError
from venation.models.finite import Numbers, require_finite


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_the_first_number_that_is_not_finite_is_named(bad: float) -> None:
    kinds: list[Numbers] = [torch.tensor([0.0, bad]), torch.tensor([bad]).half(), np.array([[bad]]), bad]
    for numbers in kinds:
        with pytest.raises(UserError, match=r"the file: `b` has numbers that are not finite"):
            require_finite({"a": torch.zeros(3, dtype=torch.int64), "b": numbers}, "the file")


def test_finite_numbers_pass() -> None:
    require_finite({"a": torch.ones(2), "b": torch.tensor(3), "c": np.zeros(0), "d": 1.0}, "the file")
