"""Signals while hosts work: the first asks to stop, the second ends."""

from __future__ import annotations

import signal
import threading
import time

import pytest

from network_atlas.executors.stopping import Stopping


def test_first_signal_asks_and_the_second_ends() -> None:
    with Stopping(60) as stopping:
        assert not stopping.asked
        signal.raise_signal(signal.SIGTERM)
        assert stopping.asked
        assert not stopping.overdue
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_grace_ends() -> None:
    with Stopping(0.05) as stopping:
        signal.raise_signal(signal.SIGINT)
        time.sleep(0.1)
        assert stopping.overdue


def test_handlers_are_as_before_afterwards() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with Stopping(1):
        pass
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_without_grace_a_signal_does_what_it_did() -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may start us with it ignored
    try:
        with Stopping(0), pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


def test_other_threads_are_left_alone() -> None:
    asked: list[bool] = []

    def inside() -> None:
        with Stopping(1) as stopping:
            asked.append(stopping.asked)

    thread = threading.Thread(target=inside)
    thread.start()
    thread.join()
    assert asked == [False]
