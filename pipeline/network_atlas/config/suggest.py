"""Suggest the overrides that a word most likely stands for: the name of a network, a path of images, a synonym.

    choice_meant("model", "resnet50")            # 'model=torchvision model.name=resnet50'
    choice_meant("dataset", "path/to/images")    # 'dataset=folder dataset.root=path/to/images'
    word_meant("everything", {"experiment": ["everything"]})   # '+experiment=everything'

The configuration must not import torch, so names of networks are read from the source files of torchvision and timm.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path

CHECKPOINT = re.compile(r"\.(pt|pth|ckpt|safetensors|bin)$")
FUNCTION = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
REGISTERED = re.compile(r"^@register_model\b.*?^def (\w+)", re.MULTILINE | re.DOTALL)
SYNONYMS = {
    "sweep": {"everything": "all", "full": "all", "whole": "all", "blocks": "main_layers", "main": "main_layers"},
    "executor": {"local": "inline", "process": "inline", "cluster": "ray", "gpu": "ray", "cuda": "ray"},
    "optimize": {"quick": "fast", "plain": "bare", "standard": "default"},
    "dataset": {"images": "folder", "imagefolder": "folder", "webdataset": "tar", "huggingface": "parquet"},
}
"""By group: words that other tools use, with our choice of the same meaning."""
ON_A_GPU = "executor=ray executor.gpus_per_worker=1"
SETTINGS = {
    **dict.fromkeys(("device", "gpu", "gpus", "cuda"), ON_A_GPU),
    **dict.fromkeys(("out", "output", "outdir", "output_dir", "folder"), "store.root=my-atlas"),
    **dict.fromkeys(("layers", "layer"), "sweep=select 'sweep.select.0.include=[\"layer3.*\"]'"),
    **dict.fromkeys(("iterations", "iters", "n_steps"), "optimize.steps=128"),
    **dict.fromkeys(("lr", "rate"), "optimize.learning_rate=0.05"),
    **dict.fromkeys(("data", "images", "data_dir"), "dataset=folder dataset.root=path/to/images"),
    **dict.fromkeys(("checkpoint", "ckpt"), "model.weights=my.pt"),
}
"""Names of settings in other tools, with an override of ours of the same meaning."""


def choice_meant(group: str, value: str) -> str:
    """Return the overrides to write instead of `group=value`, quoted for a shell; '' if there is no suggestion."""
    if group == "model":
        return _model(value)
    synonym = SYNONYMS.get(group, {}).get(value.lower())
    if synonym:
        root = " dataset.root=path/to/images" if group == "dataset" else ""
        return f"{group}={synonym}{root}"
    return _dataset(value) if group == "dataset" else ""


def word_meant(word: str, choices: Mapping[str, Sequence[str]]) -> str:
    """Return the overrides that a word without '=' stands for; '' if there is no suggestion.

    `choices` has the choices of each group. A group without a default, such as experiment, needs Hydra's '+'.
    """
    lines = [f"{'+' * (group == 'experiment')}{group}={word}" for group, names in choices.items() if word in names]
    if lines:
        return " or ".join(lines)
    return "" if "=" in word or word.startswith("-") else _model(word) or _dataset(word)


def _model(value: str) -> str:
    if FUNCTION.fullmatch(value):
        return _line("model=function", f"model.name={value}", "model.allow_code=true")
    if CHECKPOINT.search(value):
        # A checkpoint holds only weights; the user must name the network.
        return _line("model=torchvision", "model.name=NAME_OF_THE_NETWORK", f"model.weights={value}")
    if value.endswith(".py"):
        return _line("model=function", f"model.name={Path(value).stem}:NAME_OF_THE_FUNCTION", "model.allow_code=true")
    source, slash, name = value.partition("/")
    if slash and source in ("torchvision", "timm"):
        return _line(f"model={source}", f"model.name={name or 'NAME_OF_THE_NETWORK'}")
    if value in _registered("torchvision"):
        return _line("model=torchvision", f"model.name={value}")
    # In timm's names the part after a dot is the pretraining: convnext_tiny.in12k.
    if value.startswith("hf-hub:") or value.partition(".")[0] in _registered("timm"):
        return _line("model=timm", f"model.name={value}")
    return ""


def _dataset(value: str) -> str:
    if ".parquet" in value or ".tar" in value:
        kind = "parquet" if ".parquet" in value else "tar"
        return _line(f"dataset={kind}", f"dataset.root={value}")
    if "/" in value or value.startswith(("~", ".")):
        return _line("dataset=folder", f"dataset.root={value}")
    name = _torchvision_datasets().get(value.lower())
    return _line("dataset=torchvision", f"dataset.name={name}", "dataset.root=path/to/downloads") if name else ""


def _line(*overrides: str) -> str:
    return shlex.join(overrides)


def _folder(package: str) -> Path | None:
    """Return the folder of a package without importing it; None if it is not installed."""
    spec = find_spec(package)
    return Path(spec.origin).parent if spec is not None and spec.origin else None


@cache
def _registered(package: str) -> frozenset[str]:
    """Return the names of the networks in torchvision or timm; none if the package is not installed."""
    folder = _folder(package)
    files = (folder / "models").glob("*.py") if folder else ()
    return frozenset(name for file in files for name in REGISTERED.findall(file.read_text(encoding="utf-8")))


@cache
def _torchvision_datasets() -> dict[str, str]:
    """Return the names of torchvision's datasets by their lower case."""
    folder = _folder("torchvision")
    file = folder / "datasets" / "__init__.py" if folder else None
    text = file.read_text(encoding="utf-8") if file and file.is_file() else ""
    return {name.lower(): name for name in re.findall(r'^    "(\w+)",$', text, re.MULTILINE)}
