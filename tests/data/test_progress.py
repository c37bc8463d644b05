"""Progress: a listener hears of its own block only, and nothing changes without one."""

import threading

from venation.data.check import check_data
from venation.data.progress import Step, listening, notify, tracked
from venation.data.synthetic import write_leaves


def test_items_pass_unchanged_and_the_listener_counts_them() -> None:
    heard: list[object] = []
    assert list(tracked("abc", "reading", 3)) == ["a", "b", "c"]
    with listening(heard.append):
        assert list(tracked("ab", "reading", 2)) == ["a", "b"]
    notify("after the block")
    assert heard == [Step("reading", 0, 2), Step("reading", 1, 2), Step("reading", 2, 2)]


def test_the_listener_of_an_outer_block_hears_of_the_inner_one() -> None:
    outer: list[object] = []
    inner: list[object] = []
    with listening(outer.append):
        with listening(inner.append):
            notify("both")
        notify("outer")
    assert outer == ["both", "outer"] and inner == ["both"]


def test_another_thread_has_no_listener() -> None:
    heard: list[object] = []
    with listening(heard.append):
        thread = threading.Thread(target=notify, args=("unheard",))
        thread.start()
        thread.join()
    assert heard == []


def test_a_check_tells_of_every_image(tmp_path) -> None:
    write_leaves(tmp_path / "leaves", classes=2, images=3, size=32, seed=0)
    heard: list[object] = []
    with listening(heard.append):
        check_data(tmp_path / "leaves")
    stages = ("checking images", "reading backgrounds")
    assert heard == [Step(stage, done, 6) for stage in stages for done in range(7)]
