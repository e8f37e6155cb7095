"""Instruction data: templates that cannot leak, mixes in stated shares, files read as they are."""

import json
import textwrap
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedback.errors import HoneError
from training.instruct import drawing, mixing, sources, tasks
from training.instruct.drawing import Settings
from training.instruct.sources import Example, Loaded, Source
from training.instruct.tasks import OPTIONS, Task, Template

EVERY = [(task, one) for task in map(tasks.load, tasks.SHIPPED) for one in task.templates]


def of(task: str, rows: int, name: str = "made", **how: Any) -> Loaded:
    """A source of so many rows, no two about the same, whose texts hold no label and no answer."""
    kind = tasks.load(task)
    source = Source(Path(f"{name}.jsonl"), kind, {}, **how)
    labels = source.labels or kind.labels
    examples = []
    for number in range(rows):
        texts = {field.name: f"<{field.name} {number}>" for field in kind.fields if field.name != OPTIONS}
        options = labels or tuple(f"<choice {number} {place}>" for place in range(4))
        texts[kind.target] = options[number % len(options)]
        examples.append(Example(texts, options))
    return Loaded(source, tuple(examples), 0, "")


def values_of(task: Task) -> dict[str, object]:
    return {field.name: f"<{field.name}>" for field in task.fields} | {OPTIONS: ["<one>", "<two>"]}


# Templates


def test_every_task_that_is_named_lies_in_the_folder_and_no_other() -> None:
    assert sorted(file.stem for file in tasks.FOLDER.iterdir()) == sorted(tasks.SHIPPED)


@pytest.mark.parametrize("name", tasks.SHIPPED)
def test_a_shipped_task_has_six_ways_to_ask_with_options_without_and_inverted(name: str) -> None:
    task = tasks.load(name)
    direct = [one for one in task.templates if not one.inverted]
    assert len(direct) >= 6
    assert sum(one.inverted for one in task.templates) >= 2
    assert any(not one.lists_options for one in direct)
    if task.labels or OPTIONS in [field.name for field in task.fields]:
        assert sum(one.lists_options for one in direct) >= 3
    assert len({one.ask for one in task.templates}) == len(task.templates)


@pytest.mark.parametrize(("task", "template"), EVERY, ids=lambda one: one.name)
def test_no_template_tells_its_answer_and_each_tells_what_the_answer_follows_from(
    task: Task, template: Template
) -> None:
    values = values_of(task)
    question, answer = template.put(values)
    told = {name for name, value in values.items() if isinstance(value, str) and value in question}
    answered = {name for name, value in values.items() if isinstance(value, str) and value in answer}
    assert answered
    assert not told & answered
    assert template.inverted == (task.target not in answered)
    assert told or template.lists_options
    assert question == question.strip()
    if not template.inverted:
        assert task.subject in told
        for label in task.labels:
            assert label not in template.ask.lower().split()


TASK = """\
about: colours of things
fields:
  - name: thing
    columns: [thing]
  - name: colour
    columns: [colour]
target: colour
labels: [red, blue]
templates:
  - name: which
    ask: |-
      What colour has this?

      {{ thing }} [{{ options | join("/") }}]
    answer: "{{ colour }}"
"""


