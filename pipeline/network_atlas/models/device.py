"""Choose the device of a worker, and the number format in which it optimizes."""

from __future__ import annotations

import ctypes

import torch

from network_atlas.config.executor import InlineConfig, RayConfig
from network_atlas.config.recipe import OptimizeConfig
from network_atlas.errors import ConfigError

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Of glibc's mallopt(3)."""

KEPT_BYTES = 1 << 30
"""Freed memory up to this much stays with the process."""


def device_of(config: InlineConfig | RayConfig) -> torch.device:
    """Return the device of a worker.

    Ray workers use a GPU only when they reserve one. A worker that reserves none may still see one.
    """
    if isinstance(config, InlineConfig):
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if config.gpus_per_worker == 0:
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise ConfigError(
            f"executor.gpus_per_worker={config.gpus_per_worker} but torch sees no CUDA device here; "
            "set executor.gpus_per_worker=0 or install a CUDA build of torch."
        )
    return torch.device("cuda")


def use_device(config: InlineConfig | RayConfig, *, threads: int) -> torch.device:
    """Return the device of this process's worker, and keep the process to its part of the machine.

    Torch gets `threads` threads (0: its own choice), and freed memory stays with the process. Of a shared GPU the
    worker gets no more memory than its fraction. Ray counts these fractions but does not enforce them: without a limit,
    a worker could take the memory of others.
    """
    use_threads(threads)
    keep_freed_memory()
    device = device_of(config)
    if device.type == "cuda" and isinstance(config, RayConfig) and config.gpus_per_worker < 1:
        torch.cuda.set_per_process_memory_fraction(config.gpus_per_worker)
    return device


def device_words(config: InlineConfig | RayConfig) -> str:
    """Return a description of the device that a worker would use here. Raises ConfigError as `device_of` does."""
    if device_of(config).type == "cuda":
        free, whole = torch.cuda.mem_get_info()
        return f"{torch.cuda.get_device_name()}, {free / 1e9:.1f} of {whole / 1e9:.1f} GB free"
    seen = f"; {_counted_gpus(torch.cuda.device_count())} not used" if torch.cuda.is_available() else ""
    return f"processor, {'with' if _processor_has_bfloat16() else 'without'} bfloat16{seen}"


def optimize_dtype(config: OptimizeConfig, executor: InlineConfig | RayConfig) -> str:
    """Return 'float32' or 'bfloat16'; 'auto' takes bfloat16 on a GPU and where this processor multiplies in it."""
    if config.dtype != "auto":
        return config.dtype
    on_gpu = executor.gpus_per_worker > 0 if isinstance(executor, RayConfig) else torch.cuda.is_available()
    return "bfloat16" if on_gpu or _processor_has_bfloat16() else "float32"


def training_dtype(dtype: str, device: torch.device) -> torch.dtype:
    """Return the format of a training's products; 'auto' takes bfloat16 on a GPU and where this processor has it."""
    if dtype == "auto":
        return torch.bfloat16 if device.type == "cuda" or _processor_has_bfloat16() else torch.float32
    return torch.bfloat16 if dtype == "bfloat16" else torch.float32


def _counted_gpus(count: int) -> str:
    return f"{count} GPU" if count == 1 else f"{count} GPUs"


def _processor_has_bfloat16() -> bool:
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, probe, bool)() for probe in probes)


def use_exact_products() -> None:
    """Let a GPU multiply float32 in float32.

    By default cuDNN rounds what it multiplies to 10 bits of fraction (TensorFloat-32). Scores, statistics and the check
    of frozen passes are meant to be float32 wherever they are computed; steps in bfloat16 are as fast as before.
    """
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False


def processor_features() -> str:
    """Return the widest vector instructions that torch uses here, such as 'AVX512'."""
    features: str = torch.backends.cpu.get_cpu_capability()
    return features


def use_threads(threads: int) -> None:
    """Let torch use this many threads in this process; 0 leaves its own choice."""
    if threads:
        torch.set_num_threads(threads)


def keep_freed_memory() -> None:
    """Let malloc keep freed memory for the next tensor instead of handing it back to the system.

    Every layer's output is a new tensor of some MB. By default glibc returns such memory and asks for it again, and the
    system clears each page every time: filling 1 MB takes five times as long as when it is kept. The peak of a run's
    memory stays the same. Other C libraries have no such setting, and other allocators keep memory by themselves.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, KEPT_BYTES)
        mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)
