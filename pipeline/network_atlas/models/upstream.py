"""Hash everything that determines a layer's output: the upstream hash.

A Merkle hash over the traced graph (torch.fx): a node's hash covers its operation, the settings, parameters and
buffers of its module, and its parents' hashes. So a layer's hash changes when, and only when, something before it or
in it changes: retraining the head leaves the hashes of a frozen backbone as they were.

Where the graph can't be traced (control flow that depends on data), a layer's hash covers all modules that ran up to
it, in order; that is safe, and coarser. The code of the modules counts there (`network_atlas.models.code`): a graph
shows the operations of `forward`, an order of modules does not.
"""

from __future__ import annotations

import dataclasses
import hashlib
import logging
from argparse import Namespace
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from types import BuiltinFunctionType, FunctionType, MethodType, SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn

from network_atlas.fingerprints import fingerprint
from network_atlas.layers import OUTPUT
from network_atlas.models.capture import call_of, module_of
from network_atlas.models.code import code_hash
from network_atlas.models.outputs import picked_output

IGNORED_BUFFERS = ("num_batches_tracked",)
"""Counts training steps; evaluation never reads it."""

SETTINGS = (bool, int, float, complex, str, type(None), torch.dtype)
DEEPEST = 10
"""Levels of mappings, lists and configurations that are followed; some refer to themselves."""
HOOKS = ("_forward_pre_hooks", "_forward_hooks")
OF_EVERY_MODULE = frozenset(vars(nn.Module()))
"""Attributes that torch gives to each module: its parameters, hooks and mode."""

log = logging.getLogger(__name__)


def upstream_hashes(model: nn.Module, layers: Sequence[str], order: Sequence[str]) -> dict[str, str]:
    """Return each layer's upstream hash. `order` lists all modules, or their calls, as they finish."""
    try:
        hashes = _by_graph(model, layers)
    except Exception as error:  # fx raises whatever the model's own code raises on proxies
        log.debug("torch.fx can't trace %s (%s); hashing by order of execution", type(model).__name__, error)
        hashes = _by_order(model, layers, order)
    picked = picked_output(model)
    # Both hash all that the model returns; without this, another of its outputs would have the same hash.
    return hashes | {OUTPUT: fingerprint(hashes[OUTPUT], picked)} if picked and OUTPUT in hashes else hashes


class _Tracer(fx.Tracer):
    """Records which node is the output of each call of each module, containers included."""

    def __init__(self) -> None:
        super().__init__()
        self.outputs: defaultdict[nn.Module, list[fx.Node | None]] = defaultdict(list)

    def call_module(self, m: nn.Module, forward: Any, args: Any, kwargs: Any) -> Any:
        result = super().call_module(m, forward, args, kwargs)
        self.outputs[m].append(result.node if isinstance(result, fx.Proxy) else None)
        return result

    def output(self, module: nn.Module, number: int | None) -> fx.Node | None:
        """Return the node of one call, counted from 1; without a number that of the only call; None if there is none.

        A graph may have other calls than a pass: it is made without images.
        """
        outputs = self.outputs[module]
        if number is None:
            return outputs[0] if len(outputs) == 1 else None
        return outputs[number - 1] if number <= len(outputs) else None


def _by_graph(model: nn.Module, layers: Sequence[str]) -> dict[str, str]:
    tracer = _Tracer()
    graph = tracer.trace(model)
    hashes: dict[fx.Node, str] = {}
    for node in graph.nodes:
        hashes[node] = _node_hash(model, node, hashes)
    nodes = {name: tracer.output(*call_of(model, name)) for name in layers}
    result = {name: hashes[node] for name, node in nodes.items() if node is not None}
    # By its node, not by name: a module called 'output' may be something else.
    result[OUTPUT] = hashes[next(node for node in graph.nodes if node.op == "output")]
    missing = [name for name in layers if name not in result]
    if missing:
        raise ValueError(f"modules {missing} are not in the graph")
    return result


