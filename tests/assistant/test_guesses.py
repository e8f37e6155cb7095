"""Prompt lookup guesses as far as guesses pay."""

from hypothesis import given
from hypothesis import strategies as st

from assistant.engines.guesses import MOST_GUESSES, TRY_AGAIN_TOKENS, Guesses, StepCost, worthwhile


def speed(chance: float, share: float, count: int) -> float:
    """Tokens a step of plain length, worked out from the meaning of the words."""
    right = [chance**place * (1 - chance) * place for place in range(count)]
    return (1 + sum(right) + chance**count * count) / (1 + share * count)


@given(st.floats(0, 1), st.floats(0, 1))
def test_no_other_number_of_guesses_would_be_faster(chance: float, share: float) -> None:
    chosen = speed(chance, share, worthwhile(chance, share))
    assert all(speed(chance, share, count) <= chosen * (1 + 1e-9) for count in range(MOST_GUESSES + 1))


def test_what_is_always_right_is_guessed_as_far_as_it_goes() -> None:
    tokens = [*range(20), *range(3)]
    guesses = Guesses(tokens)
    assert guesses.after(tokens, 0.25) == [3, 4, 5, 6][: worthwhile(0.8, 0.25)]
    for _ in range(20):
        guesses.judge(3, 3)
    assert guesses.after(tokens, 0.25) == [3, 4, 5, 6, 7, 8, 9]


def test_what_is_always_wrong_is_soon_left_but_tried_again() -> None:
    tokens = [*range(20), *range(3)]
    guesses = Guesses(tokens)
    tried = []
    for _ in range(100):
        guessed = guesses.after(tokens, 0.25)
        guesses.judge(0, len(guessed))
        tried.append(len(guessed))
    assert sum(tried[:10]) < 15
    late = tried[50:]
    assert max(late) == 1
    assert 1 <= sum(late) <= 1 + len(late) // TRY_AGAIN_TOKENS


def test_one_slow_step_does_not_end_guessing_for_good() -> None:
    tokens = [*range(20), *range(3)]
    guesses, cost = Guesses(tokens), StepCost()
    cost.seen(1, 0, 0.010)
    for _ in range(10):
        cost.seen(1, 3, 10.0)
    assert worthwhile(0.8, cost.share) == 0
    for _ in range(20 * TRY_AGAIN_TOKENS):
        count = len(guesses.after(tokens, cost.share))
        cost.seen(1, count, 0.010 * (1 + 0.05 * count))
        guesses.judge(count, count)
    assert abs(cost.share - 0.05) < 0.02
    assert len(guesses.after(tokens, cost.share)) == MOST_GUESSES


def test_a_step_is_held_against_steps_of_as_many_replies() -> None:
    cost = StepCost()
    before = cost.share
    cost.seen(2, 4, 1.0)
    assert cost.share == before, "no plain step of two replies was seen"
    cost.seen(2, 0, 0.5)
    cost.seen(1, 0, 0.1)
    for _ in range(40):
        cost.seen(2, 4, 1.0)
    assert abs(cost.share - 0.25) < 0.01
