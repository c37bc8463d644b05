"""Pickled tables of plain values, read so that no pickle can run code, name a class or take the memory."""

import io
import pickle
import pickletools
from pathlib import Path
from typing import NoReturn

from ..errors import DataError
from .import_rows import shown

MAX_BYTES = 16 * 2**20

# Dicts, lists, numbers, strings and the memo. No tuples: they may be keys, and hashing a tuple that is nested deeply
# enough ends the interpreter itself. What can name a class or call it is not here either.
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
    """An unpickler to which nothing has a name: no class, no function, so nothing can be called."""

    def find_class(self, module: str, name: str) -> NoReturn:
        """Refuse the global. Raises DataError naming it."""
        asked = shown(f"{module}.{name}")
        raise DataError(f"it asks for {asked}, and only plain numbers and strings are read (no numpy, no objects)")


def read_plain_pickle(path: Path) -> object:
    """The dicts, lists, numbers and strings of a pickle file; every byte is looked at before any is acted on.

    Raises DataError for a file over 16 MiB, one that names a class or function (named in the message, never looked
    up), one with tuples, bytes or other values, and one that is damaged.
    """
    if path.stat().st_size > MAX_BYTES:
        raise DataError(f"{path} has more than {MAX_BYTES // 2**20} MiB, too many for a table of labels: check it")
    data = path.read_bytes()
    try:
        _refuse_all_but_plain(data)
        return PlainUnpickler(io.BytesIO(data)).load()
    except DataError as error:
        raise DataError(f"{path} is not read: {error}; write it anew as a dict of file name to int") from error
    except _BROKEN as error:
        reason = shown(error) or type(error).__name__
        raise DataError(f"{path} is not a sound pickle ({reason}): copy it again from its source") from error


def _refuse_all_but_plain(data: bytes) -> None:
    """Look at the opcodes up to the first global, at which the unpickler itself will stop.

    Raises DataError for an opcode that is not plain and for a memo place so far off that it would take the memory.
    """
    for count, (code, value, _) in enumerate(pickletools.genops(data)):
        if code.name in _GLOBALS:
            return
        if code.name not in _PLAIN:
            raise DataError(f"it holds {code.name.lower()}, and only dicts, lists, numbers and strings are read")
        if code.name in ("PUT", "BINPUT", "LONG_BINPUT") and isinstance(value, int) and value > count:
            raise DataError(f"it puts its value number {count} into place {value}, as no sound pickle does")
