"""Hash everything that determines a layer's output: the upstream hash.

A Merkle hash over the traced graph (torch.fx): a node's hash covers its operation, the settings, parameters and
buffers of its module, and its parents' hashes. So a layer's hash changes when, and only when, something before it or
in it changes: retraining the head leaves the hashes of a frozen backbone as they were.

Where the graph can't be traced (control flow that depends on data), a layer's hash covers all modules that ran up to
it, in order; that is safe, and coarser. The code of the modules counts there (`network_atlas.models.code`): a graph
shows the operations of `forward`, an order of modules does not.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import fx, nn

from network_atlas.fingerprints import fingerprint
from network_atlas.layers import OUTPUT
from network_atlas.models.capture import call_of, module_of
from network_atlas.models.module_hashes import ModuleHashes, content_names
from network_atlas.models.outputs import picked_output

Names = frozenset[str]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Upstream:
    """What determines the outputs of a model's layers."""

    hashes: Mapping[str, str]
    """Each layer's upstream hash."""
    parts: Mapping[str, Names]
    """For each layer, the names in `ModuleHashes.contents` that its hash covers."""


def upstream_hashes(model: nn.Module, layers: Sequence[str], order: Sequence[str]) -> dict[str, str]:
    """Return each layer's upstream hash. `order` lists all modules, or their calls, as they finish."""
    return dict(upstream_of(model, layers, order, ModuleHashes()).hashes)


def upstream_of(model: nn.Module, layers: Sequence[str], order: Sequence[str], modules: ModuleHashes) -> Upstream:
    """Return each layer's upstream hash and what it covers. `order` lists modules, or their calls, as they finish."""
    modules.know(model)
    try:
        upstream = _by_graph(model, layers, modules)
    except Exception as error:  # fx raises whatever the model's own code raises on proxies
        log.debug("torch.fx can't trace %s (%s); hashing by order of execution", type(model).__name__, error)
        upstream = _by_order(model, layers, order, modules)
    picked = picked_output(model)
    if not picked or OUTPUT not in upstream.hashes:
        return upstream
    # Both hash all that the model returns; without this, another of its outputs would have the same hash.
    hashes = {**upstream.hashes, OUTPUT: fingerprint(upstream.hashes[OUTPUT], picked)}
    return Upstream(hashes=hashes, parts=upstream.parts)


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


def _by_graph(model: nn.Module, layers: Sequence[str], modules: ModuleHashes) -> Upstream:
    tracer = _Tracer()
    graph = tracer.trace(model)
    hashes: dict[fx.Node, str] = {}
    parts: dict[fx.Node, Names] = {}
    for node in graph.nodes:
        hashes[node] = _node_hash(model, node, hashes, modules)
        parts[node] = _named(model, node).union(*(parts[parent] for parent in node.all_input_nodes))
    nodes = {name: tracer.output(*call_of(model, name)) for name in layers}
    outputs = {name: node for name, node in nodes.items() if node is not None}
    # By its node, not by name: a module called 'output' may be something else.
    outputs[OUTPUT] = next(node for node in graph.nodes if node.op == "output")
    missing = [name for name in layers if name not in outputs]
    if missing:
        raise ValueError(f"modules {missing} are not in the graph")
    return Upstream(
        hashes={name: hashes[node] for name, node in outputs.items()},
        parts={name: parts[node] for name, node in outputs.items()},
    )


def _node_hash(model: nn.Module, node: fx.Node, parents: Mapping[fx.Node, str], modules: ModuleHashes) -> str:
    arguments = fx.node.map_arg((node.args, node.kwargs), lambda parent: "node:" + parents[parent])
    operation: object = repr(node.target) if node.op == "placeholder" else ""
    if node.op == "call_module":
        operation = modules.of(model.get_submodule(str(node.target)))
    elif node.op == "get_attr":
        operation = modules.tensor(_attribute(model, str(node.target)))
    elif node.op == "call_function":
        # A function stands in the graph by its name alone; fx.wrap puts the user's own there.
        name = f"{getattr(node.target, '__module__', '')}.{getattr(node.target, '__name__', node.target)}"
        operation = (name, modules.run_by(node.target))
    elif node.op == "call_method":
        operation = str(node.target)
    return fingerprint(node.op, operation, repr(arguments))


def _named(model: nn.Module, node: fx.Node) -> Names:
    if node.op == "call_module":
        name = str(node.target)
        return content_names(name, model.get_submodule(name))
    return frozenset([str(node.target)] if node.op == "get_attr" else [])


def _attribute(model: nn.Module, path: str) -> object:
    owner, _, name = path.rpartition(".")
    return getattr(model.get_submodule(owner), name)


def _by_order(model: nn.Module, layers: Sequence[str], order: Sequence[str], modules: ModuleHashes) -> Upstream:
    """Return hashes over all modules that finished up to each layer.

    Parents run before they finish, and a module whose weights another reads never does: both count from the start.
    """
    finished = {module for name in order for module in [module_of(model, name)] if not _is_parent(module)}
    others = {name: module for name, module in model.named_modules() if module not in finished}
    running = fingerprint([(name, modules.alone(module)) for name, module in others.items()])
    names = {module: name for name, module in model.named_modules()}
    hashes: dict[str, str] = {}
    parts: dict[str, Names] = {}
    seen = frozenset[str]().union(*(content_names(name, module, children=False) for name, module in others.items()))
    for name in order:
        module = module_of(model, name)
        running = fingerprint(running, name, modules.of(module))
        seen |= content_names(names[module], module)
        hashes[name], parts[name] = running, seen
    return Upstream(hashes={name: hashes[name] for name in layers}, parts={name: parts[name] for name in layers})


def _is_parent(module: nn.Module) -> bool:
    return next(module.children(), None) is not None
