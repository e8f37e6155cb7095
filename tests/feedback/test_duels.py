"""The rule that turns votes into duels, on plain data: no store, no model."""

from itertools import permutations

from feedback.duels import Duel, Maker, Thumbs, derive, thumbs
from feedback.evidence import Evidence, PromptEvidence, RatingEvidence, ReplyEvidence, VoteEvidence
from feedback.message import Turn

PROMPTS = {
    "p1": PromptEvidence((Turn("user", "What is tea?"),)),
    "p2": PromptEvidence((Turn("user", "What is ink?"),)),
    "private": PromptEvidence((Turn("user", "Mine?"),), "no consent"),
    "gone": PromptEvidence((Turn("user", "Gone?"),), "deleted conversation"),
}
A, B, C = Maker("pv_a", "mv_1"), Maker("pv_b", "mv_1"), Maker("pv_a", "mv_2")


def reply(prompt, text, by, usable=True):
    return ReplyEvidence(
        prompt,
        text,
        usable=usable,
        model_version_id=by and by.model_version_id,
        prompt_version_id=by and by.prompt_version_id,
    )


REPLIES = {f"{p}{name}": reply(p, name.upper(), by) for p in PROMPTS for name, by in
           (("a", A), ("b", B), ("c", C), ("a2", A))}  # fmt: skip
REPLIES |= {
    "p1empty": reply("p1", " \n", B),
    "p1failed": reply("p1", "F", B, usable=False),
    "p1same": reply("p1", " A ", B),
    "p1given": reply("p1", "G", None),
}


def vote(names, ranks, user="u1", at="1", prompt="p1", **more):
    replies = tuple(prompt + name for name in names)
    return VoteEvidence(f"v-{user}-{at}", user, prompt, replies, ranks, at, **more)


def duels(*votes):
    return derive(Evidence(PROMPTS, REPLIES, votes))


def scores(found):
    return sorted((duel.first, duel.second, duel.score) for duel in found)


def test_a_vote_between_two_makers_is_a_duel():
    (found,) = duels(vote(["a", "b"], (2, 1)))
    assert isinstance(found, Duel)
    assert (found.user_id, found.first, found.second, found.score) == ("u1", A, B, 0.0)


def test_duels_over_one_text_are_about_one_prompt_wherever_it_was_asked():
    first, second = duels(vote(["a", "b"], (2, 1)), vote(["a", "b"], (1, 2), user="u2"))
    (elsewhere,) = duels(vote(["a", "b"], (1, 2), prompt="p2"))
    assert first.prompt_sha256 == second.prompt_sha256 != elsewhere.prompt_sha256


def test_a_ranking_of_three_gives_each_two_by_different_makers():
    assert scores(duels(vote(["a", "b", "c"], (1, 2, 2)))) == [(A, C, 1.0), (A, B, 1.0), (B, C, 0.5)]
    assert scores(duels(vote(["a", "a2", "b"], (1, 2, 3)))) == [(A, B, 1.0), (A, B, 1.0)]


def test_a_tie_and_all_bad_are_half_for_each():
    assert scores(duels(vote(["a", "b"], (1, 1)))) == [(A, B, 0.5)]
    assert scores(duels(vote(["a", "b"], None))) == [(A, B, 0.5)]


def test_what_may_not_be_used_gives_no_duel():
    assert duels(vote(["a", "b"], (1, 2), withdrawn=True)) == []
    assert duels(vote(["a", "b"], (1, 2), by_person=False)) == []
    assert duels(vote(["a", "b"], (1, 2), prompt="private")) == []
    assert duels(vote(["a", "b"], (1, 2), prompt="gone")) == []


def test_replies_that_cannot_be_told_apart_or_are_nobodys_give_none():
    for other in ("empty", "failed", "same", "given"):
        assert duels(vote(["a", other], (1, 2))) == [], other


def test_a_persons_later_vote_on_the_same_texts_replaces_the_earlier_in_any_order():
    votes = [
        vote(["a", "b"], (1, 2), at="1"),
        vote(["b", "a"], (1, 2), at="2"),
        vote(["a", "b"], (1, 2), user="u2", at="1"),
        vote(["a", "b"], (1, 2), prompt="p2", at="1"),
    ]
    wanted = [(A, B, 0.0), (A, B, 1.0), (A, B, 1.0)]
    for order in permutations(votes):
        assert scores(duels(*order)) == wanted


def test_thumbs_are_counted_by_maker():
    ratings = [
        RatingEvidence("r1", "u1", "p1a", 1, "1"),
        RatingEvidence("r2", "u2", "p1a", -1, "1"),
        RatingEvidence("r3", "u1", "p2b", 1, "1"),
        RatingEvidence("r4", "u1", "p1b", -1, "1", withdrawn=True),
        RatingEvidence("r5", "u1", "privatea", 1, "1"),
        RatingEvidence("r6", "u1", "p1given", 1, "1"),
    ]
    assert thumbs(Evidence(PROMPTS, REPLIES, (), ratings)) == {A: Thumbs(1, 1), B: Thumbs(1, 0)}
