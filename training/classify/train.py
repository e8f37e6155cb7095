"""Training a classifier, from labelled texts to a finished folder. Knows no store.

What is measured is what is served: the folder's files are written first, opened as `hone classify` opens
them, and measured then. The test data choose nothing.
"""

from __future__ import annotations

import gc
import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from assistant import base as bases
from assistant.base import Base
from assistant.checksums import sha256_of
from feedback import canonical
from feedback.datasets import Example, Labelled
from feedback.ids import RunId, new_id
from feedback.store import now
from feedback.whole_files import write_aside
from training import trainers
from training.classify import choosing, heads, measure, probe, report, serve, tuning
from training.classify import model as trunks
from training.classify import wording as wordings
from training.classify.choosing import Choice
from training.classify.data import Split, split
from training.classify.heads import HeadInfo
from training.classify.measure import Floats, Measured
from training.classify.probe import Head
from training.classify.serve import Classifier
from training.classify.tuning import Hooks
from training.classify.wording import Reading, Wording
from training.memory import heap
from training.recipes import Recipe

CHOSEN = "wording.json"
UNCHOSEN = Wording("", "{{ text }}", False)
Together = Callable[[tuning.Rows, Head, Hooks], None]
"""Tunes by several processes, beginning with that head; what they came to is the last checkpoint."""


@dataclass(frozen=True)
class Job:
    """What to train. `folder` is the job's own: a killed job goes on there when it is started again.
    `start_adapter`: of the version that it starts from; None: the base. `hashes`: of the data, by part.
    `together`: what tunes it instead of this process.
    """

    name: str
    base: Base
    recipe: Recipe
    data: Labelled
    test: Labelled | None
    folder: Path
    start_adapter: Path | None = None
    hashes: Mapping[str, str] = field(default_factory=dict)
    run_id: RunId | None = None
    together: Together | None = None

    @property
    def work(self) -> Path:
        """What it leaves until it is done."""
        return self.folder / "checkpoints"


@dataclass(frozen=True)
class Figures:
    """What came out. `on`: `test`, or `calibration` where no test data were given, which flatters: that part
    chose the wording, the epoch and the temperature. `epoch` 0: nothing was trained in epochs. `seconds`:
    until the files were written, by the process that ended the job.
    """

    on: str
    measured: Measured
    calibration: Measured
    trainable_parameters: int
    epoch: int
    wording_losses: dict[str, float]
    seconds: float


def _adapter_sha256(folder: Path | None) -> str | None:
    return sha256_of(folder / Path(heads.ADAPTER_FILES[1]).name) if folder else None


def train(job: Job, hooks: Hooks) -> Path:
    """Train, or go on training; returns the finished folder. Raises HoneError."""
    started = time.perf_counter()
    parts = split(job.data.examples, job.recipe.calibration_share, job.test.examples if job.test else ())
    hooks.say(parts.sentence)
    if job.test is None:
        hooks.say("No test data: the figures come from the calibration part, which flatters.")
    job.work.mkdir(parents=True, exist_ok=True)
    made = _made(job, parts, hooks)
    _let_go()
    seconds = time.perf_counter() - started
    hooks.say("It is opened as it will be served, and measured.")
    return _measured(job, made, parts, hooks, seconds)


@dataclass(frozen=True)
class _Made:
    """The files of a classifier without its manifest, and how they came about. `parameters`: how many were
    trained.
    """

    folder: Path
    info: HeadInfo
    losses: dict[str, float]
    parameters: int
    fitted: _Fitted


@dataclass(frozen=True)
class _Fitted:
    """A head, the epoch that it is of (0: none), and the steps that were taken."""

    head: Head
    epoch: int
    steps: int


def _made(job: Job, parts: Split, hooks: Hooks) -> _Made:
    """All that needs the trunk in memory; it is let go at the end."""
    model = _trunk(job)
    template, tokenizer = bases.chat_template(job.base), bases.load_tokenizer(job.base)
    reading = Reading(UNCHOSEN, job.data.labels, template, tokenizer, job.recipe.max_length)
    choice = _choice(job, model, reading, parts, hooks)
    hooks.say(choice.sentence)
    reading = wordings.with_wording(reading, choice.wording)
    _tell_cuts(reading, parts, hooks)
    folder = job.work / "head"
    heads.discard(folder)
    folder.mkdir()
    counted: list[int] = []

    def on_size(trained: int, of: int) -> None:
        counted.append(trained)
        hooks.on_size(trained, of)

    counting = replace(hooks, on_size=on_size)
    if job.recipe.adapt == "frozen":
        fitted = _fitted(job, model, reading, parts, counting)
        _copy_adapter(job, folder)
    elif job.together is None:
        fitted = _tuned(job, model, choice.head, _rows(reading, parts), counting, folder)
    else:
        del model  # the others want its room
        fitted = _tuned_together(job, choice.head, _rows(reading, parts), counting, folder)
    _write_head(fitted.head, folder)
    return _Made(folder, _info(job, reading), choice.losses, counted[0], fitted)


