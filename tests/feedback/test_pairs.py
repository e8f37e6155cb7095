"""The rule that turns judgements into pairs, on plain data: no store, no model."""

from dataclasses import replace
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedback.evidence import (
    DemonstrationEvidence,
    Evidence,
    PromptEvidence,
    RatingEvidence,
    ReplyEvidence,
    VoteEvidence,
)
from feedback.message import Turn
from feedback.pairs import Source, derive

PROMPTS = {
    "p1": PromptEvidence((Turn("user", "What is tea?"),)),
    "p2": PromptEvidence((Turn("user", "What is ink?"),)),
    "p3": PromptEvidence(
        (Turn("user", " What is tea? "),)
    ),  # the same prompt as p1, asked in another conversation
}
TEXTS = {"a": "A", "b": "B", "c": "C", "a2": " A ", "empty": " \n"}
REPLIES = {f"{p}{name}": ReplyEvidence(p, text) for p in PROMPTS for name, text in TEXTS.items()}
REPLIES |= {f"{p}failed": ReplyEvidence(p, "F", usable=False) for p in PROMPTS}


def vote(replies, ranks, user="u1", at="1", prompt="p1", withdrawn=False):
    names = tuple(prompt + name for name in replies)
    return VoteEvidence(
        f"v-{user}-{at}-{prompt}-{'-'.join(names)}", user, prompt, names, ranks, at, withdrawn
    )


def rating(reply, value, user="u1", at="1", withdrawn=False):
    return RatingEvidence(f"r-{user}-{at}-{reply}", user, reply, value, at, withdrawn)


def demonstration(reply, content, user="u1", at="1", withdrawn=False):
    return DemonstrationEvidence(f"d-{user}-{at}-{reply}", user, reply, content, at, withdrawn)


def derived(votes=(), ratings=(), demonstrations=(), prompts=PROMPTS):
    return derive(Evidence(prompts, REPLIES, votes, ratings, demonstrations))


def preferences(result):
    return [(pair.chosen, pair.rejected) for pair in result.pairs]


def test_a_ranking_gives_every_strict_order_it_implies():
    assert preferences(derived([vote("abc", (2, 1, 3))])) == [("A", "C"), ("B", "A"), ("B", "C")]


def test_ties_give_no_pair_but_count_as_judgements_without_preference():
    result = derived([vote("abc", (1, 1, 2))])
    assert preferences(result) == [("A", "C"), ("B", "C")]
    assert result.dropped == {"no preference": 1}


def test_all_bad_gives_no_pair():
    result = derived([vote("abc", None)])
    assert (result.pairs, result.dropped) == ((), {"no preference": 3})


def test_a_withdrawn_judgement_of_any_kind_leaves_no_pair():
    result = derived(
        [vote("ab", (1, 2), withdrawn=True)],
        [rating("p1a", 1, withdrawn=True), rating("p1b", -1)],
        [demonstration("p1a", "Better", withdrawn=True)],
    )
    assert (result.pairs, result.dropped) == ((), {"withdrawn": 3})


@pytest.mark.parametrize("reason", ["no consent", "deleted conversation"])
def test_a_conversation_that_may_not_be_used_leaves_no_pair(reason):
    prompts = PROMPTS | {"p1": replace(PROMPTS["p1"], excluded=reason)}
    result = derived([vote("ab", (1, 2))], (), [demonstration("p1a", "Better")], prompts)
    assert (result.pairs, result.dropped) == ((), {reason: 2})


def test_each_thumb_up_is_chosen_over_each_thumb_down_of_the_same_person_on_the_same_message():
    ratings = [
        rating("p1a", 1),
        rating("p1b", -1),
        rating("p1c", -1),
        rating("p2b", -1),
        rating("p1b", -1, "u2"),
    ]
    result = derived(ratings=ratings)
    assert preferences(result) == [("A", "B"), ("A", "C")]
    assert result.pairs[0].sources == (Source("rating", "r-u1-1-p1a"), Source("rating", "r-u1-1-p1b"))


def test_a_demonstration_is_chosen_over_the_reply_it_corrects():
    (pair,) = derived(demonstrations=[demonstration("p1a", "  Better\n")]).pairs
    assert (pair.chosen, pair.rejected, pair.chosen_is_demonstration) == ("Better", "A", True)


def test_identical_texts_and_empty_or_failed_replies_give_no_pair():
    result = derived([vote(("a", "a2"), (1, 2)), vote(("a", "empty"), (1, 2)), vote(("a", "failed"), (1, 2))])
    assert (result.pairs, result.dropped) == ((), {"empty reply": 2, "identical texts": 1})


def test_the_later_judgement_of_one_person_replaces_the_earlier_even_across_conversations():
    result = derived([vote("ab", (1, 2), at="1"), vote("ab", (2, 1), at="2", prompt="p3")])
    assert preferences(result) == [("B", "A")]
    assert result.dropped == {"replaced by a later judgement": 1}


def test_a_later_tie_takes_back_an_earlier_preference():
    assert derived([vote("ab", (1, 2), at="1"), vote("ab", (1, 1), at="2")]).pairs == ()


def test_the_majority_of_people_decides():
    result = derived([vote("ab", (1, 2), "u1"), vote("ab", (2, 1), "u2"), vote("ab", (1, 2), "u3")])
    assert preferences(result) == [("A", "B")]
    assert result.dropped == {"duplicates": 1, "outvoted": 1}
    assert [source.id.split("-")[1] for source in result.pairs[0].sources] == ["u1", "u3"]