def _node_hash(model: nn.Module, node: fx.Node, parents: Mapping[fx.Node, str]) -> str:
    arguments = fx.node.map_arg((node.args, node.kwargs), lambda parent: "node:" + parents[parent])
    operation: object = repr(node.target) if node.op == "placeholder" else ""
    if node.op == "call_module":
        operation = module_hash(model.get_submodule(str(node.target)))
    elif node.op == "get_attr":
        operation = _tensor_hash(_attribute(model, str(node.target)))
    elif node.op == "call_function":
        # A function stands in the graph by its name alone; fx.wrap puts the user's own there.
        name = f"{getattr(node.target, '__module__', '')}.{getattr(node.target, '__name__', node.target)}"
        operation = (name, code_hash(node.target))
    elif node.op == "call_method":
        operation = str(node.target)
    return fingerprint(node.op, operation, repr(arguments))


def _attribute(model: nn.Module, path: str) -> object:
    owner, _, name = path.rpartition(".")
    return getattr(model.get_submodule(owner), name)


def _by_order(model: nn.Module, layers: Sequence[str], order: Sequence[str]) -> dict[str, str]:
    """Return hashes over all modules that finished up to each layer.

    Parents run before they finish, and a module whose weights another reads never does: both count from the start.
    """
    finished = {module for name in order for module in [module_of(model, name)] if not _is_parent(module)}
    running = fingerprint(
        [(name, _module_only_hash(module)) for name, module in model.named_modules() if module not in finished]
    )
    result: dict[str, str] = {}
    for name in order:
        running = fingerprint(running, name, module_hash(module_of(model, name)))
        result[name] = running
    return {name: result[name] for name in layers}


def _is_parent(module: nn.Module) -> bool:
    return next(module.children(), None) is not None


def module_hash(module: nn.Module) -> str:
    """Return a hash of a module's class, settings, parameters and buffers, children included."""
    parts = [(name, _module_only_hash(child)) for name, child in module.named_modules()]
    return fingerprint(parts)


def _module_only_hash(module: nn.Module) -> str:
    state = [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
    tensors = {name: _tensor_hash(value) for name, value in state if name not in IGNORED_BUFFERS}
    code = code_hash(type(module))
    hooks = [code_hash(hook) for name in HOOKS for hook in vars(module)[name].values()]
    settings = _settings(module, private=bool(code))
    return fingerprint(type(module).__qualname__, code, hooks, module.extra_repr(), settings, tensors)


def _settings(module: nn.Module, *, private: bool) -> dict[str, object]:
    """Return the attributes of a module that are plain values, tensors or functions: strides, modes, activations.

    With `private`, also those whose names begin with an underscore, where torch's own modules keep nothing of interest.
    """
    return {
        name: setting
        for name, value in sorted(vars(module).items())
        if name not in OF_EVERY_MODULE and (private or not name.startswith("_"))
        for setting in [_setting(value)]
        if setting is not None
    }


def _setting(value: object, depth: int = 0) -> object:
    """Return a value as it is hashed; None where it is an object of another kind, whose content is not known."""
    if depth > DEEPEST:
        return None
    inner = partial(_setting, depth=depth + 1)
    if isinstance(value, Tensor):
        return ("tensor", _tensor_hash(value))
    if isinstance(value, nn.Module):  # outside of the tree, in a plain list: it may compute, and may refer to its owner
        return (type(value).__qualname__, code_hash(type(value)), inner(dict(value.state_dict())))
    if isinstance(value, FunctionType | BuiltinFunctionType | MethodType | partial):
        return ("function", getattr(value, "__qualname__", ""), code_hash(value))
    if isinstance(value, tuple | list):
        return ("list", [inner(item) for item in value])
    if isinstance(value, dict):
        return ("mapping", [(str(key), inner(item)) for key, item in value.items()])
    if isinstance(value, np.ndarray):
        return ("array", repr(value.dtype), repr(value.shape), hashlib.sha256(value.tobytes()).hexdigest())
    if isinstance(value, Namespace | SimpleNamespace) or dataclasses.is_dataclass(value):
        return (type(value).__qualname__, inner(getattr(value, "__dict__", {})))
    return repr(value) if isinstance(value, SETTINGS) else None


def _tensor_hash(value: object) -> str:
    if not isinstance(value, Tensor):
        return repr(value)
    flat = value.detach().cpu().contiguous().reshape(-1)
    content = flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b""
    return hashlib.sha256(f"{value.dtype}{tuple(value.shape)}".encode() + content).hexdigest()[:32]
