"""One run's training from its rows in the store to a finished adapter: the store's side of the trainers.

Reads the snapshot or the dataset, and makes a task of it and of what the method needs beside it (the
champion's adapter, a reward model), which this process computes, or several do. Classifiers have a trainer
of their own (training.classify). Writes nothing to the store but a run's memory. torch and TRL come in when a
run trains.
"""

import gc
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from assistant import base as bases
from assistant import registry
from feedback import datasets, snapshots, splits
from feedback.datasets import Dataset
from feedback.errors import HoneError
from feedback.home import Home
from feedback.snapshots import Snapshot
from feedback.store import Store
from prompts import library
from prompts.plain import ZERO_SHOT
from training import adaptations, data, heads, judge, reward_report, rounds, rules, run_memory, texts
from training import task as tasks
from training.answering import hindrance
from training.classify import heads as classifiers
from training.classify.heads import HeadInfo
from training.data import Rendering, Row, Rows
from training.launch import launcher
from training.launch.configs import Launch
from training.memory import heap
from training.memory.peak import peak_bytes
from training.methods import METHODS
from training.online import Online
from training.recipes import Recipe
from training.run_order import share_of
from training.runs import Run
from training.task import Task, Trained

if TYPE_CHECKING:
    from assistant.engines.reply import Vocabulary
    from training.classify import tuning
    from training.classify.probe import Head
    from training.classify.train import Job as ClassifierJob
    from training.classify.train import Together
    from training.trainers import Hooks


@dataclass(frozen=True)
class Lesson:
    """A run, and what it trains from. `say` writes a line of its log."""

    store: Store
    home: Home
    run: Run
    base: bases.Base
    started_from: registry.ModelVersion
    folder: Path
    say: Callable[[str], None]


def train(lesson: Lesson, hooks: "Hooks") -> Trained:
    """Train a model version, or go on training one."""
    if lesson.run.dataset_id is not None:
        return _compute(lesson, _dataset_task(lesson), hooks)
    rendering, rows = _read(lesson)
    task = _task(lesson, rows.rows)
    if lesson.run.method == "rlhf":
        if (blind := judge.too_few(len(rows.judge))) is not None:
            hooks.on_warning(blind)
        return _compute(lesson, _online(lesson, task, rendering, rows), hooks)
    if (one_sided := data.one_sided(rows.rows)) is not None:
        hooks.on_warning(one_sided)
    if lesson.run.method in ("dpo", "kto"):
        if lesson.run.crew is None or not lesson.run.crew.sharded:
            lesson.say("The reference reads every answer once, then training begins.")
        said_by = f"{lesson.base.id}/{lesson.started_from.adapter_sha256 or 'base'}/{task.base.device}"
        task = replace(task, references=_references(lesson), said_by=said_by)
    return _compute(lesson, task, hooks)


def train_head(lesson: Lesson, hooks: "Hooks") -> heads.Made:
    """Train a reward model and measure it on the snapshot's held-out pairs."""
    from training import reward_model

    rendering, rows = _read(lesson)
    if lesson.started_from.adapter_dir is not None:
        lesson.say(f"A reward model starts from the base, not from {lesson.started_from.name}.")
    trained = _compute(lesson, _task(lesson, rows.rows), hooks)
    adapter = trained.folder
    lesson.say(run_memory.measured(lesson.store, lesson.run.id, trained.peak_bytes))
    gc.collect()  # the trainer and its model hold each other
    heap.give_back()
    lesson.say("The reward model reads the held-out pairs.")
    tokenizer = bases.load_tokenizer(lesson.base)
    found = reward_model.RewardModel(bases.load_model(lesson.base), tokenizer, adapter)
    held_out = data.held_out(lesson.store, _snapshot(lesson).id, lesson.run.recipe, rendering)
    if not held_out:
        lesson.say("No pair is held out, so nothing is known of how it does on new ones.")
        return heads.Made(adapter, None)
    scores = found.score([(row.prompt_ids, row.chosen_ids) for row in held_out])
    others = found.score([(row.prompt_ids, row.rejected_ids) for row in held_out])
    report = reward_report.report(
        [
            reward_report.Scored(one, other, len(row.chosen_ids), len(row.rejected_ids))
            for row, one, other in zip(held_out, scores, others, strict=True)
        ]
    )
    for sentence in report.sentences():
        lesson.say(sentence)
    return heads.Made(adapter, report)


