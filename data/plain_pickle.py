"""Read pickles of plain values safely: no file can run code, name a class or exhaust the memory."""

import io
import pickle
import pickletools
from pathlib import Path
from typing import NoReturn

from ..errors import DataError
from .import_rows import printable_name

MAX_BYTES = 16 * 2**20

# Dicts, lists, numbers, strings and the memo. No tuples: they may be keys, and hashing a deeply
# nested tuple crashes the interpreter. No opcode that names or calls a class either.
_PLAIN = frozenset(
    "PROTO FRAME STOP MARK POP POP_MARK DUP NONE NEWTRUE NEWFALSE "
    "INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT "
    "STRING BINSTRING SHORT_BINSTRING UNICODE SHORT_BINUNICODE BINUNICODE BINUNICODE8 "
    "EMPTY_DICT DICT SETITEM SETITEMS EMPTY_LIST LIST APPEND APPENDS "
    "PUT BINPUT LONG_BINPUT MEMOIZE GET BINGET LONG_BINGET".split()
)
_GLOBALS = frozenset({"GLOBAL", "STACK_GLOBAL", "INST"})
_BROKEN = (
    pickle.UnpicklingError,
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    TypeError,
    ValueError,
)


class PlainUnpickler(pickle.Unpickler):
    """An unpickler that resolves no class and no function, so that a pickle can call nothing."""

    def find_class(self, module: str, name: str) -> NoReturn:
        """Raise DataError with the name of the global."""
        asked = printable_name(f"{module}.{name}")
        raise DataError(f"it asks for {asked}, and only plain numbers and strings are read (no numpy, no objects)")


def read_plain_pickle(path: Path) -> object:
    """Return the plain values of a pickle file, checking all opcodes before loading it.

    Raises DataError for a file over 16 MiB, a class or function in it (the message names it; it is
    never imported), tuples, bytes or other values, and a damaged file.
    """
    if path.stat().st_size > MAX_BYTES:
        raise DataError(f"{path} has more than {MAX_BYTES // 2**20} MiB, too many for a table of labels: check it")
    data = path.read_bytes()
    try:
        _check_opcodes(data)
        return PlainUnpickler(io.BytesIO(data)).load()
    except DataError as error:
        raise DataError(f"{path} is not read: {error}; write it again as a dict of file name to int") from error
    except _BROKEN as error:
        reason = printable_name(error) or type(error).__name__
        raise DataError(f"{path} is not a valid pickle ({reason}): copy it again from its source") from error


def _check_opcodes(data: bytes) -> None:
    """Check the opcodes up to the first global, where the unpickler itself will stop.

    Raises DataError for an opcode that is not plain, and for a memo index so large that it would
    exhaust the memory.
    """
    for count, (code, value, _) in enumerate(pickletools.genops(data)):
        if code.name in _GLOBALS:
            return
        if code.name not in _PLAIN:
            raise DataError(f"it holds {code.name.lower()}, and only dicts, lists, numbers and strings are read")
        if code.name in ("PUT", "BINPUT", "LONG_BINPUT") and isinstance(value, int) and value > count:
            raise DataError(f"it puts its value number {count} into place {value}, as no valid pickle does")
