"""The transformers engine: streams, stops, seeds, batches, log-probabilities, adapters."""

import threading
from collections.abc import Generator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from assistant import base as bases
from assistant import registry
from assistant.base import Base
from assistant.engines.interface import Answered, Completion, Request, Wanted
from assistant.engines.torch_engine import TorchEngine
from assistant.registry import ModelVersion
from feedback.conversations import Sampling
from feedback.errors import HoneError
from feedback.home import Home
from feedback.store import Store
from prompts.chat import ChatMessage
from tests import tiny_models

WARM = Sampling(temperature=1.0, top_p=0.95, max_tokens=24, seed=7)


@pytest.fixture
def engine(tiny_base: Base, home: Home) -> Iterator[TorchEngine]:
    engine = TorchEngine(tiny_base, home)
    yield engine
    engine.close()


@pytest.fixture
def plain(tiny_base: Base) -> ModelVersion:
    return tiny_models.base_version(tiny_base)


@pytest.fixture
def trained(store: Store, home: Home, tiny_base: Base, tmp_path: Path) -> ModelVersion:
    """A version with an adapter, in the store."""
    folder = tiny_models.save_adapter(tiny_base, tmp_path / "adapter")
    return registry.add(store, home, tiny_base, folder, None, "sft")


def prompt(engine: TorchEngine, question: str) -> str:
    return engine.template.text([ChatMessage("user", question)])


def whole(engine: TorchEngine, request: Request) -> tuple[list[str], Completion]:
    return drained(engine.stream(request))


def drained(stream: Generator[str, None, Completion]) -> tuple[list[str], Completion]:
    """What is left of a stream, and its return value."""
    pieces = []
    while True:
        try:
            pieces.append(next(stream))
        except StopIteration as end:
            return pieces, end.value


def test_a_stream_arrives_in_pieces_that_join_to_the_completion(
    engine: TorchEngine, plain: ModelVersion
) -> None:
    pieces, completion = whole(engine, Request(prompt(engine, "Who are you?"), WARM, plain))
    assert len(pieces) > 3
    assert "".join(pieces) == completion.text
    assert completion.finish in ("stop", "length")
    assert completion.tokens <= WARM.max_tokens


def test_the_same_seed_gives_the_same_text_whatever_ran_before(
    engine: TorchEngine, plain: ModelVersion
) -> None:
    request = Request(prompt(engine, "The cat"), WARM, plain)
    first = whole(engine, request)[1]
    torch.manual_seed(1)
    engine.batch([Request(prompt(engine, "The dog"), Sampling(seed=None, max_tokens=9), plain)])
    assert whole(engine, request)[1] == first


def test_different_seeds_give_different_texts(engine: TorchEngine, plain: ModelVersion) -> None:
    texts = {
        whole(engine, Request(prompt(engine, "The cat"), Sampling(1.0, 1.0, 24, seed), plain))[1].text
        for seed in range(4)
    }
    assert len(texts) == 4


def test_temperature_zero_takes_the_most_probable_token_each_time(
    engine: TorchEngine, plain: ModelVersion, tiny_base: Base
) -> None:
    text = prompt(engine, "The cat sat")
    tokenizer, model = bases.load_tokenizer(tiny_base), bases.load_model(tiny_base)
    ids = tokenizer(text, add_special_tokens=False, return_tensors="pt")
    expected = model.generate(**ids, do_sample=False, max_new_tokens=20)[0, ids["input_ids"].shape[1] :]
    found = whole(engine, Request(text, Sampling(0.0, 1.0, 20), plain))[1]
    assert found.text == tokenizer.decode(expected, skip_special_tokens=True).rstrip("\ufffd")


def test_a_long_prompt_read_in_pieces_gives_the_same_reply(
    engine: TorchEngine, plain: ModelVersion, tiny_base: Base
) -> None:
    text = prompt(engine, "the dog looked at the cat " * 50)
    assert engine.count_tokens(text) > 300
    tokenizer, model = bases.load_tokenizer(tiny_base), bases.load_model(tiny_base)
    ids = tokenizer(text, add_special_tokens=False, return_tensors="pt")
    expected = model.generate(**ids, do_sample=False, max_new_tokens=8)[0, ids["input_ids"].shape[1] :]
    found = whole(engine, Request(text, Sampling(0.0, 1.0, 8), plain))[1]
    assert found.text == tokenizer.decode(expected, skip_special_tokens=True).rstrip("\ufffd")


