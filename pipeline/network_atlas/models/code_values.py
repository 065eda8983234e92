"""Find the values that code runs with beside its source: what functions enclose, and what they read from modules.

Equal source computes otherwise where such a value came from a file, from the environment, or from other code that set
it. Only the user's own code is looked into: an installed package stands by its version.
"""

from __future__ import annotations

import dis
import functools
import sys
from collections.abc import Iterator, Mapping, Sequence
from types import CodeType, FunctionType, ModuleType

import numpy as np
from torch import nn

from network_atlas.models.code import identity, is_own, is_standard, place_of

ENTRANCES = ("forward", "__call__")
"""Methods that run though no code names them."""
FROM_MODULE = ("LOAD_GLOBAL", "LOAD_NAME")
OF_OBJECT = ("LOAD_ATTR", "LOAD_METHOD", "LOAD_SUPER_ATTR", "IMPORT_FROM")
ASSIGNED = ("STORE_GLOBAL", "DELETE_GLOBAL")
TAKE_A_NAME = (*FROM_MODULE, *OF_OBJECT, *ASSIGNED, "STORE_ATTR", "IMPORT_NAME")

ARRAYS = np.ndarray | np.generic

Space = ModuleType | type
"""What has names: a module, or a class."""


def enclosed(function: FunctionType) -> Iterator[object]:
    """Yield the values that a function takes from the functions around it."""
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            if name != "__class__":  # of super()
                yield cell.cell_contents
        except ValueError:  # not assigned yet
            continue


def held(value: object) -> Iterator[tuple[str, object]]:
    """Yield the attributes of an object by name."""
    yield from getattr(value, "__dict__", {}).items()
    slots = [vars(base).get("__slots__", ()) for base in type(value).__mro__]
    for name in (name for names in slots for name in ((names,) if isinstance(names, str) else names)):
        if not name.startswith("__") and hasattr(value, name):
            yield name, getattr(value, name)


def global_values(target: type | FunctionType) -> dict[str, object]:
    """Return by dotted name what a function, or a class's `forward`, reads from its module, its class and others.

    Functions and classes of the user's that these name are followed; the result says which ones stand behind names
    that are not their own, as after `act = mine if fast else theirs`. Left out is what the code itself assigns.
    """
    reached = _Reached()
    reached.add("", target)
    reached.follow()
    return {name: value for name, value in sorted(reached.values.items()) if not reached.is_assigned(name)}


class _Reached:
    """The functions, modules and classes that some code can reach by name, and the values that it finds there."""

    def __init__(self) -> None:
        self.values: dict[str, object] = {}
        # Which of them an object has is not known before the code runs: each is looked up in all that is reached.
        self._attributes = set(ENTRANCES)
        self._functions: dict[FunctionType, None] = {}
        self._spaces: dict[Space, None] = {}
        self._assigned: set[str] = set()
        self._assigned_attributes: set[str] = set()
        self._of_spaces: set[str] = set()

    def is_assigned(self, path: str) -> bool:
        """Say whether the code itself gives a value to what stands at `path`, as to a counter."""
        is_attribute = path in self._of_spaces and path.rpartition(".")[2] in self._assigned_attributes
        return is_attribute or path in self._assigned

    def follow(self) -> None:
        """Read what the functions name until nothing is new."""
        read, known = 0, (0, 0)
        while (now := (len(self._spaces), len(self._attributes))) != known or read < len(self._functions):
            known = now
            for space in list(self._spaces):
                self._look_up(space)
            for function in list(self._functions)[read:]:
                self._read(function)
                read += 1

    def add(self, path: str, value: object) -> None:
        """Take in what stands at `path`."""
        value = _unwrapped(value)
        if isinstance(value, FunctionType):
            self._add_function(path, value)
        elif isinstance(value, ModuleType):
            self._spaces.update({value: None} if is_own(value.__name__) else {})
        elif isinstance(value, type):
            self._add_name(path, value)
            self._add_class(value)
        elif _is_value(value) and not path.rpartition(".")[2].startswith("__"):
            self.values[path] = value
            self._add_class(type(value))

    def _add_class(self, kind: type) -> None:
        self._spaces.update(dict.fromkeys(base for base in kind.__mro__ if is_own(base.__module__)))

    def _add_function(self, path: str, function: FunctionType) -> None:
        self._add_name(path, function)
        is_known = function in self._functions
        if is_own(place_of(function)[0]):
            self._functions[function] = None
        elif not is_own(function.__module__):
            return
        defaults = [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]
        for number, value in enumerate(() if is_known else (*enclosed(function), *defaults)):
            self.add(f"{path}({number})", value)

    def _add_name(self, path: str, target: type | FunctionType) -> None:
        """Note which class or function stands at `path` where the name does not say it."""
        module, name = place_of(target)
        which = identity(target) if is_own(module) else name
        if which != name or path not in ("", f"{module}.{name}"):
            self.values[f"{path} is"] = [module, which]

    def _look_up(self, space: Space) -> None:
        runs = {name for name, value in vars(space).items() if name.startswith("__") and callable(value)}
        of_object = isinstance(space, type) and not issubclass(space, nn.Module)
        for name in sorted(vars(space).keys() & (self._attributes | (runs if of_object else set()))):
            path = f"{_path(space)}.{name}"
            self._of_spaces.add(path)
            self.add(path, vars(space)[name])

    def _read(self, function: FunctionType) -> None:
        for operation, name in _names(function.__code__):
            path = f"{place_of(function)[0]}.{name}"
            if operation in OF_OBJECT:
                self._attributes.add(name)
            elif operation in ASSIGNED:
                self._assigned.add(path)
            elif operation == "STORE_ATTR":
                self._assigned_attributes.add(name)
            elif operation == "IMPORT_NAME":
                self.add(path, sys.modules.get(name))
            elif name in function.__globals__:
                self.add(path, function.__globals__[name])


def _is_value(value: object) -> bool:
    """Say whether an object counts: of installed packages, consoles and the like change with the machine."""
    module = type(value).__module__
    return is_standard(module) or is_own(module) or isinstance(value, nn.Module | Mapping | Sequence | ARRAYS)


def _path(space: Space) -> str:
    return space.__name__ if isinstance(space, ModuleType) else f"{space.__module__}.{space.__qualname__}"


def _unwrapped(value: object) -> object:
    """Return the function that a method or property is made of."""
    if isinstance(value, staticmethod | classmethod):
        return value.__func__
    if isinstance(value, functools.cached_property):
        return value.func
    return value.fget if isinstance(value, property) else value


def _names(code: CodeType) -> Iterator[tuple[str, str]]:
    """Yield the operations of a function, and of those inside of it, that take a name, each with that name."""
    for instruction in dis.get_instructions(code):
        if instruction.opname in TAKE_A_NAME:
            yield instruction.opname, str(instruction.argval)
    for value in code.co_consts:
        if isinstance(value, CodeType):
            yield from _names(value)
