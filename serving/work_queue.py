"""A bounded number of requests that wait for their prediction, and the threads that predict."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Generic, TypeVar

T = TypeVar("T")
Model = TypeVar("Model")


class Busy(Exception):
    """All places are taken."""


class WorkQueue(Generic[Model]):
    """Threads, each with its own copy of a model, and ``waiting`` further places.

    A request takes a place before its upload is read. It gives the place back when its work has
    ended, even if the client went away, so that threads never have more work than there are places.
    """

    def __init__(self, models: list[Model], waiting: int) -> None:
        self._models: SimpleQueue[Model] = SimpleQueue()
        for model in models:
            self._models.put(model)
        self._pool = ThreadPoolExecutor(len(models), thread_name_prefix="predict")
        self._places = len(models) + waiting
        self._lock = threading.Lock()
        self.taken = 0

    @contextmanager
    def place(self) -> Iterator["Place[Model]"]:
        """Take a place for one request. Raises Busy if all are taken."""
        with self._lock:
            if self.taken >= self._places:
                raise Busy
            self.taken += 1
        place = Place(self)
        try:
            yield place
        finally:
            if place.work is None:
                self._leave()

    def _submit(self, function: Callable[[Model], T], done: Callable[[], None]) -> "Future[T]":
        def run() -> T:
            model = self._models.get()
            try:
                return function(model)
            finally:
                self._models.put(model)

        def end(_: "Future[T]") -> None:
            done()
            self._leave()

        work = self._pool.submit(run)
        work.add_done_callback(end)
        return work

    def _leave(self) -> None:
        with self._lock:
            self.taken -= 1

    def close(self) -> None:
        """Drop the work that has not begun, and wait for the rest."""
        self._pool.shutdown(cancel_futures=True)


class Place(Generic[Model]):
    """The place of one request in a queue."""

    def __init__(self, queue: WorkQueue[Model]) -> None:
        self._queue = queue
        self.work: Future[object] | None = None

    async def run(self, function: Callable[[Model], T], *, seconds: float, done: Callable[[], None]) -> T:
        """Return the result of ``function`` with a free model; call ``done`` when it has ended.

        Raises TimeoutError after ``seconds``. Work that has not begun by then never does.
        """
        work = self._queue._submit(function, done)
        self.work = work  # type: ignore[assignment]
        return await asyncio.wait_for(asyncio.wrap_future(work), seconds)