@pytest.mark.parametrize(
    ("was", "becomes", "line", "said"),
    [
        ("{{ thing }}", "{{ thin }}", 14, "'thin' is no field"),
        ("{{ thing }}", "{{ thing", 14, "expected token"),
        ("{{ thing }}", "{% set a = 1 %}", 14, "assign is not allowed"),
        ("{{ thing }}", "{{ thing.shape }}", 14, "has no attribute"),
        ("{{ thing }}", "{{ colour }}", 11, "both name 'colour'"),
        ('    answer: "{{ colour }}"\n', "", 10, "'answer' is missing"),
        ('answer: "{{ colour }}"', "answer: red", 15, "names no field"),
        ('answer: "{{ colour }}"', 'answer: "It is {{ colour }}."', 15, "must be {{ colour }} alone"),
        ('answer: "{{ colour }}"', 'answer: "{{ colour }"', 15, "unexpected '}'"),
        ("target: colour", "target: size", 7, "must be one of the fields"),
        ("labels: [red, blue]", "labels: []", 8, "list of texts"),
        ("    ask: |-", "    words: [a]\n    ask: |-", 11, "each of 2 labels"),
        ("    ask: |-", "    words: [a, b]\n    ask: |-", 9, "no template asks every row"),
        ("    ask: |-", "    asks: 1\n    ask: |-", 11, "'asks' is unknown"),
        ("about: colours of things", "about: [", 3, "expected"),
    ],
)
def test_a_template_that_cannot_be_used_is_refused_with_its_file_and_line(
    tmp_path: Path, was: str, becomes: str, line: int, said: str
) -> None:
    file = tmp_path / "colours.yaml"
    file.write_text(TASK)
    assert tasks.read(file).templates[0].lists_options
    file.write_text(TASK.replace(was, becomes))
    with pytest.raises(HoneError) as refused:
        tasks.read(file)
    assert f"colours.yaml cannot be used. Line {line}: " in str(refused.value)
    assert said in str(refused.value)


def test_two_templates_of_one_name_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "colours.yaml"
    file.write_text(TASK + TASK[TASK.index("  - name: which") :])
    with pytest.raises(HoneError, match="Line 16: the template 'which' stands twice"):
        tasks.read(file)


@given(st.integers(0, len(TASK)), st.integers(0, 30), st.text("{}%[]|:-'\"\n thingoptions", max_size=12))
def test_a_task_that_was_spoilt_is_read_or_refused_in_words(begin: int, gone: int, put: str) -> None:
    with TemporaryDirectory() as folder:
        file = Path(folder) / "colours.yaml"
        file.write_text(TASK[:begin] + put + TASK[begin + gone :])
        with suppress(HoneError):
            tasks.read(file)


# Mixing


def test_the_mix_is_the_papers_worked_by_hand() -> None:
    shares = mixing.rates([10_000, 1_000, 500], [Fraction(1)] * 3, cap=3_000)
    assert shares == [Fraction(3000, 4500), Fraction(1000, 4500), Fraction(500, 4500)]
    assert mixing.most([10_000, 1_000, 500], shares) == 4_500
    assert mixing.counts(4_500, shares) == [3_000, 1_000, 500]
    assert mixing.counts(10, shares) == [7, 2, 1]
    assert mixing.rates([100, 100], [Fraction(3), Fraction(1)], cap=3_000) == [Fraction(3, 4), Fraction(1, 4)]


a_mix = st.lists(
    st.tuples(st.integers(1, 5000), st.fractions(min_value="1/10", max_value=10)), min_size=1, max_size=8
)


@given(a_mix, st.integers(1, 4000))
def test_counts_are_within_one_of_their_shares_and_no_source_gives_more_than_it_has(
    given_: list[tuple[int, Fraction]], cap: int
) -> None:
    rows, weights = [held for held, _ in given_], [weight for _, weight in given_]
    shares = mixing.rates(rows, weights, cap)
    assert sum(shares) == 1
    total = mixing.most(rows, shares)
    found = mixing.counts(total, shares)
    assert sum(found) == total
    assert all(abs(count - total * share) < 1 for count, share in zip(found, shares, strict=True))
    assert all(count <= held for count, held in zip(found, rows, strict=True))


# Drawing

some_settings = st.builds(
    Settings,
    seed=st.integers(0, 99),
    cap=st.integers(1, 60),
    few_shot=st.floats(0, 1),
    shots=st.integers(1, 4),
    inverted=st.floats(0, 1),
)
some_sources = st.lists(
    st.tuples(st.sampled_from(tasks.SHIPPED), st.integers(8, 40), st.sampled_from(["1", "0.5", "3"])),
    min_size=1,
    max_size=3,
).map(
    lambda parts: [
        of(task, rows, f"s{place}", weight=Fraction(weight))
        for place, (task, rows, weight) in enumerate(parts)
    ]
)


