"""The one module that replaces foreign code while it runs: two things that Ray does to the process that starts it.

    ray._private.utils.set_sigterm_handler, ray._private.worker.connect    while Ray starts (`own_sigterm_handler`)
    ray._private.worker.print_to_stdstream                                 while Ray is in use (`no_notices`)

No setting of Ray's turns these off. Tried with Ray 2.60; pyproject.toml allows no later version. Each patch first
checks that what it replaces is there: replacing a name that Ray no longer uses would have no effect, and no warning.
"""

from __future__ import annotations

import contextlib
import inspect
import signal
import threading
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import ray

from network_atlas.errors import SetupError


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
    utils, worker = ray._private.utils, ray._private.worker
    set_handler = _function(utils, "set_sigterm_handler", parameters=1)
    connect = _function(worker, "connect")

    def connect_undisturbed(*arguments: Any, **options: Any) -> Any:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        try:
            return connect(*arguments, **options)
        finally:
            signal.signal(signal.SIGTERM, handler if handler is not None else signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})

    with (
        _replaced(utils, "set_sigterm_handler", lambda _: None, set_handler),
        _replaced(worker, "connect", connect_undisturbed, connect),
    ):
        yield


@contextlib.contextmanager
def no_notices() -> Iterator[None]:
    """Keep Ray from printing its raylet's notices ('A worker died ...'), which no setting of its own turns off."""
    worker = ray._private.worker
    printer = _function(worker, "print_to_stdstream")
    with _replaced(worker, "print_to_stdstream", lambda *_, **__: None, printer):
        yield


def _function(module: ModuleType, name: str, *, parameters: int | None = None) -> Any:
    """Return a function of Ray's to replace; raise SetupError where this version has none, or one of another kind."""
    function = getattr(module, name, None)
    if callable(function) and parameters in (None, len(inspect.signature(function).parameters)):
        return function
    raise SetupError(
        f"Ray {ray.__version__} can't be used: it has no {module.__name__}.{name} as in the versions that were tested. "
        "Install one of those (pip install 'ray>=2.40,<2.61'), or run without Ray: executor=inline"
    )


@contextlib.contextmanager
def _replaced(module: ModuleType, name: str, replacement: Callable[..., Any], original: Any) -> Iterator[None]:
    setattr(module, name, replacement)
    try:
        yield
    finally:
        setattr(module, name, original)
