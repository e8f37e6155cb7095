"""One run's training from its rows in the store to a finished adapter: the store's side of the trainers.

Reads the snapshot or the dataset, loads the base, takes what the method needs beside them (the reference's
numbers, a reward model), and trains. Writes nothing to the store but a run's memory. torch and TRL come in
when a run trains.
"""

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
from training import adaptations, data, heads, reward_report, rounds, rules, run_memory, texts
from training.data import Rendering, Row, Rows
from training.references import References
from training.runs import Run

if TYPE_CHECKING:
    from assistant.engines.reply import Vocabulary
    from training.rlhf import Reward
    from training.trainers import Hooks, Job


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


def train(lesson: Lesson, hooks: "Hooks") -> Path:
    """Train a model version, or go on training one; returns the adapter's folder."""
    from training import trainers

    if lesson.run.dataset_id is not None:
        return _on_dataset(lesson, hooks)
    rendering, rows = _read(lesson)
    start = _start(lesson)
    model = _model(lesson, rows)
    base, run = lesson.base, lesson.run
    # Another arithmetic gives other numbers.
    said_by = f"{base.id}/{lesson.started_from.adapter_sha256 or 'base'}/{base.device}/{model.dtype}"
    with closing(References(lesson.home.references, said_by)) as known:
        job = _job(lesson, rows, model, start, known)
        if run.method == "rlhf":
            return _online(lesson, job, hooks, rendering, rows)
        if run.method in ("dpo", "kto"):
            lesson.say("The reference reads every answer once, then training begins.")
        method = {"sft": trainers.train_sft, "dpo": trainers.train_dpo, "kto": trainers.train_kto}[run.method]
        return method(job, hooks)


def train_head(lesson: Lesson, hooks: "Hooks") -> heads.Made:
    """Train a reward model and measure it on the snapshot's held-out pairs."""
    from training import reward_model

    rendering, rows = _read(lesson)
    if lesson.started_from.adapter_dir is not None:
        lesson.say(f"A reward model starts from the base, not from {lesson.started_from.name}.")
    model = _model(lesson, rows)
    adapter = reward_model.train_reward(_job(lesson, rows, model, None, None), hooks)
    lesson.say(run_memory.measured(lesson.store, lesson.run.id, lesson.base.device))
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


@dataclass(frozen=True)
class _Read:
    """What a dataset gives a run: rows, those held out with the bytes they stand for, and both in words."""

    rows: Rows
    held_out: tuple[Row, ...]
    held_out_bytes: int
    unseen: str
    sentence: str


def _on_dataset(lesson: Lesson, hooks: "Hooks") -> Path:
    """Training on text or answers, and how well what is held out is predicted before and after."""
    from training import trainers

    dataset = datasets.get(lesson.store, str(lesson.run.dataset_id))
    read = (_text if dataset.kind == "text" else _answers)(lesson, dataset)
    lesson.say(f"{dataset.name}: {read.sentence}")
    job = _job(lesson, read.rows, _model(lesson, read.rows), _start(lesson), None)

    def measured(model: Any, step: int, when: str) -> None:
        if not read.held_out:
            return
        found = texts.modelled(model, read.held_out, read.held_out_bytes)
        lesson.say(f"{read.unseen} {when}: {found.sentence()}.")
        told = {"held_out_nats": found.nats, "perplexity": found.perplexity}
        hooks.on_metrics(step, told | {"bits_per_byte": found.bits_per_byte})

    return trainers.train_sft(job, hooks, measured)


def _text(lesson: Lesson, dataset: Dataset) -> _Read:
    """Blocks of text; the end is held out."""
    words, length = _words(lesson), lesson.run.recipe.max_length
    parts = texts.split(datasets.texts(lesson.home, dataset))
    rows, unseen = (
        texts.blocks(part, words.ids, words.end_id, length) for part in (parts.train, parts.held_out)
    )
    held_bytes = sum(len(document.encode()) for document in parts.held_out)
    sentence = f"{len(rows)} blocks of {length} tokens, {len(unseen)} held out."
    return _Read(Rows(rows, 0, 0), unseen, held_bytes, "The held-out end", sentence)


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
    return _Read(taught.rows, taught.held_out, taught.held_out_bytes, "Held-out answers", sentence)


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
    learnt = rounds.learnt(lesson.store, lesson.started_from.id)
    rows = data.prepare(lesson.store, snapshot, lesson.run.recipe, rendering, learnt)
    lesson.say(rows.sentence(lesson.run.recipe))
    if (last := trainers.last_checkpoint(lesson.folder)) is not None:
        lesson.say(f"Going on from {Path(last).name}.")
    return rendering, rows


