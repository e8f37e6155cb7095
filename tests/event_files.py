"""TensorBoard's event files read back: records of a length, its checksum, an event and its checksum."""

import math
import struct
from pathlib import Path

import numpy as np
from tensorboardX.crc32c import crc32c
from tensorboardX.proto.event_pb2 import Event

from feedback.ids import RunId
from feedback.store import Store
from training import run_memory, runs

Point = tuple[int, str, float]


def events(folder: Path) -> list[Event]:
    """All events of the one file in the folder that is not empty, in their order."""
    (file,) = (one for one in folder.iterdir() if one.stat().st_size)
    data, found, at = file.read_bytes(), [], 0
    while at < len(data):
        (size,), (sum_of_size,) = (
            struct.unpack_from(kind, data, at + skip) for kind, skip in (("<Q", 0), ("<I", 8))
        )
        content = data[at + 12 : at + 12 + size]
        (sum_of_content,) = struct.unpack_from("<I", data, at + 12 + size)
        assert (sum_of_size, sum_of_content) == (masked(data[at : at + 8]), masked(content))
        found.append(Event.FromString(content))
        at += 16 + size
    return found


def masked(data: bytes) -> int:
    """The checksum as the format keeps it."""
    plain = crc32c(data) & 0xFFFFFFFF
    return ((plain >> 15 | plain << 17) + 0xA282EAD8) & 0xFFFFFFFF


def points(folder: Path) -> list[Point]:
    """Step, name and value of each figure, in the order of steps and names; each as often as it is there."""
    scalars = [
        (event.step, value.tag, value.simple_value)
        for event in events(folder)
        for value in event.summary.value
        if value.WhichOneof("value") == "simple_value"
    ]
    return sorted(scalars, key=lambda point: point[:2])


def curves(store: Store, run_id: RunId) -> list[Point]:
    """What the store has of a run's curves, with 32 bits a value."""
    found = [(one.step, one.name, float(np.float32(one.value))) for one in runs.metrics(store, run_id)]
    assert all(math.isfinite(value) for _, _, value in found)
    return [point for point in found if point[1] not in run_memory.KEPT]
