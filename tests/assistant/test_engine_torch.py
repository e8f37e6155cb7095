"""The transformers engine: all that an engine must do, and what is its own."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from assistant import base as bases
from assistant import registry
from assistant.base import Base
from assistant.engines import decode, torch_engine
from assistant.engines.interface import Answered, Request
from assistant.engines.torch_engine import TorchEngine
from assistant.registry import ModelVersion
from feedback.conversations import Sampling
from feedback.home import Home
from feedback.store import Store
from tests import tiny_models
from tests.assistant.engine_contract import LONG, EngineCase, EngineContract, prompt, same, whole
from tests.assistant.schema_contract import SchemaContract


@dataclass
class Passes:
    """Every forward pass of the model as (rows, tokens a row). `before` is called with it."""

    seen: list[tuple[int, int]] = field(default_factory=list)
    before: Callable[[int, int], None] = lambda rows, tokens: None

    def watch(self, model: Any) -> Any:
        def hook(_: nn.Module, args: Any, given: dict[str, Any]) -> None:
            rows, tokens = given["input_ids"].shape
            self.before(rows, tokens)
            self.seen.append((rows, tokens))

        model.register_forward_pre_hook(hook, with_kwargs=True)
        return model


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> Passes:
    found = Passes()
    load = bases.load_model
    monkeypatch.setattr(bases, "load_model", lambda base: found.watch(load(base)))
    return found


@pytest.fixture
def engine_case(passes: Passes, tiny_base: Base, home: Home) -> Iterator[EngineCase]:
    engine = TorchEngine(tiny_base, home)
    yield EngineCase(engine, tiny_base)
    engine.close()


@pytest.fixture
def plain(engine_case: EngineCase) -> ModelVersion:
    return tiny_models.base_version(engine_case.base)


class TestTorchEngine(EngineContract, SchemaContract):
    pass


def at_once(case: EngineCase, requests: list[Request]) -> list[tuple[str, int, str]]:
    """Each in a thread of its own."""
    with ThreadPoolExecutor(len(requests)) as people:
        return [same(one) for one in people.map(lambda request: whole(case.engine, request)[1], requests)]


def greedy(case: EngineCase, version: ModelVersion, count: int, tokens: int) -> list[Request]:
    questions = [
        "Who are you?",
        "The cat",
        "the dog looked at the mat",
        "A",
        "sat on",
        "I am",
        "small",
        "and",
    ]
    return [
        Request(prompt(case.engine, q), Sampling(0.0, 1.0, tokens, 0), version) for q in questions[:count]
    ]


def test_replies_asked_at_once_share_their_forward_passes(
    engine_case: EngineCase, passes: Passes, plain: ModelVersion
) -> None:
    requests = greedy(engine_case, plain, 8, 60)
    alone = [same(whole(engine_case.engine, request)[1]) for request in requests]
    passes.seen.clear()
    passes.before = lambda rows, tokens: time.sleep(0.01)  # so that all have asked before one is done
    assert at_once(engine_case, requests) == alone
    longest, together = max(tokens for _, tokens, _ in alone), sum(tokens for _, tokens, _ in alone)
    assert len(passes.seen) < longest + 20 < together / 2
    assert max(rows for rows, _ in passes.seen) > 4


def test_base_and_versions_share_a_forward_pass_unless_their_adapters_cannot_be_mixed(
    engine_case: EngineCase, passes: Passes, plain: ModelVersion, store: Store, home: Home, tmp_path: Path
) -> None:
    kinds: list[dict[str, Any]] = [
        {},
        {"use_rslora": True},
        {"use_dora": True},
        {"modules_to_save": ["lm_head"]},
    ]
    versions = [plain]
    for seed, kind in enumerate(kinds):
        chosen = {"target_modules": ["q_proj", "v_proj", "down_proj"], **kind}
        folder = tiny_models.save_adapter(engine_case.base, tmp_path / str(seed), seed, **chosen)
        versions.append(registry.add(store, home, engine_case.base, folder, None, "dpo"))
    requests = [greedy(engine_case, version, 1, 20)[0] for version in versions]
    alone = [same(whole(engine_case.engine, request)[1]) for request in requests]
    assert len({text for text, _, _ in alone}) == len(versions)
    passes.seen.clear()
    assert [same(one) for one in engine_case.engine.batch(requests)] == alone
    assert max(rows for rows, _ in passes.seen) == 3  # the base and the two of plain LoRA
    passes.seen.clear()
    assert [same(one) for one in engine_case.engine.batch(requests[3:])] == alone[3:]
    assert max(rows for rows, _ in passes.seen) == 1


def test_an_adapter_that_mixes_by_its_settings_but_not_in_fact_answers_apart(
    home: Home, store: Store, tmp_path: Path
) -> None:
    base = saved_base(home, tmp_path, tiny_models.save_opt)
    folder = tiny_models.save_adapter(base, tmp_path / "adapter", target_modules=["q_proj", "fc1"])
    trained = registry.add(store, home, base, folder, None, "dpo")  # OPT joins rows and tokens
    engine = TorchEngine(base, home)
    try:
        text = prompt(engine, "Who are you?")
        versions = (tiny_models.base_version(base), trained)
        requests = [Request(text, Sampling(0.0, 1.0, 12), version) for version in versions]
        alone = [same(whole(engine, request)[1]) for request in requests]
        assert alone[0] != alone[1]
        assert [same(one) for one in engine.batch(requests)] == alone
    finally:
        engine.close()


def test_a_long_prompt_and_the_scoring_of_answers_let_replies_go_on_between_their_pieces(
    engine_case: EngineCase, passes: Passes, plain: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decode, "PREFILL_TOKENS", 40)
    monkeypatch.setitem(torch_engine.LOGPROB_TOKENS, "cpu", 60)
    engine = engine_case.engine
    passes.before = lambda rows, tokens: time.sleep(0.01)
    running = engine.stream(Request(prompt(engine, "Who are you?"), LONG, plain))
    next(running)
    passes.seen.clear()
    whole(engine, Request(prompt(engine, "the dog looked at the cat " * 20), Sampling(0.0, 1.0, 2), plain))
    engine.logprobs([Answered(prompt(engine, "The cat"), "sat on the mat. " * 3)] * 4, plain)
    running.close()
    long = [at for at, (_, tokens) in enumerate(passes.seen) if tokens > 20]
    assert len(long) >= 7
    assert all(later - before > 1 for before, later in pairwise(long)), passes.seen


def test_a_pass_that_fails_ends_only_a_reply_that_was_alone_in_it(
    engine_case: EngineCase, passes: Passes, plain: ModelVersion
) -> None:
    requests = greedy(engine_case, plain, 4, 20)
    alone = [same(whole(engine_case.engine, request)[1]) for request in requests]

    def fail_where_shared(rows: int, tokens: int) -> None:
        if rows > 1:
            raise RuntimeError("out of memory")

    passes.before = fail_where_shared
    assert [same(one) for one in engine_case.engine.batch(requests)] == alone
    long = Request(prompt(engine_case.engine, "the dog looked at the cat " * 12), LONG, plain)
    size = engine_case.engine.count_tokens(long.prompt)

    def fail_for_it(rows: int, tokens: int) -> None:
        time.sleep(0.005)
        if tokens == size:
            raise RuntimeError("out of memory")

    passes.before = fail_for_it
    with ThreadPoolExecutor(1) as others:
        running = others.submit(at_once, engine_case, requests)
        with pytest.raises(RuntimeError, match="out of memory"):
            whole(engine_case.engine, long)
        assert running.result() == alone


def test_a_chat_does_not_wait_for_a_long_batch(
    engine_case: EngineCase, passes: Passes, plain: ModelVersion
) -> None:
    engine = engine_case.engine
    batch = [Request(prompt(engine, "The cat"), Sampling(1.5, 1.0, 60, seed), plain) for seed in range(100)]
    engine.batch(batch[:1])
    passes.before = lambda rows, tokens: time.sleep(0.002)
    with ThreadPoolExecutor(1) as other:
        drawing = other.submit(engine.batch, batch)
        while not any(rows > 20 for rows, _ in passes.seen):
            time.sleep(0.01)
        before = len(passes.seen)
        whole(engine, Request(prompt(engine, "Who are you?"), Sampling(0.0, 1.0, 5), plain))
        assert len(passes.seen) - before < 30
        assert not drawing.done()
        assert len(drawing.result()) == 100


def saved_base(home: Home, tmp_path: Path, save: Callable[[Path], None]) -> Base:
    save(tmp_path / "model")
    base = bases.resolve(home, bases.BaseChoice(str(tmp_path / "model"), "none"))
    return Base(**{**vars(base), "dtype": "float32"})


@pytest.mark.parametrize(
    ("save", "shares"),
    [(tiny_models.save_sliding, True), (tiny_models.save_gpt2, True), (tiny_models.save_recurrent, False)],
)
def test_models_of_other_builds_share_passes_where_their_cache_can_be_joined(
    save: Callable[[Path], None], shares: bool, passes: Passes, home: Home, tmp_path: Path
) -> None:
    base = saved_base(home, tmp_path, save)
    engine = TorchEngine(base, home)
    try:
        case = EngineCase(engine, base)
        requests = greedy(case, tiny_models.base_version(base), 5, 30)
        alone = [same(whole(engine, request)[1]) for request in requests]
        passes.seen.clear()
        assert [same(one) for one in engine.batch(requests)] == alone
        assert (max(rows for rows, _ in passes.seen) > 1) == shares
    finally:
        engine.close()


def test_gpt2_without_a_chat_template_gets_one_and_answers(home: Home, tmp_path: Path) -> None:
    tiny_models.save_gpt2(tmp_path / "gpt2")
    base = bases.resolve(home, bases.BaseChoice(str(tmp_path / "gpt2"), "none"))
    engine = TorchEngine(base, home)
    try:
        plain = tiny_models.base_version(base)
        requests = [
            Request(prompt(engine, question), Sampling(0.0, 1.0, 8), plain)
            for question in ("Who are you?", "The cat sat on")
        ]
        assert engine.batch(requests) == [whole(engine, request)[1] for request in requests]
        assert engine.window == 256
        assert prompt(engine, "Hello") == "<|start|>User: Hello\nAssistant:\n"
    finally:
        engine.close()
