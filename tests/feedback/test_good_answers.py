"""Good answers: whose words may be shown to whom, what is held out stays out, which answer is the best."""

from pathlib import Path

import pytest

from feedback import conversations, demonstrations, good_answers, ratings, splits
from feedback.ids import LOCAL_USER, MessageId, UserId
from feedback.message import Turn
from feedback.store import Store
from tests.build import Asked, asked, drawn, person, reply, store, voted


@pytest.fixture
def home(tmp_path: Path) -> Store:
    return store(tmp_path)


def questions(held_out: bool = False) -> list[str]:
    """Some whose side is that."""
    asks = [f"What is thing {n}?" for n in range(60)]
    return [ask for ask in asks if splits.is_held_out(splits.split_key([Turn("user", ask)])) == held_out]


TRAIN, HELD_OUT = questions(), questions(held_out=True)


def good(home: Store, user_id: UserId = LOCAL_USER) -> dict[str, str]:
    """Question to answer, in the order of the pool."""
    found = good_answers.from_store(home, good_answers.read(home), user_id)
    return {one.question: one.answer for one in found}


def test_what_was_chosen_and_never_rejected_is_good(home: Store) -> None:
    voted(home, asked(home, TRAIN[0], "Best.", "Middling.", "Worst."), (1, 2, 3))
    voted(home, asked(home, TRAIN[1], "Same.", "Alike."), (1, 1))
    voted(home, asked(home, TRAIN[2], "Bad.", "Worse."), None)
    assert good(home) == {TRAIN[0]: "Best."}


def test_a_thumb_up_is_enough_unless_another_judgement_is_against_it(home: Store) -> None:
    liked, disliked = asked(home, TRAIN[0], "Liked."), asked(home, TRAIN[1], "Liked.", "Better.")
    ratings.record(home, LOCAL_USER, liked.replies[0], 1)
    ratings.record(home, LOCAL_USER, disliked.replies[0], 1)
    voted(home, disliked, (2, 1))
    assert good(home) == {TRAIN[0]: "Liked.", TRAIN[1]: "Better."}
    ratings.record(home, LOCAL_USER, liked.replies[0], -1)
    assert good(home) == {TRAIN[1]: "Better."}


def test_a_demonstration_stands_before_any_reply_and_comes_first(home: Store) -> None:
    voted(home, asked(home, TRAIN[0], "A.", "B."), (1, 2))
    corrected = asked(home, TRAIN[1], "Voted best.", "Other.")
    voted(home, corrected, (1, 2))
    demonstrations.record(home, LOCAL_USER, corrected.replies[0], " Written. ")
    assert list(good(home).items()) == [(TRAIN[1], "Written."), (TRAIN[0], "A.")]
    demonstrations.withdraw(home, LOCAL_USER, corrected.replies[0])
    assert good(home)[TRAIN[1]] == "Voted best."


def test_nobody_is_shown_anything_of_another_persons_conversation(home: Store) -> None:
    ann, bob = person(home, "ann"), person(home, "bob")
    secret = asked(home, TRAIN[0], "Ann's secret.", "x", user_id=ann)
    voted(home, secret, (1, 2), ann)
    demonstrations.record(home, ann, secret.replies[1], "Ann wrote this.")
    ratings.record(home, ann, secret.replies[0], 1)
    voted(home, drawn(home, TRAIN[1], "Public.", "y"), (1, 2), ann)
    assert good(home, ann) == {TRAIN[0]: "Ann wrote this.", TRAIN[1]: "Public."}
    assert good(home, bob) == {TRAIN[1]: "Public."}


def test_the_same_question_of_two_people_is_judged_apart(home: Store) -> None:
    """Ann's judgements do not decide what Bob's prompts show, nor the other way round."""
    ann, bob = person(home, "ann"), person(home, "bob")
    voted(home, asked(home, TRAIN[0], "One.", "Two.", user_id=ann), (1, 2), ann)
    voted(home, asked(home, TRAIN[0], "One.", "Two.", user_id=bob), (2, 1), bob)
    assert (good(home, ann), good(home, bob)) == ({TRAIN[0]: "One."}, {TRAIN[0]: "Two."})


def test_a_held_out_prompt_is_never_shown(home: Store) -> None:
    voted(home, asked(home, HELD_OUT[0], "Best.", "Worst."), (1, 2))
    assert good(home) == {}


def test_neither_without_consent_nor_from_a_deleted_conversation(home: Store) -> None:
    voted(home, asked(home, TRAIN[0], "A.", "B.", consent=False), (1, 2))
    gone = asked(home, TRAIN[1], "A.", "B.")
    voted(home, gone, (1, 2))
    assert good(home) == {TRAIN[1]: "A."}
    conversations.delete(home, LOCAL_USER, gone.conversation_id)
    assert good(home) == {}


def test_a_later_question_of_a_conversation_is_no_example(home: Store) -> None:
    first = asked(home, TRAIN[0], "A.")
    prompt_id = conversations.add_user_message(home, first.conversation_id, first.replies[0], "And then?")
    voted(home, Asked(first.conversation_id, prompt_id, _two(home, prompt_id)), (1, 2))
    assert good(home) == {}


def _two(home: Store, prompt_id: MessageId) -> tuple[MessageId, ...]:
    return reply(home, prompt_id, "This."), reply(home, prompt_id, "That.")


def test_a_reply_that_was_cut_off_is_no_example(home: Store) -> None:
    about = asked(home, TRAIN[0])
    cut = reply(home, about.prompt_id, "Cut of", status="stopped")
    ratings.record(home, LOCAL_USER, cut, 1)
    assert good(home) == {}


def test_every_change_that_matters_changes_the_number(home: Store) -> None:
    about = asked(home, TRAIN[0], "A.", "B.")
    seen = [good_answers.changes(home)]

    def changed() -> bool:
        seen.append(good_answers.changes(home))
        return seen[-1] != seen[-2]

    voted(home, about, (1, 2))
    assert changed()
    ratings.record(home, LOCAL_USER, about.replies[0], 1)
    assert changed()
    ratings.withdraw(home, LOCAL_USER, about.replies[0])
    assert changed()
    demonstrations.record(home, LOCAL_USER, about.replies[0], "C.")
    assert changed()
    demonstrations.withdraw(home, LOCAL_USER, about.replies[0])
    assert changed()
    splits.fix(home, [splits.split_key([Turn("user", TRAIN[0])])])
    assert changed()
    conversations.rename(home, LOCAL_USER, about.conversation_id, "Other")
    assert not changed()
    conversations.delete(home, LOCAL_USER, about.conversation_id)
    assert changed()
