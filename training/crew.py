"""The processes that train together: which of them this is, and what they hand each other. Knows no config of
accelerate's and no store; that they were started, and by whom, is `training.launch`'s.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

ROWS = "rows"
"""Where several processes find their rows, in the run's folder."""


@dataclass(frozen=True)
class Crew:
    """`rank`: which of the processes this is, from 0. `sharded`: each holds only a part of the weights."""

    processes: int = 1
    rank: int = 0
    sharded: bool = False


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


def dealt(crew: Crew, things: Sequence[T]) -> Sequence[T]:
    """What this process takes of `things`, which are dealt in turn."""
    return things[crew.rank :: crew.processes]


def collected(crew: Crew, own: Sequence[T]) -> list[T]:
    """What all processes made of the things they were dealt, one of each, in the things' own order."""
    return in_order(of_all(crew, own))


def in_order(hands: Sequence[Sequence[T]]) -> list[T]:
    """The inverse of dealing to so many processes."""
    return [hands[place % len(hands)][place // len(hands)] for place in range(sum(map(len, hands)))]


def wait_for_all(args: Any) -> None:
    """Until every process has come here. `args`: the trainer's."""
    import torch

    if args.world_size > 1:
        torch.distributed.barrier()


def put_together(trainer: Any, crew: Crew, folder: Path) -> Path:
    """The adapter in `folder`, from the parts that all processes hand in; the first writes it."""
    aside = folder.with_name(folder.name + ".part")
    trainer.save_model(str(aside))
    if crew.rank == 0:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(aside / "ref", ignore_errors=True)  # TRL's frozen copy of the adapter it began with
        aside.rename(folder)
    return folder
