"""Ways of asking: what is kept of a column's settings asks the same again, also beside a training part."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from prompts.evaluation import shown, ways
from prompts.evaluation.columns import GREEDY, How
from prompts.evaluation.items import Dataset, Item
from prompts.evaluation.metrics import Choice
from prompts.evaluation.shown import Picking
from prompts.plain import shipped

ITEMS = tuple(Item(f"i{n}", f"Question {n}?", "yes" if n % 2 else "no", ("yes", "no")) for n in range(20))
BARE = Dataset("bare", ITEMS[:10], Choice)
TRAINED = replace(BARE, train=ITEMS[10:])

picked = st.one_of(
    st.just(Picking()),
    st.just(Picking(choose="own")),
    st.builds(
        Picking, st.sampled_from([None, 0, 2, 4]), st.sampled_from(["first", "balanced"]), st.integers(0, 3)
    ),
)
settings = st.builds(
    How, calibrate=st.sampled_from(["no", "plain"]), examples=picked,
    sampling=st.builds(
        lambda most, seed: replace(GREEDY, max_tokens=most, seed=seed), st.integers(1, 99), st.integers(0, 9)
    ),
)  # fmt: skip


@given(settings, st.sampled_from(["zero-shot", "few-shot"]), st.booleans())
def test_a_way_asks_the_same_again(how: How, name: str, by_likelihood: bool) -> None:
    strategy = shipped()[name]
    asked = BARE if how.examples == Picking() else TRAINED
    way = ways.way_of(how, strategy, shown.fit(strategy, asked, how.examples), by_likelihood=by_likelihood)
    again = ways.how_of(way, How())
    found = shown.fit(strategy, TRAINED, again.examples)
    assert ways.way_of(again, strategy, found, by_likelihood=by_likelihood) == way
    first = shown.fit(strategy, asked, how.examples)
    assert found.strategy == first.strategy
    assert found.what == first.what