@given(some_sources, some_settings)
def test_what_is_drawn_keeps_its_promises(found: list[Loaded], settings: Settings) -> None:
    rows = drawing.draw(found, settings)
    assert drawing.draw(found, settings) == rows
    total = len(rows)
    assert sum(row.inverted for row in rows) == round(settings.inverted * total)
    assert sum(row.shots > 0 for row in rows) == round(settings.few_shot * total)
    assert all(row.shots <= settings.shots for row in rows)
    shares = mixing.rates([one.rows for one in found], [one.source.weight for one in found], settings.cap)
    counts = Counter(row.source for row in rows)
    assert [counts[place] for place in range(len(found))] == mixing.counts(total, shares)
    for tally, count in zip(drawing.tallies(found, rows), mixing.counts(total, shares), strict=True):
        assert sum(tally.templates.values()) == tally.rows == count
        assert abs(tally.inverted - settings.inverted * count) < 2
    for row in rows:
        if row.options:
            assert (row.answer in row.options) != row.inverted
            assert all(option in row.question for option in row.options)
        elif not row.shots:
            assert row.answer not in row.question


def test_each_seed_gives_other_rows_and_each_row_stands_once() -> None:
    one = of("sentiment", 60)
    first, second = (drawing.draw([one], Settings(seed=seed)) for seed in (1, 2))
    assert first != second
    texts = [example.texts["text"] for example in one.examples]
    assert sorted(text for row in first for text in texts if text in row.question) == sorted(texts)


def test_options_come_in_every_order_and_every_template_is_drawn() -> None:
    one = of("nli", 400)
    rows = drawing.draw([one], Settings(inverted=0.3))
    assert {row.template for row in rows} == {template.name for template in one.source.task.templates}
    listed = [row.options for row in rows if row.template == "relation-listed"]
    assert len(set(listed)) == 6


def test_exemplars_are_put_by_the_same_template_and_are_about_something_else() -> None:
    rows = drawing.draw([of("sentiment", 40)], Settings(few_shot=1.0, shots=3, inverted=0.2))
    assert {row.shots for row in rows} == {1, 2, 3}
    for row in rows:
        assert row.question.count("Answer: ") == row.shots
        shown, _, asked = row.question.rpartition("Now you\n")
        if not row.inverted:
            subject = asked[asked.index("<text") : asked.index(">") + 1]
            assert subject not in shown


def test_another_source_changes_nothing_of_what_the_first_gives() -> None:
    alone = drawing.draw([of("qa", 20)], Settings(seed=4))
    both = drawing.draw([of("qa", 20), of("nli", 20, "other")], Settings(seed=4))
    assert sorted(row.question for row in both if row.source == 0) == sorted(row.question for row in alone)


@pytest.mark.parametrize("inverted", [0.0, 1.0])
def test_a_row_with_a_passage_or_choices_is_never_put_without_them(inverted: float) -> None:
    bare, passage = {"question": "Why?", "answer": "So."}, {"context": "It is so."}
    source = Source(Path("q.jsonl"), tasks.load("qa"), {})
    for texts, options in (
        (bare, ()),
        (bare | passage, ()),
        (bare, ("So.", "No.")),
        (bare | passage, ("So.", "No.")),
    ):
        examples = tuple(Example(texts | {"question": f"Why {n}?"}, options) for n in range(30))
        rows = drawing.draw([Loaded(source, examples, 0, "")], Settings(inverted=inverted))
        assert all(("It is so." in row.question) == ("context" in texts) for row in rows)
        assert all(bool(row.options) == bool(options) for row in rows)


def test_own_labels_are_answered_and_words_made_for_others_are_not_used() -> None:
    rows = drawing.draw([of("sentiment", 90, labels=("bad", "fair", "good"))], Settings())
    assert {row.answer for row in rows} == {"bad", "fair", "good"}
    assert "recommend" not in {row.template for row in rows}


@pytest.mark.parametrize(
    ("settings", "rows", "said"),
    [
        (Settings(rows=9), 8, "Ask for 8 rows at most"),
        (Settings(few_shot=1.0), 1, "no other row to show"),
    ],
)
def test_what_a_source_cannot_give_is_refused(settings: Settings, rows: int, said: str) -> None:
    with pytest.raises(HoneError, match=said):
        drawing.draw([of("qa", rows)], settings)