def test_a_stop_ends_the_model_and_keeps_what_was_written(engine: TorchEngine, plain: ModelVersion) -> None:
    stop = threading.Event()
    settings = Sampling(1.0, 1.0, 400, 3)
    stream = engine.stream(Request(prompt(engine, "Who are you?"), settings, plain, stop))
    pieces = [next(stream), next(stream)]
    stop.set()
    rest, completion = drained(stream)
    assert completion.finish == "stopped"
    assert completion.tokens < 20
    assert "".join(pieces + rest) == completion.text


def test_a_stream_that_nobody_reads_to_its_end_leaves_the_engine_free(
    engine: TorchEngine, plain: ModelVersion
) -> None:
    stream = engine.stream(Request(prompt(engine, "Who are you?"), WARM, plain))
    next(stream)
    stream.close()
    assert whole(engine, Request(prompt(engine, "The cat"), WARM, plain))[1].text


def test_two_replies_written_at_once_are_what_each_would_be_alone(
    engine: TorchEngine, plain: ModelVersion, trained: ModelVersion
) -> None:
    requests = [
        Request(prompt(engine, "The cat"), WARM, plain),
        Request(prompt(engine, "Who are you?"), WARM, trained),
    ]
    alone = [whole(engine, request)[1] for request in requests]
    streams = [engine.stream(request) for request in requests]
    texts = ["", ""]
    open_streams = [0, 1]
    while open_streams:  # piece by piece in turn: the adapter changes at every step
        for index in list(open_streams):
            try:
                texts[index] += next(streams[index])
            except StopIteration:
                open_streams.remove(index)
    assert texts == [completion.text for completion in alone]


def test_a_batch_answers_in_the_order_asked_as_streams_would(
    engine: TorchEngine, plain: ModelVersion, trained: ModelVersion
) -> None:
    questions = ["The cat", "the dog looked at the mat and then at you", "Who are you? " * 6, "A"]
    requests = [
        Request(prompt(engine, question), Sampling(0.9, 0.9, 6 + 5 * number, number), version)
        for number, question in enumerate(questions)
        for version in (plain, trained)
    ]
    seen: list[tuple[int, int]] = []
    together = engine.batch(requests, lambda done, total: seen.append((done, total)))
    assert together == [whole(engine, request)[1] for request in requests]
    assert seen[-1] == (8, 8)
    assert seen == sorted(seen)


def test_a_batch_of_which_some_are_stopped_finishes_the_others(
    engine: TorchEngine, plain: ModelVersion
) -> None:
    stopped = threading.Event()
    stopped.set()
    requests = [
        Request(prompt(engine, "The cat"), WARM, plain, stopped),
        Request(prompt(engine, "The dog"), WARM, plain),
    ]
    first, second = engine.batch(requests)
    assert (first.text, first.finish) == ("", "stopped")
    assert second == whole(engine, requests[1])[1]


def test_control_tokens_are_never_shown(engine: TorchEngine, plain: ModelVersion) -> None:
    texts = [
        reply.text
        for reply in engine.batch(
            [Request(prompt(engine, "The cat"), Sampling(3.0, 1.0, 200, seed), plain) for seed in range(8)]
        )
    ]
    assert not any(token in text for text in texts for token in ("<|start|>", "<|end|>"))


def test_a_reply_ends_before_a_stop_text(engine: TorchEngine, plain: ModelVersion) -> None:
    request = Request(prompt(engine, "The cat"), WARM, plain)
    free = whole(engine, request)[1]
    stop_text = free.text[8:11]
    pieces, cut = whole(engine, replace(request, wanted=Wanted(stop_texts=("never", stop_text))))
    assert cut.text == "".join(pieces) == free.text[: free.text.index(stop_text)]
    assert cut.finish == "stop"
    assert cut.tokens < free.tokens


def test_each_token_comes_with_its_log_probability_where_wanted(
    engine: TorchEngine, plain: ModelVersion
) -> None:
    settings = replace(WARM, temperature=0.0)
    request = Request(prompt(engine, "Who"), settings, plain, wanted=Wanted(top_logprobs=3))
    reply = whole(engine, request)[1]
    assert len(reply.logprobs) == reply.tokens
    assert all(len(one.top) == 3 and one.top[0] == (one.token, one.nats) for one in reply.logprobs)
    if reply.finish == "length":
        asked = Answered(request.prompt, reply.text, ended=False)
        [given] = engine.logprobs([asked], plain)
        if given.tokens == reply.tokens:
            assert sum(one.nats for one in reply.logprobs) == pytest.approx(given.total_nats, abs=1e-2)


