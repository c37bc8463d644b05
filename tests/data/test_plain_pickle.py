"""Pickles of labels: hostile, damaged and oversized files are refused in one line."""

import os
import pickle
from pathlib import Path

import pytest
from layout_helpers import assert_refused, put_labels


class Hostile:
    """An object whose pickle calls a function when it is loaded."""

    def __init__(self, call, *arguments):
        self.call, self.arguments = call, arguments

    def __reduce__(self):
        return self.call, self.arguments


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("place", ["value", "key", "whole"])
def test_a_hostile_pickle_runs_nothing(soy, tmp_path, protocol, place):
    flag = tmp_path / "run"
    payloads = [
        (Hostile(os.system, f"touch {flag}"), r"(posix|nt)\.system"),
        (Hostile(eval, f"open({str(flag)!r}, 'w')"), r"(builtins|__builtin__)\.eval"),
        (Hostile(Path, "x"), r"pathlib\.Path"),
    ]
    for payload, name in payloads:
        value = {"value": {1: payload}, "key": {payload: 1}, "whole": payload}[place]
        (soy / "labels.pkl").write_bytes(pickle.dumps(value, protocol))
        assert_refused(soy, "mganet", f"labels.pkl is not read: it asks for {name}, and only plain")
    assert not flag.exists()


@pytest.mark.parametrize(
    "data",
    [
        b"(i__builtin__\neval\n.",
        b"\x82\x01.",
        b"Pposix\n.",
        b")" + b"\x85" * 2_000_000 + b"}\x94h\x00K\x01s.",
        b"Nr\xff\xff\xff\x7f.",
        b"Nr\x00\x00\x40\x00.",
        b"\x80\x05\x95\xff\xff\xff\xff\xff\xff\xff\x7f}.",
        b"\x8d\xff\xff\xff\xff\xff\xff\xff\xffx.",
        b"\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.",
        b"I" + b"9" * 100_000 + b"\n.",
        b"}}K\x01s.",
        b"h\x05.",
        b"",
        b"not a pickle at all",
        b"}",
        b"]" + b"]" * 500_000 + b"a" * 500_000 + b".",
    ],
    ids=lambda data: repr(data[:12]),
)
def test_a_damaged_or_bloated_pickle_is_refused_in_one_line(soy, data):
    (soy / "labels.pkl").write_bytes(data)
    assert_refused(soy, "mganet", "labels.pkl (is not read|is not a valid pickle|holds a list)")


def test_names_from_a_pickle_are_escaped_in_the_message(soy):
    (soy / "labels.pkl").write_bytes(b"\x80\x04\x8c\x04o\ns\x1b\x8c\x05\xed\xa0\x80[m\x93.")
    assert_refused(soy, "mganet", r"asks for o\\ns\\x1b\.\\ud800\[m, and")
    put_labels(soy, {"a\nb\x1b" + "c" * 500: True})
    assert_refused(soy, "mganet", r"for a\\nb\\x1bc{196}\.\.\.:")


def test_a_huge_pickle_is_not_read(soy):
    with (soy / "labels.pkl").open("wb") as file:
        file.truncate(2**40)
    assert_refused(soy, "mganet", "more than 16 MiB")
