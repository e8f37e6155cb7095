"""A home in which something can be trained: the tiny base as champion, votes, a frozen snapshot."""

import os
import shutil
import time
from dataclasses import dataclass

import psutil

from assistant import base as bases
from assistant import registry
from assistant.base import Base, BaseChoice
from assistant.registry import ModelVersion
from feedback import conversations, snapshots, votes
from feedback.conversations import ReplyEnd, ReplyStart, Sampling
from feedback.home import Home
from feedback.ids import LOCAL_USER
from feedback.snapshots import Snapshot
from feedback.store import Store
from prompts import library
from tests import build
from training import recipes, runs
from training.recipes import Recipe
from training.runs import Run

WAIT_S = 240


@dataclass(frozen=True)
class Ground:
    """What a training test stands on. `recipe` trains in a second or two."""

    home: Home
    store: Store
    base: Base
    champion: ModelVersion
    snapshot: Snapshot
    recipe: Recipe


def ground(home: Home, tiny: Base, questions: int = 40) -> Ground:
    """Votes for the short of two replies on `questions` questions, frozen. They vote once a session: each
    home is a copy.
    """
    voted = Home(tiny.folder.with_name(f"voted-on-{questions}"))
    if not voted.path.exists():
        _vote(voted, tiny, questions)
    shutil.copytree(voted.path, home.path, dirs_exist_ok=True)
    store = Store(home.store_file)
    base = bases.resolve(home, BaseChoice(str(tiny.folder), "none"))
    (snapshot,) = snapshots.listing(store)
    return Ground(home, store, base, registry.champion(store), snapshot, recipe(base))


def somebody_else_trains(on: Ground) -> None:
    """Whatever is started now stays queued."""
    other = runs.create(on.store, LOCAL_USER, on.recipe, on.snapshot.id)
    on.store.execute(
        "UPDATE runs SET state = 'running', pid = ?, heartbeat_at = '2999-01-01T00:00:00Z' WHERE id = ?",
        *(os.getpid(), other.id),
    )


def _vote(home: Home, tiny: Base, questions: int) -> None:
    store = build.shipped_store(home.store_file)
    base = bases.resolve(home, BaseChoice(str(tiny.folder), "none"))
    champion = registry.ensure_base(store, base, bases.chat_template(base))
    for number in range(questions):
        vote(
            store,
            champion,
            f"Question {number}: who are you?",
            f"I am {number}.",
            "no no " * (1 + number % 7),
        )
    freeze(store)
    store.close()  # so that the file alone is the whole store, and can be copied


def recipe(base: Base, **changes: object) -> Recipe:
    """A small quick recipe for the tiny base."""
    values = {
        "name": "tiny", "model": str(base.folder), "quantize": "none", "epochs": 1, "batch": 2,
        "accumulation": 2, "learning_rate": 1e-3, "save_every": 2, "lora_rank": 4, "lora_alpha": 8,
        "evaluate": False,
    }  # fmt: skip
    return recipes.from_mapping(values | changes)


def vote(store: Store, by: ModelVersion, question: str, better: str, worse: str) -> None:
    """One question with two replies, and a vote for the first."""
    start = ReplyStart(
        by.id, library.production(store, "zero-shot").id, "zero-shot", Sampling(seed=1), "test"
    )
    prompt = conversations.add_user_message(store, conversations.create(store, LOCAL_USER), None, question)
    shown = []
    for text in (better, worse):
        shown.append(conversations.start_reply(store, prompt, start))
        conversations.finish_reply(store, shown[-1], ReplyEnd("complete", text))
    votes.record(store, votes.NewVote(LOCAL_USER, prompt, tuple(shown), (1, 2), "simulated"))


def freeze(store: Store) -> Snapshot:
    champion, version = registry.champion(store), library.production(store, "zero-shot")
    return snapshots.freeze(store, LOCAL_USER, champion.chat_template_sha256, version.id)


def finished(on: Ground, run: Run) -> Run:
    """Wait until the run is over."""
    return wait(on, run, lambda now: now.is_over)


def wait(on: Ground, run: Run, ready: object) -> Run:
    """Look at the run until `ready(run)`; fails with its log when that takes too long."""
    until = time.monotonic() + WAIT_S
    while time.monotonic() < until:
        runs.sweep(on.store)
        now = runs.get(on.store, run.id)
        if ready(now):  # type: ignore[operator]
            return now
        time.sleep(0.05)
    raise AssertionError(f"run {run.id} is still {now.state}:\n{runs.log_text(on.home, run.id)}")


def ranks(worker: int | None) -> list[psutil.Process]:
    """The processes that compute, in the order in which they were started."""
    under = psutil.Process(worker).children(recursive=True)
    found = [one for one in under if "training.launch.rank" in one.cmdline() and "-u" in one.cmdline()]
    return sorted(found, key=lambda one: one.pid)
