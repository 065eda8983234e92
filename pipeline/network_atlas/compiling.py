"""Compile inner loops by Numba, which is loaded by those modules alone that hold such loops."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """Compile a function on its first call, without the GIL, and keep the code for later processes where possible."""
    try:
        return cast(Function, numba.njit(nogil=True, error_model="numpy", cache=True)(function))
    except RuntimeError:  # neither the package's folder nor the user's cache can be written
        return cast(Function, numba.njit(nogil=True, error_model="numpy")(function))


inlined = numba.njit(nogil=True, error_model="numpy", forceinline=True)
"""Compile a function as a part of those that call it."""
