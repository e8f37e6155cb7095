"""The most memory that this process has held so far."""

import resource
import sys
from pathlib import Path


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
