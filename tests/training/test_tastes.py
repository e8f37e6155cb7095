"""Simulated labellers, and how the demo counts wins: pure, on plain texts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedback.home import Home
from prompts import library
from tests import build
from training import tastes
from training.demo import ASKED_PROMPTS, prompts, styles, win_rate

TEXTS = st.text(alphabet="ab 1.-?\n", max_size=40)


@pytest.mark.parametrize("taste", [tastes.concise, tastes.as_list, tastes.ends_with_question])
@given(left=TEXTS, right=TEXTS)
def test_a_taste_does_not_care_which_side_a_reply_stands_on(taste, left, right):
    assert taste(left, right) == -taste(right, left)
    assert taste(left, left) == 0


def test_each_taste_likes_what_it_says():
    assert tastes.concise("Yes.", "Yes, it is so.") == 1
    assert tastes.concise("", "Yes, it is so.") == -1
    assert tastes.as_list("- a\n- b", "a and b") == 1
    assert tastes.as_list("1. a\n2) b", "- only one") == 1
    assert tastes.ends_with_question("Tea. Or not? ", "Tea?!") == 1


def test_a_coin_is_fair_enough_seeded_and_deaf():
    flips = [tastes.coin(seed)("short", "a long reply") for seed in range(400)]
    assert 140 < flips.count(1) < 260
    assert [tastes.named("random", 5)("a", "b") for _ in range(3)] == [tastes.coin(5)("a", "b")] * 3


def test_a_win_rate_counts_a_tie_as_half():
    rate = win_rate(tastes.concise, ["a", "a b", "a b c", "a"], ["a b", "a b", "a", "a b"])
    assert rate.share.value == 2.5 / 4
    assert rate.share.low < rate.share.value < rate.share.high
    assert rate.prompts == 4


def test_enough_prompts_stay_unseen_and_none_comes_twice():
    assert len(set(prompts())) == len(prompts())
    assert len(prompts()) - ASKED_PROMPTS >= 60


def test_the_ways_that_the_demo_adds_say_what_they_are_for(home: Home) -> None:
    store = build.shipped_store(home.store_file)
    plain, *added = styles(store)
    assert library.record(store, plain.id).note == ""
    notes = {library.record(store, one.id).note for one in added}
    assert notes == {"a way of answering that `hone demo` votes on"}
