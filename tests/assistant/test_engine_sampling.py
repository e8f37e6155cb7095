"""The nucleus, the draws, and text put together from tokens."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from assistant import base as bases
from assistant.base import Base
from assistant.engines.detokenizer import Detokenizer
from assistant.engines.sampling import Floats, Sampler, log_softmax, nucleus, softmax
from feedback.conversations import Sampling

LOGITS = some.lists(some.floats(-8, 8, width=32), min_size=1, max_size=600).map(np.array)


@given(LOGITS, some.floats(0.01, 0.99))
def test_the_nucleus_is_the_smallest_set_that_reaches_top_p(logits: Floats, top_p: float) -> None:
    probabilities = softmax(logits)
    ids, kept = nucleus(probabilities, top_p)
    assert np.array_equal(probabilities[ids], kept)
    assert np.all(np.diff(kept) <= 0)
    assert float(kept.sum()) >= top_p - 1e-9
    assert float(kept[:-1].sum()) < top_p + 1e-9
    left_out = probabilities.copy()
    left_out[ids] = 0
    assert float(left_out.max()) <= float(kept.min())


@given(LOGITS, some.integers(0, 2**40), some.floats(0.1, 1))
def test_a_draw_stays_in_the_nucleus_and_follows_its_seed(logits: Floats, seed: int, top_p: float) -> None:
    warm = Sampling(0.8, top_p, 8, seed)
    first, second = Sampler(warm), Sampler(warm)
    allowed = set(nucleus(softmax(logits / 0.8), top_p)[0].tolist())
    draws = [first.choose(logits) for _ in range(4)]
    np.random.seed(seed % 2**32)  # the world's random numbers are not a sampler's
    assert draws == [second.choose(logits) for _ in range(4)]
    assert set(draws) <= allowed


def test_draws_follow_the_probabilities() -> None:
    sampler = Sampler(Sampling(1.0, 1.0, 8, 11))
    logits = np.log([0.5, 0.3, 0.2])
    draws = np.bincount([sampler.choose(logits) for _ in range(4000)]) / 4000
    assert draws.tolist() == pytest.approx([0.5, 0.3, 0.2], abs=0.03)


@given(LOGITS)
def test_log_probabilities_are_those_of_the_probabilities(logits: Floats) -> None:
    assert np.exp(log_softmax(logits)) == pytest.approx(softmax(logits))


def test_a_worked_nucleus() -> None:
    ids, kept = nucleus(np.array([0.1, 0.5, 0.15, 0.25]), 0.7)
    assert ids.tolist() == [1, 3]
    assert kept.tolist() == pytest.approx([0.5, 0.25])


@settings(deadline=None)
@given(text=some.text(alphabet=some.characters(exclude_categories=("Cs",)), max_size=40))
def test_streamed_pieces_join_to_the_text_with_no_half_character(text: str, tiny_base: Base) -> None:
    tokenizer = bases.load_tokenizer(tiny_base) if not TOKENIZER else TOKENIZER[0]
    TOKENIZER[:] = [tokenizer]
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    detokenizer = Detokenizer(tokenizer.decode, frozenset())
    pieces = [detokenizer.push(token) for token in ids] + [detokenizer.rest()]
    assert "".join(pieces) == text.rstrip("\ufffd")
    if "\ufffd" not in text:
        assert not any("\ufffd" in piece for piece in pieces)


TOKENIZER: list = []  # loading it for each example would take most of the test's time
