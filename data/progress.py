"""The progress of long work, for a listener of the caller's choice.

A listener belongs to the context (``contextvars``) of the code that sets it, so that functions in
between need no argument for it. Without a listener nothing happens, and it costs nothing.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")

Listener = Callable[[object], None]

_LISTENER: ContextVar[Listener | None] = ContextVar("venation_progress", default=None)


@dataclass(frozen=True)
class Step:
    """``done`` of ``total`` items of a stage of the work, for example of ``reading images``."""

    stage: str
    done: int
    total: int


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Tell ``listener``, and that of a block around it, of every event of the work inside."""
    outer = _LISTENER.get()

    def tell(event: object) -> None:
        if outer is not None:
            outer(event)
        listener(event)

    token = _LISTENER.set(tell)
    try:
        yield
    finally:
        _LISTENER.reset(token)


def notify(event: object) -> None:
    """Tell the listener of an event, if there is one."""
    listener = _LISTENER.get()
    if listener is not None:
        listener(event)


def tracked(items: Iterable[T], stage: str, total: int) -> Iterator[T]:
    """Yield ``items``, and tell the listener how many of the ``total`` are done."""
    notify(Step(stage, 0, total))
    for done, item in enumerate(items, 1):
        yield item
        notify(Step(stage, done, total))
