"""The kinds of faults: those that a run can inject and chooses, and their order."""

import random
import resource
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from venation.chaos import service_faults
from venation.chaos.fault import NotNow
from venation.chaos.faults import FAULTS, NEEDS, check_kinds, chosen_faults, least_frequent, possible_faults
from venation.chaos.sandbox import Sandbox
from venation.errors import UsageError, UserError


def sandbox(*, root: bool = True, clock: bool = True, older: object = "0.1") -> Sandbox:
    """Return a sandbox of a machine that allows these things."""
    return cast(Sandbox, SimpleNamespace(can_mount=root, has_clock=clock, older=older))


def test_each_kind_is_possible_where_its_need_is_met() -> None:
    assert possible_faults(sandbox()) == [*FAULTS]
    bare = sandbox(root=False, clock=False, older=None)
    assert set(FAULTS) - set(possible_faults(bare)) == set(NEEDS)


def test_a_run_has_the_chosen_kinds_or_all_possible() -> None:
    assert chosen_faults(sandbox(), ("cut", "kill")) == ["kill", "cut"]
    assert chosen_faults(sandbox(clock=False), ()) == [kind for kind in FAULTS if kind != "jump_clock"]


def test_an_unknown_and_an_impossible_kind_are_refused_in_one_line() -> None:
    with pytest.raises(UsageError, match="there is no fault `flood`; the faults are kill, pause"):
        check_kinds(["kill", "flood"])
    with pytest.raises(UserError, match="`jump_clock` is not possible here: it needs libfaketime"):
        chosen_faults(sandbox(clock=False), ("jump_clock",))


def test_least_frequent_faults_come_first() -> None:
    assert least_frequent([*FAULTS], {}) == [*FAULTS]
    assert least_frequent(["kill", "cut", "pause"], {"kill": 2, "cut": 1, "pause": 1}) == ["cut", "pause"]


@pytest.fixture
def small_disk() -> Iterator[None]:
    """Let no file grow beyond a megabyte, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_store_is_emptied_though_another_fault_hides_it(tmp_path: Path, small_disk: None) -> None:
    folder, aside = tmp_path / "store", tmp_path / "aside"
    folder.mkdir()
    hidden = cast(Sandbox, SimpleNamespace(folder=folder))
    undo = service_faults.fill_store(hidden, random.Random(0))
    assert (folder / service_faults.BALLAST).stat().st_size == 1 << 20
    folder.rename(aside)
    undo.call()
    assert (aside / service_faults.BALLAST).stat().st_size == 0
    with pytest.raises(NotNow):
        service_faults.fill_store(hidden, random.Random(0))
