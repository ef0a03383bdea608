"""Threads that share a list of work, each on a database connection of its own."""

import queue
import threading
from collections.abc import Callable, Iterator, Sequence

from django.db import connections


def work_off[Item, Outcome](
    items: Sequence[Item], work: Callable[[Item], Outcome], *, workers: int, stop: Callable[[], bool]
) -> Iterator[Outcome]:
    """The outcomes as they come. No new item is begun once `stop` says so, or when the caller goes away."""
    waiting: queue.SimpleQueue[Item] = queue.SimpleQueue()
    finished: queue.SimpleQueue[Outcome | BaseException | None] = queue.SimpleQueue()
    stopped = threading.Event()
    for item in items:
        waiting.put(item)
    threads = [
        threading.Thread(target=_worker, args=(waiting, finished, work, stopped), name=f"fleet-{number}") for number in range(workers)
    ]
    for thread in threads:
        thread.start()
    try:
        running = len(threads)
        while running:
            outcome = finished.get()
            if outcome is None:
                running -= 1
            elif isinstance(outcome, BaseException):
                raise outcome
            else:
                yield outcome
            if stop():
                stopped.set()
    finally:
        stopped.set()
        for thread in threads:
            thread.join()


def _worker[Item, Outcome](
    waiting: queue.SimpleQueue[Item],
    finished: queue.SimpleQueue[Outcome | BaseException | None],
    work: Callable[[Item], Outcome],
    stopped: threading.Event,
) -> None:
    try:
        while not stopped.is_set():
            finished.put(work(waiting.get_nowait()))
    except queue.Empty:
        pass
    except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
        finished.put(error)
    finally:
        connections.close_all()
        finished.put(None)
