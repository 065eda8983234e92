"""Try again where storage fails for a moment, until the failure passes or time runs out.

    with_retries(lambda: store.filesystem.get_file_info(path), what="look at 'plan/run.json'")

Waits double from half a second to ten seconds, and each is drawn at random below that: a hundred workers that failed
together don't come back together. A failure that can't pass (a full disk, a wrong name, no permission) is raised at
once.
"""

from __future__ import annotations

import errno
import logging
import re
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception, stop_before_delay, wait_random_exponential

RETRY_SECONDS = 60.0
"""No new try begins later than this after the first one."""
FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 0.5, 10.0
FOLDER_TRIES = 100
"""Tries in folders that other processes keep making and removing. Each time they must do so within microseconds."""

TRANSIENT_ERRNOS = frozenset(
    {
        errno.EAGAIN,
        errno.EINTR,
        errno.EIO,  # from a network filesystem mounted 'soft' whose server is late
        errno.ESTALE,  # from one whose server has been started anew
        errno.ETIMEDOUT,
        errno.ECONNABORTED,
        errno.ECONNREFUSED,
        errno.ECONNRESET,
        errno.EPIPE,
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
        errno.ENETDOWN,
        errno.ENETRESET,
        errno.ENETUNREACH,
    }
)
TRANSIENT_WORDS = re.compile(
    # Codes 1, 3: no such protocol, no address; 51, 58 to 60, 77: certificates. Those stay wrong.
    r"AWS Error NETWORK_CONNECTION (?!.*curlCode: (?:1|3|51|58|59|60|77)\b)"
    r"|AWS Error (?:INTERNAL_FAILURE|SERVICE_UNAVAILABLE|SLOW_DOWN|THROTTLING|REQUEST_TIMEOUT)\b"
    # An upload in parts whose last answer got lost, and which is then asked to end once more.
    r"|AWS Error NO_SUCH_UPLOAD\b"
    r"|HTTP status (?:408|429|500|502|503|504)\b"
)
"""Arrow's words for the failures of an object store that may pass. These errors have no number."""

log = logging.getLogger(__name__)
_T = TypeVar("_T")


def is_transient(error: BaseException) -> bool:
    """Say whether the same call may succeed in a moment."""
    if not isinstance(error, OSError):  # Arrow's other errors are about a wrong request
        return False
    if error.errno is not None:
        return error.errno in TRANSIENT_ERRNOS
    return isinstance(error, ConnectionError | TimeoutError) or bool(TRANSIENT_WORDS.search(str(error)))


def with_retries(work: Callable[[], _T], *, what: str, seconds: float | None = None) -> _T:
    """Return the result of `work`, which is called again while it fails in a way that may pass.

    Gives up after `seconds` (RETRY_SECONDS by default), and raises the last error with a note of how often it tried.
    `work` must have the same effect whether it is called once or twice: a call whose answer got lost has been done.
    """
    try:
        return work()  # almost always; tenacity would take 50 microseconds to begin
    except OSError as error:
        if not is_transient(error):
            raise
        return _again(work, first=error, what=what, seconds=RETRY_SECONDS if seconds is None else seconds)


def _again(work: Callable[[], _T], *, first: OSError, what: str, seconds: float) -> _T:
    """Return the result of a later try of `work`; `first` is the error of its first try."""
    failed = [first]

    def attempt() -> _T:
        if failed:  # the first try has been made
            raise failed.pop()
        return work()

    def warn(state: RetryCallState) -> None:
        if state.attempt_number == 1:
            log.warning(
                "can't %s at the moment (%s); trying again, for %.0f s at most", what, first_line(first), seconds
            )

    retrying = Retrying(
        retry=retry_if_exception(is_transient),
        wait=wait_random_exponential(multiplier=FIRST_WAIT_SECONDS, max=LONGEST_WAIT_SECONDS),
        stop=stop_before_delay(seconds),
        before_sleep=warn,
        reraise=True,
    )
    try:
        return retrying(attempt)
    except OSError as error:
        if is_transient(error):
            tries, spent = retrying.statistics["attempt_number"], retrying.statistics["delay_since_first_attempt"]
            error.add_note(f"tried {tries} times in {spent:.0f} s")
        raise


def while_folders_change(work: Callable[[], _T]) -> _T:
    """Return the result of `work`, which is called again at once where a folder comes or goes while it works."""
    for _ in range(FOLDER_TRIES):
        with suppress(FileNotFoundError, FileExistsError):
            return work()
    return work()


def reason(error: BaseException) -> str:
    """Return an error in one line, with a note of how often it was tried."""
    return ", ".join([first_line(error), *getattr(error, "__notes__", ())])


def first_line(error: BaseException) -> str:
    """Return the system's own words for an error, or the first line of its message."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return (str(error).splitlines() or [type(error).__name__])[0]