def test_an_even_split_is_a_contradiction_and_gives_no_pair():
    result = derived([vote("ab", (1, 2), "u1"), vote("ab", (2, 1), "u2")])
    assert (result.pairs, result.dropped) == ((), {"contradiction": 2})


def test_one_ranking_that_puts_the_same_text_on_two_places_prefers_neither():
    result = derived([vote(("a", "b", "a2"), (1, 2, 3))])
    assert result.pairs == ()
    assert result.dropped == {"contradiction": 1, "identical texts": 1, "no preference": 1}


def test_judgements_of_different_kinds_that_agree_give_one_pair_that_names_them_all():
    result = derived(
        [vote("ab", (1, 2), "u1")],
        [rating("p3a", 1, "u2"), rating("p3b", -1, "u2")],
        [demonstration("p1b", "A", "u3")],
    )
    (pair,) = result.pairs
    assert [source.kind for source in pair.sources] == ["demonstration", "rating", "rating", "vote"]
    assert result.dropped == {"duplicates": 2}


def test_the_turns_of_a_pair_are_those_that_were_asked():
    (pair,) = derived([vote("ab", (1, 2), prompt="p2")]).pairs
    assert pair.turns == PROMPTS["p2"].turns


moments = st.integers(0, 9).map(str)
people = st.sampled_from(["u1", "u2", "u3"])
names = st.lists(st.sampled_from([*TEXTS, "failed"]), min_size=2, max_size=4, unique=True)


@st.composite
def any_vote(draw):
    replies = tuple(draw(names))
    ranks = draw(st.none() | st.tuples(*[st.integers(1, 4)] * len(replies)))
    return vote(
        replies,
        ranks,
        draw(people),
        draw(moments),
        draw(st.sampled_from(sorted(PROMPTS))),
        draw(st.booleans()),
    )


any_rating = st.builds(
    rating, st.sampled_from(sorted(REPLIES)), st.sampled_from([1, -1]), people, moments, st.booleans()
)
any_demonstration = st.builds(
    demonstration,
    st.sampled_from(sorted(REPLIES)),
    st.sampled_from(["A", " B", "D"]),
    people,
    moments,
    st.booleans(),
)


def each_once(strategy):
    return st.lists(strategy, max_size=8, unique_by=lambda judgement: judgement.id)


all_judgements = (each_once(any_vote()), each_once(any_rating), each_once(any_demonstration))


@given(*all_judgements)
def test_no_pair_prefers_a_text_to_itself_and_no_two_pairs_disagree(votes, ratings, demonstrations):
    pairs = derived(votes, ratings, demonstrations).pairs
    seen = {(pair.prompt_sha256, pair.chosen, pair.rejected) for pair in pairs}
    assert len(seen) == len(pairs)
    for sha, chosen, rejected in seen:
        assert chosen != rejected
        assert (sha, rejected, chosen) not in seen
        assert chosen == chosen.strip() != ""


@given(*all_judgements, st.randoms())
def test_the_order_of_the_evidence_does_not_matter(votes, ratings, demonstrations, random):
    shuffled = [random.sample(list(kind), len(kind)) for kind in (votes, ratings, demonstrations)]
    assert derived(votes, ratings, demonstrations) == derived(*shuffled)


@given(*all_judgements)
def test_every_source_is_a_judgement_that_counts(votes, ratings, demonstrations):
    counting = {judgement.id for judgement in (*votes, *ratings, *demonstrations) if not judgement.withdrawn}
    for pair in derived(votes, ratings, demonstrations).pairs:
        assert pair.sources
        assert {source.id for source in pair.sources} <= counting


@given(each_once(any_vote()))
def test_ranks_matter_only_by_their_order(votes):
    stretched = [
        replace(one, ranks=None if one.ranks is None else tuple(rank * 10 - 3 for rank in one.ranks))
        for one in votes
    ]
    assert derived(votes) == derived(stretched)


@given(each_once(any_vote()))
def test_every_judgement_of_two_texts_is_a_pair_or_has_one_reason_not_to_be(votes):
    result = derived(votes)
    whole = sum(one.withdrawn for one in votes)
    judgements = sum(len(one.replies) * (len(one.replies) - 1) // 2 for one in votes if not one.withdrawn)
    assert len(result.pairs) + sum(result.dropped.values()) == judgements + whole


@pytest.mark.parametrize("shown", list(permutations("abc")))
def test_the_place_on_the_screen_does_not_matter(shown):
    place = {"a": 2, "b": 1, "c": 2}
    assert preferences(derived([vote(shown, tuple(place[name] for name in shown))])) == [
        ("B", "A"),
        ("B", "C"),
    ]


def test_a_reply_that_was_cut_off_is_marked_in_its_pair():
    # p3 asks the same as p1: a text counts as whole if it was a whole reply anywhere to that prompt.
    replies = {**REPLIES, **{cut: replace(REPLIES[cut], ended=False) for cut in ("p1b", "p3b")}}
    [pair] = derive(Evidence(PROMPTS, replies, [vote("ab", (1, 2))])).pairs
    assert (pair.chosen_ended, pair.rejected_ended) == (True, False)