def _trunk(job: Job) -> Any:
    return trunks.load(job.base, job.start_adapter, trainable=job.recipe.adapt == "lora")


def _let_go() -> None:
    """Give back the memory of a model that no name holds any more."""
    import torch

    gc.collect()  # layers that quick_lora computes hold themselves
    heap.give_back()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _fitted(job: Job, model: Any, reading: Reading, parts: Split, hooks: Hooks) -> _Fitted:
    """The head alone, in one step: the least of a convex loss."""
    width, labels = trunks.width(model), len(job.data.labels)
    head_size = labels * (width + 1)
    hooks.on_size(head_size, trainers.sizes(model)[1] + head_size)
    hooks.on_step(0, 1)
    train, held_out = (
        choosing.labelled(model, reading, part, hooks.say) for part in (parts.train, parts.calibration)
    )
    head = probe.best(train, held_out, labels)
    hooks.say(f"The head is fitted, with L2 {head.penalty:g}.")
    hooks.on_metrics(1, {"loss": probe.loss_of(head, train)} | tuning.calibration_figures(head, held_out))
    hooks.on_step(1, 1)
    return _Fitted(head, 0, 1)


def _tuned(job: Job, model: Any, start: Head, rows: tuning.Rows, hooks: Hooks, folder: Path) -> _Fitted:
    """The head with a LoRA, or with the whole trunk, which are written to `folder`."""
    hooks.fits(rows.train)
    model = tuning.adapted(model, job.recipe)
    tuned = tuning.tune(model, start, _task(job, rows), hooks)
    return _written(job, model, tuned, hooks, folder)


def _tuned_together(job: Job, start: Head, rows: tuning.Rows, hooks: Hooks, folder: Path) -> _Fitted:
    """The same by several processes: what they came to is taken up from their last checkpoint."""
    assert job.together is not None
    _let_go()
    hooks.fits(rows.train)
    job.together(rows, start, hooks)
    model = tuning.adapted(_trunk(job), job.recipe)
    tuned = tuning.best_of(model, start, _task(job, rows))
    return _written(job, model, tuned, hooks, folder)


def _task(job: Job, rows: tuning.Rows) -> tuning.Task:
    return tuning.Task(rows, job.recipe, job.base.dtype, job.folder)


def _written(job: Job, model: Any, tuned: tuning.Tuned, hooks: Hooks, folder: Path) -> _Fitted:
    """What was tuned, its trunk in `folder`."""
    hooks.say(f"Epoch {tuned.epoch} of {job.recipe.epochs:g} is the best on the calibration part.")
    _write_trunk(model, folder, job)
    return _Fitted(tuned.head, tuned.epoch, tuned.steps)


def _copy_adapter(job: Job, folder: Path) -> None:
    """The adapter that the trunk was read with, where there was one."""
    if job.start_adapter is None:
        return
    (folder / heads.ADAPTER).mkdir()
    for file in heads.ADAPTER_FILES:
        shutil.copyfile(job.start_adapter / Path(file).name, folder / file)


def _choice(job: Job, model: Any, reading: Reading, parts: Split, hooks: Hooks) -> Choice:
    """The wording and its first head. What an earlier attempt chose stands."""
    options = wordings.chosen(job.recipe.wording, job.data.question, len(job.data.labels))
    file = job.work / CHOSEN
    before = json.loads(file.read_text("utf-8")) if file.is_file() else None
    if before:
        options = tuple(option for option in options if option.name == before["name"])
    choice = choosing.choose(model, reading, options, parts, hooks.say)
    if before:
        return replace(choice, losses=before["losses"])
    write_aside(file, json.dumps({"name": choice.wording.name, "losses": choice.losses}))
    return choice


