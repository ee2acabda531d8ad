"""Work in a process of its own: what it gives, what it says, how it fails, and that nothing of it stays."""

import os
import signal
import time

import pytest

from seqgen_core.errors import UsageError
from seqgen_core.training.apart import ProcessDiedError, apart


def add(tell, one, other):
    tell("adding")
    tell(os.getpid())
    return one + other


def refuse(tell):
    raise UsageError("got", "wanted", "hint")


def die(tell):
    os.kill(os.getpid(), signal.SIGKILL)


def last(tell):
    tell(os.getpid())
    time.sleep(600)


def gone(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_what_it_gives_and_says():
    said = []
    assert apart(add, 2, 3, told=said.append) == 5
    assert said[0] == "adding"
    assert said[1] != os.getpid()
    assert gone(said[1])


def test_errors_come_whole():
    with pytest.raises(UsageError) as caught:
        apart(refuse)
    assert (caught.value.got, caught.value.wanted, caught.value.hint) == ("got", "wanted", "hint")


def test_a_process_that_is_killed():
    with pytest.raises(ProcessDiedError, match="code -9"):
        apart(die)


def test_ctrl_c_ends_it():
    said = []

    def stop(value):
        said.append(value)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        apart(last, told=stop)
    assert gone(said[0])
