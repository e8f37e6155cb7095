"""What every engine must do, as tests. A module of tests for an engine gives a fixture `engine_case` and a
class that inherits `EngineContract`; that is all.
"""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch

from assistant import base as bases
from assistant import registry
from assistant.base import Base
from assistant.engines.interface import Answered, Completion, Engine, Request, Wanted
from assistant.registry import ModelVersion
from feedback.conversations import Sampling
from feedback.errors import HoneError
from feedback.home import Home
from feedback.store import Store
from prompts.chat import ChatMessage
from tests import tiny_models
from tests.scripted import drained

WARM = Sampling(temperature=1.0, top_p=0.95, max_tokens=24, seed=7)
LONG = Sampling(temperature=1.0, top_p=1.0, max_tokens=400, seed=3)


@dataclass(frozen=True)
class EngineCase:
    """An engine to test, and the base that it answers as.

    computes_alike: its arithmetic is that of transformers on this base, so texts and sums can be compared.
    scores: it can say how probable a given answer is. adapters: it can answer as a version with an adapter.
    """

    engine: Engine
    base: Base
    computes_alike: bool = True
    scores: bool = True
    adapters: bool = True


def prompt(engine: Engine, question: str) -> str:
    return engine.template.text([ChatMessage("user", question)])


def whole(engine: Engine, request: Request) -> tuple[list[str], Completion]:
    return drained(engine.stream(request))


def same(completion: Completion) -> tuple[str, int, str]:
    """What must not depend on what ran before; how much of the prompt was remembered may."""
    return completion.text, completion.tokens, completion.finish


