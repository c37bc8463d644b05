"""Make text of files and file names safe for a terminal, an error's line and a spreadsheet."""

import logging
import re
from typing import Any

MAX_LINE = 2000

# Control characters, line and paragraph separators, marks that reverse the direction of writing,
# and bytes of a file name that are not UTF-8 (surrogates).
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_FORMULA = ("=", "+", "-", "@")


def printable(text: str) -> str:
    r"""Return one line in which every unsafe character is an escape such as ``\x1b``."""
    return _UNSAFE.sub(_escape, text)


def one_line(text: str) -> str:
    """Return ``text`` printable and of at most ``MAX_LINE`` characters, cut in its middle."""
    line = printable(text)
    if len(line) <= MAX_LINE:
        return line
    return f"{line[: MAX_LINE - 500]} [... {len(line) - MAX_LINE} characters ...] {line[-500:]}"


def table_cell(value: Any) -> Any:
    """Return a value for a CSV file that people open in a spreadsheet.

    Text that begins like a formula gets an apostrophe before it (OWASP, CSV Injection). Other types
    stay.
    """
    if not isinstance(value, str):
        return value
    text = printable(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


class PrintableFormatter(logging.Formatter):
    """A log format whose lines have no unsafe characters; the lines of a traceback stay lines."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as printable lines."""
        return "\n".join(map(printable, super().format(record).split("\n")))


def _escape(found: re.Match[str]) -> str:
    code = ord(found.group())
    if 0xDC80 <= code <= 0xDCFF:
        code -= 0xDC00  # the byte that Python put there
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
