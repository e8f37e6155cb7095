"""One of the processes that train together: `accelerate launch --module training.launch.rank TASK`.

Reads its task from a file and opens no store. The first process says what happens; of the others only what
goes to standard error, such as a traceback, comes to the run's log.
"""

import argparse
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from feedback import full_disc
from feedback.errors import HoneError
from training import task as tasks
from training.crew import Crew, wait_for_all
from training.launch.messages import WATCHED, line


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m training.launch.rank", description=(__doc__ or ""))
    parser.add_argument("task", type=Path)
    parser.add_argument("--sharded", action="store_true", help="Each process holds a part of the weights.")
    given = parser.parse_args(arguments)
    if WATCHED in os.environ:
        threading.Thread(target=_leave_with_the_run, daemon=True).start()
    rank = int(os.environ["RANK"])
    tell = _tell if rank == 0 else _silent
    if rank:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    try:
        _train(given.task, rank, given.sharded, tell)
    except HoneError as error:
        tell("failed", error.what, error.why, error.todo)
        sys.stderr.write(f"Process {rank}: {error}\n")
        return 2
    except Exception as error:
        if full_disc.is_why(error):
            tell("full disc")
        raise
    return 0


def _train(file: Path, rank: int, sharded: bool, tell: Callable[..., None]) -> None:
    import torch

    from training.trainers import Hooks

    task = tasks.from_json(file.read_text(encoding="utf-8"))
    if task.base.device != "cpu":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    hooks = Hooks(
        lambda step, total: tell("step", step, total),
        lambda step, found: tell("metrics", step, found),
        lambda done, total: tell("reference", done, total),
        lambda trained, of: tell("size", trained, of),
        lambda why: tell("warning", why),
    )
    crew = Crew(int(os.environ["WORLD_SIZE"]), rank, sharded)
    trained = tasks.train(task, hooks, lambda text: tell("say", text), crew)
    tell("trained", trained.folder, trained.peak_bytes)
    wait_for_all(crew)  # a process that failed in ending would take along those that still write
    torch.distributed.destroy_process_group()


def _tell(*words: Any) -> None:
    sys.stdout.write(line(*words))
    sys.stdout.flush()


def _silent(*_: Any) -> None:
    """The others compute the same, and one telling is enough."""


def _leave_with_the_run() -> None:
    """End this process when the run's own has ended: nobody would hear it, stop it or keep what it makes."""
    while os.read(0, 1024):
        pass
    os._exit(3)


if __name__ == "__main__":
    sys.exit(main())
