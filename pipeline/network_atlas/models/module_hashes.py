"""Hash modules: their class and its code, settings, parameters and buffers.

    hashes = ModuleHashes()
    hashes.of(model.layer1)              # children included
    hashes.contents(model)["conv1.weight"], hashes.contents(model)["conv1()"]

Each tensor is hashed once, however many modules and layers it counts for.
"""

from __future__ import annotations

import dataclasses
import hashlib
from argparse import Namespace
from collections.abc import Callable, Iterator
from enum import Enum
from functools import partial
from types import (
    BuiltinFunctionType,
    FunctionType,
    MethodDescriptorType,
    MethodType,
    SimpleNamespace,
    WrapperDescriptorType,
)

import numpy as np
import torch
from torch import Tensor, nn

from network_atlas.fingerprints import fingerprint
from network_atlas.layers import FORM
from network_atlas.models.code import code_hash, is_own, is_standard, place_of
from network_atlas.models.code_values import enclosed, global_values, held

IGNORED_BUFFERS = ("num_batches_tracked",)
"""Counts training steps; evaluation never reads it."""
SETTINGS = (bool, int, float, complex, str, type(None), torch.dtype)
DEEPEST = 10
"""Levels of mappings, lists and configurations that are followed; some refer to themselves."""
FUNCTIONS = (FunctionType, BuiltinFunctionType, MethodType, partial, MethodDescriptorType, WrapperDescriptorType)
WITHOUT_MEANING = frozenset({"_name_or_path", "name_or_path", "_commit_hash", "transformers_version"})
"""What configurations of transformers say of where they come from, which changes with each checkpoint's folder."""
HOOKS = ("_forward_pre_hooks", "_forward_hooks")
OF_EVERY_MODULE = frozenset(vars(nn.Module()))
"""Attributes that torch gives to each module: its parameters, hooks and mode."""
SHORT = 16
"""Hexadecimal digits of a hash that is only compared with that of the same name in an earlier snapshot."""


Inner = Callable[[object], object]
"""Returns a value that lies within another one as it is hashed."""