def _tell_cuts(reading: Reading, parts: Split, hooks: Hooks) -> None:
    cut = sum(reading.is_cut(one.text) for one in (*parts.train, *parts.calibration))
    if cut:
        hooks.say(f"{cut} texts lose their end: they are longer than {reading.max_length} tokens.")


def _rows(reading: Reading, parts: Split) -> tuning.Rows:
    train, held_out = (
        wordings.rows(reading, [one.text for one in part]) for part in (parts.train, parts.calibration)
    )
    return tuning.Rows(
        train,
        choosing.numbers(parts.train, reading.labels),
        held_out,
        choosing.numbers(parts.calibration, reading.labels),
    )


def _write_trunk(model: Any, folder: Path, job: Job) -> None:
    """The adapter as PEFT writes it, or all weights of the trunk, in the numbers of the base."""
    if job.recipe.adapt == "lora":
        model.save_pretrained(str(folder / heads.ADAPTER), selected_adapters=["default"])
        for file in (folder / heads.ADAPTER).iterdir():
            if f"{heads.ADAPTER}/{file.name}" not in heads.ADAPTER_FILES:
                file.unlink()  # a page for the Hub
        return
    import torch
    from safetensors.torch import save_file

    weights = trunks.causal_of(model).base_model.state_dict()
    served = getattr(torch, job.base.dtype)
    save_file(
        {name: part.detach().cpu().to(served).contiguous() for name, part in weights.items()},
        folder / heads.TRUNK,
    )


def _write_head(head: Head, folder: Path) -> None:
    from safetensors.torch import save_file

    save_file({"weight": head.weight.contiguous(), "bias": head.bias.contiguous()}, folder / heads.HEAD)


def _info(job: Job, reading: Reading) -> HeadInfo:
    """The manifest, as far as it is known before anything is measured."""
    return HeadInfo(
        id=new_id("h"),
        name=job.name,
        method=job.recipe.adapt,
        **job.recipe.base.weights,
        base_id=job.base.id,
        base_adapter_sha256=_adapter_sha256(job.start_adapter),
        chat_template_sha256=reading.template.sha256,
        labels=reading.labels,
        wording=reading.wording,
        max_length=reading.max_length,
        temperature=1.0,
        data=dict(job.hashes),
        settings=asdict(job.recipe),
        metrics={},
        created_at=now(),
        run_id=job.run_id,
    )


def _measured(job: Job, made: _Made, parts: Split, hooks: Hooks, seconds: float) -> Path:
    """Open what was written, fit its temperature, measure it, and finish the folder."""
    opened = serve.load_from(made.folder, made.info, job.base)
    temperature = measure.fitted_temperature(*_logits(opened, parts.calibration))
    calibration = _scored(opened, parts.calibration, temperature)
    test = _scored(opened, job.test.examples, temperature) if job.test else calibration
    figures = Figures(
        "test" if job.test else "calibration", test.measured, calibration.measured, made.parameters,
        made.fitted.epoch, made.losses, seconds,
    )  # fmt: skip
    hooks.on_metrics(
        made.fitted.steps,
        {
            "final_accuracy": test.measured.accuracy.value,
            "final_macro_f1": test.measured.macro_f1,
            "final_ece": test.measured.after.ece,
            "temperature": temperature,
        },
    )
    info = replace(made.info, temperature=temperature, metrics=canonical.plain(figures))
    page = report.page(info, figures.on, test.measured, test.mistakes)
    (made.folder / heads.REPORT).write_text(page, "utf-8")
    heads.finish(made.folder, info)
    return made.folder


@dataclass(frozen=True)
class _Scored:
    measured: Measured
    mistakes: tuple[report.Mistake, ...]


def _scored(opened: Classifier, examples: Sequence[Example], temperature: float) -> _Scored:
    logits, gold = _logits(opened, examples)
    names = opened.info.labels
    shares = measure.probabilities(logits, temperature)
    wrong = [
        report.Mistake(one.text, one.label, names[int(share.argmax())], float(share.max()))
        for one, share in zip(examples, shares, strict=True)
        if names[int(share.argmax())] != one.label
    ]
    return _Scored(measure.measured(logits, gold, names, temperature), tuple(wrong))


def _logits(opened: Classifier, examples: Sequence[Example]) -> tuple[Floats, measure.Numbers]:
    """(N, K) and (N,)."""
    gold = choosing.numbers(examples, opened.info.labels).numpy()
    return opened.logits([one.text for one in examples]), gold
