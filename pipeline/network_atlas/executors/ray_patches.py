"""The one module that replaces foreign code while it runs: two things that Ray does to the process that starts it.

    ray._private.utils.set_sigterm_handler, ray._private.worker.connect    while Ray starts (`own_sigterm_handler`)
    ray._private.worker.print_to_stdstream                                 while Ray is in use (`no_notices`)

No setting of Ray's turns these off. Tried with Ray 2.60. A later version without the first two names would raise
AttributeError when Ray starts, which the tests of executors would show; without the third its notices would appear.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any

import ray


@contextlib.contextmanager
def own_sigterm_handler() -> Iterator[None]:
    """Keep this process's SIGTERM handler while Ray starts.

    Ray sets handlers of its own at several moments, in Python and in C++; a SIGTERM that meets one of them ends the
    process with another exit code, or a dump. So the Python ones are left out, and while Ray connects, which is when it
    sets the other and starts no process that would inherit it, the signal waits.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.getsignal(signal.SIGTERM)
    utils: Any = ray._private.utils
    worker: Any = ray._private.worker
    set_handler, connect = utils.set_sigterm_handler, worker.connect

    def connect_undisturbed(*arguments: Any, **options: Any) -> Any:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        try:
            return connect(*arguments, **options)
        finally:
            signal.signal(signal.SIGTERM, handler if handler is not None else signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})

    utils.set_sigterm_handler, worker.connect = (lambda _: None), connect_undisturbed
    try:
        yield
    finally:
        utils.set_sigterm_handler, worker.connect = set_handler, connect


@contextlib.contextmanager
def no_notices() -> Iterator[None]:
    """Keep Ray from printing its raylet's notices ('A worker died ...'), which no setting of its own turns off."""
    module: Any = ray._private.worker
    printer = getattr(module, "print_to_stdstream", None)
    module.print_to_stdstream = lambda *_, **__: None
    try:
        yield
    finally:
        module.print_to_stdstream = printer
