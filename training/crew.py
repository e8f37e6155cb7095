"""The processes that train together: which of them this is, and what they hand each other. Knows no config of
accelerate's and no store; that they were started, and by whom, is `training.launch`'s.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from torch import Tensor

T = TypeVar("T")

ROWS = "rows"
"""Where several processes find their rows, in the run's folder."""
AT_ONCE = 1 << 23
"""Numbers that are added up in one message, 32 MB of float32: fewer wait for the wire, more for the room."""


@dataclass(frozen=True)
class Crew:
    """`rank`: which of the processes this is, from 0. `sharded`: each holds only a part of the weights."""

    processes: int = 1
    rank: int = 0
    sharded: bool = False

    def part(self, things: Sequence[T]) -> list[T]:
        """What this process takes of things that are dealt in turn: none where there are too few."""
        return list(things[self.rank :: self.processes])


ALONE = Crew()


def in_one_place(data: Any, args: Any, folder: Path) -> Any:
    """The same rows, in one place on the disc for all processes: beside them one writes what the reference
    says of the rows, and the others look for it there. `args`: the trainer's.
    """
    from datasets import load_from_disk

    with args.main_process_first(local=False):
        if args.process_index == 0:
            shutil.rmtree(folder / ROWS, ignore_errors=True)
            data.save_to_disk(folder / ROWS)
    return load_from_disk(folder / ROWS)


def of_all(crew: Crew, own: T) -> list[T]:
    """What each process hands in, in the order of their ranks. All of them must come here."""
    if crew.processes == 1:
        return [own]
    import torch

    found: list[T] = [own] * crew.processes
    torch.distributed.all_gather_object(found, own)
    return found


def collected(crew: Crew, own: Sequence[T]) -> list[T]:
    """What all processes made of their parts, one of each thing, in the things' own order."""
    return in_order(of_all(crew, own))


def in_order(hands: Sequence[Sequence[T]]) -> list[T]:
    """The inverse of dealing to so many processes."""
    return [hands[place % len(hands)][place // len(hands)] for place in range(sum(map(len, hands)))]


def wait_for_all(crew: Crew) -> None:
    """Until every process has come here."""
    import torch

    if crew.processes > 1:
        torch.distributed.barrier()


def meet(crew: Crew, device: str) -> None:
    """Find the other processes, where no trainer of TRL's does it. `device`: where they compute."""
    import torch

    if crew.processes > 1:
        torch.distributed.init_process_group("gloo" if device == "cpu" else "nccl")


def add_up(parts: Sequence[Tensor], crew: Crew) -> None:
    """Put into each of these tensors the sum of what all processes have in theirs: the same bits in each."""
    import torch

    if crew.processes == 1:
        return
    for message in _messages(parts):
        flat = torch.cat([part.flatten() for part in message])
        torch.distributed.all_reduce(flat)
        for part, summed in zip(message, flat.split([part.numel() for part in message]), strict=True):
            part.copy_(summed.view_as(part))


def _messages(parts: Sequence[Tensor]) -> list[list[Tensor]]:
    """Neighbours together, AT_ONCE numbers at most, or one tensor that has more."""
    found: list[list[Tensor]] = []
    size = 0
    for part in parts:
        if not found or size + part.numel() > AT_ONCE:
            found.append([])
            size = 0
        found[-1].append(part)
        size += part.numel()
    return found


def put_together(trainer: Any, crew: Crew, folder: Path) -> Path:
    """The adapter in `folder`, from the parts that all processes hand in; the first writes it."""
    aside = folder.with_name(folder.name + ".part")
    trainer.save_model(str(aside))
    if crew.rank == 0:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(aside / "ref", ignore_errors=True)  # TRL's frozen copy of the adapter it began with
        aside.rename(folder)
    return folder
