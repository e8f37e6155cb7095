"""The order of a run's rows, and the fullest of its batches: what memory is checked by."""

import math

from hypothesis import given
from hypothesis import strategies as st

from training import run_order
from training.data import Row
from training.recipes import Recipe


def row(tokens: int, number: int = 0) -> Row:
    return Row((number,), (1,) * (tokens - 2), (2,))


LENGTHS = [100, 90, 80, 70, *[10] * 12]
ROWS = [row(length, number) for number, length in enumerate(LENGTHS)]


def lengths(rows: list[Row]) -> list[int]:
    return sorted((one.read_tokens for one in rows), reverse=True)


def test_long_rows_meet_in_one_batch_only_where_short_ones_would_be_filled_up() -> None:
    packed, filled = Recipe(batch=4), Recipe(batch=4, adapt="full")
    assert lengths(run_order.fullest(ROWS, packed, 4))[1:] == [10, 10, 10]
    assert lengths(run_order.fullest(ROWS, filled, 4)) == [100, 90, 80, 70]
    assert lengths(run_order.fullest(ROWS, packed, 1)) == [100]
    assert run_order.fullest([], packed, 4) == []


@given(st.integers(1, 30), st.integers(2, 6), st.integers(0, 3))
def test_a_batch_of_thumbs_is_whole_and_each_is_put_beside_another(count: int, batch: int, seed: int) -> None:
    rows = [row(3 + number % 5, number) for number in range(count)]
    found = run_order.grouped(rows, Recipe(method="kto", batch=batch, seed=seed), padded=False)
    assert len(found) == math.ceil(count / batch) * batch
    assert {one.prompt_ids for one in found} == {one.prompt_ids for one in rows}
    for at in range(0, len(found), batch):
        group = found[at : at + batch]
        assert len(set(group)) == min(count, batch)
        others = [run_order.another(group, place) for place in range(batch)]
        assert set(others) <= set(group)
        assert count == 1 or all(one != other for one, other in zip(group, others, strict=True))


@given(
    st.lists(st.integers(3, 300), min_size=1, max_size=40),
    st.integers(2, 6),
    st.sampled_from(["dpo", "kto"]),
    st.integers(0, 3),
)
def test_no_batch_of_any_epoch_is_fuller_than_the_fullest(
    tokens: list[int], batch: int, method: str, seed: int
) -> None:
    rows = [row(count, number) for number, count in enumerate(tokens)]
    recipe = Recipe(method=method, batch=batch, epochs=3, seed=seed)
    most = sum(lengths(run_order.fullest(rows, recipe, batch)))
    assert most >= max(tokens)
    order = run_order.by_length(rows, recipe, padded=False)
    for epoch in range(3):
        order.set_epoch(epoch)
        found = [rows[at] for at in order]
        if method == "kto":
            found = run_order.grouped(rows, recipe, padded=False)
        assert most >= max(sum(lengths(found[at : at + batch])) for at in range(0, len(found), batch))
