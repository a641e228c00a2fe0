"""The event that stops everything under way."""

import os
import signal
import threading
import time

import click
import pytest
from pydantic_core import SchemaError, SchemaValidator, core_schema

from syncagent.cli import cli, run_cli
from syncagent.stopping import StopEvent, ToldToStop, stop_here, was_told_to_stop


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


def test_being_told_is_known_even_where_a_package_made_another_error_of_it() -> None:
    class Signalled:
        def __repr__(self) -> str:
            stop_here()

    with pytest.raises(SchemaError):
        SchemaValidator(core_schema.literal_schema([Signalled()]))
    assert was_told_to_stop()
    assert not was_told_to_stop()


@click.command("loses-it", hidden=True)
def loses_it() -> None:
    """A command one of whose packages makes an error of its own of a signal."""
    try:
        stop_here()
    except ToldToStop:
        raise ValueError("an error of its own") from None


def test_a_command_told_to_stop_says_so_whatever_became_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    cli.add_command(loses_it)
    try:
        assert run_cli(["loses-it"]) == 1
        assert capsys.readouterr().err == "stopped\n"
    finally:
        del cli.commands["loses-it"]
    with pytest.raises(ToldToStop):
        stop_here()
    assert run_cli(["sync", "--nonsense"]) == 2  # another command
