"""Prompt lookup guesses as far as guesses pay."""

from hypothesis import given
from hypothesis import strategies as st

from assistant.engines.guesses import MOST_GUESSES, TRY_AGAIN_TOKENS, Guesses, StepCost, worthwhile

SEEN = [*range(20), *range(4)]
"""Tokens whose last four stood together before, with sixteen after them."""
CHEAP = [1 + 0.01 * count for count in range(MOST_GUESSES + 1)]
DEAR = [1 + 0.25 * count for count in range(MOST_GUESSES + 1)]

costs = st.lists(st.floats(0, 3), min_size=MOST_GUESSES, max_size=MOST_GUESSES).map(
    lambda extra: [1.0, *(1 + more for more in extra)]
)


def speed(chance: float, costs: list[float], count: int) -> float:
    """Tokens a step of plain length, worked out from the meaning of the words."""
    right = [chance**place * (1 - chance) * place for place in range(count)]
    return (1 + sum(right) + chance**count * count) / costs[count]


@given(st.floats(0, 1), costs, st.integers(0, MOST_GUESSES))
def test_no_other_number_of_guesses_would_be_faster(chance: float, costs: list[float], fewest: int) -> None:
    chosen = worthwhile(chance, costs, fewest)
    fastest = speed(chance, costs, chosen)
    assert chosen >= fewest
    assert all(
        speed(chance, costs, count) <= fastest * (1 + 1e-9) for count in range(fewest, MOST_GUESSES + 1)
    )


def test_what_is_always_right_is_guessed_as_far_as_it_goes() -> None:
    guesses = Guesses()
    assert guesses.after(SEEN, DEAR) == [4, 5, 6, 7, 8, 9, 10][: worthwhile(0.8, DEAR)]
    for _ in range(20):
        guesses.judge(3, 3)
    assert guesses.after(SEEN, DEAR) == [4, 5, 6, 7, 8, 9, 10]


def test_two_tokens_seen_before_are_guessed_from_when_four_were_not() -> None:
    tokens = [*range(20), 50, 51, 2, 3]
    assert Guesses().after(tokens, CHEAP) == [4, 5, 6, 7]  # 40 in 100 such guesses are held to be right
    assert Guesses().after([*range(20), 50, 51, 52, 3], CHEAP) == []


def test_the_latest_place_is_guessed_from() -> None:
    tokens = [1, 2, 3, 4, 5, 1, 2, 3, 4, 6, 1, 2, 3, 4]
    assert Guesses().after(tokens, CHEAP)[0] == 6


def test_what_is_always_wrong_is_soon_left_but_tried_again() -> None:
    guesses = Guesses()
    tried = []
    for _ in range(200):
        guessed = guesses.after(SEEN, DEAR)
        guesses.judge(0, len(guessed))
        tried.append(len(guessed))
    assert sum(tried[:40]) < 40
    late = tried[100:]
    assert max(late) == 1
    assert 1 <= sum(late) <= 2 * (1 + len(late) // TRY_AGAIN_TOKENS)


def test_a_guess_must_make_up_for_everybody_it_holds_up() -> None:
    cost = StepCost(token=0.25, unpacking=0.5)
    assert cost.costs(known=0, replies=1, given=0)[:3] == [1, 1.25, 1.5]
    assert cost.costs(known=0, replies=2, given=0)[:3] == [1, 1.5, 2]
    assert cost.costs(known=0, replies=2, given=4)[:3] == [1, 1.25, 1.5]  # that step is a longer one anyway


def test_the_more_stands_before_a_guess_the_more_it_costs() -> None:
    cost = StepCost(token=0.25, unpacking=0.5)
    assert cost.costs(known=2000, replies=1, given=0)[:3] == [1, 2.25, 2.5]
