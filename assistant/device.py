"""What this machine computes with: the device, the numbers it computes in, and how much memory is free there.

Knows no model. Imports torch only where nothing cheaper can tell.
"""

import runpy
from importlib.util import find_spec
from pathlib import Path


def choose() -> tuple[str, str, str]:
    """(device, dtype, reason). A CPU without bfloat16 arithmetic emulates it several times slower than
    float32.
    """
    if not _torch_is_for_cpus() and (found := _gpu()) is not None:
        return found
    if _computes_bfloat16():
        return "cpu", "bfloat16", "in bfloat16 on the CPU, which computes in it"
    return "cpu", "float32", "in float32 on the CPU, which lacks bfloat16 arithmetic"


def gpus() -> int:
    """How many GPUs torch sees here."""
    if _torch_is_for_cpus():
        return 0
    import torch

    return torch.cuda.device_count()


def _torch_is_for_cpus() -> bool:
    """Whether the installed torch was built without GPUs, by its own record: importing it takes a second."""
    spec = find_spec("torch")
    record = Path(spec.origin).parent / "version.py" if spec and spec.origin else None
    if record is None or not record.is_file():
        return False
    told = runpy.run_path(str(record))
    return told.get("cuda") is None and told.get("hip") is None


def _gpu() -> tuple[str, str, str] | None:
    import torch

    if torch.cuda.is_available():
        name = torch.cuda.get_device_name()
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return "cuda", "bfloat16", f"in bfloat16 on {name}"
        return "cuda", "float16", f"in float16 on {name}, which lacks bfloat16"
    return None


def has_amx() -> bool:
    """Whether the CPU multiplies tiles of bfloat16 (Intel's AMX)."""
    return "amx_bf16" in _cpu_flags()


def _computes_bfloat16() -> bool:
    return not _cpu_flags().isdisjoint(("avx512_bf16", "amx_bf16", "bf16", "svebf16", "sve_bf16"))


def _cpu_flags() -> set[str]:
    told = Path("/proc/cpuinfo")
    if told.is_file():  # Linux: the kernel knows, and torch need not be imported
        return set(told.read_text("utf-8", errors="replace").split())
    import torch

    return {flag for flag, able in torch.cpu.get_capabilities().items() if able}


def free_bytes(device: str) -> int:
    """Memory that a model may still take, on `cpu` or `cuda`."""
    if device == "cuda":
        import torch

        return int(torch.cuda.mem_get_info()[0])
    import psutil

    return int(psutil.virtual_memory().available)