def test_a_row_that_a_template_cannot_put_is_refused_by_its_beginning(tmp_path: Path) -> None:
    huge = Example({"text": "word " * 500_000, "label": "positive"}, ("negative", "positive"))
    source = Source(Path("reviews.jsonl"), tasks.load("sentiment"), {})
    with pytest.raises(HoneError, match=r"row of reviews.*writes more than .*the row is 'word word"):
        drawing.draw([Loaded(source, (huge,), 0, "")], Settings())
    file = tmp_path / "colours.yaml"
    file.write_text(
        TASK.replace(' [{{ options | join("/") }}]', "").replace(
            '"{{ colour }}"', "\"{{ colour if colour != 'red' }}\""
        )
    )
    red = Example({"thing": "door", "colour": "red"}, ("red", "blue"))
    colours = Source(Path("things.jsonl"), tasks.read(file), {})
    with pytest.raises(HoneError, match=r"by the template which.*'answer' writes nothing; the row is 'door'"):
        drawing.draw([Loaded(colours, (red,), 0, "")], Settings())


# Files


def written(file: Path, rows: list[dict[str, object]]) -> Path:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def load(file: Path, task: str, columns: str = "", **how: Any) -> Loaded:
    kind = tasks.load(task)
    return sources.load(Source(file, kind, sources.columns_of(columns, kind), **how))


def test_jsonl_and_csv_with_any_names_give_the_same_rows(tmp_path: Path) -> None:
    plain = written(
        tmp_path / "a.jsonl", [{"Sentence": " Good. ", "label": 1}, {"Sentence": "Bad.", "label": "Negative"}]
    )
    table = tmp_path / "b.csv"
    table.write_text("phrase,mark\nGood.,1\nBad.,0\nBad.,negative\n")
    found = load(plain, "sentiment")
    assert [one.texts for one in found.examples] == [
        {"text": "Good.", "label": "positive"}, {"text": "Bad.", "label": "negative"},
    ]  # fmt: skip
    other = load(table, "sentiment", "text=phrase, label=mark")
    assert (other.examples, other.repeated) == (found.examples, 1)
    assert load(table, "sentiment", "text=phrase,label=mark", at_most=1).rows == 1
    assert load(plain, "sentiment", labels=("negative", "fine")).examples[0].texts["label"] == "fine"


@pytest.mark.parametrize(
    ("answer", "meant"), [("B", "4"), ("(b)", "4"), ("6", "6"), (2, "2"), (0, "0"), ("c", "2"), ("3", "6")]
)
def test_a_choice_is_meant_by_its_text_its_letter_or_its_number(
    tmp_path: Path, answer: object, meant: str
) -> None:
    row = {"question": "How many?", "choices": ["0", "4", "2", "6"], "answer": answer}
    found = load(written(tmp_path / "q.jsonl", [row]), "qa").examples[0]
    assert found.texts == {"question": "How many?", "answer": meant}
    assert found.options == ("0", "4", "2", "6")


def test_a_column_that_is_named_for_one_field_is_not_found_for_another(tmp_path: Path) -> None:
    file = written(tmp_path / "sums.jsonl", [{"context": "1 + 1 =", "continuation": " 2"}])
    (found,) = load(file, "qa", "question=context,answer=continuation").examples
    assert found.texts == {"question": "1 + 1 =", "answer": "2"}


