"""Labelled texts: read with their mistakes named by line, and divided the same way each time."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedback.datasets import Example
from feedback.errors import HoneError
from training.classify import data


def written(folder: Path, *lines: object, name: str = "texts.jsonl") -> str:
    file = folder / name
    text = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    file.write_text("\n".join(text) + "\n", "utf-8")
    return str(file)


def test_labels_may_be_words_or_numbers_and_numbers_are_sorted_by_size(tmp_path: Path) -> None:
    file = written(
        tmp_path,
        {"text": "ten", "label": 10}, {"sentence": "two", "label": "2"}, {"text": "w", "label": "word"},
    )  # fmt: skip
    found = data.read(file)
    assert found.labels == ("2", "10", "word")
    assert found.examples == (Example("ten", "10"), Example("two", "2"), Example("w", "word"))


def test_a_format_of_evaluation_gives_labels_their_names_and_its_question(tmp_path: Path) -> None:
    file = written(tmp_path, {"text": " a good one ", "label": 1}, {"text": "a bad one", "label": 0})
    found = data.read(f"sst2:{file}")
    assert found.labels == ("negative", "positive")
    assert found.examples[0] == Example("a good one", "positive")
    assert "movie review" in found.question
    assert data.read(file).question == ""


def test_a_table_is_read_too(tmp_path: Path) -> None:
    file = written(tmp_path, "text,label", "good,1", "bad,0", name="texts.csv")
    assert data.read(file).examples == (Example("good", "1"), Example("bad", "0"))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{not json", "Line 3 is no JSON"),
        ('{"label": 1}', "Line 3 of texts.jsonl cannot be used. It has no text"),
        ('{"text": "x"}', "Line 3 of texts.jsonl cannot be used. It has no label"),
        ('{"text": "x", "label": 1.5}', "1.5, not text or a whole number"),
        ('{"text": "x", "label": true}', "True, not text"),
        ('{"text": "  ", "label": 1}', "Its text is empty"),
        ("[1]", "Line 3 is no JSON object"),
    ],
)
def test_a_row_that_cannot_be_used_is_named_by_its_line(tmp_path: Path, line: str, said: str) -> None:
    file = written(tmp_path, {"text": "fine", "label": 1}, "", line)
    with pytest.raises(HoneError) as refused:
        data.read(file)
    assert said in str(refused.value)


def test_a_label_that_was_never_trained_is_refused(tmp_path: Path) -> None:
    file = written(tmp_path, {"text": "x", "label": "maybe"})
    with pytest.raises(HoneError, match=r"Line 1 .*'maybe', not one of no, yes"):
        data.read(file, ("no", "yes"))


def test_an_empty_file_and_a_missing_one_are_refused(tmp_path: Path) -> None:
    with pytest.raises(HoneError, match="no rows"):
        data.read(written(tmp_path, ""))
    with pytest.raises(HoneError, match="There is no data file"):
        data.read("sst2:nowhere.jsonl")


examples = st.lists(
    st.builds(Example, st.text("abcdef", min_size=1, max_size=3), st.sampled_from(["x", "y", "z"])),
    max_size=40,
).map(
    lambda found: [
        Example("one", "x"),
        Example("two", "x"),
        Example("three", "y"),
        Example("four", "y"),
        *found,
    ]
)


@given(examples, st.floats(0.05, 0.95), st.randoms())
def test_the_split_hangs_on_the_texts_alone(found: list[Example], share: float, chance: object) -> None:
    kept = [one for one in found if one.label != "z"]  # z may be too rare
    split = data.split(kept, share)
    learnt, held_out = ({one.text for one in part} for part in (split.train, split.calibration))
    assert not learnt & held_out
    assert learnt | held_out == {one.text for one in kept}
    assert len(split.train) + len(split.calibration) + split.repeated == len(kept)
    assert set(split.calibration) == set(data.split([*kept, *kept], share).calibration)


def test_each_label_is_in_both_parts() -> None:
    found = [
        Example(f"{label}{at}", label) for label, count in (("rare", 2), ("often", 50)) for at in range(count)
    ]
    split = data.split(found, 0.1)
    assert {one.label for one in split.train} == {one.label for one in split.calibration} == {"rare", "often"}
    assert len(split.calibration) == 1 + 5


def test_what_is_tested_on_is_never_learnt() -> None:
    found = [Example(f"{label}{at}", label) for label in "xy" for at in range(5)]
    split = data.split(found, 0.2, [Example("x0", "x"), Example("y3", "x")])
    assert {"x0", "y3"}.isdisjoint(one.text for one in (*split.train, *split.calibration))
    assert split.in_test == 2
    assert "2 left out, their text is in the test data" in split.sentence


def test_one_label_or_a_label_with_one_text_is_refused() -> None:
    with pytest.raises(HoneError, match="one label, x"):
        data.split([Example("a", "x"), Example("b", "x")], 0.2)
    with pytest.raises(HoneError, match="too few examples of y"):
        data.split([Example("a", "x"), Example("b", "x"), Example("c", "y"), Example("c", "y")], 0.2)
