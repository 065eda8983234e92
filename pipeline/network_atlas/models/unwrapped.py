"""Take off the wrappers by which a model runs faster or on several devices: hooks need the modules themselves."""

from __future__ import annotations

from types import MethodType

from torch import nn
from torch.nn.parallel import DataParallel, DistributedDataParallel

INNER = ("_orig_mod", "_checkpoint_wrapped_module")
"""Names under which torch.compile and activation checkpoints keep the module. Their classes are private to torch, and
importing them takes seconds."""


def unwrapped(model: nn.Module) -> nn.Module:
    """Return the module inside torch.compile, DataParallel, DDP or activation checkpoints, its submodules too.

    The model's tree is changed in place. Its weights stay the same tensors.
    """
    model = _inside(model)
    for module in list(model.modules()):
        for name, child in module._modules.items():
            if child is not None:
                module._modules[name] = _inside(child)  # not setattr, which parametrizations forbid
    for module in model.modules():
        _run_as_written(module)
    return model


def _inside(module: nn.Module) -> nn.Module:
    inner = next((module._modules[name] for name in INNER if name in module._modules), None)
    if isinstance(module, DataParallel | DistributedDataParallel):
        inner = module.module
    return module if inner is None else _inside(inner)


def _run_as_written(module: nn.Module) -> None:
    """Undo `module.compile()`, and torch.compile on a `forward`, the module's own or its class's."""
    if getattr(module, "_compiled_call_impl", None) is not None:
        module._compiled_call_impl = None
    original = getattr(module.forward, "_torchdynamo_orig_callable", None)
    if original is not None:
        module.forward = original if "forward" in vars(module) else MethodType(original, module)
