"""The label queue as one labeller, or two, meet it."""

import pytest

from feedback import conversations, label, votes
from feedback.errors import ConflictError, HoneError, NotFoundError
from feedback.ids import DEFAULT_PROJECT, LOCAL_USER, SYSTEM_USER
from tests import build


def queued(store, question, *replies, **how):
    about = build.asked(store, question, *(replies or ("one", "two")), user_id=SYSTEM_USER)
    return label.add_task(store, about.prompt_id, about.replies, **how)


def ids(task):
    return tuple(reply.reply_id for reply in task.replies)


def test_the_queue_goes_by_priority_and_then_by_age(store):
    first, second = queued(store, "a"), queued(store, "b")
    urgent = queued(store, "c", priority=1.0)
    seen = []
    while task := label.next_task(store, LOCAL_USER):
        seen.append(task.id)
        label.rank(store, LOCAL_USER, task.id, ids(task), (1, 2))
    assert seen == [urgent, first, second]


def test_a_task_shows_texts_and_nothing_of_their_making(store):
    queued(store, "What is tea?", "A drink.", "Leaves.")
    task = label.next_task(store, LOCAL_USER)
    assert [turn.content for turn in task.turns] == ["What is tea?"]
    assert sorted(reply.content for reply in task.replies) == ["A drink.", "Leaves."]
    assert set(vars(task.replies[0])) == {"reply_id", "content"}
    assert task.guidelines


def test_replies_stand_in_an_order_of_ones_own_that_a_reload_keeps(store):
    tasks = [queued(store, f"question {number}") for number in range(40)]
    stranger = build.person(store, "bo")
    mine = [ids(label.task(store, LOCAL_USER, task)) for task in tasks]
    assert mine == [ids(label.task(store, LOCAL_USER, task)) for task in tasks]
    assert mine != [ids(label.task(store, stranger, task)) for task in tasks]
    first_left = sum(label.task(store, LOCAL_USER, task).replies[0].content == "one" for task in tasks)
    assert 0 < first_left < 40


def test_a_rank_is_kept_in_the_order_shown_and_never_asked_again(store):
    task_id = queued(store, "a", "x", "y", "z")
    task = label.next_task(store, LOCAL_USER)
    vote_id = label.rank(store, LOCAL_USER, task_id, ids(task), (2, 1, 2))
    vote = votes.get(store, vote_id)
    assert (vote.shown, vote.ranks, vote.task_id, vote.source) == (ids(task), (2, 1, 2), task_id, "label")
    assert label.next_task(store, LOCAL_USER) is None
    assert label.progress(store, LOCAL_USER) == label.Progress(done=1, skipped=0, open=0)


def test_ranking_again_changes_ones_vote(store):
    task_id = queued(store, "a")
    task = label.task(store, LOCAL_USER, task_id)
    label.rank(store, LOCAL_USER, task_id, ids(task), (1, 2))
    vote_id = label.rank(store, LOCAL_USER, task_id, ids(task), (2, 1))
    prompt_id = votes.get(store, vote_id).prompt_message_id
    assert [vote.id for vote in votes.of_prompt(store, prompt_id)] == [vote_id]


def test_a_ranking_of_other_replies_than_the_tasks_is_refused(store):
    task_id, other = queued(store, "a"), queued(store, "b")
    foreign = ids(label.task(store, LOCAL_USER, other))
    for shown in (foreign, ids(label.task(store, LOCAL_USER, task_id))[:1], ()):
        with pytest.raises(HoneError):
            label.rank(store, LOCAL_USER, task_id, shown, (1,) * len(shown))
    with pytest.raises(NotFoundError):
        label.rank(store, LOCAL_USER, "t_nowhere", foreign, (1, 2))


