"""Rounds: from the champion on, with the earlier votes replayed or not, and what that does to the first."""

from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from app import cli
from assistant import base as bases
from assistant import registry
from assistant.base import Base
from assistant.engines.reply import vocabulary
from feedback import snapshots
from feedback.home import Home
from feedback.ids import LOCAL_USER
from feedback.message import Turn
from feedback.snapshots import SnapshotPair
from feedback.store import Store
from prompts import library
from tests import build, training_ground
from training import data, rounds, runs, worker
from training.recipes import Recipe

ROUNDS = (("red", "leaf leaf"), ("blue", "sand sand"), ("green", "sand sand"))
"""The colour that each round asks about, and the answer people want; the other of the two they reject."""
ANSWERS = ("leaf leaf", "sand sand")


def pair(number: int) -> SnapshotPair:
    return SnapshotPair(
        number, False, f"key {number}", (Turn("user", f"q{number}"),), "good", "bad", False, ()
    )


@given(st.integers(0, 40), st.integers(0, 40), st.floats(0, 1), st.integers(0, 3))
def test_new_pairs_always_stay_and_earlier_ones_by_their_share(
    count: int, before: int, share: float, seed: int
) -> None:
    pairs = [pair(number) for number in range(count)]
    known = {rounds.key(one) for one in pairs[:before]}
    found = rounds.choose(pairs, known, share, seed)
    assert set(pairs[before:]) <= set(found.pairs) <= set(pairs)
    assert (found.earlier, found.new) == (min(before, count), max(0, count - before))
    assert found.replayed + found.new == len(found.pairs)
    fewer = rounds.choose(pairs, known, share / 2, seed)
    assert set(fewer.pairs) <= set(found.pairs)
    assert rounds.choose(pairs, known, 1.0, seed).pairs == tuple(pairs)
    assert rounds.choose(pairs, known, 0.0, seed).replayed == 0


def three_rounds(home: Home, tiny: Base, replay: float) -> list[float]:
    """How much likelier each answer that round 1 wanted is than the other after round 3, in nats; of prompts
    that were trained on and of those that were held out.
    """
    store = build.shipped_store(home.store_file)
    base = bases.resolve(home, bases.BaseChoice(str(tiny.folder), "none"))
    champion = registry.ensure_base(store, base, bases.chat_template(base))
    for colour, wanted in ROUNDS:
        other = next(one for one in ANSWERS if one != wanted)
        for number in range(24):
            training_ground.vote(store, champion, f"{colour} {number}?", wanted, other)
        recipe = training_ground.recipe(
            base, epochs=6, learning_rate=5e-3, batch=4, accumulation=1, replay=replay, save_every=100
        )
        run = runs.create(store, LOCAL_USER, recipe, training_ground.freeze(store).id)
        assert worker.claim(store, run.id)
        assert worker.run_to_end(worker.Seat(store, home, run.id)) == "done"
        made = registry.of_run(store, run.id)
        assert made is not None
        registry.move_champion(store, home, LOCAL_USER, made.id, "promote")
    return first_round(home, base, store)


def first_round(home: Home, base: Base, store: Store) -> list[float]:
    from peft import PeftModel

    template, tokenizer = bases.chat_template(base), bases.load_tokenizer(base)
    words = vocabulary(tokenizer, template, [])
    strategy = library.production(store, "zero-shot").strategy
    rendering = data.Rendering(template, strategy, words.ids, words.end_id)
    pairs = snapshots.pairs(store, snapshots.listing(store)[0].id)
    about = [one for one in (*pairs.train, *pairs.held_out) if one.turns[-1].content.startswith("red")]
    folder = home.path / str(registry.champion(store).adapter_dir)
    model = PeftModel.from_pretrained(bases.load_model(base), str(folder)).eval()
    rows = data.select(about, Recipe(), rendering).rows
    return [
        nats(model, row.prompt_ids, row.chosen_ids) - nats(model, row.prompt_ids, row.rejected_ids)
        for row in rows
    ]


def nats(model: Any, prompt: tuple[int, ...], answer: tuple[int, ...]) -> float:
    """log p of an answer, as plain transformers computes it."""
    ids = torch.tensor([[*prompt, *answer]])
    with torch.no_grad():
        logprobs = model(input_ids=ids).logits[0, len(prompt) - 1 : -1].float().log_softmax(-1)
    return float(logprobs.gather(-1, ids[0, len(prompt) :, None]).sum())


def test_a_third_round_keeps_the_first_with_replay_and_forgets_it_without(
    tmp_path: Path, tiny_base: Base, capsys: pytest.CaptureFixture[str]
) -> None:
    home = Home(tmp_path / "with")
    kept = three_rounds(home, tiny_base, replay=1.0)
    assert "are replayed" in capsys.readouterr().out
    listed = CliRunner().invoke(cli, ["runs", "list", "--home", str(home.path)]).output.splitlines()
    told = [line.partition(", ")[2] for line in listed]
    assert told[:2] == ["round 3, from dpo-2", "round 2, from dpo-1"]
    assert told[2].startswith("round 1, from ")
    forgotten = three_rounds(Home(tmp_path / "without"), tiny_base, replay=0.0)
    assert sum(one > 0 for one in kept) > 0.8 * len(kept)
    assert sum(forgotten) / len(forgotten) < sum(kept) / len(kept)
    assert sum(one > 0 for one in forgotten) < 0.5 * len(forgotten)
