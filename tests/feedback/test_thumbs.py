"""Thumbs: one rule from ratings to liked and disliked replies, and their place in a snapshot."""

from hypothesis import given
from hypothesis import strategies as st

from feedback import frozen_thumbs, ratings, snapshots, splits
from feedback.evidence import Evidence
from feedback.ids import LOCAL_USER
from feedback.thumbs import derive
from tests import build
from tests.feedback.test_pairs import PROMPTS, REPLIES, any_rating, each_once, rating


def held(*given, prompts=PROMPTS):
    return [(one.reply, one.liked) for one in derive(Evidence(prompts, REPLIES, (), given))]


def test_each_reply_is_liked_or_not_by_the_latest_thumb_of_each_person_and_the_majority():
    assert held(rating("p1a", 1), rating("p1b", -1)) == [("A", True), ("B", False)]
    assert held(rating("p1a", 1, at="1"), rating("p1a", -1, at="2")) == [("A", False)]
    assert held(rating("p1a", 1, "u1"), rating("p1a", -1, "u2")) == []
    three = [rating("p1a", 1, "u1"), rating("p1a", -1, "u2"), rating("p1a2", 1, "u3")]
    assert held(*three) == [("A", True)]


def test_what_may_not_be_used_gives_no_thumb():
    assert held(rating("p1a", 1, withdrawn=True), rating("p1empty", 1), rating("p1failed", 1)) == []
    hidden = {name: type(one)(one.turns, "no consent") for name, one in PROMPTS.items()}
    assert held(rating("p1a", 1), prompts=hidden) == []


@given(each_once(any_rating), st.randoms())
def test_each_reply_to_a_prompt_stands_once_whatever_the_order(given_ratings, chance):
    found = derive(Evidence(PROMPTS, REPLIES, (), given_ratings))
    shuffled = chance.sample(given_ratings, len(given_ratings))
    assert derive(Evidence(PROMPTS, REPLIES, (), shuffled)) == found
    assert len({(one.prompt_sha256, one.reply) for one in found}) == len(found)
    counting = {one.id for one in given_ratings if not one.withdrawn}
    assert all(one.rating_ids and set(one.rating_ids) <= counting for one in found)


def test_a_snapshot_freezes_thumbs_without_any_pair(store):
    for number in range(20):
        (reply,) = build.asked(store, f"question {number}", f"answer {number}").replies
        ratings.record(store, LOCAL_USER, reply, 1 if number % 2 else -1)
    made = snapshots.freeze(store, LOCAL_USER, build.TEMPLATE_SHA256, build.PROMPT_VERSION)
    parts = frozen_thumbs.read(store, made.id)
    assert made.report.pairs == 0
    assert (made.report.train_thumbs, made.report.held_out_thumbs) == (len(parts.train), len(parts.held_out))
    assert len(parts.train) + len(parts.held_out) == 20
    assert {one.liked for one in parts.train} == {True, False}
    assert all(one.held_out == splits.is_held_out(one.split_key) for one in (*parts.train, *parts.held_out))
    again = snapshots.freeze(store, LOCAL_USER, build.TEMPLATE_SHA256, build.PROMPT_VERSION)
    assert again.id == made.id