def train_classifier(lesson: Lesson, hooks: "Hooks") -> HeadInfo:
    """Train a classifier and measure it, keep it in the home; one that a killed process kept stands."""
    from training.classify import train as classifying
    from training.classify.tuning import Hooks as ClassifierHooks

    run, recipe = lesson.run, lesson.run.recipe
    if (kept := classifiers.of_run(lesson.home, run.id)) is not None:
        return kept
    base = lesson.base if run.crew is None else launcher.base_for(run.crew, lesson.base)
    learnt = datasets.get(lesson.store, str(run.dataset_id))
    tested = datasets.get(lesson.store, run.test_dataset_id) if run.test_dataset_id else None
    name = recipe.called or f"{Path(learnt.name).stem}-{recipe.adapt}"
    job = classifying.Job(
        name=classifiers.free_name(lesson.home, name),
        base=base,
        recipe=recipe,
        data=datasets.labelled(lesson.home, learnt),
        test=datasets.labelled(lesson.home, tested) if tested else None,
        folder=lesson.folder,
        start_adapter=_checked(lesson),
        hashes={"train": learnt.sha256} | ({"test": tested.sha256} if tested else {}),
        run_id=run.id,
    )
    if run.crew is not None:
        job = replace(job, together=_tuned_by(run.crew, lesson, job, hooks))

    def expect(needs: run_memory.Needs) -> None:
        run_memory.expected(lesson.store, run.id, needs)
        lesson.say(needs.sentence)

    def fits(ids: Sequence[Sequence[int]]) -> None:
        expect(run_memory.check(base, recipe, [Row(tuple(one), (), ()) for one in ids], run.crew))

    if recipe.adapt == "frozen":
        expect(run_memory.check_frozen(base, recipe, len(job.data.examples)))
    watched = ClassifierHooks(hooks.on_step, hooks.on_metrics, lesson.say, hooks.on_size, fits)
    made = classifying.train(job, watched)
    if run.crew is None:
        lesson.say(run_memory.measured(lesson.store, run.id, peak_bytes(base.device)))
    return classifiers.read(classifiers.keep(lesson.home, made, job.name))


def _tuned_by(crew: Launch, lesson: Lesson, job: "ClassifierJob", hooks: "Hooks") -> "Together":
    """How several processes tune a classifier; the peak is the first one's."""
    from training.classify import together

    def tune(rows: "tuning.Rows", start: "Head", watched: "tuning.Hooks") -> None:
        lesson.say(_shared_out(crew, lesson.run.recipe))
        counting = replace(hooks, on_size=watched.on_size)
        trained = launcher.train(together.handed(job, rows, start), crew, counting, lesson.say)
        lesson.say(run_memory.measured(lesson.store, lesson.run.id, trained.peak_bytes))

    return tune


@dataclass(frozen=True)
class _Read:
    """What a dataset gives a run: rows, those held out with the bytes they stand for, and both in words."""

    rows: tuple[Row, ...]
    held_out: tuple[Row, ...]
    held_out_bytes: int
    unseen: str
    sentence: str


def _dataset_task(lesson: Lesson) -> Task:
    """Training on text or answers; how well what is held out is predicted is measured before and after."""
    dataset = datasets.get(lesson.store, str(lesson.run.dataset_id))
    read = (_text if dataset.kind == "text" else _answers)(lesson, dataset)
    lesson.say(f"{dataset.name}: {read.sentence}")
    task = _task(lesson, read.rows)
    return replace(task, unseen=read.held_out, unseen_bytes=read.held_out_bytes, unseen_called=read.unseen)


def _text(lesson: Lesson, dataset: Dataset) -> _Read:
    """Blocks of text; the end is held out."""
    words, length = _words(lesson), lesson.run.recipe.max_length
    parts = texts.split(datasets.texts(lesson.home, dataset))
    rows, unseen = (
        texts.blocks(part, words.ids, words.end_id, length) for part in (parts.train, parts.held_out)
    )
    held_bytes = sum(len(document.encode()) for document in parts.held_out)
    sentence = f"{len(rows)} blocks of {length} tokens, {len(unseen)} held out."
    return _Read(rows, unseen, held_bytes, "The held-out end", sentence)


def _answers(lesson: Lesson, dataset: Dataset) -> _Read:
    """Answers by the strategy that chats use; prompts on the held-out side are measured on. HoneError where
    nothing is left.
    """
    words, recipe = _words(lesson), lesson.run.recipe
    strategy = library.production(lesson.store, ZERO_SHOT).strategy
    rendering = Rendering(bases.chat_template(lesson.base), strategy, words.ids, words.end_id)
    answered = datasets.answers(lesson.home, dataset)
    sides = splits.look(lesson.store, [one.split_key for one in answered])
    taught = data.teach(answered, sides, recipe, rendering)
    sentence = f"{taught.rows.sentence(recipe)} {len(taught.held_out)} held out to measure on."
    if not taught.rows.rows:
        raise HoneError(
            f"The dataset {dataset.id} leaves nothing to train on.",
            sentence,
            "Raise max_length, or give more.",
        )
    return _Read(taught.rows.rows, taught.held_out, taught.held_out_bytes, "Held-out answers", sentence)


def _words(lesson: Lesson) -> "Vocabulary":
    from assistant.engines.reply import vocabulary

    return vocabulary(bases.load_tokenizer(lesson.base), bases.chat_template(lesson.base), [])


def _snapshot(lesson: Lesson) -> Snapshot:
    return snapshots.get(lesson.store, str(lesson.run.snapshot_id))


