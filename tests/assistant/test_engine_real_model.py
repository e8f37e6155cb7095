"""The embedded model itself: unpacked, served, and trained in NF4. Needs the wheel."""

import re
import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch

from assistant import base as bases
from assistant import embedded
from assistant.base import Base, BaseChoice
from assistant.engines.interface import Answered, Request
from assistant.engines.torch_engine import TorchEngine
from feedback.conversations import Sampling
from feedback.home import Home
from prompts.chat import ChatMessage
from tests import tiny_models

pytestmark = pytest.mark.model


@pytest.fixture(scope="module")
def engine(real_base: Base, prepared_home: Home) -> Iterator[TorchEngine]:
    engine = TorchEngine(real_base, prepared_home)
    yield engine
    engine.close()


def test_a_second_start_finds_the_unpacked_weights(real_base: Base, prepared_home: Home) -> None:
    again = bases.resolve(prepared_home, BaseChoice(quantize="none"))
    assert replace(again, why="") == replace(real_base, why="")
    assert "unpacked just now" not in again.why
    assert embedded.prepare(prepared_home) == (real_base.folder, False)


def test_the_renderer_writes_what_the_tokenizer_would(real_base: Base) -> None:
    turns = [ChatMessage("user", "Hello"), ChatMessage("assistant", "Hi."), ChatMessage("user", "Who?")]
    plain = [{"role": turn.role, "content": turn.content} for turn in turns]
    theirs = bases.load_tokenizer(real_base).apply_chat_template(
        plain, tokenize=False, add_generation_prompt=True
    )
    assert bases.chat_template(real_base).text(turns) == theirs


def test_it_answers_a_plain_question_and_ends_by_itself(engine: TorchEngine, real_base: Base) -> None:
    text = engine.template.text([ChatMessage("user", "What is the capital of France? One sentence.")])
    version = tiny_models.base_version(real_base)
    [reply] = engine.batch([Request(text, Sampling(0.0, 1.0, 48), version)])
    assert "Paris" in reply.text
    assert reply.finish == "stop"
    assert not re.search(r"<\|", reply.text)


def test_it_finds_a_sensible_answer_likelier_than_a_senseless_one(
    engine: TorchEngine, real_base: Base
) -> None:
    text = engine.template.text([ChatMessage("user", "What is the capital of France?")])
    version = tiny_models.base_version(real_base)
    right, wrong = engine.logprobs(
        [Answered(text, "The capital is Paris."), Answered(text, "The capital is butter.")], version
    )
    assert right.total_nats > wrong.total_nats + 3


def test_a_stop_ends_it_at_the_next_token(engine: TorchEngine, real_base: Base) -> None:
    stop = threading.Event()
    text = engine.template.text([ChatMessage("user", "Write a long story about the sea.")])
    version = tiny_models.base_version(real_base)
    stream = engine.stream(Request(text, Sampling(0.7, 0.95, 400, 1), version, stop))
    next(stream)
    stop.set()
    with pytest.raises(StopIteration) as end:
        next(stream)
    assert end.value.value.finish == "stopped"


def test_qlora_on_nf4_lowers_the_loss_in_two_steps(prepared_home: Home, real_base: Base) -> None:
    from bitsandbytes.nn import Linear4bit
    from peft import LoraConfig, get_peft_model

    base = bases.resolve(prepared_home, BaseChoice(quantize="nf4"))
    assert base.id == f"{real_base.id}+nf4"
    assert "quantised again to nf4" in base.why
    tokenizer = bases.load_tokenizer(base)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        settings = LoraConfig(r=8, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM")
        model = get_peft_model(bases.load_model(base), settings)
    assert any(isinstance(module, Linear4bit) for module in model.modules())
    turns = [ChatMessage("user", "Who are you?"), ChatMessage("assistant", "I am Hone.")]
    ids = tokenizer(bases.chat_template(base).text(turns), return_tensors="pt", add_special_tokens=False)
    optimizer = torch.optim.AdamW([w for w in model.parameters() if w.requires_grad], lr=1e-3)
    losses = []
    for _ in range(3):  # two steps, and the loss after them
        loss = model(**ids, labels=ids["input_ids"]).loss
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[2] < losses[1] < losses[0]