def _model(lesson: Lesson, rows: Rows) -> Any:
    """The base, in the numbers that this way of adapting it needs. HoneError where the run cannot fit."""
    base = adaptations.base_for(lesson.run.recipe, lesson.base)
    needs = run_memory.check(base, lesson.run.recipe, rows.rows)
    run_memory.expected(lesson.store, lesson.run.id, needs)
    lesson.say(needs.sentence)
    return bases.load_model(base)


def _start(lesson: Lesson) -> Path | None:
    """The champion's adapter, checked; None where the champion is the base."""
    version = lesson.started_from
    folder = registry.folder(lesson.home, version)
    if folder is None:
        return None
    registry.check_files(lesson.home, version)
    adaptations.check_start(lesson.run.recipe, folder, version.name)
    lesson.say(f"Training goes on from {version.name}: rank, targets and sizes of its adapter stand.")
    return folder


def _job(lesson: Lesson, rows: Rows, model: Any, start: Path | None, references: References | None) -> "Job":
    from training.trainers import Job

    tokenizer = bases.load_tokenizer(lesson.base)
    recipe, device = lesson.run.recipe, lesson.base.device
    return Job(model, tokenizer, rows.rows, recipe, lesson.folder, start, device, references)


def _online(lesson: Lesson, job: "Job", hooks: "Hooks", rendering: Rendering, rows: Rows) -> Path:
    """RLHF, and what it has gained on prompts that it never saw."""
    from training import answering, rlhf

    reward = _reward(lesson, job)
    why = answering.hindrance(lesson.base, job.recipe)
    lesson.say(
        f"The model itself writes the answers: OpenVINO, faster on CPUs, cannot, for {why}."
        if why
        else "OpenVINO writes the answers, with weights in 8 bits, as it serves them."
    )
    write = answering.writer(job, lesson.base, rendering.end_id)
    unseen = data.held_out(lesson.store, _snapshot(lesson).id, lesson.run.recipe, rendering)
    prompts = tuple(dict.fromkeys(row.prompt_ids for row in unseen))
    lesson.say(
        f"{len(rows.judge)} pairs are kept for the judge; {len(prompts)} prompts are held out to measure on."
    )
    finished = rlhf.train_rlhf(
        job, hooks, rlhf.Told(reward, write, rows.judge, prompts, rendering.end_id, lesson.say)
    )
    if (gain := finished.gain) is not None:
        lesson.say(
            f"On held-out prompts the reward of an answer is {gain.value:+.2f} higher than before"
            f" (95 % interval {gain.low:+.2f} to {gain.high:+.2f})."
        )
        told = {"unseen_gain": gain.value, "unseen_gain_low": gain.low, "unseen_gain_high": gain.high}
        hooks.on_metrics(finished.steps, told)
    return finished.folder


def _reward(lesson: Lesson, job: "Job") -> "Reward":
    """What scores an answer: a rule, or a reward model on a trunk of its own."""
    from training.reward_model import RewardModel

    wanted = lesson.run.recipe.reward
    rule = rules.named(wanted)
    if rule is not None:
        lesson.say(f"The reward is the rule {wanted.removeprefix(rules.PREFIX)}: {rule.__doc__}")
        return lambda asked: [
            rule(job.tokenizer.decode(answer, skip_special_tokens=True)) for _, answer in asked
        ]
    # As it was when the run began: another may have come since, where the run is resumed.
    head = heads.as_it_was(lesson.store, wanted, str(lesson.run.started_at))
    heads.check_files(lesson.home, head)
    heads.check_base(head, lesson.base.id, bases.chat_template(lesson.base).sha256)
    lesson.say(f"The reward is {head.name}.")
    model = RewardModel(bases.load_model(lesson.base), job.tokenizer, lesson.home.path / head.folder)
    return model.score