def test_what_is_the_same_in_all_rows_is_in_each_question(tmp_path: Path) -> None:
    pairs = [{"en": f"dog {n}", "fr": f"chien {n}"} for n in range(40)]
    file, task = written(tmp_path / "pairs.jsonl", pairs), tasks.load("translation")
    always = sources.always_of(["source_name=English", " target_name = French, spoken "], task)
    loaded = load(file, "translation", "source=en,target=fr", always=always)
    assert loaded.examples[3].texts["target_name"] == "French, spoken"
    rows = drawing.draw([loaded], Settings(inverted=0.5))
    assert all("French, spoken" in row.question for row in rows)
    assert len({row.template for row in rows}) > 6
    liked = load(
        written(tmp_path / "pos.jsonl", [{"text": "fun"}]), "sentiment", always={"label": "positive"}
    )
    assert liked.examples[0].texts == {"text": "fun", "label": "positive"}
    with pytest.raises(HoneError, match="'target=' names no text"):
        sources.always_of(["target="], task)
    with pytest.raises(HoneError, match="Name a column that lists them"):
        load(file, "qa", "question=en,answer=fr", always={"options": "a"})


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"text": "b"}, "Its label is None"),
        ({"text": "", "label": 1}, "Its text is empty"),
        ({"text": ["b"], "label": 1}, "not text or a number"),
        ({"text": "b", "label": 2}, "'2' is not one of negative, positive"),
        ({"text": "b", "label": "B"}, "'B' is not one of"),
        ({"text": "b", "label": True}, "not text or a number"),
    ],
)
def test_a_row_that_does_not_suit_is_refused_by_its_line(
    tmp_path: Path, row: dict[str, object], said: str
) -> None:
    file = written(tmp_path / "s.jsonl", [{"text": "a", "label": 0}, row])
    with pytest.raises(HoneError) as refused:
        load(file, "sentiment")
    assert "Line 2 of s.jsonl" in str(refused.value)
    assert said in str(refused.value)


def test_a_missing_column_is_said_with_those_there_are(tmp_path: Path) -> None:
    file = written(tmp_path / "s.jsonl", [{"phrase": "a", "label": 0}])
    with pytest.raises(HoneError, match=r"no column for 'text'.*it has label, phrase.*text=COLUMN"):
        load(file, "sentiment")
    with pytest.raises(HoneError, match="Looked for words"):
        load(file, "sentiment", "text=words")
    with pytest.raises(HoneError, match="fields of sentiment are text, label"):
        load(file, "sentiment", "txt=phrase")


def test_text_of_a_row_is_never_a_template(tmp_path: Path) -> None:
    file = written(
        tmp_path / "s.jsonl", [{"text": "{{ 7 * 7 }}{% endmessage %}", "label": n % 2} for n in range(2)]
    )
    rows = drawing.draw([load(file, "sentiment")], Settings())
    assert all("{{ 7 * 7 }}{% endmessage %}" in row.question for row in rows)


def test_a_mix_is_read_with_paths_beside_it_and_refused_by_its_line(tmp_path: Path) -> None:
    (tmp_path / "colours.yaml").write_text(TASK)
    mix = tmp_path / "mix.yaml"
    text = textwrap.dedent(
        """\
        sources:
          - file: a.jsonl
            task: sentiment
            at_most: 10
          - file: b.jsonl
            task: colours.yaml
            columns: {thing: what}
            always: {colour: red}
            weight: 2.5
        """
    )
    mix.write_text(text)
    first, second = sources.read_mix(mix)
    assert (first.file, first.at_most, first.weight) == (tmp_path / "a.jsonl", 10, 1)
    assert (second.task.name, second.columns, second.weight) == ("colours", {"thing": "what"}, Fraction(5, 2))
    assert second.always == {"colour": "red"}
    for was, becomes, line, said in (
        ("weight: 2.5", "weight: 0", 9, "above 0"),
        ("weight: 2.5", "weigh: 2", 9, "unknown"),
        ("{thing: what}", "{think: what}", 7, "'think' is unknown"),
        ("file: a.jsonl", "weight: 1", 2, "'file' is missing"),
        (text, "sources: []", 1, "at least one"),
    ):
        mix.write_text(text.replace(was, becomes))
        with pytest.raises(HoneError, match=rf"Line {line}: .*{said}"):
            sources.read_mix(mix)


@pytest.mark.parametrize(
    ("knob", "value"),
    [("seed", 1), ("rows", 20), ("cap", 10), ("few_shot", 0.9), ("shots", 1), ("inverted", 0.6)],
)
def test_every_setting_changes_what_is_drawn(knob: str, value: float) -> None:
    found = [of("qa", 40), of("nli", 20, "other")]
    before = Settings(few_shot=0.5, inverted=0.2)
    assert drawing.draw(found, replace(before, **{knob: value})) != drawing.draw(found, before)
