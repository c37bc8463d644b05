"""Text of files, made safe for a terminal, a log, an error's line and a spreadsheet."""

import logging

import pytest

from venation.escaping import MAX_LINE, PrintableFormatter, one_line, printable, table_cell


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\x1b[31mred", r"\x1b[31mred"),
        ("a\nb\r\tc", r"a\x0ab\x0d\x09c"),
        ("\x9b2J", r"\x9b2J"),
        ("gnp.\u202eexe", r"gnp.\u202eexe"),
        (b"\xff.png".decode("utf-8", "surrogateescape"), r"\xff.png"),
        ("Löwenzahn 蒲公英 \u200d = 1", "Löwenzahn 蒲公英 \u200d = 1"),
    ],
)
def test_unsafe_characters_are_escaped_and_others_stay(text: str, expected: str) -> None:
    assert printable(text) == expected


def test_a_long_line_is_cut_in_its_middle() -> None:
    assert one_line("short\n") == r"short\x0a"
    line = one_line("a" * 100_000 + "end")
    assert len(line) < MAX_LINE + 60 and line.startswith("aaa") and line.endswith("aaaend") and "98003" in line


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)"])
def test_text_that_begins_like_a_formula_gets_an_apostrophe(text: str) -> None:
    assert table_cell(text) == "'" + text
    assert table_cell(f"a{text}") == f"a{text}"


def test_numbers_stay_numbers_in_a_table() -> None:
    assert [table_cell(value) for value in (-1, -0.5, None, True)] == [-1, -0.5, None, True]


def test_log_lines_are_printable_and_tracebacks_keep_their_lines() -> None:
    record = logging.LogRecord("a", logging.INFO, "", 0, "name %s\nnext", ("\x1b[2J",), None)
    assert PrintableFormatter("%(message)s").format(record) == "name \\x1b[2J\nnext"
