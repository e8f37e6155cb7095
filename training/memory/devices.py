"""Devices and their memory: this machine's, or one by name."""

import re
from dataclasses import dataclass

import psutil

from assistant import device as machine
from feedback.errors import HoneError

GIB = 2**30
GPUS = {
    "t4": 16, "rtx3060": 12, "rtx3090": 24, "rtx4090": 24, "rtx5090": 32, "a10g": 24, "l4": 24, "l40s": 48,
    "v100": 32,
    "a100-40": 40, "a100-80": 80, "h100": 80, "h200": 141, "b200": 180,
}  # fmt: skip
"""GB as their makers name them. What a driver keeps for itself is less than the difference to GiB."""


@dataclass(frozen=True)
class Device:
    """`kind`: cpu or cuda. `total_bytes`: all of its memory; `free_bytes`: what a run may take now."""

    name: str
    kind: str
    total_bytes: int
    free_bytes: int


def this_machine() -> Device:
    """What this machine computes with, and what of its memory is free."""
    kind, _, _ = machine.choose()
    free = machine.free_bytes(kind)
    if kind == "cuda":
        import torch

        return Device(torch.cuda.get_device_name(), kind, int(torch.cuda.mem_get_info()[1]), free)
    return Device("this machine", kind, int(psutil.virtual_memory().total), free)


def named(words: str) -> Device:
    """A GPU of the table (`rtx3090`), or a size (`24 GB`, for a GPU of that size). HoneError for others."""
    key = re.sub(r"[\s_]+", "", words.lower()).removeprefix("nvidia")
    if key in GPUS:
        return Device(key, "cuda", GPUS[key] * 10**9, GPUS[key] * 10**9)
    if found := re.fullmatch(r"(\d+(?:\.\d+)?)(gb|gib)", key):
        size = int(float(found[1]) * (GIB if found[2] == "gib" else 10**9))
        return Device(words, "cuda", size, size)
    raise HoneError(
        f"There is no device called {words}.",
        f"Known are {', '.join(GPUS)}.",
        'Name one of them, or a size such as "24 GB".',
    )
