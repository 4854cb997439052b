from __future__ import annotations

import os
import signal
import threading
import time

import pytest

from examples.shared.stop import StopSignals


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_pause_at_once(number: int) -> None:
    with StopSignals() as stop:
        started = time.monotonic()
        timer = threading.Timer(0.05, os.kill, (os.getpid(), number))
        timer.start()
        assert stop.pause(30)
        timer.join()
    assert time.monotonic() - started < 10
    assert stop.requested


def test_without_a_signal_a_pause_takes_its_time() -> None:
    with StopSignals() as stop:
        started = time.monotonic()
        assert not stop.pause(0.05)
        assert time.monotonic() - started >= 0.05


def test_the_second_signal_has_its_former_effect() -> None:
    with StopSignals() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.requested
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(5)


def test_the_former_handlers_are_back_at_the_end() -> None:
    former = signal.getsignal(signal.SIGTERM)
    with StopSignals():
        assert signal.getsignal(signal.SIGTERM) is not former
    assert signal.getsignal(signal.SIGTERM) is former
