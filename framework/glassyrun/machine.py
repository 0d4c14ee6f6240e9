"""The machine that a run is on: its device, processor, free memory, threads and kernels."""

from __future__ import annotations

import contextlib
import os
import platform
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

import psutil
import torch

from glassyrun.errors import Refusal
from glassyrun.graphs import cuda_graphs
from glassyrun.spec.model import Spec
from glassyrun.system import System
from glassyrun.threads import torch_alone


def threads_of(system: System, replicas: int) -> AbstractContextManager[None]:
    """Around steps and readings: torch keeps to one thread where the System shares its work out over threads itself."""
    return torch_alone() if system.own_threads(replicas) else contextlib.nullcontext()


@contextlib.contextmanager
def numerics(spec: Spec, threads: int | None = None) -> Iterator[None]:
    """Threads and deterministic kernels for the time of a run; what was set before is restored.

    `threads` stand in where the spec names none.
    """
    threads, wanted = spec.run.threads or threads, deterministic(spec)
    if wanted:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS reads it once, and is not deterministic without
    kernels: Any = torch.utils.deterministic  # its attribute is set through a module class that checkers can't see
    # use_deterministic_algorithms does the same, but loads torch's compiler first: a second, and 160 MB
    before, mode = torch.get_num_threads(), torch.get_deterministic_debug_mode()
    cudnn = torch.backends.cudnn.deterministic
    tf32 = torch.backends.cudnn.allow_tf32
    benchmark, fill = torch.backends.cudnn.benchmark, kernels.fill_uninitialized_memory
    try:
        if threads:
            torch.set_num_threads(threads)
        torch.set_deterministic_debug_mode("error" if wanted else "default")
        torch.backends.cudnn.deterministic = wanted
        kernels.fill_uninitialized_memory = False  # only for finding bugs, and dear
        torch.backends.cudnn.benchmark = False
        torch.backends.cudnn.allow_tf32 = False  # else convolutions in "float32" have 10 bits of mantissa on a GPU
        with cuda_graphs(spec.run.cuda_graphs):
            yield
    finally:
        torch.set_num_threads(before)
        torch.set_deterministic_debug_mode(mode)
        torch.backends.cudnn.deterministic = cudnn
        torch.backends.cudnn.allow_tf32 = tf32
        kernels.fill_uninitialized_memory = fill
        torch.backends.cudnn.benchmark = benchmark


def deterministic(spec: Spec) -> bool:
    """Whether a run keeps to kernels that repeat every bit: as it says, else on a CPU only, where they cost next to nothing."""
    if spec.run.deterministic is not None:
        return spec.run.deterministic
    return device_of(spec.run.device).type == "cpu"


def processor() -> str:
    """The CPU as far as bits depend on it: model and vector instructions."""
    model = platform.processor() or platform.machine()
    with contextlib.suppress(OSError), open("/proc/cpuinfo", encoding="utf-8") as lines:
        model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), model)
    return f"cpu {model}, {torch.backends.cpu.get_cpu_capability()}"


def available(device: torch.device) -> int:
    """Free memory in bytes."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else psutil.virtual_memory().available


def device_of(name: str) -> torch.device:
    """The device that `run.device` names.

    Raises:
        Refusal: if there is no such GPU.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(name)
    count = torch.cuda.device_count() if device.type == "cuda" else 1
    if device.type == "cuda" and (device.index or 0) >= count:
        raise Refusal(f'run.device: found "{name}", but torch sees {count} GPUs here; take "cpu" or "auto"')
    return device
