"""SIGTERM and Ctrl-C: when a run may be interrupted."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator


class Stopped(KeyboardInterrupt):
    """SIGTERM asked the program to end, as queues do that need the machine for others."""


def stop(*_: object) -> None:
    """Handler of SIGTERM that raises `Stopped`."""
    raise Stopped


@contextlib.contextmanager
def defer_signals() -> Iterator[Callable[[], KeyboardInterrupt | None]]:
    """Inside, SIGTERM and Ctrl-C interrupt nothing, so that a block of work is ended and saved.

    The function given returns what they would have raised, for the caller to raise then; it is
    raised at the end of the context at the latest. A second signal has its effect at once.
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