def _read(lesson: Lesson) -> tuple[Rendering, Rows]:
    from training import trainers

    words, template = _words(lesson), bases.chat_template(lesson.base)
    snapshot = _snapshot(lesson)
    rendering = Rendering(template, data.strategy_of(lesson.store, snapshot), words.ids, words.end_id)
    makes_version = METHODS[lesson.run.method].makes == "version"  # a reward model begins anew each time
    learnt = rounds.learnt(lesson.store, lesson.started_from.id) if makes_version else frozenset()
    rows = data.prepare(lesson.store, snapshot, lesson.run.recipe, rendering, learnt)
    lesson.say(rows.sentence(lesson.run.recipe))
    if (last := trainers.last_checkpoint(lesson.folder)) is not None:
        lesson.say(f"Going on from {Path(last).name}.")
    return rendering, rows


def _task(lesson: Lesson, rows: tuple[Row, ...]) -> Task:
    """What is to be computed, once it is known to fit. HoneError where it cannot run here."""
    recipe, launch = lesson.run.recipe, lesson.run.crew
    start = _start(lesson) if METHODS[recipe.method].makes == "version" else None
    base = lesson.base if launch is None else launcher.base_for(launch, lesson.base)
    base = adaptations.base_for(recipe, base)
    if launch is not None:
        lesson.say(_shared_out(launch, recipe))
    if launch is not None and launch.sharded:
        lesson.say("Memory is not checked: the estimate knows whole weights only, and these are in parts.")
    else:
        needs = run_memory.check(base, recipe, rows, launch)
        run_memory.expected(lesson.store, lesson.run.id, needs)
        lesson.say(needs.sentence)
    return Task(base, recipe, rows, lesson.folder, start)


def _shared_out(launch: Launch, recipe: Recipe) -> str:
    """Who computes what, and what of our own is switched off for it."""
    batch, accumulation = share_of(recipe, launch.processes)
    step = f"{recipe.batch} x {recipe.accumulation}"
    most = "at most " * (batch * accumulation * launch.processes > recipe.batch * recipe.accumulation)
    said = f"{launch.processes} processes ({launch.name}): of each step of {step} examples, one takes"
    said += f" {most}{batch} x {accumulation}."
    if launch.sharded:
        said += (
            " Each holds a part of the weights, so prompts are not shared, LoRA is computed by PEFT, and the"
            " reference is asked at each step: Hone's own ways read whole weights."
        )
    return said


def _references(lesson: Lesson) -> Path | None:
    """Where what the reference says is kept; nowhere for processes that share no disc, or no weights."""
    launch = lesson.run.crew
    shared = launch is None or (launch.machines == 1 and not launch.sharded)
    return lesson.home.references if shared else None


def _compute(lesson: Lesson, task: Task, hooks: "Hooks") -> Trained:
    """In this process, or by those that the run asks for."""
    if lesson.run.crew is None:
        return tasks.train(task, hooks, lesson.say)
    return launcher.train(task, lesson.run.crew, hooks, lesson.say)


def _start(lesson: Lesson) -> Path | None:
    """The champion's adapter, checked; None where the champion is the base."""
    folder, version = _checked(lesson), lesson.started_from
    if folder is None:
        return None
    adaptations.check_start(lesson.run.recipe, folder, version.name)
    lesson.say(f"Training goes on from {version.name}: rank, targets and sizes of its adapter stand.")
    return folder


def _checked(lesson: Lesson) -> Path | None:
    """The folder of the version that the run starts from, known to be whole; None for the base."""
    registry.check_files(lesson.home, lesson.started_from)
    return registry.folder(lesson.home, lesson.started_from)


def _online(lesson: Lesson, task: Task, rendering: Rendering, rows: Rows) -> Task:
    """What RLHF needs beside its prompts."""
    base, recipe = replace(lesson.base, device=task.base.device), lesson.run.recipe
    head = _head(lesson)
    why = hindrance(base, recipe)
    lesson.say(
        f"The model itself writes the answers: OpenVINO, faster on CPUs, cannot, for {why}."
        if why
        else "OpenVINO writes the answers, with weights in 8 bits, as it serves them."
    )
    unseen = tuple(data.held_out(lesson.store, _snapshot(lesson).id, recipe, rendering))
    prompts = len({row.prompt_ids for row in unseen})
    lesson.say(
        f"{len(rows.judge)} pairs are kept for the judge; {prompts} prompts are held out to measure on."
    )
    return replace(task, unseen=unseen, online=Online(base, head, rows.judge, rendering.end_id))


def _head(lesson: Lesson) -> Path | None:
    """The folder of the reward model that scores the answers; None where a rule does."""
    wanted = lesson.run.recipe.reward
    rule = rules.named(wanted)
    if rule is not None:
        lesson.say(f"The reward is the rule {wanted.removeprefix(rules.PREFIX)}: {rule.__doc__}")
        return None
    # As it was when the run began: another may have come since, where the run is resumed.
    head = heads.as_it_was(lesson.store, wanted, str(lesson.run.started_at))
    heads.check_files(lesson.home, head)
    heads.check_base(head, lesson.base.id, bases.chat_template(lesson.base).sha256)
    lesson.say(f"The reward is {head.name}.")
    return lesson.home.path / head.folder