def test_a_task_closes_when_as_many_people_as_the_overlap_have_voted(store):
    store.execute("UPDATE label_projects SET overlap = 2 WHERE id = ?", DEFAULT_PROJECT)
    task_id, second, third = queued(store, "a"), build.person(store, "bo"), build.person(store, "cy")
    for user_id in (LOCAL_USER, LOCAL_USER, second):
        assert label.next_task(store, third).id == task_id
        label.rank(store, user_id, task_id, ids(label.task(store, user_id, task_id)), (1, 2))
    assert label.next_task(store, third) is None
    label.undo(store, second)
    assert label.next_task(store, third).id == label.next_task(store, second).id == task_id
    assert label.next_task(store, LOCAL_USER) is None


def test_a_skipped_task_goes_to_others_only(store):
    task_id, other = queued(store, "a"), build.person(store, "bo")
    label.skip(store, LOCAL_USER, task_id, "I cannot read it")
    assert label.next_task(store, LOCAL_USER) is None
    assert label.next_task(store, other).id == task_id
    assert label.progress(store, LOCAL_USER) == label.Progress(done=0, skipped=1, open=0)


def test_a_skip_needs_a_reason_and_an_unranked_task(store):
    task_id = queued(store, "a")
    with pytest.raises(HoneError):
        label.skip(store, LOCAL_USER, task_id, " ")
    label.rank(store, LOCAL_USER, task_id, ids(label.task(store, LOCAL_USER, task_id)), None)
    with pytest.raises(ConflictError):
        label.skip(store, LOCAL_USER, task_id, "Too late")


def test_undo_takes_back_the_latest_rank_or_skip_and_then_the_one_before(store):
    first, second, third = (queued(store, name) for name in "abc")
    label.rank(store, LOCAL_USER, first, ids(label.task(store, LOCAL_USER, first)), (1, 2))
    label.skip(store, LOCAL_USER, second, "Unclear")
    label.rank(store, LOCAL_USER, third, ids(label.task(store, LOCAL_USER, third)), (1, 2))
    assert [label.undo(store, LOCAL_USER) for _ in range(4)] == [third, second, first, None]
    assert label.progress(store, LOCAL_USER) == label.Progress(done=0, skipped=0, open=3)


def test_undo_takes_back_only_ones_own(store):
    task_id, stranger = queued(store, "a"), build.person(store, "bo")
    label.rank(store, LOCAL_USER, task_id, ids(label.task(store, LOCAL_USER, task_id)), (1, 2))
    assert label.undo(store, stranger) is None


def test_a_conversation_deleted_meanwhile_leaves_the_queue(store):
    about = build.asked(store, "a", "one", "two")
    task_id = label.add_task(store, about.prompt_id, about.replies)
    conversations.delete(store, LOCAL_USER, about.conversation_id)
    assert label.next_task(store, LOCAL_USER) is None
    with pytest.raises(NotFoundError):
        label.task(store, LOCAL_USER, task_id)


def test_a_task_takes_two_to_four_finished_replies_to_one_prompt(store):
    about, other = build.asked(store, "a", *"12345"), build.asked(store, "b", "1")
    one, two = about.replies[:2]
    for replies in [(one,), (one, one), about.replies, (one, other.replies[0]), (one, about.prompt_id)]:
        with pytest.raises(HoneError):
            label.add_task(store, about.prompt_id, replies)
    label.add_task(store, about.prompt_id, (one, two))


def test_branches_of_peoples_own_chats_become_tasks_once(store):
    ready = build.asked(store, "ready", "one", "two")
    build.asked(store, "single", "one")
    build.asked(store, "same text", "one", " one ")
    build.asked(store, "too many", *"12345")
    build.asked(store, "private", "one", "two", consent=False)
    build.voted(store, build.asked(store, "voted", "one", "two"), (1, 2))
    hidden = build.asked(store, "hidden", "one")
    build.reply(store, hidden.prompt_id, "two", hidden=True)
    deleted = build.asked(store, "deleted", "one", "two")
    conversations.delete(store, LOCAL_USER, deleted.conversation_id)
    assert (label.enqueue_branches(store), label.enqueue_branches(store)) == (1, 0)
    assert sorted(ids(label.next_task(store, LOCAL_USER))) == sorted(ready.replies)