class ModuleHashes:
    """The hashes of the modules and tensors of one model, whose weights do not change meanwhile."""

    def __init__(self, version: str = "") -> None:
        """`version` is what the user says of the model's code; if given, it stands for the hash of that code."""
        self._version = version
        # With the tensors: a number (`id`) may be given to another object once its own is gone.
        self._tensors: dict[int, tuple[Tensor, str]] = {}
        self._alone: dict[nn.Module, str] = {}
        self._forms: dict[nn.Module, str] = {}
        self._classes: dict[type, str] = {}
        self._values_of_classes: dict[type, list[object]] = {}
        self._objects: dict[int, tuple[object, object]] = {}
        self._own: frozenset[nn.Module] = frozenset()

    def know(self, model: nn.Module) -> None:
        """Let modules of `model` count by themselves alone, and not for each function that refers to one."""
        self._own = frozenset(model.modules())

    def of(self, module: nn.Module) -> str:
        """Return a hash of a module's class, settings, parameters and buffers, children included."""
        return fingerprint([(name, self.alone(child)) for name, child in module.named_modules()])

    def alone(self, module: nn.Module) -> str:
        """Return the hash of a module without its children."""
        if module not in self._alone:
            tensors = {name: self.tensor(value) for name, value in _state(module).items()}
            self._alone[module] = fingerprint(self._form(module), tensors)
        return self._alone[module]

    def contents(self, model: nn.Module) -> dict[str, str]:
        """Return a short hash of each parameter and buffer by its name, and of each module's form by the module's
        and FORM.

        A form is all that a module is without its tensors and children: class, code, settings.
        """
        contents: dict[str, str] = {}
        for name, module in model.named_modules():
            contents[name + FORM] = self._form(module)[:SHORT]
            contents |= {joined(name, key): self.tensor(value)[:SHORT] for key, value in _state(module).items()}
        return contents

    def code(self, target: object) -> str:
        """Return the hash of what a class or function runs; the user's version in its place, if there is one."""
        if not isinstance(target, type):
            code = code_hash(target)
        elif target in self._classes:
            code = self._classes[target]
        else:
            code = self._classes[target] = code_hash(target)
        return self._version if code and self._version else code

    def tensor(self, value: object) -> str:
        """Return the hash of a tensor's type, shape and values; of another value, its text."""
        if not isinstance(value, Tensor):
            return repr(value)
        if id(value) not in self._tensors:
            self._tensors[id(value)] = (value, _tensor_hash(value))
        return self._tensors[id(value)][1]

    def _form(self, module: nn.Module) -> str:
        """Return a hash of all that a module is without its tensors and its children."""
        if module not in self._forms:
            code = self.code(type(module))
            hooks = [self.run_by(hook) for name in HOOKS for hook in vars(module)[name].values()]
            bound = self._of_class(type(module))
            settings = self._settings(module, private=bool(code))
            name = type(module).__qualname__
            self._forms[module] = fingerprint(
                name, code, hooks, module.extra_repr(), settings, *([bound] if bound else ())
            )
        return self._forms[module]

    def _settings(self, module: nn.Module, *, private: bool) -> dict[str, object]:
        """Return the attributes of a module that are plain values, tensors or functions: strides, modes, activations.

        With `private`, also those whose names begin with an underscore, where torch's own modules keep nothing of
        interest.
        """
        return {
            name: setting
            for name, value in sorted(vars(module).items())
            if name not in OF_EVERY_MODULE and (private or not name.startswith("_"))
            for setting in [self._setting(value)]
            if setting is not None
        }

    def _setting(self, value: object, depth: int = 0) -> object:
        """Return a value as it is hashed; None where it is an object of torch or the standard library of another kind.

        Those hold what belongs to this machine or process; other objects count with their code and content.
        """
        if depth > DEEPEST:
            return None
        inner = partial(self._setting, depth=depth + 1)
        if isinstance(value, Tensor):
            return ("tensor", self.tensor(value))
        if isinstance(value, nn.Module):  # outside of the tree, in a plain list: it may compute, and refer to its owner
            return (type(value).__qualname__, self.code(type(value)), inner(dict(value.state_dict())))
        if isinstance(value, FUNCTIONS):
            return ("function", getattr(value, "__qualname__", ""), *self._parts_of(value, inner))
        if isinstance(value, tuple | list):
            return ("list", [inner(item) for item in value])
        if isinstance(value, dict):
            return ("mapping", [(str(key), inner(item)) for key, item in value.items()])
        if isinstance(value, np.ndarray):
            return ("array", repr(value.dtype), repr(value.shape), hashlib.sha256(value.tobytes()).hexdigest())
        if isinstance(value, Namespace | SimpleNamespace) or dataclasses.is_dataclass(value):
            return (type(value).__qualname__, inner(getattr(value, "__dict__", {})))
        if isinstance(value, SETTINGS):
            return repr(value)
        return self._object(value, inner)

    def run_by(self, target: object) -> object:
        """Return what a function runs, as it is hashed: its code and what is bound to it."""
        code, *bound = self._parts_of(target, self._setting)
        return (code, *bound) if bound else code

    def _parts_of(self, target: object, inner: Inner) -> list[object]:
        """Return the hash of a function's code, and the values that are bound to it if there are any."""
        code = self.code(target)
        bound = [value for value in self._bound(target, inner) if value is not None]
        return [code, bound] if bound else [code]

    def _bound(self, target: object, inner: Inner) -> Iterator[object]:
        """Yield the values that a function holds beside its code: its closure, defaults, object, first arguments."""

        if isinstance(target, partial):
            yield from self._bound(target.func, inner)
            given = (*target.args, *target.keywords.values())  # plain ones count with the code
            yield from (self._content(value, inner) for value in given if not isinstance(value, SETTINGS))
        elif isinstance(target, MethodType):
            yield from self._bound(target.__func__, inner)
            yield self._content(target.__self__, inner)
        elif isinstance(target, FunctionType) and not is_standard(target.__module__, place_of(target)[0]):
            yield from (self._content(value, inner) for value in enclosed(target))
            for defaults in (target.__defaults__, target.__kwdefaults__):
                yield self._content(defaults, inner) if defaults else None
            yield self._globals(target, inner) or None
        elif callable(wrapped := getattr(target, "__wrapped__", None)):
            yield self._content(wrapped, inner)  # of functools.lru_cache
        elif not isinstance(target, FUNCTIONS):
            yield self._content(target, inner)

    def _content(self, value: object, inner: Inner) -> object:
        is_part = isinstance(value, nn.Module) and value in self._own
        return type(value).__qualname__ if is_part else inner(value)

    def _globals(self, target: type | FunctionType, inner: Inner) -> list[object]:
        """Return what a class or function reads from modules; nothing where the user's version stands for it."""
        values = {} if self._version else global_values(target)
        found = [(name, self._content(value, inner)) for name, value in values.items()]
        return [(name, content) for name, content in found if content is not None]

    def _of_class(self, kind: type) -> list[object]:
        """Return the values with which the methods of a class run."""
        if kind not in self._values_of_classes:
            self._values_of_classes[kind] = []  # for what refers to itself
            self._values_of_classes[kind] = [*self._of_methods(kind), *self._globals(kind, self._setting)]
        return self._values_of_classes[kind]

    def _of_methods(self, kind: type) -> Iterator[object]:
        """Yield what encloses a class's methods (the function that made it), and methods that were put into it."""
        methods = (
            (base, name, value)
            for base in kind.__mro__
            for name, value in vars(base).items()
            if isinstance(value, FunctionType)
        )
        for base, name, value in methods:
            module, path = place_of(value)
            if is_own(module) and (module, path) != (base.__module__, f"{base.__qualname__}.{name}"):
                yield (base.__qualname__, name, self.run_by(value))
            elif not is_standard(base.__module__):
                values = [each for each in enclosed(value) if not isinstance(each, type)]
                yield from [(base.__qualname__, name, [self._setting(each) for each in values])] if values else []

    def _object(self, value: object, inner: Inner) -> object:
        """Return an object of any kind as it is hashed."""
        kind = type(value)
        if isinstance(value, Enum):
            return ("enum", kind.__qualname__, value.name, inner(value.value))
        if isinstance(value, set | frozenset):
            return ("set", sorted(fingerprint(inner(item)) for item in value))
        if isinstance(value, np.generic):
            return ("number", repr(value.dtype), repr(value.item()))
        if isinstance(value, property):
            return inner(value.fget)
        if callable(wrapped := getattr(value, "__wrapped__", None)):
            return inner(wrapped)
        if isinstance(value, type) or is_standard(kind.__module__):
            return None
        if id(value) not in self._objects:
            self._objects[id(value)] = (value, kind.__qualname__)  # for what refers to itself
            state = {name: kept for name, kept in held(value) if name not in WITHOUT_MEANING}
            content = (kind.__qualname__, self.code(kind), self._of_class(kind), inner(state))
            self._objects[id(value)] = (value, fingerprint(content))
        return self._objects[id(value)][1]


def content_names(name: str, module: nn.Module, *, children: bool = True) -> frozenset[str]:
    """Return the names under which `ModuleHashes.contents` has the module called `name`, and with `children` theirs."""
    modules = module.named_modules(prefix=name) if children else [(name, module)]
    return frozenset(of for path, part in modules for of in (path + FORM, *(joined(path, key) for key in _state(part))))


def joined(path: str, name: str) -> str:
    """Return the dotted name of what is called `name` in the module at `path`; '' is the model."""
    return f"{path}.{name}" if path else name


def _state(module: nn.Module) -> dict[str, Tensor]:
    """Return a module's parameters and buffers without those of its children; also buffers that are not saved."""
    state = [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
    return {name: value for name, value in state if name not in IGNORED_BUFFERS}


def _tensor_hash(value: Tensor) -> str:
    flat = value.detach().cpu().contiguous().reshape(-1)
    content = hashlib.sha256(f"{value.dtype}{tuple(value.shape)}".encode())
    if flat.numel():
        content.update(flat.view(torch.uint8).numpy().data)
    return content.hexdigest()[:32]
