"""How settings are declared: checked, frozen dataclasses whose fields say which results they determine.

    @settings
    class ScanConfig:
        top_k: Positive = setting(SCAN, ASSEMBLE)     # part of the keys of scanned spans and of joined tables
        batch: Count = setting(NOTHING)               # does not change any result

Three things follow from these declarations (`config.determines`): the keys of results, the refusal of a root that holds
an atlas made by other settings, and the settings that a snapshot records. A test fails for a field without one.

A default has one home: here for settings that may be left out, in `conf/` for settings that each choice must give.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Annotated, Any, TypeVar, dataclass_transform

from pydantic import ConfigDict, Field

Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
NotNegative = Annotated[float, Field(ge=0)]
AboveZero = Annotated[float, Field(gt=0)]
Fraction = Annotated[float, Field(gt=0, le=1)]
Text = Annotated[str, Field(min_length=1)]

SCAN, LAYOUT, PRIOR, OPTIMIZE, ATTRIBUTE, ASSEMBLE = "scan", "layout", "prior", "optimize", "attribute", "assemble"
"""Stages whose keys hold the setting's value. Keys of measurements and pages follow from these."""
HASHED = "hashed"
"""The setting determines results, but keys hold hashes of its effects instead of its value: the network's modules and
weights, the examples' ids, versions and labels, a picture's unit, sign and seed, the number format in use."""
NOTHING = "nothing"
"""The setting changes no result (batch sizes: none but by rounding)."""

ROLES = "determines"
MAY_CHANGE = "may_change"

T = TypeVar("T")


def setting(
    *roles: str,
    may_change: bool = False,
    default: Any = dataclasses.MISSING,
    default_factory: Any = dataclasses.MISSING,
) -> Any:
    """Return a field that says which results it determines.

    With `may_change` a root accepts another value although results depend on it: re-runs are made for new weights, a
    new version of the dataset, another sweep.
    """
    assert roles, "a setting must say which results it determines, or NOTHING"
    metadata = {ROLES: roles, MAY_CHANGE: may_change or NOTHING in roles}
    if default_factory is not dataclasses.MISSING:
        return dataclasses.field(default_factory=default_factory, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(setting, dataclasses.field))
def settings(cls: type[T]) -> type[T]:
    """Turn a class into a group of settings: frozen, keyword-only; unknown names and infinite numbers are refused."""
    cls.__pydantic_config__ = ConfigDict(extra="forbid", allow_inf_nan=False)  # type: ignore[attr-defined]
    make: Callable[[type[T]], type[T]] = dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
    return make(cls)
