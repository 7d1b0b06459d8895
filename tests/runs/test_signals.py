"""SIGTERM and Ctrl-C: they wait for the end of a block of work."""

import os
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from obd_jax.runs import Stopped, defer_signals
from obd_jax.runs.signals import stop


@pytest.fixture
def heard():
    """Where tests run in the background of a shell, Ctrl-C is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def signalled_twice(first, second=None):
    """What is known of a signal in a block of work that ends nevertheless."""
    with defer_signals() as signalled:
        assert signalled() is None
        os.kill(os.getpid(), first)
        known = signalled()
        if second is not None:
            os.kill(os.getpid(), second)
            pytest.fail("continued")
    pytest.fail(f"{known!r} was not raised at the end")


@pytest.mark.parametrize(
    ("number", "raised"), [(signal.SIGTERM, Stopped), (signal.SIGINT, KeyboardInterrupt)]
)
def test_a_signal_waits_for_the_end_of_a_block(number, raised):
    before = signal.getsignal(number)
    with pytest.raises(raised) as error:
        signalled_twice(number)
    assert type(error.value) is raised
    assert signal.getsignal(number) is before


@pytest.mark.usefixtures("heard")
def test_a_second_signal_has_its_effect_at_once():
    with pytest.raises(KeyboardInterrupt):
        signalled_twice(signal.SIGTERM, signal.SIGINT)


def test_without_signals_nothing_is_raised_and_other_threads_have_none():
    with defer_signals() as signalled:
        assert signalled() is None
    before = signal.getsignal(signal.SIGINT)

    def elsewhere():
        with defer_signals() as signalled:
            return signalled(), signal.getsignal(signal.SIGINT)

    with ThreadPoolExecutor() as threads:
        assert threads.submit(elsewhere).result() == (None, before)


def test_sigterm_raises_a_kind_of_interrupt_that_can_be_told_apart():
    with pytest.raises(Stopped) as error:
        stop(signal.SIGTERM, None)
    assert isinstance(error.value, KeyboardInterrupt)
