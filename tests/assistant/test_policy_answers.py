"""A policy's answers, drawn by the graph that serves: the same dice the same answers, ends, and adapters."""

from pathlib import Path

import pytest

from assistant import base as bases
from assistant.base import Base
from assistant.engines.interface import Request
from assistant.engines.openvino_engine import OpenVinoEngine
from assistant.engines.openvino_policy import Policy
from feedback.conversations import Sampling
from feedback.home import Home
from tests import tiny_models

PROMPTS = [(5, 9, 14), (7, 7, 21, 3), (5, 9, 14)]
NO_END = -1


@pytest.fixture
def policy(tiny_base: Base, tmp_path: Path) -> Policy:
    return Policy(tiny_base, tmp_path / "scratch")


def test_the_same_seed_draws_the_same_and_alike_prompts_draw_apart(policy: Policy) -> None:
    dice = Sampling(1.0, 1.0, 8, seed=3)
    first = policy.answers(None, PROMPTS, dice, NO_END)
    assert first == policy.answers(None, PROMPTS, dice, NO_END)
    assert [len(answer) for answer in first] == [8, 8, 8]
    assert first[0] != first[2]
    assert first != policy.answers(None, PROMPTS, Sampling(1.0, 1.0, 8, seed=4), NO_END)


def test_an_answer_ends_with_its_end_token_and_others_go_on(policy: Policy) -> None:
    dice = Sampling(1.0, 1.0, 12, seed=1)
    whole = policy.answers(None, PROMPTS, dice, NO_END)
    end = whole[0][4]
    for answer, ended in zip(whole, policy.answers(None, PROMPTS, dice, end), strict=True):
        assert ended == (answer[: answer.index(end) + 1] if end in answer else answer)


def test_an_adapter_changes_what_the_next_call_draws(policy: Policy, tiny_base: Base, tmp_path: Path) -> None:
    greedy = Sampling(0.0, 1.0, 8, seed=0)
    before = policy.answers(None, PROMPTS, greedy, NO_END)
    first, other = (
        policy.answers(
            tiny_models.save_adapter(tiny_base, tmp_path / f"a{seed}", seed), PROMPTS, greedy, NO_END
        )
        for seed in (1, 2)
    )
    assert before != first != other
    assert policy.answers(None, PROMPTS, greedy, NO_END) == before


def test_it_writes_what_the_serving_engine_writes(policy: Policy, tiny_base: Base, tmp_path: Path) -> None:
    tokenizer, greedy = bases.load_tokenizer(tiny_base), Sampling(0.0, 1.0, 8, seed=0)
    ids = tokenizer("Who are you?", add_special_tokens=False)["input_ids"]
    (answer,) = policy.answers(None, [ids], greedy, tokenizer.eos_token_id)
    engine = OpenVinoEngine(tiny_base, Home(tmp_path / "home"))
    try:
        (served,) = engine.batch([Request("Who are you?", greedy, tiny_models.base_version(tiny_base))])
    finally:
        engine.close()
    assert served.text  # which leaves a character out that the last token only begins
    assert tokenizer.decode(answer, skip_special_tokens=True).strip().startswith(served.text.strip())
