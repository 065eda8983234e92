"""Code of equal source counts with the values that it reads: from its module, its class, and what was chosen there."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest
import torch

from network_atlas.models.module_hashes import ModuleHashes
from network_atlas.models.upstream import upstream_of

NETWORK = """
import functools
import logging
import os

import torch
import torch.nn.functional as F
from torch import fx, nn

FACTOR = float(os.environ["FACTOR"])

def half(x):
    return x / 2

def double(x):
    return x * 2

def halved(function):
    @functools.wraps(function)
    def inner(*arguments):
        return function(*arguments) / 2
    return inner

def doubled(function):
    @functools.wraps(function)
    def inner(*arguments):
        return function(*arguments) * 2
    return inner

{code}

class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 4, 1)
        {init}

    {decorator}
    def forward(self, images):
        x = self.first(images)
        {branch}
        return act(x)

{after}
"""
BRANCH = "if x.sum() < -1e9: return x  # torch.fx can't follow this"
FUNCTION = "def act(x):\n    return x"

COUNT = {
    "a number": {"code": "SCALE = FACTOR\ndef act(x):\n    return x * SCALE"},
    "a mapping": {"code": "SETTINGS = {'scale': FACTOR}\ndef act(x):\n    return x * SETTINGS['scale']"},
    "an array": {"code": "import numpy\nMASK = numpy.full(4, FACTOR)\ndef act(x):\n    return x * float(MASK[0])"},
    "a tensor": {"code": "MASK = torch.full((1,), FACTOR)\ndef act(x):\n    return x * MASK"},
    "an attribute of a class": {
        "code": "class Settings:\n    scale = FACTOR\ndef act(x):\n    return x * Settings.scale"
    },
    "an attribute of the network's class": {
        "code": "class Scaled:\n    scale = FACTOR\ndef act(x):\n    return x",
        "after": "Network.scale = FACTOR\nNetwork.scaled = lambda self, x: x * self.scale\n"
        "Network.forward = lambda self, x: self.scaled(x) if x.sum() > -1e9 else x",
    },
    "an object": {
        "code": "class Settings:\n    def __init__(self, scale):\n        self.scale = scale\n"
        "SETTINGS = Settings(FACTOR)\ndef act(x):\n    return x * SETTINGS.scale"
    },
    "what an object's method reads": {
        "code": "SCALE = FACTOR\nclass Scale:\n    def applied(self, x):\n        return x * SCALE\n"
        "ONE = Scale()\ndef act(x):\n    return ONE.applied(x)"
    },
    "what a function reads that it calls": {
        "code": "SCALE = FACTOR\ndef scaled(x):\n    return x * SCALE\ndef act(x):\n    return scaled(x)"
    },
    "what a function of torch's gets": {
        "code": "SCALE = FACTOR\nclass Scaled(torch.autograd.Function):\n    @staticmethod\n    def forward(ctx, x):\n"
        "        return x * SCALE\ndef act(x):\n    return Scaled.apply(x)"
    },
    "a closure": {
        "code": "def scaled(scale):\n    def act(x):\n        return x * scale\n    return act\nact = scaled(FACTOR)"
    },
    "a default": {"code": "def act(x, scale=FACTOR):\n    return x * scale"},
    "which function has the name": {"code": "act = half if FACTOR == 2 else double"},
    "which function of torch's has the name": {"code": "act = torch.relu if FACTOR == 2 else torch.tanh"},
    "which lambda has the name": {"code": "act = (lambda x: x / 2) if FACTOR == 2 else (lambda x: x * 2)"},
    "which definition stands": {
        "code": "if FACTOR == 2:\n    def act(x):\n        return x / 2\nelse:\n    def act(x):\n        return x * 2"
    },
    "which class stands": {
        "code": "if FACTOR == 2:\n    class Act:\n        def __call__(self, x):\n            return x / 2\nelse:\n"
        "    class Act:\n        def __call__(self, x):\n            return x * 2\ndef act(x):\n    return Act()(x)"
    },
    "which method stands": {
        "code": "class Act:\n    if FACTOR == 2:\n        def __call__(self, x):\n            return x / 2\n    else:\n"
        "        def __call__(self, x):\n            return x * 2\ndef act(x):\n    return Act()(x)"
    },
    "what wraps a function": {"code": "def act(x):\n    return x\nact = (halved if FACTOR == 2 else doubled)(act)"},
    "what wraps a function of torch's": {"code": "act = (halved if FACTOR == 2 else doubled)(F.relu)"},
    "what wraps forward": {"code": FUNCTION, "decorator": "@(halved if FACTOR == 2 else doubled)"},
    "what torch wraps": {
        "code": "SCALE = FACTOR\ndef act(x):\n    return x * SCALE",
        "decorator": "@torch.autocast('cpu', enabled=False)",
    },
    "what is put into the class": {
        "code": FUNCTION,
        "after": "def first(self, x):\n    return self.first(x) if x.sum() > -1e9 else x\n"
        "def second(self, x):\n    return self.first(x) * 2 if x.sum() > -1e9 else x\n"
        "Network.forward = first if FACTOR == 2 else second",
    },
    "what a function in the graph reads": {
        "code": "SCALE = FACTOR\ndef act(x):\n    return x * SCALE\nfx.wrap('act')",
        "branch": "",
    },
}
"""What makes networks of equal source compute otherwise where FACTOR is 2 and 3."""
DO_NOT_COUNT = {
    "what nothing reads": {"code": f"OTHER = FACTOR\n{FUNCTION}"},
    "a counter": {"code": "CALLS = FACTOR\ndef act(x):\n    global CALLS\n    CALLS += 1\n    return x"},
    "a counter of a class": {
        "code": "class Act:\n    calls = FACTOR\ndef act(x):\n    Act.calls += 1\n    return x",
    },
    "a logger": {"code": "LOG = logging.getLogger(str(FACTOR))\ndef act(x):\n    LOG.debug('')\n    return x"},
    "an object of a package": {
        "code": "from rich.console import Console\nCONSOLE = Console(width=int(FACTOR))\n"
        "def act(x):\n    CONSOLE.is_terminal\n    return x"
    },
    "what builds the network": {"code": f"PATH = f'/{{FACTOR}}'\n{FUNCTION}", "init": "assert PATH"},
}


def hash_with(
    factor: str, parts: dict[str, str], file: Path, monkeypatch: pytest.MonkeyPatch, version: str = ""
) -> str:
    """Return the hash of the output of a network whose module is loaded with a value of FACTOR."""
    defaults = {"code": "", "init": "", "decorator": "", "branch": BRANCH, "after": ""}
    file.write_text(NETWORK.format(**defaults | parts))
    monkeypatch.setenv("FACTOR", factor)
    spec = importlib.util.spec_from_file_location("network_of_values", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "network_of_values", module)
    spec.loader.exec_module(module)
    torch.manual_seed(0)
    return upstream_of(module.Network(), ["output"], ["first", "output"], ModuleHashes(version)).hashes["output"]


@pytest.mark.parametrize("what", COUNT)
def test_values_of_code_of_equal_source_count(what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "network.py"
    first, again, other = (hash_with(factor, COUNT[what], file, monkeypatch) for factor in ("2", "2", "3"))
    assert first == again
    assert first != other


@pytest.mark.parametrize("what", DO_NOT_COUNT)
def test_what_a_pass_does_not_read_does_not_count(what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "network.py"
    first, other = (hash_with(factor, DO_NOT_COUNT[what], file, monkeypatch) for factor in ("2", "3"))
    assert first == other


def test_a_version_stands_for_the_values_of_the_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "network.py"
    first, other = (hash_with(factor, COUNT["a number"], file, monkeypatch, "1") for factor in ("2", "3"))
    assert first == other
