"""Measures a plan: some steps of it in a child process, on the model, or on random weights of its shape.

Adapters and classifiers go through Hone's trainers; full training of a language model through a plain loop
with transformers' own loss and torch's optimiser, which is what the notes' figures are about. Run as
`python -m training.memory.measure` it is the child.
"""

import gc
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from assistant.base import Base, load_model
from feedback.errors import HoneError
from feedback.home import Home
from training.memory.heap import FEW_KERNELS
from training.memory.peak import peak_bytes
from training.memory.plan import BITS, Plan
from training.memory.shape import GPT2, folder_of
from training.methods import METHODS

STEPS = 2
"""The first makes the optimiser's states, the second meets them."""
ROOT = Path(__file__).resolve().parent.parent.parent
DTYPES = {"fp32": "float32", "bf16": "bfloat16", "mixed": "bfloat16"}


@dataclass(frozen=True)
class Task:
    """What the child is told. `folder`: holds config.json; None for a published GPT-2 size."""

    model: str
    folder: str | None
    method: str
    adapt: str
    rank: int
    precision: str
    optimiser: str
    accumulation: int
    checkpointing: bool
    batch: int
    length: int
    prompt: int
    answers: int
    texts: int
    trunk: str
    device: str


def measured_bytes(home: Home, model: str, plan: Plan) -> int:
    """The peak of the child. HoneError for plans that this does not run, and for a child that died."""
    for reason in _uncovered(plan):
        raise HoneError("This plan cannot be measured.", reason, "Leave --measure out.")
    folder = None if model in GPT2 else str(folder_of(home, model))
    names = {field.name for field in fields(Task)} - {"model", "folder"}
    told = {"model": model, "folder": folder} | {name: getattr(plan, name) for name in names}
    quiet = {"TQDM_DISABLE": "1", "HF_HUB_OFFLINE": "1", "HF_DATASETS_DISABLE_PROGRESS_BARS": "1"}
    environment = {**os.environ, **quiet, **FEW_KERNELS, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-m", "training.memory.measure", json.dumps(told)],
        capture_output=True, text=True, check=False, cwd=ROOT, env=environment,
    )  # fmt: skip
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise HoneError("The measurement ended early.", last, "Choose a smaller batch or length.")
    return int(json.loads(done.stdout.splitlines()[-1])["peak_bytes"])


def _uncovered(plan: Plan) -> list[str]:
    found = []
    plain = plan.adapt == "full" and plan.method != "classify"
    if plan.method not in (("sft", "clm") if plain else METHODS):
        found.append(f"{plan.method} with {plan.adapt} is only estimated.")
    if plan.optimiser not in ("adamw", "sgd") or (plan.precision == "mixed" and plan.method != "classify"):
        found.append(f"{plan.precision} with {plan.optimiser} is only estimated.")
    if not plain and (plan.checkpointing or plan.optimiser != "adamw"):
        found.append("Hone's trainers run with adamw and without checkpointing.")
    return found


def _measure(task: Task) -> int:
    """Train for some steps in this process; its peak in bytes."""
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["HF_DATASETS_CACHE"] = scratch
        base = _base(task, Path(scratch))
        from training import shared_prompts  # noqa: F401 - a worker has TRL in memory, whatever it trains

        if task.method == "classify":
            _classifier_steps(base, task, Path(scratch))
        elif task.adapt == "full":
            _plain_steps(load_model(base), task)
        else:
            _hones_steps(base, task, Path(scratch))
    return peak_bytes(task.device)


def _base(task: Task, scratch: Path) -> Base:
    """The model in the task's folder, or one of its shape with random weights where it holds none."""
    folder = Path(task.folder) if task.folder else scratch
    dtype, how = DTYPES[task.precision], BITS.get(task.adapt, task.trunk)
    if not any(folder.glob("*.safetensors")):
        _write_random(folder, task, scratch / "random", dtype)
        folder = scratch / "random"
    return Base("measured", "the model", folder, dtype, how, task.device, "")


def _write_random(config_in: Path, task: Task, folder: Path, dtype: str) -> None:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    if task.folder is None:
        sizes: dict[str, Any] = dict(GPT2[task.model])
        config: Any = AutoConfig.for_model(sizes.pop("model_type"), **sizes)
    else:
        config = AutoConfig.from_pretrained(config_in)
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config, dtype=getattr(torch, dtype)).save_pretrained(folder)


