from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from enum import Enum
from functools import cache, partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from network_atlas.models.upstream import upstream_hashes

LAYERS = ["first", "block", "output"]

NETWORK = """
import torch
from torch import nn
from {package}blocks import Block

class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 4, 1)
        self.block = Block()

    def forward(self, images):
        x = self.first(images)
        if x.sum() > 1e9:  # torch.fx can't follow this
            return x
        return self.block(x)

def build():
    torch.manual_seed(0)
    return Network().eval()
"""
BLOCKS = """
from torch import nn
from {package}helpers import squash

class Block(nn.Module):
    def forward(self, x):
        return squash(x)
"""
HELPERS = """
def squash(x):
    return x.tanh()
"""
PROGRAM = """
import importlib, json, sys
from network_atlas.models.upstream import upstream_hashes
model = importlib.import_module(sys.argv[1]).build()
print(json.dumps(upstream_hashes(model, sys.argv[2:], sys.argv[2:])))
"""


def write(folder: Path, package: str) -> Path:
    """Write the network as three files, in a package or side by side; return their folder."""
    inside = folder / package
    inside.mkdir(parents=True, exist_ok=True)
    if package:
        (inside / "__init__.py").write_text("")
    for name, text in (("network", NETWORK), ("blocks", BLOCKS), ("helpers", HELPERS)):
        (inside / f"{name}.py").write_text(text.format(package="." if package else ""))
    return inside


def hashes_in_a_process(folder: Path, package: str) -> dict[str, str]:
    module = f"{package}.network" if package else "network"
    command = [sys.executable, "-B", "-c", PROGRAM, module, *LAYERS]
    output = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout
    return dict(json.loads(output))


def edit(file: Path, before: str, after: str) -> None:
    text = file.read_text()
    assert before in text
    file.write_text(text.replace(before, after))


EDITS = {
    "network": ("network.py", "return self.block(x)", "return self.block(x) + 1"),
    "block": ("blocks.py", "squash(x)\n", "squash(x) * 2\n"),
    "helper": ("helpers.py", "tanh", "sigmoid"),
}
REMARKS = {
    "comment": ("network.py", "# torch.fx can't follow this", "# torch.fx gives up here"),
    "docstring": ("blocks.py", "class Block(nn.Module):\n", 'class Block(nn.Module):\n    """A block."""\n\n'),
    "layout": ("helpers.py", "return x.tanh()", "return (\n        x.tanh()\n    )"),
}


def test_an_edited_helper_changes_the_hashes_of_a_later_process(tmp_path: Path) -> None:
    inside = write(tmp_path, "my_networks")
    original = hashes_in_a_process(tmp_path, "my_networks")
    edit(inside / "network.py", *REMARKS["comment"][1:])
    assert hashes_in_a_process(tmp_path, "my_networks") == original
    edit(inside / "helpers.py", *EDITS["helper"][1:])
    assert all(after != original[name] for name, after in hashes_in_a_process(tmp_path, "my_networks").items())


@pytest.fixture
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return a folder that modules can be imported from; they are forgotten afterwards."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield tmp_path
    for name, module in list(sys.modules.items()):
        if str(tmp_path) in str(getattr(module, "__file__", "")):
            del sys.modules[name]


def hashes_anew(folder: Path, package: str) -> dict[str, str]:
    """Return the hashes of the network after its modules were imported again."""
    for name in [name for name, module in sys.modules.items() if str(folder) in str(getattr(module, "__file__", ""))]:
        del sys.modules[name]
    importlib.invalidate_caches()
    model = importlib.import_module(f"{package}.network" if package else "network").build()
    return upstream_hashes(model, LAYERS, LAYERS)


@pytest.mark.parametrize("package", ["my_networks", "outer/inner", ""])
def test_edited_code_changes_the_hashes_and_remarks_do_not(package: str, own_folder: Path) -> None:
    inside, package = write(own_folder, package), package.replace("/", ".")
    original = hashes_anew(own_folder, package)
    for file, before, after in REMARKS.values():
        edit(inside / file, before, after)
    assert hashes_anew(own_folder, package) == original
    for file, before, after in EDITS.values():
        edit(inside / file, before, after)
        edited = hashes_anew(own_folder, package)
        assert all(edited[name] != original[name] for name in LAYERS)
        edit(inside / file, after, before)
    assert hashes_anew(own_folder, package) == original


def reloaded(name: str) -> Any:
    importlib.invalidate_caches()
    return importlib.reload(sys.modules[name]) if name in sys.modules else importlib.import_module(name)


TRACEABLE = """
import torch
from torch import fx, nn

def double(x):
    return x * 2

fx.wrap("double")

class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 4, 1)

    def forward(self, images):
        return double(self.first(images))

def build():
    torch.manual_seed(0)
    return Network().eval()
"""


def traced_hashes(own_folder: Path, text: str) -> dict[str, str]:
    (own_folder / "traceable_network.py").write_text(text)
    return upstream_hashes(reloaded("traceable_network").build(), ["first", "output"], ["first", "output"])


def test_a_function_that_stands_in_the_graph_by_its_name_counts_with_its_code(own_folder: Path) -> None:
    before = traced_hashes(own_folder, TRACEABLE)
    edited = traced_hashes(own_folder, TRACEABLE.replace("x * 2", "x * 3"))
    remark = traced_hashes(own_folder, TRACEABLE.replace("return x * 2", "return x * 2  # twice"))
    assert before["first"] == edited["first"]
    assert before["output"] != edited["output"]
    assert remark == before


def in_an_interpreter(source: str) -> nn.Module:
    """Return a network whose classes have no source, as if they were typed in."""
    namespace: dict[str, Any] = {"nn": nn, "torch": torch, "__name__": "__console__"}
    exec(compile(source, "<stdin>", "exec"), namespace)
    torch.manual_seed(0)
    return namespace["Network"]()


