"""Starts the processes of a run through accelerate, hears the first of them, and ends them all.

They write nothing to the store: the first says on its standard output what happens, and the run's own
process, which started them, keeps it. They live no longer than it does: their standard input ends with it.
"""

import errno
import importlib.util
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from assistant import device
from assistant.base import Base
from feedback.errors import HoneError
from feedback.whole_files import write_aside
from training.launch import configs
from training.launch.configs import Launch
from training.launch.messages import WATCHED, heard
from training.task import Task, Trained, to_json

if TYPE_CHECKING:
    from training.trainers import Hooks

CONFIG, TASK = "launch.yaml", "task.json"


def base_for(launch: Launch, base: Base) -> Base:
    """The base where this config's processes compute. HoneError where they cannot."""
    if launch.on_cpu:
        return replace(base, device="cpu")
    configs.check_quantisation(launch, base.quantization)
    check_machine(launch)
    return base


def check_machine(launch: Launch) -> None:
    """HoneError for what this machine lacks to start the config's processes."""
    if launch.kind == "DEEPSPEED" and importlib.util.find_spec("deepspeed") is None:
        raise HoneError(
            f"{launch.name} needs DeepSpeed, which is not installed.",
            "",
            "Install it into Hone's environment (pip install deepspeed), or take another --launch.",
        )
    if not launch.on_cpu and (seen := device.gpus()) < launch.here:
        raise HoneError(
            f"{launch.name} needs {launch.here} GPUs on this machine, and torch sees {seen or 'none'}.",
            "",
            "Take --launch cpu-2, or leave --launch out."
            if seen < 2
            else f"Copy the config with num_processes: {seen}, and name the copy: --launch FILE.yaml.",
        )


def train(task: Task, launch: Launch, hooks: "Hooks", say: Callable[[str], None]) -> Trained:
    """Compute a task by the config's processes. HoneError when one of them ends before its time,
    OSError when the first found no room on the disc.
    """
    write_aside(task.folder / CONFIG, launch.text)
    write_aside(task.folder / TASK, to_json(task))
    _check(task.folder / CONFIG, launch)
    command = _command(task.folder, launch)
    for rank in range(1, launch.machines):
        others = [*command[:5], "--machine_rank", str(rank), *command[5:]]
        say(f"On machine {rank}, now: {shlex.join(others)}")
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8", errors="replace",
        env=os.environ | {WATCHED: "1"},
    )  # fmt: skip
    try:
        return _follow(process, launch, hooks, say)
    finally:
        _end(process)


def _check(file: Path, launch: Launch) -> None:
    """Let accelerate read its config before anything is started."""
    from accelerate.commands.config.config_args import load_config_from_file

    try:
        load_config_from_file(str(file))
    except (ValueError, TypeError) as error:
        raise HoneError(
            f"accelerate cannot read the launch config {launch.name}.", f"{error}.", "Correct the file."
        ) from error


def _command(folder: Path, launch: Launch) -> list[str]:
    words = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(folder / CONFIG)]
    words += ["--module", "training.launch.rank", str(folder / TASK)]
    return [*words, "--sharded"] if launch.sharded else words


def _follow(
    process: "subprocess.Popen[str]", launch: Launch, hooks: "Hooks", say: Callable[[str], None]
) -> Trained:
    """Pass on what the first process says, until it is done. Its other lines go to the log as they are."""
    assert process.stdout is not None
    trained = None
    for line in process.stdout:
        match heard(line):
            case ["step", step, total]:
                hooks.on_step(step, total)
            case ["metrics", step, found]:
                hooks.on_metrics(step, found)
            case ["reference", done, total]:
                hooks.on_reference(done, total)
            case ["size", numbers, of]:
                hooks.on_size(numbers, of)
            case ["warning", why]:
                hooks.on_warning(why)
            case ["say", text]:
                say(text)
            case ["failed", what, why, todo]:
                raise HoneError(what, why, todo)
            case ["full disc"]:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            case ["trained", folder, peak]:
                trained = Trained(Path(folder), peak)
            case _:
                sys.stdout.write(line)
                sys.stdout.flush()
    process.wait()
    if trained is None:  # once it is told, all is written: how they ended then does not matter
        raise HoneError(
            f"One of the {launch.processes} processes ended before the training did.",
            "It was killed, or it failed, and the others were ended with it.",
            "The run's log has what they said; it can be resumed from its last checkpoint.",
        )
    return trained


def _end(process: "subprocess.Popen[str]") -> None:
    """End the launcher and every process under it."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.close()  # which each of them hears, should this be interrupted, or the launcher be gone
    for one in _tree(process.pid):
        with suppress(psutil.NoSuchProcess):
            one.kill()
    process.wait()
    process.stdout.close()


def _tree(pid: int) -> list[psutil.Process]:
    try:
        top = psutil.Process(pid)
        return [top, *top.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []
