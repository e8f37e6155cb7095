import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistant import base as bases
from assistant.base import Base
from assistant.engines.reply import vocabulary
from feedback import snapshots
from feedback.errors import HoneError
from feedback.home import Home
from feedback.message import Turn
from feedback.snapshots import SnapshotPair
from prompts.plain import ZERO_SHOT, plain_messages, shipped
from tests import build, training_ground
from tests.training_ground import Ground
from training import data
from training.recipes import Recipe


@pytest.fixture
def on(home: Home, tiny_base: Base) -> Ground:
    return training_ground.ground(home, tiny_base)


def rendering(on: Ground) -> data.Rendering:
    tokenizer, template = bases.load_tokenizer(on.base), bases.chat_template(on.base)
    words = vocabulary(tokenizer, template, [])
    return data.Rendering(template, data.strategy_of(on.store, on.snapshot), words.ids, words.end_id)


def in_letters() -> data.Rendering:
    """One character is one token."""
    return data.Rendering(build.chatml(), shipped()[ZERO_SHOT], lambda text: [ord(c) for c in text], 0)


def pair(question: str, chosen: str, rejected: str, demonstration: bool = False) -> SnapshotPair:
    return SnapshotPair(0, False, "key", (Turn("user", question),), chosen, rejected, demonstration, ())


def test_a_run_never_sees_a_held_out_prompt(on: Ground) -> None:
    tokenizer = bases.load_tokenizer(on.base)
    parts = snapshots.pairs(on.store, on.snapshot.id)
    assert parts.held_out
    for method in ("dpo", "sft"):
        rows = data.prepare(on.store, on.snapshot, Recipe(method=method), rendering(on)).rows
        text = "\n".join(tokenizer.decode([*r.prompt_ids, *r.chosen_ids, *r.rejected_ids]) for r in rows)
        assert all(seen.turns[-1].content in text for seen in parts.train)
        assert not any(hidden.turns[-1].content in text for hidden in parts.held_out)


def test_a_prompt_is_trained_as_chat_renders_it(on: Ground) -> None:
    seen = snapshots.pairs(on.store, on.snapshot.id).train[0]
    found = rendering(on)
    row = data.select([seen], Recipe(), found).rows[0]
    text = found.template.text(plain_messages(seen.turns))
    assert list(row.prompt_ids) == list(found.encode(text))
    assert row.chosen_ids == (*found.encode(seen.chosen), found.end_id)
    assert row.rejected_ids[-1] == found.end_id


def test_pairs_longer_than_the_limit_are_left_out_and_counted() -> None:
    prompt = len(in_letters().prompt(pair("q", "", "")))
    fits, too_long = pair("q", "yes", "x" * 19), pair("q", "yes", "x" * 20)
    recipe = Recipe(max_length=prompt + 20)
    rows = data.select([too_long, fits], recipe, in_letters())
    assert (len(rows.rows), rows.too_long) == (1, 1)
    assert "1 left out, longer than" in rows.sentence(recipe)


def test_imitation_takes_demonstrations_first_and_each_answer_once() -> None:
    liked, shown = pair("q", "fine", "bad"), pair("r", "written by hand", "bad", demonstration=True)
    again = pair("q", "fine", "worse")
    rows = data.select([liked, again, shown], Recipe(method="sft"), in_letters())
    assert [row.chosen_ids[:4] for row in rows.rows] == [tuple(map(ord, "writ")), tuple(map(ord, "fine"))]
    assert rows.repeated == 1
    assert all(row.rejected_ids == () for row in rows.rows)


def test_a_control_token_in_an_answer_stays_text(on: Ground) -> None:
    found = rendering(on)
    ids = found.answer_ids("Stop<|end|> here", ended=True)
    assert ids.count(found.end_id) == 1


def test_a_reply_that_was_cut_off_does_not_teach_where_to_end(on: Ground) -> None:
    found = rendering(on)
    assert found.answer_ids("Whole.", ended=True)[-1] == found.end_id
    assert found.end_id not in found.answer_ids("Cut off in the", ended=False)


def test_a_snapshot_of_another_template_is_refused(on: Ground) -> None:
    other = dataclasses.replace(on.snapshot, chat_template_sha256="f" * 64)
    with pytest.raises(HoneError, match="another chat template"):
        data.prepare(on.store, other, Recipe(), rendering(on))


def test_a_snapshot_of_which_nothing_is_left_is_refused(on: Ground) -> None:
    with pytest.raises(HoneError, match="nothing to train on"):
        data.prepare(on.store, on.snapshot, Recipe(max_length=2), rendering(on))


@given(st.lists(st.tuples(st.text(max_size=20), st.text(max_size=20), st.text(max_size=20)), max_size=12))
def test_no_row_is_longer_than_the_limit_and_none_is_lost_uncounted(
    texts: list[tuple[str, str, str]],
) -> None:
    recipe = Recipe(max_length=150)
    made = data.select([pair(f"q{q}", c, r) for q, c, r in texts], recipe, in_letters())
    assert all(row.tokens <= recipe.max_length for row in made.rows)
    assert len(made.rows) + made.too_long + made.repeated == len(texts)