class EngineContract:
    """Inherit it, and give `engine_case`."""

    @pytest.fixture
    def engine(self, engine_case: EngineCase) -> Engine:
        return engine_case.engine

    @pytest.fixture
    def plain(self, engine_case: EngineCase) -> ModelVersion:
        """The base itself."""
        return tiny_models.base_version(engine_case.base)

    @pytest.fixture
    def trained(self, engine_case: EngineCase, store: Store, home: Home, tmp_path: Path) -> ModelVersion:
        """A version with an adapter, in the store."""
        if not engine_case.adapters:
            pytest.skip("this engine has no adapters")
        folder = tiny_models.save_adapter(engine_case.base, tmp_path / "adapter")
        return registry.add(store, home, engine_case.base, folder, None, "sft")

    @pytest.mark.parametrize("text", ["", "The cat sat.", "naïve 日本 🙂🙂", "<|end|>  two\n\n"])
    def test_a_text_is_its_tokens_joined(self, engine: Engine, text: str) -> None:
        pieces = engine.tokens(text)
        assert len(pieces) == engine.count_tokens(text)
        assert "".join(pieces) == text

    def test_a_stream_arrives_in_pieces_that_join_to_the_completion(
        self, engine: Engine, plain: ModelVersion
    ) -> None:
        pieces, completion = whole(engine, Request(prompt(engine, "Who are you?"), WARM, plain))
        assert len(pieces) > 3
        assert "".join(pieces) == completion.text
        assert completion.finish in ("stop", "length")
        assert 0 < completion.tokens <= WARM.max_tokens

    def test_the_same_seed_gives_the_same_text_whatever_ran_before(
        self, engine: Engine, plain: ModelVersion
    ) -> None:
        request = Request(prompt(engine, "The cat"), WARM, plain)
        first = whole(engine, request)[1]
        torch.manual_seed(1)
        engine.batch([Request(prompt(engine, "The dog"), Sampling(seed=None, max_tokens=9), plain)])
        assert same(whole(engine, request)[1]) == same(first)

    def test_different_seeds_give_different_texts(self, engine: Engine, plain: ModelVersion) -> None:
        texts = {
            whole(engine, Request(prompt(engine, "The cat"), Sampling(1.0, 1.0, 24, seed), plain))[1].text
            for seed in range(4)
        }
        assert len(texts) == 4

    def test_temperature_zero_takes_the_most_probable_token_each_time(
        self, engine_case: EngineCase, plain: ModelVersion
    ) -> None:
        self._check_greedy(engine_case, plain, "The cat sat", 20)

    def test_a_long_prompt_gives_the_reply_that_it_should(
        self, engine_case: EngineCase, plain: ModelVersion
    ) -> None:
        question = "the dog looked at the cat " * 50
        assert engine_case.engine.count_tokens(question) > 300
        self._check_greedy(engine_case, plain, question, 8)

    def _check_greedy(self, case: EngineCase, plain: ModelVersion, question: str, tokens: int) -> None:
        text = prompt(case.engine, question)
        found = whole(case.engine, Request(text, Sampling(0.0, 1.0, tokens, 5), plain))[1]
        again = whole(case.engine, Request(text, Sampling(0.0, 1.0, tokens, 6), plain))[1]
        assert same(found) == same(again)
        if case.computes_alike:
            tokenizer, model = bases.load_tokenizer(case.base), bases.load_model(case.base)
            ids = tokenizer(text, add_special_tokens=False, return_tensors="pt")
            ids.pop("token_type_ids", None)
            written = model.generate(**ids, do_sample=False, max_new_tokens=tokens)
            expected = tokenizer.decode(written[0, ids["input_ids"].shape[1] :], skip_special_tokens=True)
            assert found.text == expected.rstrip("\ufffd")

    def test_a_stop_ends_the_model_and_keeps_what_was_written(
        self, engine: Engine, plain: ModelVersion
    ) -> None:
        stop = threading.Event()
        stream = engine.stream(Request(prompt(engine, "Who are you?"), LONG, plain, stop))
        pieces = [next(stream), next(stream)]
        stop.set()
        rest, completion = drained(stream)
        assert completion.finish == "stopped"
        assert completion.tokens < 20
        assert "".join(pieces + rest) == completion.text

    def test_a_stop_before_the_first_token_gives_an_empty_reply(
        self, engine: Engine, plain: ModelVersion
    ) -> None:
        stop = threading.Event()
        stop.set()
        pieces, completion = whole(engine, Request(prompt(engine, "The cat"), WARM, plain, stop))
        assert (pieces, completion.text, completion.finish) == ([], "", "stopped")

    def test_a_stream_that_nobody_reads_to_its_end_leaves_the_engine_free(
        self, engine: Engine, plain: ModelVersion
    ) -> None:
        stream = engine.stream(Request(prompt(engine, "Who are you?"), WARM, plain))
        next(stream)
        stream.close()
        assert whole(engine, Request(prompt(engine, "The cat"), WARM, plain))[1].text

    def test_two_replies_written_at_once_are_what_each_would_be_alone(
        self, engine: Engine, plain: ModelVersion, trained: ModelVersion
    ) -> None:
        requests = [
            Request(prompt(engine, "The cat"), WARM, plain),
            Request(prompt(engine, "Who are you?"), WARM, trained),
        ]
        alone = [whole(engine, request)[1] for request in requests]
        streams = [engine.stream(request) for request in requests]
        texts = ["", ""]
        open_streams = [0, 1]
        while open_streams:  # piece by piece in turn: the version changes at every step
            for index in list(open_streams):
                try:
                    texts[index] += next(streams[index])
                except StopIteration:
                    open_streams.remove(index)
        assert texts == [completion.text for completion in alone]

    def test_a_batch_answers_in_the_order_asked_as_streams_would(
        self, engine: Engine, plain: ModelVersion, trained: ModelVersion
    ) -> None:
        questions = ["The cat", "the dog looked at the mat and then at you", "Who are you? " * 6, "A"]
        requests = [
            Request(prompt(engine, question), Sampling(0.9, 0.9, 6 + 5 * number, number), version)
            for number, question in enumerate(questions)
            for version in (plain, trained)
        ]
        seen: list[tuple[int, int]] = []
        together = engine.batch(requests, lambda done, total: seen.append((done, total)))
        assert [same(one) for one in together] == [same(whole(engine, request)[1]) for request in requests]
        assert seen[-1] == (8, 8)
        assert seen == sorted(seen)

    def test_two_versions_and_the_base_side_by_side_each_say_what_they_would_alone(
        self, engine_case: EngineCase, plain: ModelVersion, trained: ModelVersion, store: Store, home: Home,
        tmp_path: Path,
    ) -> None:  # fmt: skip
        engine, base = engine_case.engine, engine_case.base
        folder = tiny_models.save_adapter(base, tmp_path / "other", seed=1)
        other = registry.add(store, home, base, folder, None, "dpo")
        requests = [
            Request(prompt(engine, question), Sampling(0.0, 1.0, 24, 0), version)
            for question in ("Who are you?", "the cat looked at you")
            for version in (plain, trained, other)
        ]
        alone = [whole(engine, request)[1] for request in requests]
        assert len({completion.text for completion in alone[:3]}) == 3
        assert [same(one) for one in engine.batch(requests)] == [same(one) for one in alone]
        with ThreadPoolExecutor(6) as people:
            streamed = list(people.map(lambda request: whole(engine, request)[1], requests))
        assert [same(one) for one in streamed] == [same(one) for one in alone]

    def test_replies_that_join_and_leave_change_no_other(self, engine: Engine, plain: ModelVersion) -> None:
        greedy = [
            Request(prompt(engine, question), Sampling(0.0, 1.0, tokens, 0), plain)
            for question, tokens in (("Who are you?", 200), ("the dog " * 20, 12), ("A", 40))
        ]
        alone = [whole(engine, request)[1] for request in greedy]
        first = engine.stream(greedy[0])
        pieces = [next(first) for _ in range(3)]
        left = engine.stream(Request(prompt(engine, "The cat"), LONG, plain))
        next(left)
        later = [whole(engine, request)[1] for request in greedy[1:]]
        left.close()
        rest, completion = drained(first)
        assert "".join(pieces + rest) == completion.text
        assert [same(one) for one in (completion, *later)] == [same(one) for one in alone]

    def test_a_batch_of_which_some_are_stopped_finishes_the_others(
        self, engine: Engine, plain: ModelVersion
    ) -> None:
        stopped = threading.Event()
        stopped.set()
        requests = [
            Request(prompt(engine, "The cat"), WARM, plain, stopped),
            Request(prompt(engine, "The dog"), WARM, plain),
        ]
        first, second = engine.batch(requests)
        assert (first.text, first.finish) == ("", "stopped")
        assert same(second) == same(whole(engine, requests[1])[1])

    def test_an_empty_batch_is_no_work(self, engine: Engine, plain: ModelVersion) -> None:
        assert engine.batch([]) == []

    def test_control_tokens_are_never_shown(self, engine: Engine, plain: ModelVersion) -> None:
        wild = [Request(prompt(engine, "The cat"), Sampling(3.0, 1.0, 200, seed), plain) for seed in range(8)]
        texts = [reply.text for reply in engine.batch(wild)]
        assert any(texts)
        assert not any(token in text for text in texts for token in engine.template.control_tokens)

    def test_a_reply_ends_before_a_stop_text(self, engine: Engine, plain: ModelVersion) -> None:
        request = Request(prompt(engine, "The cat"), WARM, plain)
        free = whole(engine, request)[1]
        stop_text = free.text[8:11]
        pieces, cut = whole(engine, replace(request, wanted=Wanted(stop_texts=("never", stop_text))))
        assert cut.text == "".join(pieces) == free.text[: free.text.index(stop_text)]
        assert cut.finish == "stop"
        assert cut.tokens < free.tokens

    def test_each_token_comes_with_its_log_probability_where_wanted(
        self, engine_case: EngineCase, plain: ModelVersion
    ) -> None:
        engine, settings = engine_case.engine, replace(WARM, temperature=0.0)
        request = Request(prompt(engine, "Who"), settings, plain, wanted=Wanted(top_logprobs=3))
        if "token_logprobs" not in engine.abilities:
            with pytest.raises(HoneError, match="cannot give the log-probabilities"):
                next(engine.stream(request))
            return
        reply = whole(engine, request)[1]
        assert len(reply.logprobs) == reply.tokens > 0
        for one in reply.logprobs:
            assert len(one.top) == 3
            assert one.top[0] == (one.token, one.nats)
            assert one.top[0][1] >= one.top[1][1] >= one.top[2][1]
        if engine_case.scores and reply.finish == "length":
            [given] = engine.logprobs([Answered(request.prompt, reply.text, ended=False)], plain)
            if given.tokens == reply.tokens:
                assert sum(one.nats for one in reply.logprobs) == pytest.approx(given.total_nats, abs=1e-2)

    def test_a_schema_is_held_to_or_refused_in_words(self, engine: Engine, plain: ModelVersion) -> None:
        request = Request(
            prompt(engine, "The cat"), WARM, plain, wanted=Wanted(json_schema='{"type": "null"}')
        )
        if "json_schema" in engine.abilities:
            engine.check(request.wanted)
            assert whole(engine, request)[1].text.strip() == "null"
        else:
            for ask in (lambda: engine.check(request.wanted), lambda: next(engine.stream(request))):
                with pytest.raises(HoneError, match="cannot hold a reply to a JSON schema"):
                    ask()

    def test_a_reply_ends_where_the_window_does(self, engine: Engine, plain: ModelVersion) -> None:
        lengths = [engine.count_tokens(prompt(engine, "the cat " * count)) for count in (10, 20)]
        count = int((engine.window - 24 - lengths[0]) * 10 / (lengths[1] - lengths[0])) + 10
        text = prompt(engine, "the cat " * count)
        room = engine.window - engine.count_tokens(text)
        assert 0 < room < 40
        for seed in range(3):
            reply = whole(engine, Request(text, Sampling(1.0, 1.0, 400, seed), plain))[1]
            assert reply.tokens <= room

    def test_a_prompt_beyond_the_window_is_refused_in_words(
        self, engine: Engine, plain: ModelVersion
    ) -> None:
        with pytest.raises(HoneError, match=rf"too long .* window has {engine.window}"):
            next(engine.stream(Request(prompt(engine, "cat " * engine.window), WARM, plain)))

    def test_an_empty_prompt_is_refused_in_words(self, engine: Engine, plain: ModelVersion) -> None:
        with pytest.raises(HoneError, match="nothing to answer"):
            next(engine.stream(Request("", WARM, plain)))

    def test_log_probabilities_are_those_of_a_plain_computation(
        self, engine_case: EngineCase, plain: ModelVersion, trained: ModelVersion, home: Home
    ) -> None:
        from peft import PeftModel

        engine = engine_case.engine
        pairs = [
            (prompt(engine, "The cat"), "sat on the mat."),
            (prompt(engine, "Who are you? " * 9), "I am 你好 a small model. " * 3),
            (prompt(engine, "A"), ""),
        ] * 3
        asked = [Answered(question, answer) for question, answer in pairs]
        if not engine_case.scores:
            with pytest.raises(HoneError, match="how probable"):
                engine.logprobs(asked, plain)
            return
        tokenizer, model = bases.load_tokenizer(engine_case.base), bases.load_model(engine_case.base)
        for version in (plain, trained):
            if version.adapter_dir:
                model = PeftModel.from_pretrained(model, home.path / version.adapter_dir)
            for (question, answer), found in zip(pairs, engine.logprobs(asked, version), strict=True):
                start = len(tokenizer(question, add_special_tokens=False)["input_ids"])
                text = question + answer + engine.template.eos
                ids = tokenizer(text, add_special_tokens=False, return_tensors="pt")["input_ids"]
                with torch.no_grad():
                    scores = model(input_ids=ids).logits[0].log_softmax(-1)
                total = sum(float(scores[at - 1, ids[0][at]]) for at in range(start, len(ids[0])))
                assert found.tokens == len(ids[0]) - start
                if engine_case.computes_alike:
                    assert found.total_nats == pytest.approx(total, abs=1e-3)

    def test_an_answer_that_was_cut_off_has_no_end_token(
        self, engine_case: EngineCase, plain: ModelVersion
    ) -> None:
        if not engine_case.scores:
            pytest.skip("this engine scores no answers")
        text = prompt(engine_case.engine, "The cat")
        asked = [Answered(text, "sat on", ended) for ended in (True, False)]
        ended, cut = engine_case.engine.logprobs(asked, plain)
        assert ended.tokens == cut.tokens + 1
        assert ended.total_nats < cut.total_nats

    def test_answers_asked_together_are_as_probable_as_each_alone(
        self, engine_case: EngineCase, plain: ModelVersion
    ) -> None:
        """Options of a choice: alike but for their last token, one inside another, none, and again."""
        if not engine_case.scores:
            pytest.skip("this engine scores no answers")
        engine = engine_case.engine
        texts = [prompt(engine, "The cat"), prompt(engine, "The dog")]
        asked = [
            Answered(text, answer, ended)
            for text in texts
            for answer in ("a", "b", "a b c", "a b d", "a b", "", "a")
            for ended in (False, True)
        ]
        alone = [engine.logprobs([one], plain)[0] for one in asked]
        told: list[int] = []
        together = engine.logprobs(asked, plain, lambda done, total: told.append(done))
        assert [one.tokens for one in together] == [one.tokens for one in alone]
        assert [one.total_nats for one in together] == pytest.approx(
            [one.total_nats for one in alone], abs=1e-3
        )
        assert told == sorted(told)
        assert told[-1] == len(asked)

    def test_an_adapter_changes_the_reply_and_the_base_stays_itself(
        self, engine: Engine, plain: ModelVersion, trained: ModelVersion
    ) -> None:
        text = prompt(engine, "Who are you?")
        before = whole(engine, Request(text, WARM, plain))[1]
        engine.load(trained)
        engine.warm_up(trained)
        assert whole(engine, Request(text, WARM, trained))[1].text != before.text
        assert whole(engine, Request(text, WARM, plain))[1].text == before.text

    def test_many_versions_answer_in_turn_and_idle_ones_make_room(
        self, engine_case: EngineCase, store: Store, home: Home, tmp_path: Path
    ) -> None:
        if not engine_case.adapters:
            pytest.skip("this engine has no adapters")
        engine, base = engine_case.engine, engine_case.base
        text = prompt(engine, "Who are you?")
        folders = [tiny_models.save_adapter(base, tmp_path / str(seed), seed) for seed in range(7)]
        versions = [registry.add(store, home, base, folder, None, "dpo") for folder in folders]
        first_round = [whole(engine, Request(text, WARM, version))[1].text for version in versions]
        assert len(set(first_round)) == 7
        assert [whole(engine, Request(text, WARM, version))[1].text for version in versions] == first_round

    def test_a_damaged_adapter_is_refused_before_it_answers(
        self, engine: Engine, trained: ModelVersion, home: Home
    ) -> None:
        weights = home.path / str(trained.adapter_dir) / "adapter_model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-1] + b"\x7f")
        with pytest.raises(HoneError, match="sft-1 is damaged"):
            engine.load(trained)

    def test_a_version_of_another_base_is_refused(self, engine: Engine, plain: ModelVersion) -> None:
        with pytest.raises(HoneError, match="belongs to the base other"):
            engine.load(replace(plain, id="mv_other", base_id="other"))

    def test_closing_ends_a_running_stream(self, engine: Engine, plain: ModelVersion) -> None:
        stream = engine.stream(Request(prompt(engine, "Who are you?"), LONG, plain))
        next(stream)
        engine.close()
        assert drained(stream)[1].finish == "stopped"
