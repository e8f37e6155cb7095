"""Configs of accelerate, by name or by path, and what of training they allow. Knows no accelerate, no torch.

Only what Hone must know beforehand is read here: how many processes, on what, and whether each holds the
whole model. Everything else is accelerate's, which reads the same file when the processes are started.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from feedback.errors import HoneError, NotFoundError
from training import run_order
from training.recipes import Recipe, why_no_yaml

FOLDER = Path(__file__).parent
KINDS = ("MULTI_GPU", "FSDP", "DEEPSPEED")
SHARDED_METHODS = ("sft", "dpo", "kto")
SHARDED_FAMILIES = ("lora", "rslora")


@dataclass(frozen=True)
class Launch:
    """One config. `kind`: one of KINDS. `processes`: on all machines together. `zero`: DeepSpeed's stage; 0:
    without DeepSpeed. `text`: the whole file.
    """

    name: str
    kind: str
    processes: int
    machines: int
    on_cpu: bool
    zero: int
    text: str

    @property
    def sharded(self) -> bool:
        """Whether each process holds a part of the weights only."""
        return self.kind == "FSDP" or self.zero == 3

    @property
    def here(self) -> int:
        """Processes on this machine."""
        return self.processes // self.machines


def names() -> list[str]:
    """The shipped configs."""
    return sorted(file.stem for file in FOLDER.glob("*.yaml"))


def load(name_or_file: str) -> Launch:
    """A shipped config by name, or one of your own by path. NotFoundError when it is neither."""
    if name_or_file in names():
        return read(name_or_file, (FOLDER / f"{name_or_file}.yaml").read_text(encoding="utf-8"))
    if (file := Path(name_or_file)).suffix in (".yaml", ".yml") and file.is_file():
        try:
            return read(file.stem, file.read_text(encoding="utf-8"))
        except UnicodeDecodeError as error:
            raise _no_yaml(file.stem, error) from error
    raise NotFoundError(
        f"There is no launch config {name_or_file!r}.",
        f"There are {', '.join(names())}.",
        "Name one of them, or a .yaml file of accelerate's.",
    )


def read(name: str, text: str) -> Launch:
    """A config from its text. HoneError where Hone cannot start what it asks for."""
    told = _mapping(name, text)
    kind, processes = told.get("distributed_type"), told.get("num_processes")
    if kind not in KINDS:
        raise _unusable(name, f"Its distributed_type is {kind}; Hone starts {', '.join(KINDS)}")
    machines = told.get("num_machines", 1)
    if not isinstance(processes, int) or processes < 2:
        raise _unusable(name, f"Its num_processes is {processes}, and launching is for 2 or more")
    if not isinstance(machines, int) or machines < 1 or processes % machines:
        raise _unusable(name, f"It puts {processes} processes on {machines} machines, which does not divide")
    on_cpu = bool(told.get("use_cpu", False))
    if on_cpu and kind != "MULTI_GPU":
        raise _unusable(name, f"{kind} computes on GPUs; on CPUs Hone starts MULTI_GPU with use_cpu: true")
    zero = int((told.get("deepspeed_config") or {}).get("zero_stage", 2)) if kind == "DEEPSPEED" else 0
    return Launch(name, kind, processes, machines, on_cpu, zero, text)


def _mapping(name: str, text: str) -> dict[str, Any]:
    try:
        told = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise _no_yaml(name, error) from error
    if not isinstance(told, dict):
        raise _unusable(name, "It is not a list of settings")
    return told


def _no_yaml(name: str, error: yaml.YAMLError | UnicodeDecodeError) -> HoneError:
    return HoneError(f"The launch config {name} is not YAML.", why_no_yaml(error), "Correct the file.")


def _unusable(name: str, why: str) -> HoneError:
    return HoneError(
        f"The launch config {name} cannot be used.", f"{why}.", "Correct the file, or take another."
    )


def check(launch: Launch, recipe: Recipe, measured: bool) -> None:
    """HoneError where this recipe cannot be trained by these processes to the curve of one process.

    `measured`: on what of its data is held out, before and after, as a run on a dataset is.
    """
    if recipe.method == "kto":
        _check_kto(launch, recipe)
    if recipe.method == "classify":
        _check_classify(launch, recipe)
    try:
        own, _ = run_order.share_of(recipe, launch.processes)
    except ValueError as error:
        raise HoneError(
            f"A step of batch {recipe.batch} x accumulation {recipe.accumulation} cannot be divided among"
            f" {launch.processes} processes.",
            "The recipe's step is the step of all processes together.",
            f"Make it a multiple of {launch.processes}: --set accumulation={launch.processes}.",
        ) from error
    if recipe.method == "dpo" and "sft" in recipe.losses and own < recipe.batch:
        raise HoneError(
            f"A batch of {recipe.batch} cannot be divided among {launch.processes} processes.",
            "The loss sft is a mean over the tokens of a whole batch, and parts of one give another mean.",
            f"Give each process whole batches: --set accumulation={launch.processes}.",
        )
    if launch.sharded and measured:
        raise HoneError(
            f"A run on a dataset cannot be trained under {launch.name}.",
            "What is held out is measured by one process, and here each holds a part of the weights.",
            "Take ddp-8 or deepspeed-zero2.",
        )
    if launch.sharded and recipe.method not in SHARDED_METHODS:
        raise HoneError(
            f"{recipe.method} cannot be trained under {launch.name}.",
            "It computes on whole weights between steps, and here each process holds a part of them.",
            "Take ddp-8 or deepspeed-zero2.",
        )
    if launch.sharded and recipe.adapt not in SHARDED_FAMILIES:
        raise HoneError(
            f"{recipe.adapt} cannot be trained under {launch.name}.",
            "There Hone can only put together again what PEFT's LoRA trained in parts.",
            f"Take --adapt {' or '.join(SHARDED_FAMILIES)}, or ddp-8 or deepspeed-zero2.",
        )


def _check_kto(launch: Launch, recipe: Recipe) -> None:
    """HoneError where not each process gets a part of every batch. TRL takes no part of one answer."""
    batch = max(2, math.ceil(recipe.batch / launch.processes)) * launch.processes
    if recipe.batch == batch:
        return
    accumulation = max(1, round(recipe.batch * recipe.accumulation / batch))
    raise HoneError(
        f"A batch of {recipe.batch} cannot be divided among {launch.processes} processes.",
        "KTO's KL is a mean over one batch, of which each process takes a part of 2 answers or more.",
        f"Take --set batch={batch} --set accumulation={accumulation}; the KL is then over {batch} answers.",
    )


def _check_classify(launch: Launch, recipe: Recipe) -> None:
    """HoneError where there are no steps to share, or where more than a batch would have to be shared out."""
    if recipe.adapt == "frozen":
        raise HoneError(
            "A classifier on a frozen trunk is trained by one process.",
            "Its texts are read once and its head is fitted at once, without steps to share.",
            "Leave --launch out, or take --adapt lora or full.",
        )
    if launch.kind != "MULTI_GPU":
        raise HoneError(
            f"classify cannot be trained under {launch.name}.",
            f"{launch.kind} shares out weights or moments, and its steps are taken on whole ones.",
            "Take ddp-8.",
        )


def check_quantisation(launch: Launch, quantization: str) -> None:
    """HoneError for a quantised base whose weights would have to be cut into parts."""
    if launch.sharded and quantization != "none":
        raise HoneError(
            f"A base in {quantization} cannot be trained under {launch.name}.",
            "Its packed weights cannot be cut into parts here.",
            "Take --quantize none, or ddp-8 or deepspeed-zero2.",
        )