def test_a_wish_that_the_engine_cannot_grant_is_refused_in_words(
    engine: TorchEngine, plain: ModelVersion
) -> None:
    with pytest.raises(HoneError, match="cannot hold a reply to a JSON schema"):
        next(engine.stream(Request("The cat", WARM, plain, wanted=Wanted(json_schema="{}"))))


def test_a_reply_ends_where_the_window_does(engine: TorchEngine, plain: ModelVersion) -> None:
    text = prompt(engine, "the cat " * 240)
    room = engine.window - engine.count_tokens(text)
    assert 0 < room < 40
    for seed in range(3):
        reply = whole(engine, Request(text, Sampling(1.0, 1.0, 400, seed), plain))[1]
        assert reply.tokens <= room


def test_a_prompt_beyond_the_window_is_refused_in_words(engine: TorchEngine, plain: ModelVersion) -> None:
    with pytest.raises(HoneError, match=r"too long .* window has 512"):
        next(engine.stream(Request(prompt(engine, "cat " * 600), WARM, plain)))


def test_log_probabilities_are_those_of_a_plain_computation(
    engine: TorchEngine, plain: ModelVersion, trained: ModelVersion, tiny_base: Base, home: Home
) -> None:
    from peft import PeftModel

    pairs = [
        (prompt(engine, "The cat"), "sat on the mat."),
        (prompt(engine, "Who are you? " * 9), "I am 你好 a small model. " * 3),
        (prompt(engine, "A"), ""),
    ] * 3
    tokenizer, model = bases.load_tokenizer(tiny_base), bases.load_model(tiny_base)
    for version in (plain, trained):
        if version.adapter_dir:
            model = PeftModel.from_pretrained(model, home.path / version.adapter_dir)
        asked = [Answered(question, answer) for question, answer in pairs]
        for (question, answer), found in zip(pairs, engine.logprobs(asked, version), strict=True):
            start = len(tokenizer(question, add_special_tokens=False)["input_ids"])
            ids = tokenizer(question + answer + "<|end|>", add_special_tokens=False, return_tensors="pt")
            with torch.no_grad():
                scores = model(**ids).logits[0].log_softmax(-1)
            targets = ids["input_ids"][0]
            total = sum(float(scores[at - 1, targets[at]]) for at in range(start, len(targets)))
            assert found.total_nats == pytest.approx(total, abs=1e-3)
            assert found.tokens == len(targets) - start


def test_an_adapter_changes_the_reply_and_the_base_stays_itself(
    engine: TorchEngine, plain: ModelVersion, trained: ModelVersion
) -> None:
    text = prompt(engine, "Who are you?")
    before = whole(engine, Request(text, WARM, plain))[1]
    engine.load(trained)
    assert whole(engine, Request(text, WARM, trained))[1] != before
    assert whole(engine, Request(text, WARM, plain))[1] == before


def test_many_versions_answer_in_turn_and_idle_ones_make_room(
    engine: TorchEngine, store: Store, home: Home, tiny_base: Base, tmp_path: Path
) -> None:
    text = prompt(engine, "Who are you?")
    versions = [
        registry.add(
            store,
            home,
            tiny_base,
            tiny_models.save_adapter(tiny_base, tmp_path / str(seed), seed),
            None,
            "dpo",
        )
        for seed in range(7)
    ]
    first_round = [whole(engine, Request(text, WARM, version))[1].text for version in versions]
    assert len(set(first_round)) == 7
    assert [whole(engine, Request(text, WARM, version))[1].text for version in versions] == first_round


def test_a_damaged_adapter_is_refused_before_it_answers(
    engine: TorchEngine, trained: ModelVersion, home: Home
) -> None:
    weights = home.path / str(trained.adapter_dir) / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x7f")
    with pytest.raises(HoneError, match="sft-1 is damaged"):
        engine.load(trained)


def test_a_version_of_another_base_is_refused(engine: TorchEngine, plain: ModelVersion) -> None:
    with pytest.raises(HoneError, match="belongs to the base other"):
        engine.load(replace(plain, id="mv_other", base_id="other"))


def test_closing_ends_a_running_stream(engine: TorchEngine, plain: ModelVersion) -> None:
    stream = engine.stream(Request(prompt(engine, "Who are you?"), Sampling(1.0, 1.0, 400, 3), plain))
    next(stream)
    engine.close()
    assert drained(stream)[1].finish == "stopped"


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
