"""Which prompts are held out: decided once, by the first turn, for about a quarter of them."""

from hypothesis import given
from hypothesis import strategies as st

from feedback import splits
from feedback.message import Turn

questions = st.text(min_size=1)
SIDES = [
    False,
    False,
    False,
    True,
    False,
    False,
    False,
    True,
    True,
    True,
    False,
    False,
]  # of "question 0" to "question 11": changing the rule would move prompts that were trained on


def turns(*contents):
    return tuple(
        Turn("assistant" if place % 2 else "user", content) for place, content in enumerate(contents)
    )


@given(questions, st.lists(st.text()))
def test_everything_that_begins_with_one_question_lands_on_one_side(question, more):
    assert splits.split_key(turns(question)) == splits.split_key(turns(question, *more))


@given(st.lists(st.text(), min_size=1))
def test_the_identity_of_a_prompt_ignores_outer_space_and_the_way_an_accent_is_written(contents):
    spaced = turns(*(f" {content}\n" for content in contents))
    assert splits.prompt_sha256(turns(*contents)) == splits.prompt_sha256(spaced)
    assert splits.prompt_sha256(turns("caf\u00e9")) == splits.prompt_sha256(turns("cafe\u0301"))


def test_different_prompts_have_different_identities():
    told = [
        turns("a"),
        turns("b"),
        turns("a", "b"),
        turns("a", "b", "c"),
        turns("ab"),
        (Turn("assistant", "a"),),
    ]
    assert len({splits.prompt_sha256(one) for one in told}) == len(told)


def test_about_a_quarter_of_many_prompts_is_held_out():
    held_out = sum(
        splits.is_held_out(splits.split_key(turns(f"question {number}"))) for number in range(4000)
    )
    assert 0.22 < held_out / 4000 < 0.28


def test_the_rule_is_the_same_on_every_machine_and_day():
    sides = [splits.is_held_out(splits.split_key(turns(f"question {number}"))) for number in range(12)]
    assert sides == SIDES


def test_prompts_keep_their_side_as_others_are_added(store):
    keys = [splits.split_key(turns(f"question {number}")) for number in range(40)]
    before = splits.fix(store, keys[:20])
    after = splits.fix(store, reversed(keys))
    assert {key: after[key] for key in before} == before
    assert splits.look(store, keys) == after


def test_a_side_once_fixed_wins_over_the_rule(store):
    key = splits.split_key(turns("question 0"))
    other = not splits.is_held_out(key)
    store.execute("INSERT INTO prompt_splits VALUES (?, ?, '2020-01-01')", key, int(other))
    assert splits.fix(store, [key]) == {key: other}


def test_looking_fixes_nothing(store):
    splits.look(store, ["0" * 64])
    assert store.rows("SELECT * FROM prompt_splits") == []
