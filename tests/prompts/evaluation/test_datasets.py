"""Datasets from files in the shapes of public benchmarks, and from plain files in a person's words."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedback.errors import HoneError
from prompts.evaluation import datasets, texts
from prompts.evaluation.datasets import Source, Wording, load, source
from tests.evaluation_ground import jsonl, reviews, sums


def test_a_source_is_a_format_a_file_and_perhaps_a_part() -> None:
    assert source("bbh:data/bbh.jsonl#navigate") == Source("bbh", Path("data/bbh.jsonl"), "navigate")
    assert source("sst2:dev.jsonl") == Source("sst2", Path("dev.jsonl"))
    for wrong in ("dev.jsonl", "squad:dev.jsonl"):
        with pytest.raises(HoneError, match=r"gsm8k, bbh.*For example"):
            source(wrong)


def test_gsm8k_takes_the_answer_after_its_marks_and_the_way_to_it_without_the_calculators_notes(
    tmp_path: Path,
) -> None:
    found = load(source(f"gsm8k:{sums(tmp_path / 'test.jsonl')}"))
    item = found.items[2]
    assert (item.answer, item.worked, item.options) == ("4", "She has 2 + 2 = 4 pens.", ())
    assert found.judge().name == "number"


def test_gsm8k_without_its_marks_is_refused_with_the_row(tmp_path: Path) -> None:
    file = jsonl(tmp_path / "test.jsonl", [{"question": "1 + 1?", "answer": "2"}])
    with pytest.raises(HoneError, match=r"Row 1 of test.jsonl.*no ####"):
        load(source(f"gsm8k:{file}"))


def test_sst2_reads_labels_as_numbers_and_as_words_and_tables_with_a_header(tmp_path: Path) -> None:
    lines = jsonl(tmp_path / "a.jsonl", [{"text": "fine", "label": "Positive"}, {"text": "dull", "label": 0}])
    table = tmp_path / "b.tsv"
    table.write_text("sentence\tlabel\nfine\t1\ndull\t0\n")
    for file in (lines, table):
        found = load(source(f"sst2:{file}"))
        assert [item.answer for item in found.items] == ["positive", "negative"]
        assert found.items[0].options == ("negative", "positive")
        assert "Review: fine" in found.items[0].question


def test_ag_news_counts_from_1_in_the_published_table_and_from_0_elsewhere(tmp_path: Path) -> None:
    table = tmp_path / "test.csv"
    table.write_text('"3","Shares rise","Prices, too"\n"4","A comet","It came"\n')
    lines = jsonl(tmp_path / "t.jsonl", [{"title": "Shares rise", "text": "Prices, too", "label": 2}])
    assert [item.answer for item in load(source(f"ag-news:{table}")).items] == ["Business", "Sci/Tech"]
    assert [item.answer for item in load(source(f"ag-news:{lines}")).items] == ["Business"]
    assert "News: Shares rise. Prices, too" in load(source(f"ag-news:{lines}")).items[0].question


def test_mmlu_reads_the_published_table_and_lists_of_choices(tmp_path: Path) -> None:
    table = tmp_path / "test.csv"
    table.write_text("What is 1 + 1?,1,2,3,4,B\n")
    row = {"question": "What is 1 + 1?", "choices": ["1", "2", "3", "4"], "answer": 1, "subject": "sums"}
    for file in (table, jsonl(tmp_path / "t.jsonl", [row])):
        item = load(source(f"mmlu:{file}")).items[0]
        assert (item.answer, item.options) == ("B", ("A", "B", "C", "D"))
        assert "\nB. 2\n" in item.question


def test_one_subject_of_several_is_named_after_the_hash(tmp_path: Path) -> None:
    rows = [
        {"question": f"{subject}?", "choices": ["1", "2", "3", "4"], "answer": "A", "subject": subject}
        for subject in ("law", "art")
    ]
    file = jsonl(tmp_path / "t.jsonl", rows)
    assert [item.group for item in load(source(f"mmlu:{file}")).items] == ["law", "art"]
    assert [item.group for item in load(source(f"mmlu:{file}#art")).items] == ["art"]
    with pytest.raises(HoneError, match=r"no part called war.*art, law"):
        load(source(f"mmlu:{file}#war"))


BBH_PROMPT = (
    "Say whether it is true.\n\nQ: True and False is\nA: Let's think step by step.\nBoth must hold, and one "
    "does not. So the answer is False.\n\nQ: not False is\nA: Let's think step by step.\nIt turns. "
    "So the answer is True."
)


def test_bbh_finds_options_in_the_question_and_examples_in_the_published_prompts(tmp_path: Path) -> None:
    file = jsonl(
        tmp_path / "bbh.jsonl",
        [
            {"task": "logic", "input": "True or False is", "target": "True"},
            {"task": "dates", "input": "Which day?\nOptions:\n(A) Monday\n(B) Friday", "target": "(B)"},
            {"task": "walks", "input": "Back again?\nOptions:\n- Yes\n- No", "target": "No"},
        ],
    )
    shown = jsonl(tmp_path / "prompts.jsonl", [{"task": "logic", "prompt": BBH_PROMPT}])
    found = load(source(f"bbh:{file}#logic"), source(f"bbh:{shown}#logic"))
    assert [(item.answer, item.options) for item in found.items] == [("True", ("True", "False"))]
    assert [(item.question, item.answer) for item in found.train] == [
        ("True and False is", "False"),
        ("not False is", "True"),
    ]
    assert found.train[0].worked == "Both must hold, and one does not."
    assert load(source(f"bbh:{file}#dates")).items[0].options == ("A", "B")
    assert load(source(f"bbh:{file}#walks")).items[0].options == ("Yes", "No")


def test_bbh_of_several_tasks_asks_for_one(tmp_path: Path) -> None:
    rows = [{"task": task, "input": "x", "target": "y"} for task in ("logic", "dates")]
    with pytest.raises(HoneError, match=r"holds several tasks: dates, logic"):
        load(source(f"bbh:{jsonl(tmp_path / 'bbh.jsonl', rows)}"))


def test_bbh_reads_the_published_file_of_one_task(tmp_path: Path) -> None:
    file = tmp_path / "object_counting.json"
    file.write_text(json.dumps({"canary": "-", "examples": [{"input": "How many?", "target": "6"}]}))
    found = load(source(f"bbh:{file}"))
    assert (found.items[0].answer, found.judge().name) == ("6", "number")


def test_plain_files_are_asked_in_a_persons_words(tmp_path: Path) -> None:
    file = tmp_path / "capitals.csv"
    file.write_text("country,capital\nPeru,Lima\nChad,N'Djamena\n")
    words = Wording("What is the capital of {{ country | upper }}?", "{{ capital }}")
    found = load(source(f"csv:{file}"), None, words)
    assert [(item.question, item.answer) for item in found.items] == [
        ("What is the capital of PERU?", "Lima"),
        ("What is the capital of CHAD?", "N'Djamena"),
    ]
    assert found.judge().name == "exact"
    assert found.content_free == tuple(f"What is the capital of {one}?" for one in ("N/A", "[MASK]", ""))


@pytest.mark.parametrize(
    ("question", "why"),
    [
        ("", "has no question"),
        ("{{ city }}", "no field 'city'; it has capital, country"),
        ("{{ country", "cannot be read"),
        ("{{ country.upper() }}", "not allowed"),
        ("{% for a in country %}{% for b in country %}{{ a }}{% endfor %}{% endfor %}", "more than 10000"),
    ],
)
def test_a_template_that_cannot_be_used_is_refused_with_the_reason(
    tmp_path: Path, question: str, why: str
) -> None:
    file = jsonl(tmp_path / "c.jsonl", [{"country": "P" * 200, "capital": "Lima"}])
    with pytest.raises(HoneError, match=why):
        load(source(f"jsonl:{file}"), None, Wording(question, "{{ capital }}"))


@given(st.text())
def test_a_field_is_data_and_never_template(text: str) -> None:
    said = "".join(c for c in text if not "\ud800" <= c <= "\udfff")
    assert texts.render("Q: {{ field }}|", {"field": said}, "here") == f"Q: {said}|"


def test_an_answer_outside_the_options_is_refused(tmp_path: Path) -> None:
    file = jsonl(tmp_path / "t.jsonl", [{"q": "Up?", "a": "up"}])
    words = Wording("{{ q }}", "{{ a }}", ("left", "right"))
    with pytest.raises(HoneError, match="not one of the options left, right"):
        load(source(f"jsonl:{file}"), None, words)


def test_a_question_that_is_asked_is_never_shown(tmp_path: Path) -> None:
    asked, shown = reviews(tmp_path / "dev.jsonl", 4), reviews(tmp_path / "train.jsonl", 10)
    found = load(source(f"sst2:{asked}"), source(f"sst2:{shown}"))
    assert len(found.items) == 4
    assert len(found.train) == 6
    assert not {item.question for item in found.items} & {item.question for item in found.train}


def test_a_limit_draws_fairly_and_a_larger_one_asks_the_same_and_more(tmp_path: Path) -> None:
    rows = [{"text": f"film {n}", "label": int(n >= 100)} for n in range(200)]
    found = load(source(f"sst2:{jsonl(tmp_path / 'sorted.jsonl', rows)}"))
    small, large = found.limited(40), found.limited(80)
    assert 10 <= sum(item.answer == "positive" for item in small.items) <= 30
    assert {item.id for item in small.items} < {item.id for item in large.items}
    assert found.limited(40) == small
    assert found.limited(None) == found
    otherwise = load(source(f"sst2:{tmp_path / 'sorted.jsonl'}"), None, Wording("Good? {{ text }}"))
    assert [item.id for item in otherwise.limited(40).items] == [item.id for item in small.items]


def test_rows_without_ids_and_with_the_same_one_get_their_own(tmp_path: Path) -> None:
    rows = [{"text": "a", "label": 0}, *({"id": "x", "text": text, "label": 0} for text in "bc")]
    found = load(source(f"sst2:{jsonl(tmp_path / 'dev.jsonl', rows)}"))
    assert [item.id for item in found.items] == ["dev-1", "x", "x-2"]


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("a.jsonl", "", "has no rows"),
        ("a.jsonl", "{", "line 1 is no JSON"),
        ("a.jsonl", "[1]", "line 1 is no JSON object"),
        ("a.json", '{"rows": []}', "no list of rows"),
        ("a.parquet", "x", "ends in none of"),
        ("a.csv", "sentence,label\ncaf\xe9,1\n", "not UTF-8 text, first in line 2. Save it as UTF-8"),
        ("a.csv", f"sentence,label\na,1\n{'b' * 140_000},0\n", "line 3: field larger than field limit"),
        ("a.jsonl", '{"text": "x", "label": 7}', "label is '7'"),
        ("a.jsonl", '{"label": 1}', "none of the fields text, sentence"),
    ],
)
def test_a_file_that_is_no_data_is_refused_with_the_reason(
    tmp_path: Path, name: str, content: str, why: str
) -> None:
    file = tmp_path / name
    file.write_text(content, "latin-1")
    with pytest.raises(HoneError) as refused:
        load(source(f"sst2:{file}"))
    assert why.lower() in str(refused.value).lower()


def test_a_missing_file_is_said() -> None:
    with pytest.raises(HoneError, match=r"no data file nowhere\.jsonl"):
        load(source("sst2:nowhere.jsonl"))


def test_data_without_answers_need_a_metric_that_needs_none(tmp_path: Path) -> None:
    file = jsonl(tmp_path / "t.jsonl", [{"q": "Say hello."}])
    bare = load(source(f"jsonl:{file}"), None, Wording("{{ q }}"))
    with pytest.raises(HoneError, match="no gold answers"):
        bare.judge()
    measured = load(source(f"jsonl:{file}"), None, Wording("{{ q }}", metric="regex:[Hh]ello"))
    assert measured.judge().name == "regex"


def test_every_format_says_what_it_is() -> None:
    assert set(datasets.FORMATS) == {"gsm8k", "bbh", "sst2", "ag-news", "mmlu", "ifeval"}
    assert all(one.title for one in datasets.FORMATS.values())


def test_a_part_of_a_file_can_be_asked_and_the_rest_of_it_shown(tmp_path: Path) -> None:
    file = source(f"sst2:{reviews(tmp_path / 'all.jsonl', 40)}")
    found = load(file, file, limit=10)
    asked, shown = ({item.question for item in part} for part in (found.items, found.train))
    assert (len(asked), len(shown)) == (10, 30)
    assert not asked & shown
