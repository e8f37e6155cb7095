"""The OpenVINO engine: all that an engine must do, and what is its own."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from assistant import base as bases
from assistant import registry, served_files
from assistant.base import Base
from assistant.engines import eight_bit, openvino_lane
from assistant.engines.choose import choose
from assistant.engines.interface import Answered, Request, Wanted
from assistant.engines.kv_blocks import BLOCK, LEFT
from assistant.engines.openvino_engine import OpenVinoEngine
from assistant.engines.openvino_lane import Lane
from assistant.engines.torch_engine import TorchEngine
from feedback.conversations import Sampling
from feedback.errors import HoneError
from feedback.home import Home
from feedback.store import Store
from prompts.chat import ChatMessage
from tests import schemas, tiny_models
from tests.assistant.engine_contract import EngineCase, EngineContract, prompt, same, whole
from tests.assistant.schema_contract import SchemaContract

GREEDY = Sampling(0.0, 1.0, 12, 0)


@pytest.fixture
def engine_case(tiny_base: Base, home: Home) -> Iterator[EngineCase]:
    engine = OpenVinoEngine(tiny_base, home)
    yield EngineCase(engine, tiny_base, computes_alike=False)  # its weights have 8 bits
    engine.close()


class TestOpenVinoEngine(EngineContract, SchemaContract):
    pass


def long_prompt(case: EngineCase, ending: str) -> str:
    return prompt(case.engine, "the dog looked at the cat " * 20 + ending)


def test_a_prompt_that_begins_like_an_earlier_one_is_read_from_there(
    engine_case: EngineCase, home: Home
) -> None:
    plain = tiny_models.base_version(engine_case.base)
    texts = [long_prompt(engine_case, ending) for ending in ("and sat", "and ran")]
    first, second = (whole(engine_case.engine, Request(one, GREEDY, plain))[1] for one in texts)
    tokenizer = bases.load_tokenizer(engine_case.base)
    tokens = zip(*(tokenizer.encode(one) for one in texts), strict=False)
    alike = next(place for place, (one, other) in enumerate(tokens) if one != other)
    assert alike % BLOCK
    assert (first.cached_tokens, second.cached_tokens) == (0, alike)
    fresh = OpenVinoEngine(engine_case.base, home)
    try:
        alone = whole(fresh, Request(long_prompt(engine_case, "and ran"), GREEDY, plain))[1]
    finally:
        fresh.close()
    assert (second.text, alone.cached_tokens) == (alone.text, 0)


def test_what_goes_on_where_another_ended_is_read_from_its_end(engine_case: EngineCase, home: Home) -> None:
    plain = tiny_models.base_version(engine_case.base)
    begins = "the dog looked at the cat " * 20 + "and sat"
    asked = [begins, f"{begins} and ran and saw the cat"]
    lengths = [engine_case.engine.count_tokens(text) for text in asked]
    assert lengths[0] % BLOCK
    whole(engine_case.engine, Request(asked[0], Sampling(0.0, 1.0, 1, 0), plain))
    went_on = whole(engine_case.engine, Request(asked[1], GREEDY, plain))[1]
    assert went_on.cached_tokens == lengths[0]
    fresh = OpenVinoEngine(engine_case.base, home)
    try:
        alone = whole(fresh, Request(asked[1], GREEDY, plain))[1]
    finally:
        fresh.close()
    assert (went_on.text, alone.cached_tokens) == (alone.text, 0)


@pytest.mark.model
def test_a_seed_gives_the_same_reply_whatever_the_cache_knows(real_base: Base, home: Home) -> None:
    """In the type that this machine computes in: 16 bits, where it can."""
    plain = tiny_models.base_version(real_base)
    counting = "One sheep, two sheep, three sheep, four sheep, five sheep. " * 3
    asked = ["Why is the sky blue?", "Why is the sea blue?", "Why", f"{counting}Go on.", f"{counting}Go"]
    engine = OpenVinoEngine(real_base, home)
    try:
        texts = [engine.template.text([ChatMessage("user", question)]) for question in asked]
        requests = [Request(text, Sampling(0.8, 0.95, 40, 5), plain) for text in texts]
        found = [whole(engine, request)[1] for request in (*requests, *reversed(requests), *requests)]
    finally:
        engine.close()
    for place, request in enumerate(requests):
        fresh = OpenVinoEngine(real_base, home)
        try:
            alone = whole(fresh, request)[1]
            length = fresh.count_tokens(request.prompt)
        finally:
            fresh.close()
        again = (found[place], found[2 * len(asked) - 1 - place], found[2 * len(asked) + place])
        assert [one.text for one in again] == [alone.text] * 3
        assert alone.cached_tokens == 0
        assert again[1].cached_tokens == length - LEFT


def test_guessing_changes_no_reply(engine_case: EngineCase, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = tiny_models.base_version(engine_case.base)
    requests = [
        Request(long_prompt(engine_case, ""), Sampling(temperature, 1.0, 120, 3), plain)
        for temperature in (0.0, 0.3)
    ]
    steps: list[int] = []
    step = Lane.step
    monkeypatch.setattr(Lane, "step", lambda lane: (steps.append(1), step(lane))[1])
    guessed = [whole(engine_case.engine, request)[1].text for request in requests]
    with_guesses = len(steps)
    monkeypatch.setattr(openvino_lane, "GUESSING_ROWS", 0)
    assert [whole(engine_case.engine, request)[1].text for request in requests] == guessed
    assert with_guesses < len(steps) - with_guesses, "no guess was ever right"


def test_the_first_token_waits_for_no_guess(engine_case: EngineCase, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[tuple[int, int]] = []  # tokens computed, tokens guessed
    forward = Lane._forward

    def noted(lane: Lane, parts: list[Any]) -> Any:
        steps.append((parts[0].end - parts[0].start, len(parts[0].guessed)))
        return forward(lane, parts)

    monkeypatch.setattr(Lane, "_forward", noted)
    greedy = Sampling(0.0, 1.0, 60, 3)
    told = " ".join(["the dog looked at the cat"] * 20)  # its last words had a successor
    whole(engine_case.engine, Request(told, greedy, tiny_models.base_version(engine_case.base)))
    read = [guessed for tokens, guessed in steps if tokens > 1]
    assert read
    assert not any(read)
    assert any(guessed for _, guessed in steps)


def test_guessing_changes_no_reply_that_is_held_to_a_schema_and_forced_tokens_cost_no_step(
    engine_case: EngineCase, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = tiny_models.base_version(engine_case.base)
    wanted = Wanted(json_schema=json.dumps(schemas.PERSON))
    requests = [
        Request(long_prompt(engine_case, ""), Sampling(temperature, 1.0, 200, 3), plain, wanted=wanted)
        for temperature in (0.0, 0.9)
    ]
    steps: list[int] = []
    step = Lane.step
    monkeypatch.setattr(Lane, "step", lambda lane: (steps.append(1), step(lane))[1])
    guessed = [whole(engine_case.engine, request)[1] for request in requests]
    with_guesses = len(steps)
    monkeypatch.setattr(openvino_lane, "GUESSING_ROWS", 0)
    assert [same(whole(engine_case.engine, request)[1]) for request in requests] == list(map(same, guessed))
    assert with_guesses < 0.7 * (len(steps) - with_guesses)


def test_a_beginning_that_many_share_is_read_once_even_when_all_are_asked_together(
    engine_case: EngineCase, home: Home
) -> None:
    plain = tiny_models.base_version(engine_case.base)
    prompts = [long_prompt(engine_case, f"and sat {number}") for number in range(12)]
    length = engine_case.engine.count_tokens(prompts[0])
    together = engine_case.engine.batch([Request(one, GREEDY, plain) for one in prompts])
    assert sum(one.cached_tokens for one in together) >= 11 * (length // BLOCK - 2) * BLOCK
    fresh = OpenVinoEngine(engine_case.base, home)
    try:
        alone = [whole(fresh, Request(one, GREEDY, plain))[1].text for one in prompts]
    finally:
        fresh.close()
    assert [one.text for one in together] == alone


def test_answers_to_one_prompt_asked_together_are_scored_as_alone(engine_case: EngineCase) -> None:
    plain = tiny_models.base_version(engine_case.base)
    asked = [Answered(long_prompt(engine_case, ""), answer) for answer in ("the cat", "the dog", "who")]
    together = engine_case.engine.logprobs(asked, plain)
    alone = [engine_case.engine.logprobs([one], plain)[0] for one in asked]
    assert [one.total_nats for one in together] == pytest.approx([one.total_nats for one in alone], abs=0.02)


def test_a_prompt_longer_than_a_step_is_read_in_pieces(
    engine_case: EngineCase, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = tiny_models.base_version(engine_case.base)
    request = Request(long_prompt(engine_case, ""), GREEDY, plain)
    asked = [Answered(request.prompt, "sat on the mat")]
    at_once = whole(engine_case.engine, request)[1].text, engine_case.engine.logprobs(asked, plain)
    monkeypatch.setattr(openvino_lane, "STEP_TOKENS", 40)
    in_pieces = Request(" " + request.prompt, GREEDY, plain)  # not found in the cache
    assert whole(engine_case.engine, in_pieces)[1].cached_tokens == 0
    assert (whole(engine_case.engine, request)[1].text, engine_case.engine.logprobs(asked, plain)) == at_once


def test_more_replies_than_the_cache_holds_wait_and_are_all_written(
    tiny_base: Base, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openvino_lane, "CACHE_BYTES", 0)  # room for one window
    engine = OpenVinoEngine(tiny_base, home)
    try:
        plain = tiny_models.base_version(tiny_base)
        requests = [
            Request(prompt(engine, f"Who are you, {number}?"), Sampling(1.0, 1.0, 150, number), plain)
            for number in range(12)
        ]
        replies = engine.batch(requests)
    finally:
        engine.close()
    assert all(reply.finish in ("stop", "length") for reply in replies)
    assert len({reply.text for reply in replies}) == 12


def test_versions_beyond_the_idle_ones_are_unloaded_and_answer_again_when_asked(
    engine_case: EngineCase, store: Store, home: Home, tmp_path: Path
) -> None:
    versions = [
        registry.add(
            store, home, engine_case.base,
            tiny_models.save_adapter(engine_case.base, tmp_path / str(seed), seed), None, "dpo",
        )
        for seed in range(eight_bit.KEPT_FILES + 2)
    ]  # fmt: skip
    requests = [Request(prompt(engine_case.engine, "Who are you?"), GREEDY, version) for version in versions]
    first = [whole(engine_case.engine, request)[1].text for request in requests]
    assert len(set(first)) == len(versions)
    assert len(list(home.served.iterdir())) == eight_bit.KEPT_FILES
    assert [whole(engine_case.engine, request)[1].text for request in requests] == first


def test_a_running_engine_outlives_the_clearing_of_its_files(
    engine_case: EngineCase, store: Store, home: Home, tmp_path: Path
) -> None:
    adapter = tiny_models.save_adapter(engine_case.base, tmp_path / "a")
    version = registry.add(store, home, engine_case.base, adapter, None, "dpo")
    asked = Request(prompt(engine_case.engine, "Who are you?"), GREEDY, version)
    first = whole(engine_case.engine, asked)[1].text
    assert served_files.clear(home).files >= 1
    assert not list(home.served.iterdir())
    assert whole(engine_case.engine, asked)[1].text == first
    fresh = OpenVinoEngine(engine_case.base, home)
    try:
        assert whole(fresh, asked)[1].text == first
    finally:
        fresh.close()
    assert len(served_files.kept(home)) == 1


def test_an_adapter_of_another_kind_is_refused_in_words(
    engine_case: EngineCase, store: Store, home: Home, tmp_path: Path
) -> None:
    folder = tiny_models.save_adapter(engine_case.base, tmp_path / "biased")
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps({**config, "bias": "all"}))
    version = registry.add(store, home, engine_case.base, folder, None, "sft")
    with pytest.raises(HoneError, match=r"does not fit the base\. It is no plain LoRA \(bias\)"):
        engine_case.engine.load(version)


def test_a_model_of_another_build_is_left_to_transformers(home: Home, tmp_path: Path) -> None:
    tiny_models.save_gpt2(tmp_path / "gpt2")
    base = bases.resolve(home, bases.BaseChoice(str(tmp_path / "gpt2"), "none"))
    chosen = choose(base, bases.BaseChoice())
    assert chosen.name == "transformers"
    assert "it is a gpt2, not a Llama" in chosen.why
    with pytest.raises(HoneError, match="OpenVINO cannot run gpt2 here"):
        choose(base, bases.BaseChoice(engine="openvino"))


@pytest.mark.model
def test_what_is_served_prefers_what_was_trained_to_be_preferred(
    real_base: Base, prepared_home: Home, tmp_path: Path
) -> None:
    """The whole promise, on 200 real pairs and a really trained adapter, is bench/fidelity.py."""
    home = Home(tmp_path)
    store = Store(home.store_file)
    folder = tiny_models.save_adapter(real_base, tmp_path / "adapter", strength=0.2)
    version = registry.add(store, home, real_base, folder, None, "strong")
    served, trainer = OpenVinoEngine(real_base, home), TorchEngine(real_base, home)
    try:
        asked = [
            Answered(prompt(served, question), answer)
            for question in ("What is the capital of France?", "How do I boil an egg?", "Tell me a joke.")
            for answer in ("I do not know.", "Paris, of course, as anybody can tell you.", "Put it in water.")
        ]
        plain = tiny_models.base_version(real_base)
        ours, theirs, before = (
            [one.total_nats for one in engine.logprobs(asked, which)]
            for engine, which in ((served, version), (trainer, version), (trainer, plain))
        )
    finally:
        served.close()
        trainer.close()
    moved = max(abs(a - b) for a, b in zip(theirs, before, strict=True))
    off = max(abs(a - b) for a, b in zip(ours, theirs, strict=True))
    assert moved > 5, "the adapter changes nothing"
    assert off < moved / 5
