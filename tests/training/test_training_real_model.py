import dataclasses

import pytest

from assistant import base as bases
from assistant import registry
from assistant.base import Base, BaseChoice
from assistant.engines.choose import choose, open_engine
from assistant.engines.reply import vocabulary
from feedback.home import Home
from feedback.message import Turn
from feedback.snapshots import SnapshotPair
from feedback.store import Store
from prompts.plain import ZERO_SHOT, shipped
from training import data, measure, recipes, trainers

SHORT = ("Water boils at 100 degrees.", "It is hot.", "Steam rises.", "At sea level, 100 degrees.")


def ignore(_done: int, _total: int) -> None:
    """This test looks at the metrics alone."""


@pytest.mark.model
def test_two_steps_on_the_real_model_move_it_towards_the_chosen_answers(
    real_base: Base, home: Home, store: Store
) -> None:
    pairs = tuple(
        SnapshotPair(
            i, False, f"key {i}", (Turn("user", f"When does water boil? ({i})"),), short, short * 3, False, ()
        )
        for i, short in enumerate(SHORT)
    )
    tokenizer, template = bases.load_tokenizer(real_base), bases.chat_template(real_base)
    words = vocabulary(tokenizer, template, [])
    rendering = data.Rendering(template, shipped()[ZERO_SHOT], words.ids, words.end_id)
    recipe = dataclasses.replace(
        recipes.load("dpo-quick"), max_steps=2, batch=4, accumulation=1, schedule="constant"
    )
    rows = data.select(pairs, recipe, rendering).rows
    seen: list[dict[str, float]] = []
    job = trainers.Job(
        bases.load_model(real_base), tokenizer, rows, recipe, home.path / "run", None, real_base.device
    )
    adapter = trainers.train_dpo(job, trainers.Hooks(ignore, lambda _step, found: seen.append(found), ignore))
    assert seen[1]["loss"] < seen[0]["loss"]
    assert seen[1]["margin"] > 0.05

    base_version = registry.ensure_base(store, real_base, template)
    trained = registry.add(store, home, real_base, adapter, None, "dpo")
    engine = open_engine(home, real_base, choose(real_base, BaseChoice()))
    asked = measure.Asked(pairs, shipped()[ZERO_SHOT])
    found = measure.measure(engine, trained, base_version, asked)
    engine.close()
    # What was trained is what is served: the engine that answers here sees the margin that training made.
    assert all(pair.margin_nats > 0 for pair in found.pairs)
    assert 5 < found.champion_perplexity < 60
    assert abs(found.candidate_perplexity / found.champion_perplexity - 1) < 0.05
    assert len(found.replies) == len(pairs)
