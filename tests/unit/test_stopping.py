"""The event that stops everything under way."""

import os
import signal
import threading
import time

from syncagent.stopping import StopEvent


def test_a_child_is_set_with_its_parent_and_not_the_other_way_round() -> None:
    parent = StopEvent()
    one, two = parent.child(), parent.child()
    one.set()
    assert (parent.is_set(), one.is_set(), two.is_set()) == (False, True, False)
    parent.set()
    assert two.is_set()
    parent.clear()
    assert not two.is_set()


def test_a_wait_ends_when_it_is_set_and_when_its_time_is_up() -> None:
    stop = StopEvent()
    threading.Timer(0.2, stop.set).start()
    began = time.monotonic()
    assert stop.child().wait(20)
    assert time.monotonic() - began < 2
    assert not StopEvent().wait(0.01)


def test_a_signal_handler_may_set_it_while_the_same_thread_waits() -> None:
    stop = StopEvent()
    before = signal.signal(signal.SIGUSR1, lambda *_: stop.set())
    try:
        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGUSR1)).start()
        assert stop.wait(20)
    finally:
        signal.signal(signal.SIGUSR1, before)
