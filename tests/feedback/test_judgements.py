"""Votes, thumbs, better answers and comparisons: changed and withdrawn, never overwritten."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedback import comparisons, conversations, demonstrations, pairs, ratings, votes
from feedback.errors import ConflictError, HoneError, NotFoundError
from feedback.ids import LOCAL_USER
from tests import build


@pytest.fixture
def tea(store):
    return build.asked(store, "What is tea?", "A drink.", "Leaves.")


def preferred(store):
    return [(pair.chosen, pair.rejected) for pair in pairs.from_store(store).pairs]


@given(st.lists(st.integers(-5, 5), min_size=1, max_size=4))
def test_dense_ranks_keep_the_order_and_have_no_gaps(ranks):
    dense = votes.dense(ranks)
    assert set(dense) == set(range(1, len(set(ranks)) + 1))
    for one, ours in zip(ranks, dense, strict=True):
        for other, theirs in zip(ranks, dense, strict=True):
            assert (one < other, one == other) == (ours < theirs, ours == theirs)


def test_a_vote_keeps_the_order_in_which_the_replies_were_shown(store, tea):
    shown = tuple(reversed(tea.replies))
    votes.record(store, votes.NewVote(LOCAL_USER, tea.prompt_id, shown, (7, 3), "api"))
    (vote,) = votes.of_prompt(store, tea.prompt_id)
    assert (vote.shown, vote.ranks) == (shown, (2, 1))
    assert preferred(store) == [("A drink.", "Leaves.")]


def test_changing_a_vote_keeps_the_old_one_and_counts_the_new(store, tea):
    old = build.voted(store, tea, (1, 2))
    new = votes.record(
        store, votes.NewVote(LOCAL_USER, tea.prompt_id, tea.replies, (2, 1), "api", replaces=old)
    )
    assert [vote.id for vote in votes.of_prompt(store, tea.prompt_id)] == [new]
    assert votes.get(store, old).withdrawn_at is not None
    assert votes.get(store, new).replaces_id == old
    assert preferred(store) == [("Leaves.", "A drink.")]
    with pytest.raises(ConflictError):
        votes.record(
            store, votes.NewVote(LOCAL_USER, tea.prompt_id, tea.replies, (1, 2), "api", replaces=old)
        )


def test_a_withdrawn_vote_leaves_no_pair(store, tea):
    vote = build.voted(store, tea, (1, 2))
    votes.withdraw(store, LOCAL_USER, vote)
    assert preferred(store) == []
    with pytest.raises(ConflictError):
        votes.withdraw(store, LOCAL_USER, vote)


def test_nobody_withdraws_or_changes_another_persons_vote(store, tea):
    vote, stranger = build.voted(store, tea, (1, 2)), build.person(store, "bo")
    with pytest.raises(NotFoundError):
        votes.withdraw(store, stranger, vote)
    with pytest.raises(NotFoundError):
        votes.record(store, votes.NewVote(stranger, tea.prompt_id, tea.replies, (2, 1), "api", replaces=vote))
    assert preferred(store) == [("A drink.", "Leaves.")]


def test_a_vote_that_makes_no_sense_is_refused(store, tea):
    other = build.asked(store, "What is ink?", "A liquid.")
    one, two = tea.replies
    senseless = [
        ((one,), (1,)),
        ((one, one), (1, 2)),
        ((one, two), (1, 2, 3)),
        ((one, other.replies[0]), (1, 2)),
        ((one, tea.prompt_id), (1, 2)),
        ((one, "m_nowhere"), (1, 2)),
    ]
    for shown, ranks in senseless:
        with pytest.raises(HoneError):
            votes.record(store, votes.NewVote(LOCAL_USER, tea.prompt_id, shown, ranks, "api"))
    assert votes.of_prompt(store, tea.prompt_id) == []


@pytest.mark.parametrize("status", ["writing", "failed"])
def test_a_reply_that_is_not_finished_cannot_be_voted_on(store, tea, status):
    reply_id = conversations.start_reply(store, tea.prompt_id, build.START)
    if status == "failed":
        conversations.finish_reply(store, reply_id, conversations.ReplyEnd("failed", "", error="No memory."))
    with pytest.raises(ConflictError):
        votes.record(
            store, votes.NewVote(LOCAL_USER, tea.prompt_id, (tea.replies[0], reply_id), (1, 2), "api")
        )


def test_a_thumb_can_be_turned_and_taken_back(store, tea):
    up, down = tea.replies
    ratings.record(store, LOCAL_USER, up, 1, " clear ")
    ratings.record(store, LOCAL_USER, down, 1)
    assert preferred(store) == []
    ratings.record(store, LOCAL_USER, down, -1)
    assert preferred(store) == [("A drink.", "Leaves.")]
    assert ratings.of_reply(store, LOCAL_USER, up).reason == "clear"
    ratings.withdraw(store, LOCAL_USER, up)
    assert ratings.of_reply(store, LOCAL_USER, up) is None
    assert preferred(store) == []
    assert store.row("SELECT count(*) FROM ratings")[0] == 3
    with pytest.raises(NotFoundError):
        ratings.withdraw(store, LOCAL_USER, up)


def test_a_better_answer_can_be_rewritten_and_taken_back(store, tea):
    reply_id = tea.replies[0]
    demonstrations.record(store, LOCAL_USER, reply_id, "First try.")
    demonstrations.record(store, LOCAL_USER, reply_id, "Second try.")
    assert preferred(store) == [("Second try.", "A drink.")]
    demonstrations.withdraw(store, LOCAL_USER, reply_id)
    assert preferred(store) == []
    assert demonstrations.of_reply(store, LOCAL_USER, reply_id) is None


def test_senseless_thumbs_and_better_answers_are_refused(store, tea):
    with pytest.raises(HoneError):
        ratings.record(store, LOCAL_USER, tea.replies[0], 2)
    with pytest.raises(HoneError):
        ratings.record(store, LOCAL_USER, tea.prompt_id, 1)
    with pytest.raises(HoneError):
        demonstrations.record(store, LOCAL_USER, tea.replies[0], " \n")


def test_a_stranger_judges_nothing_in_a_conversation_that_is_not_theirs(store, tea):
    stranger = build.person(store, "bo")
    with pytest.raises(NotFoundError):
        ratings.record(store, stranger, tea.replies[0], 1)
    with pytest.raises(NotFoundError):
        demonstrations.record(store, stranger, tea.replies[0], "Mine.")
    with pytest.raises(NotFoundError):
        comparisons.open_pair(store, stranger, *tea.replies)
    mine = comparisons.open_pair(store, LOCAL_USER, *tea.replies)
    with pytest.raises(NotFoundError):
        comparisons.vote(store, stranger, mine, "left")


@pytest.mark.parametrize(
    ("verdict", "ranks"), [("left", (1, 2)), ("right", (2, 1)), ("tie", (1, 1)), ("both_bad", None)]
)
def test_a_verdict_is_a_vote_in_the_order_shown(store, tea, verdict, ranks):
    pair = comparisons.open_pair(store, LOCAL_USER, *tea.replies)
    shown = comparisons.get(store, LOCAL_USER, pair)
    comparisons.vote(store, LOCAL_USER, pair, verdict)
    (vote,) = votes.of_prompt(store, tea.prompt_id)
    assert (vote.shown, vote.ranks, vote.source) == ((shown.left_id, shown.right_id), ranks, "compare")
    assert comparisons.verdict(store, comparisons.get(store, LOCAL_USER, pair)) == verdict


def test_each_reply_stands_left_about_as_often_as_right(store, tea):
    with store.transaction():
        opened = [comparisons.open_pair(store, LOCAL_USER, *tea.replies) for _ in range(200)]
    left = sum(comparisons.get(store, LOCAL_USER, pair).left_id == tea.replies[0] for pair in opened)
    assert 60 < left < 140


def test_a_verdict_can_be_changed_withdrawn_and_given_again(store, tea):
    pair = comparisons.open_pair(store, LOCAL_USER, *tea.replies)
    comparisons.vote(store, LOCAL_USER, pair, "left")
    comparisons.vote(store, LOCAL_USER, pair, "right")
    assert len(votes.of_prompt(store, tea.prompt_id)) == 1
    comparisons.withdraw(store, LOCAL_USER, pair)
    assert votes.of_prompt(store, tea.prompt_id) == []
    with pytest.raises(NotFoundError):
        comparisons.withdraw(store, LOCAL_USER, pair)
    votes.withdraw(store, LOCAL_USER, comparisons.vote(store, LOCAL_USER, pair, "tie"))
    assert comparisons.verdict(store, comparisons.get(store, LOCAL_USER, pair)) is None
    comparisons.vote(store, LOCAL_USER, pair, "both_bad")
    assert comparisons.verdict(store, comparisons.get(store, LOCAL_USER, pair)) == "both_bad"


def test_the_hidden_side_of_a_comparison_becomes_a_branch_once_voted(store, tea):
    hidden = build.reply(store, tea.prompt_id, "Twigs.", hidden=True)
    pair = comparisons.open_pair(store, LOCAL_USER, tea.replies[0], hidden)
    assert hidden not in conversations.thread(store, tea.conversation_id)[1].branches
    comparisons.vote(store, LOCAL_USER, pair, "tie")
    assert hidden in conversations.thread(store, tea.conversation_id)[1].branches


def test_a_comparison_waits_for_a_reply_that_is_still_being_written(store, tea):
    second = conversations.start_reply(store, tea.prompt_id, build.START, hidden=True)
    pair = comparisons.open_pair(store, LOCAL_USER, tea.replies[0], second)
    with pytest.raises(ConflictError):
        comparisons.vote(store, LOCAL_USER, pair, "left")
    conversations.finish_reply(store, second, conversations.ReplyEnd("complete", "Twigs."))
    comparisons.vote(store, LOCAL_USER, pair, "left")


def test_only_two_different_replies_to_one_message_can_be_compared(store, tea):
    other = build.asked(store, "What is ink?", "A liquid.")
    for two in [(tea.replies[0], tea.replies[0]), (tea.replies[0], other.replies[0])]:
        with pytest.raises(HoneError):
            comparisons.open_pair(store, LOCAL_USER, *two)


def test_without_consent_or_after_deletion_nothing_said_in_a_conversation_gives_a_pair(store, tea):
    private = build.asked(store, "What is ink?", "A liquid.", "A fish.", consent=False)
    build.voted(store, private, (1, 2))
    build.voted(store, tea, (1, 2))
    assert preferred(store) == [("A drink.", "Leaves.")]
    conversations.delete(store, LOCAL_USER, tea.conversation_id)
    assert pairs.from_store(store).dropped == {"deleted conversation": 1, "no consent": 1}


def test_a_pair_is_asked_with_every_turn_that_led_to_it(store, tea):
    prompt_id = conversations.add_user_message(store, tea.conversation_id, tea.replies[1], "And mate?")
    later = build.Asked(
        tea.conversation_id, prompt_id, tuple(build.reply(store, prompt_id, text) for text in ("X", "Y"))
    )
    build.voted(store, later, (1, 2))
    (pair,) = pairs.from_store(store).pairs
    assert [(turn.role, turn.content) for turn in pair.turns] == [
        ("user", "What is tea?"),
        ("assistant", "Leaves."),
        ("user", "And mate?"),
    ]