TYPED = """
def squash(x):
    return x.tanh()

class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 4, 1)

    def forward(self, images):
        x = self.first(images)
        return squash(x) * 2 if x.sum() > -1e9 else x
"""


@pytest.mark.parametrize(("before", "after"), [("* 2", "* 3"), ("tanh", "sigmoid"), ("* 2", "+ 2")])
def test_a_class_without_source_is_hashed_by_its_bytecode(before: str, after: str) -> None:
    names = ["first", "output"]
    original, again, edited = (
        upstream_hashes(in_an_interpreter(text), names, names)["output"]
        for text in (
            TYPED,
            TYPED.replace("        x =", "        # a remark\n        x ="),
            TYPED.replace(before, after),
        )
    )
    assert original == again
    assert original != edited


class Free(nn.Module):
    """A network that torch.fx can't follow, whose parts and attributes a test sets."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Conv2d(3, 4, 1)
        self.second = nn.Conv2d(4, 4, 1)
        for name, value in attributes.items():
            setattr(self, name, value)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = self.first(images)
        return torch.conv2d(x, self.second.weight) if x.sum() > -1e9 else x


def output_hash(model: nn.Module) -> str:
    return upstream_hashes(model, ["output"], ["first", "output"])["output"]


def test_weights_of_a_module_that_never_runs_itself_count() -> None:
    model = Free()
    before = output_hash(model)
    with torch.no_grad():
        model.second.weight += 1
    assert output_hash(model) != before


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (1.5, 2.5),
        ({"scale": 1}, {"scale": 2}),
        ([torch.zeros(2)], [torch.ones(2)]),
        (torch.relu, torch.tanh),
        (lambda x: x + 1, lambda x: x + 2),
        (torch.float16, torch.float32),
        (np.zeros(2), np.ones(2)),
        (SimpleNamespace(scale=1), SimpleNamespace(scale=2)),
        (partial(torch.clamp, min=0), partial(torch.clamp, min=1)),
    ],
)
@pytest.mark.parametrize("name", ["scale", "_scale"])
def test_what_an_attribute_holds_counts(first: object, second: object, name: str) -> None:
    assert output_hash(Free(**{name: first})) == output_hash(Free(**{name: first}))
    assert output_hash(Free(**{name: first})) != output_hash(Free(**{name: second}))


class Mode(Enum):
    HALF, DOUBLE = 0.5, 2.0


class Scale:
    """An object that the network calls; it knows itself."""

    def __init__(self, factor: float) -> None:
        self.factor, self.again = factor, self

    def __call__(self, value: torch.Tensor) -> torch.Tensor:
        return value * self.factor


class Slotted:
    __slots__ = ("factor",)

    def __init__(self, factor: float) -> None:
        self.factor = factor


def times(factor: object) -> Callable[[Any], Any]:
    """Return a function that keeps a value in its closure."""
    return lambda value: value * factor


def times_by_default(factor: float) -> Callable[[Any], Any]:
    def multiplied(value: Any, factor: float = factor) -> Any:
        return value * factor

    return multiplied


def scale_class(factor: float) -> Any:
    class Scaled:
        def __call__(self, value: Any) -> Any:
            return value * factor

    return Scaled()


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (times(1.0), times(2.0)),
        (times(torch.zeros(1)), times(torch.ones(1))),
        (partial(times(1.0), 3), partial(times(2.0), 3)),
        (partial(torch.add, torch.zeros(1)), partial(torch.add, torch.ones(1))),
        (times_by_default(1.0), times_by_default(2.0)),
        (Scale(1.0), Scale(2.0)),
        (Scale(1.0).__call__, Scale(2.0).__call__),
        (Slotted(1.0), Slotted(2.0)),
        (scale_class(1.0), scale_class(2.0)),
        (cache(times(1.0)), cache(times(2.0))),
        (Mode.HALF, Mode.DOUBLE),
        ({1.0, 2.0}, {1.0, 3.0}),
        (np.float32(1), np.float32(2)),
        (torch.Tensor.relu, torch.Tensor.tanh),
    ],
)
def test_values_that_code_runs_with_count_beside_the_code(first: object, second: object) -> None:
    assert output_hash(Free(scale=first)) == output_hash(Free(scale=first))
    assert output_hash(Free(scale=first)) != output_hash(Free(scale=second))


def test_what_a_hook_and_a_forward_of_one_module_enclose_counts() -> None:
    def with_hook(factor: float) -> Free:
        model = Free()
        kept: list[object] = [factor]

        def scaled(*arguments: Any) -> Any:
            assert isinstance(model, nn.Module)
            return arguments[-1] * kept[0]

        model.first.register_forward_hook(scaled)
        return model

    def with_forward(factor: float) -> Free:
        model = Free()
        model.first.forward = lambda value: value * factor  # type: ignore[method-assign]
        return model

    for made in (with_hook, with_forward):
        assert output_hash(made(1.0)) == output_hash(made(1.0))
        assert output_hash(made(1.0)) != output_hash(made(2.0))


def test_an_attribute_that_refers_to_itself_is_hashed() -> None:
    scale: dict[str, object] = {"scale": 1}
    scale["again"] = scale
    assert output_hash(Free(scale=scale)) == output_hash(Free(scale=scale))


def test_a_hook_counts_with_its_code() -> None:
    def half(*arguments: Any) -> Any:
        return arguments[-1] / 2

    model = Free()
    before = output_hash(model)
    handle = model.first.register_forward_hook(half)
    assert output_hash(model) != before
    handle.remove()
    assert output_hash(model) == before
