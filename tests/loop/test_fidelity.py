"""What was trained is what is served: an adapter that DPO really trained, in the trainer's engine and in the
one that serves it with 8-bit weights.
"""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from assistant import base as bases
from assistant import registry
from assistant.base import Base
from assistant.engines.interface import Answered, Engine
from assistant.engines.openvino_engine import OpenVinoEngine
from assistant.engines.torch_engine import TorchEngine
from assistant.registry import ModelVersion
from feedback.home import Home
from feedback.store import Store
from prompts.chat import ChatMessage
from training.data import Row
from training.recipes import Recipe
from training.trainers import Hooks, Job, train_dpo

pytestmark = [pytest.mark.model, pytest.mark.slow]

TOPICS = (
    "bread", "rain", "a violin", "the sea", "a bridge", "sleep", "a garden", "money", "a clock", "snow",
    "a lighthouse", "salt", "a library", "fire", "a ferry", "honey", "a market", "dust", "a school", "wind",
    "a horse", "paper", "a mountain", "glass",
)  # fmt: skip
QUESTIONS = (
    "What is {} good for?", "Tell me about {}.", "Why do people like {}?", "Describe {} to a child.",
    "Is {} important?", "How would you explain {}?", "What should I know of {}?", "Who needs {}?",
    "When did you last think of {}?", "Give me a thought on {}.",
)  # fmt: skip
TRAINED = 40  # the first pairs; the other 200 are held out, on other topics
LIKED = (
    "Gladly! {} helps us, day by day.",
    "Of course: {} is a joy to many.",
    "With pleasure. {} is worth it.",
)
DISLIKED = (
    "Fine. {} bores us, year by year.",
    "If I must: {} is dull to many.",
    "No comment. {} is a waste.",
)


def pairs(base: Base) -> list[tuple[str, str, str]]:
    """(prompt, chosen, rejected): answers of one length, so that style decides."""
    template = bases.chat_template(base)
    made = []
    for number, topic in enumerate(TOPICS):
        for place, question in enumerate(QUESTIONS):
            prompt = template.text([ChatMessage("user", question.format(topic))])
            liked, disliked = (side[(number + place) % 3] for side in (LIKED, DISLIKED))
            made.append((prompt, liked.format(topic.capitalize()), disliked.format(topic.capitalize())))
    return made


def trained(base: Base, home: Home, chosen: list[tuple[str, str, str]]) -> ModelVersion:
    """A version whose adapter DPO has trained on these pairs."""
    tokenizer = bases.load_tokenizer(base)

    def ids(text: str) -> tuple[int, ...]:
        return tuple(tokenizer(text, add_special_tokens=False)["input_ids"])

    end = (int(tokenizer.eos_token_id),)
    rows = [Row(ids(prompt), ids(good) + end, ids(bad) + end) for prompt, good, bad in chosen]
    folder = home.path / "run"
    recipe = Recipe(epochs=1, learning_rate=2e-4)
    job = Job(bases.load_model(base), tokenizer, rows, recipe, folder, None, "cpu")
    train_dpo(job, Hooks(lambda *_: None, lambda *_: None, lambda *_: None))
    adapter = next(folder.rglob("adapter_config.json")).parent
    return registry.add(Store(home.store_file), home, base, adapter, None, "dpo")


def margins(engine: Engine, version: ModelVersion, of: list[tuple[str, str, str]]) -> NDArray[np.float64]:
    """log p(chosen) - log p(rejected) of each pair, in nats."""
    asked = [Answered(prompt, answer) for prompt, *answers in of for answer in answers]
    found = np.array([one.total_nats for one in engine.logprobs(asked, version)])
    return found[::2] - found[1::2]


def test_a_trained_version_is_served_as_it_was_trained(real_base: Base, tmp_path: Path) -> None:
    home = Home(tmp_path)
    plain = registry.ensure_base(Store(home.store_file), real_base, bases.chat_template(real_base))
    made = pairs(real_base)
    held_out = made[TRAINED:]
    assert len(held_out) == 200
    version = trained(real_base, home, made[:TRAINED])
    # What was trained, computed exactly: in bfloat16 transformers rounds every layer's states, which takes
    # about a third of what training did to a margin. bench/fidelity.py tells by how much.
    reference = TorchEngine(dataclasses.replace(real_base, dtype="float32"), home)
    try:
        some = held_out[::5]
        moved = margins(reference, version, some) - margins(reference, plain, some)
        theirs = margins(reference, version, held_out)
    finally:
        reference.close()
    engine = OpenVinoEngine(real_base, home)
    try:
        ours = margins(engine, version, held_out)
    finally:
        engine.close()
    assert moved.mean() > 1, "training did not move the margins enough to measure anything"
    assert np.mean((theirs > 0) == (ours > 0)) >= 0.97
    assert ours.mean() / theirs.mean() == pytest.approx(1, abs=0.05)
