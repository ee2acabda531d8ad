"""Signals as requests."""

import os
import signal
import threading

import pytest

from seqgen_core.training.stopping import StopAsked, StopSignals


def send(number):
    os.kill(os.getpid(), number)


@pytest.mark.parametrize(("number", "name"), [(signal.SIGINT, "Ctrl-C"), (signal.SIGTERM, "SIGTERM")])
def test_the_first_signal_is_a_request_and_handlers_come_back(number, name):
    before = signal.getsignal(number)
    with StopSignals() as stop:
        assert not stop.requested
        send(number)
        assert stop.requested == name
    assert signal.getsignal(number) is before


def test_a_second_ctrl_c_interrupts_at_once():
    with pytest.raises(KeyboardInterrupt), StopSignals():  # noqa: PT012
        send(signal.SIGTERM)
        send(signal.SIGINT)


def test_a_second_sigterm_waits_for_the_checkpoint():
    with StopSignals() as stop:
        send(signal.SIGTERM)
        send(signal.SIGTERM)
        assert stop.requested == "SIGTERM"


def test_at_once_raises_inside_the_block_only():
    with StopSignals() as stop:
        reached = []
        with pytest.raises(StopAsked), stop.at_once():  # noqa: PT012
            send(signal.SIGTERM)
            reached.append("after")
        assert not reached
        with pytest.raises(StopAsked), stop.at_once():
            reached.append("asked before")
        assert not reached
        send(signal.SIGTERM)


def test_outside_the_main_thread_it_leaves_signals_alone():
    seen = []

    def work():
        with StopSignals() as stop:
            seen.append((stop.requested, signal.getsignal(signal.SIGTERM)))

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [("", before)]
