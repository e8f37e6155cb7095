"""The most memory that this process has held so far, and how freed memory goes back to the system."""

import ctypes
import platform
import resource
import sys
from pathlib import Path

M_MMAP_THRESHOLD = -3
MAPPED_FROM_BYTES = 65_536
"""Blocks from this size on are maps of their own, which end when they are freed. By itself glibc raises the
size to 32 MB at the first such block, takes activations from its heap after that, and the heap's holes grow:
a step of the embedded model (800 tokens) peaked at 2.57 GB that way and at 1.95 GB this way."""


def return_freed_memory() -> None:
    """Let glibc give freed tensors back at once, so that a peak is what tensors need. Elsewhere: nothing."""
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, MAPPED_FROM_BYTES)


def peak_bytes(device: str) -> int:
    """On `cpu` resident memory; on `cuda` what torch's tensors took, and the context beside."""
    if device == "cuda":
        import torch

        from training.memory.formulas import CONTEXT_CUDA

        return int(torch.cuda.max_memory_allocated()) + CONTEXT_CUDA
    # getrusage's figure is handed on by the process that started this one, which may have been larger.
    status = Path("/proc/self/status")
    if status.is_file():
        lines = status.read_text("utf-8").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
    told = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return told if sys.platform == "darwin" else told * 1024
