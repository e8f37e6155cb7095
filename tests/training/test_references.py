"""What the reference said is kept: found by version and by every token, and read by the next run."""

import dataclasses
import sqlite3
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistant.base import Base
from feedback.home import Home
from feedback.ids import LOCAL_USER
from feedback.store import Store
from tests.training_ground import finished, ground
from training import runs
from training.references import References, Scored
from training.runs import Run

tokens = st.lists(st.integers(0, 300), max_size=4).map(tuple)
answers = st.builds(Scored, tokens, tokens)


@given(st.dictionaries(answers, st.floats(-1e6, 0), min_size=1, max_size=8), answers)
def test_what_was_kept_is_found_and_nothing_else(known: dict[Scored, float], other: Scored) -> None:
    kept = References(Path(":memory:"), "base-1")
    kept.keep(known)
    assert kept.find(list(known)) == list(known.values())
    assert (kept.find([*known, other]) is None) == (other not in known)


def test_another_version_and_another_cut_between_prompt_and_answer_are_other_numbers(tmp_path: Path) -> None:
    file = tmp_path / "references.db"
    kept = References(file, "base-1")
    kept.keep({Scored((1, 2), (3,)): -4.5})
    kept.close()
    assert References(file, "base-1").find([Scored((1, 2), (3,))]) == [-4.5]
    assert References(file, "dpo-1").find([Scored((1, 2), (3,))]) is None
    assert References(file, "base-1").find([Scored((1,), (2, 3))]) is None


def first_margin(run: Run, home: Home) -> float:
    points = runs.metrics(Store(home.store_file), run.id)
    return next(point.value for point in points if point.name == "margin")


def test_a_second_run_from_the_same_champion_takes_over_what_the_first_computed(
    home: Home, tiny_base: Base, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A number that is changed in between changes the second run: it was read, not computed."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    on = ground(home, tiny_base)
    recipe = dataclasses.replace(on.recipe, max_steps=1)

    def trained() -> Run:
        run = runs.create(on.store, LOCAL_USER, recipe, on.snapshot.id)
        return finished(on, runs.start(home, run.id))

    first = trained()
    assert first.state == "done", runs.log_text(home, first.id)
    with sqlite3.connect(home.references) as file:
        kept = file.execute("SELECT count(*) FROM logprobs").fetchone()[0]
        file.execute("UPDATE logprobs SET nats = nats + unicode(hex(key))")  # each by another amount
    assert kept == 2 * on.snapshot.train_pairs
    second = trained()
    assert abs(first_margin(first, home)) < 1e-3
    assert abs(first_margin(second, home)) > 1e-2