def _hones_steps(base: Base, task: Task, scratch: Path) -> None:
    """Steps as a run of Hone's takes them."""
    from training import trainers
    from training.data import Row
    from training.recipes import Recipe
    from training.reward_model import train_reward
    from training.rlhf import train_rlhf

    model = load_model(base)

    def ids(begin: int, count: int) -> tuple[int, ...]:
        return tuple((begin + 7 * at) % model.config.vocab_size for at in range(count))

    answer = task.length - task.prompt
    reads = METHODS[task.method].reads
    rows = [
        Row(
            ids(n, task.prompt),
            () if reads == "prompts" else ids(n + 1, answer),
            ids(n + 2, answer) if reads == "pairs" else (),
            liked=n % 2 == 0,
        )
        for n in range(task.batch * task.accumulation)
    ]
    recipe = Recipe(
        method=task.method, batch=task.batch, accumulation=task.accumulation, max_length=task.length,
        lora_rank=task.rank, max_steps=STEPS, save_every=STEPS + 1, answers=task.answers,
        answer_tokens=answer, judge_every=STEPS + 1,
    )  # fmt: skip
    job = trainers.Job(model, _tokenizer(), rows, recipe, scratch / "run", None, task.device)
    train: dict[str, Callable[[trainers.Job, trainers.Hooks], Any]] = {
        "sft": trainers.train_sft,
        "clm": trainers.train_sft,
        "dpo": trainers.train_dpo,
        "kto": trainers.train_kto,
        "reward": train_reward,
        "rlhf": lambda job, hooks: train_rlhf(job, hooks, _told(job, base, scratch)),
    }
    train[task.method](job, trainers.Hooks(lambda *_: None, lambda *_: None, lambda *_: None))


def _classifier_steps(base: Base, task: Task, scratch: Path) -> None:
    """A head fitted on states that a frozen trunk gives, a few of them for all, or steps of a head with its
    trunk.
    """
    import torch

    from training.classify import model as trunks
    from training.classify import probe, tuning
    from training.recipes import Recipe

    model = trunks.load(base)
    size = int(model.config.vocab_size)
    count = STEPS * max(2, trunks.READ_TOKENS // task.length) if task.adapt == "frozen" else task.batch
    rows = [[(begin + 7 * at) % size for at in range(task.length)] for begin in range(count)]
    if task.adapt == "frozen":
        places = torch.arange(task.texts) % count
        states = trunks.all_states(model, rows)[places]
        probe.fit(probe.Labelled(states, places % 2), 2, probe.PENALTIES[0])
        return
    labels = torch.arange(count) % 2  # an epoch is a step: the second meets what the best so far is kept in
    recipe = Recipe(
        method="classify", adapt=task.adapt if task.adapt == "full" else "lora", lora_rank=task.rank,
        batch=task.batch, accumulation=1, max_length=task.length, epochs=STEPS, save_every=STEPS + 1,
    )  # fmt: skip
    parts = tuning.Rows(rows, labels, rows, labels)
    start = probe.Head(torch.zeros(2, trunks.width(model)), torch.zeros(2), 0.0)
    learnt = tuning.Task(parts, recipe, base.dtype, scratch / "run")
    silent = tuning.Hooks(lambda *_: None, lambda *_: None, lambda *_: None)
    tuning.tune(tuning.adapted(model, recipe), start, learnt, silent)


def _told(job: Any, base: Base, scratch: Path) -> Any:
    """A reward model that has learnt nothing, and answers that are not scored elsewhere."""
    from peft import LoraConfig, get_peft_model

    from training import answering
    from training.reward_model import RewardModel, fresh
    from training.rlhf import Told

    made = fresh(load_model(base), job.tokenizer, 0)
    settings = LoraConfig(r=job.recipe.lora_rank, target_modules="all-linear", task_type="SEQ_CLS")
    get_peft_model(made, settings).save_pretrained(str(scratch / "head"))
    del made
    gc.collect()
    model = RewardModel(load_model(base), job.tokenizer, scratch / "head")
    end_id = job.tokenizer.eos_token_id
    return Told(model.score, answering.writer(job, base, end_id), (), (), end_id, lambda _: None)


def _tokenizer() -> Any:
    """One of two words: trainers ask for one, and the rows are numbers already."""
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    inner = Tokenizer(models.WordLevel({"a": 0, "b": 1}, unk_token="a"))
    return PreTrainedTokenizerFast(tokenizer_object=inner, unk_token="a", eos_token="b", pad_token="b")


def _plain_steps(model: Any, task: Task) -> None:
    """Steps in which all weights are trained on all tokens."""
    import torch

    if task.checkpointing:
        model.gradient_checkpointing_enable()
    kind = {"adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}[task.optimiser]
    optimiser = kind(model.parameters(), lr=1e-5)
    model.train()
    ids = torch.arange(task.batch * task.length, device=task.device).view(task.batch, task.length)
    ids %= model.config.vocab_size
    for _ in range(STEPS):
        for _ in range(task.accumulation):
            model(input_ids=ids, labels=ids, use_cache=False).loss.backward()
        optimiser.step()
        optimiser.zero_grad()


if __name__ == "__main__":
    found = _measure(Task(**json.loads(sys.argv[1])))
    sys.stdout.write("\n" + json.dumps({"peak_bytes": found}) + "\n")
