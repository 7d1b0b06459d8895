"""SIGTERM and Ctrl-C: when a run may be interrupted."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator


class Stopped(KeyboardInterrupt):
    """SIGTERM asked the program to end, as queues do when they need the machine."""


def stop(*_: object) -> None:
    """Handler of SIGTERM that raises `Stopped`."""
    raise Stopped


@contextlib.contextmanager
def defer_signals() -> Iterator[Callable[[], KeyboardInterrupt | None]]:
    """Context that defers SIGTERM and Ctrl-C, so that a block of work can finish and be saved.

    The context yields a function that returns the deferred exception, or None; the caller raises it
    after the block. At the latest it is raised on exit. A second signal takes effect at once.
    """
    received: list[KeyboardInterrupt] = []
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None  # Only the main thread receives signals.
        return

    def receive(number: int, _: object) -> None:
        received.append(Stopped() if number == signal.SIGTERM else KeyboardInterrupt())
        restore()

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    for number in before:
        signal.signal(number, receive)
    try:
        yield lambda: received[0] if received else None
    finally:
        restore()
    if received:
        raise received[0]
