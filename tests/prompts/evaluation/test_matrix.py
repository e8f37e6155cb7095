"""The matrix: what is asked of the model, what is kept, and what a stop and a second run do."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from feedback.conversations import Sampling
from feedback.errors import HoneError
from prompts.evaluation import matrix
from prompts.evaluation.calls import Calls
from prompts.evaluation.columns import Cell, Column, How
from prompts.evaluation.datasets import load, source
from prompts.evaluation.items import Dataset, Item, Reply, Score
from prompts.evaluation.model import CancelledError
from prompts.evaluation.units import NATS
from prompts.plain import shipped
from prompts.strategy import Strategy, parse
from tests.evaluation_ground import RuledModel, reviews, sums

ASK = parse(
    "ask",
    {"ask.jinja": '---\ntitle: Ask\ndescription: Asks.\nvariables: [question]\n---\n'
                  '{% message "user" %}{{ question }}{% endmessage %}'},
)  # fmt: skip
VOTE = parse(
    "vote",
    {"vote.jinja": '---\ntitle: Vote\ndescription: Votes.\nvariables: [question]\ntemperature: 0.7\n'
                   'samples: 3\n---\n{% message "user" %}{{ question }}{% endmessage %}'},
)  # fmt: skip
TWO = parse(
    "two",
    {
        "strategy.yaml": "title: Two\ndescription: Two steps.\nsteps: [plan, reply]\n",
        "plan.jinja": "---\ntitle: Plan\nvariables: [question]\n---\n"
        '{% message "user" %}Plan: {{ question }}{% endmessage %}',
        "reply.jinja": "---\ntitle: Reply\nvariables: [question, plan]\n---\n"
        '{% message "user" %}{{ plan }} / {{ question }}{% endmessage %}',
    },
)
THINK = parse(
    "think",
    {"think.jinja": '---\ntitle: Think\ndescription: Thinks.\nvariables: [question]\n'
                    'answer: {marker: "Answer:", take: last number}\n---\n'
                    '{% message "user" %}{{ question }}{% endmessage %}'},
)  # fmt: skip
PLAIN = How()


@pytest.fixture
def calls(tmp_path: Path) -> Calls:
    return Calls(tmp_path / "evaluations.db")


def doubled(prompt: str, sampling: Sampling) -> str:
    """The right answer to one of `sums`."""
    number = int(prompt.rpartition("Ann has ")[2].split()[0])
    return f"That makes {2 * number}."


def good_is_positive(prompt: str, answer: str) -> float:
    asked = prompt.rpartition("Review:")[2]
    return -0.1 if ("good" in asked) == (answer == "positive") else -2.0


def fill(
    calls: Calls, model: RuledModel, dataset: Dataset, how: How = PLAIN, *strategies: Strategy
) -> list[Cell]:
    columns = [Column(one.name, "pv", one, how, model) for one in strategies or (ASK,)]
    return matrix.run(matrix.plan(columns, [dataset]), calls)


def test_answers_are_written_many_at_once_and_judged(tmp_path: Path, calls: Calls) -> None:
    model = RuledModel(says=doubled)
    (cell,) = fill(calls, model, load(source(f"gsm8k:{sums(tmp_path / 't.jsonl', 12)}")))
    assert cell.score is not None
    assert (cell.score.value, cell.failed, cell.by, cell.metric) == (1.0, 0, "generation", "number")
    assert model.most_at_once > 1
    assert cell.outcomes[3].said == "That makes 6."
    assert cell.outcomes[3].prompt in model.written
    assert cell.tokens()[1] == 12 * 3


def test_items_with_options_are_judged_by_likelihood_and_nothing_is_written(
    tmp_path: Path, calls: Calls
) -> None:
    model = RuledModel(finds=good_is_positive)
    (cell,) = fill(calls, model, load(source(f"sst2:{reviews(tmp_path / 'd.jsonl')}")))
    assert cell.score is not None
    assert (cell.score.value, cell.by, model.written) == (1.0, "likelihood", [])
    assert dict(cell.outcomes[0].shares)["negative"] > 0.8
    assert len(model.scored) == 6 * 2


def test_what_was_answered_is_never_asked_again(tmp_path: Path, calls: Calls) -> None:
    data = load(source(f"gsm8k:{sums(tmp_path / 't.jsonl', 5)}"))
    first = fill(calls, RuledModel(says=doubled), data)
    silent = RuledModel(says=lambda prompt, sampling: "never asked")
    assert fill(calls, silent, data) == first
    assert silent.written == []


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        (lambda model: setattr(model, "key", "another"), "another model version"),
        (lambda model: None, "the same"),
    ],
)
def test_another_model_version_is_asked_anew(
    tmp_path: Path, calls: Calls, changed: Callable[[RuledModel], None], why: str
) -> None:
    data = load(source(f"gsm8k:{sums(tmp_path / 't.jsonl', 2)}"))
    fill(calls, RuledModel(says=doubled), data)
    again = RuledModel(says=doubled)
    changed(again)
    fill(calls, again, data)
    assert len(again.written) == (2 if why == "another model version" else 0)


def test_a_longer_limit_is_another_question_and_a_seed_counts_only_when_it_draws(
    tmp_path: Path, calls: Calls
) -> None:
    data = load(source(f"gsm8k:{sums(tmp_path / 't.jsonl', 2)}"))
    asked = []
    for how in (How(), How().changed("seed=5"), How().changed("max_tokens=9"), How()):
        model = RuledModel(says=doubled)
        fill(calls, model, data, how)
        asked.append(len(model.written))
    assert asked == [2, 0, 2, 0]


def test_a_stop_keeps_what_was_answered_and_the_next_run_goes_on(tmp_path: Path, calls: Calls) -> None:
    data = load(source(f"gsm8k:{sums(tmp_path / 't.jsonl', 40)}"))
    stop = threading.Event()
    model = RuledModel(says=doubled)
    works = matrix.plan([Column("ask", "pv", ASK, PLAIN, model)], [data])

    def enough(what: str, done: int, total: int) -> None:
        if done == 8:
            stop.set()

    with pytest.raises(CancelledError):
        matrix.run(works, calls, enough, stop)
    kept = len(calls)
    assert 8 <= kept < 40
    rest = RuledModel(says=doubled)
    (cell,) = fill(calls, rest, data)
    assert len(rest.written) == 40 - kept
    assert cell.score is not None
    assert cell.score.value == 1.0


def test_examples_come_from_the_training_part_and_the_shipped_ones_stay_out(
    tmp_path: Path, calls: Calls
) -> None:
    train = reviews(tmp_path / "train.jsonl", 20)
    data = load(source(f"sst2:{reviews(tmp_path / 'd.jsonl', 4)}"), source(f"sst2:{train}"))
    model = RuledModel(finds=good_is_positive)
    (cell,) = fill(calls, model, data, How().changed("shots=4,choose=balanced"), shipped()["few-shot"])
    prompt = cell.outcomes[0].prompt
    assert cell.examples == "4 of the dataset, balanced"
    assert "sky" not in prompt
    assert prompt.count("positive<|im_end|>") == prompt.count("negative<|im_end|>") == 2
    opening = prompt.partition("film 0")[0]
    assert all(outcome.prompt.startswith(opening) for outcome in cell.outcomes)


def test_the_nearest_examples_differ_between_questions(tmp_path: Path, calls: Calls) -> None:
    train = load(source(f"gsm8k:{sums(tmp_path / 'train.jsonl', 9, first=100)}")).items
    items = (Item("a", "Ann has 103 pens", "206"), Item("b", "Ann has 107 pens", "214"))
    data = Dataset("sums", items, load(source(f"gsm8k:{tmp_path / 'train.jsonl'}")).judge, train)
    (cell,) = fill(
        calls, RuledModel(says=doubled), data, How().changed("shots=1,choose=nearest"), shipped()["few-shot"]
    )
    assert "Ann has 103 pens and" in cell.outcomes[0].prompt
    assert "Ann has 107 pens and" in cell.outcomes[1].prompt


def test_each_draw_shows_other_examples_and_the_same_again(tmp_path: Path, calls: Calls) -> None:
    train = source(f"sst2:{reviews(tmp_path / 'train.jsonl', 60)}")
    data = load(source(f"sst2:{reviews(tmp_path / 'd.jsonl', 1)}"), train)
    prompts = [
        fill(calls, RuledModel(), data, How().changed(f"shots=4,draw={draw}"), shipped()["few-shot"])[0]
        .outcomes[0]
        .prompt
        for draw in (0, 1, 2, 1)
    ]
    assert len(set(prompts)) == 3
    assert prompts[1] == prompts[3]
    assert all(one.count("positive<|im_end|>") == 2 for one in prompts)


def test_a_strategy_that_thinks_shows_worked_answers(tmp_path: Path, calls: Calls) -> None:
    train = source(f"gsm8k:{sums(tmp_path / 'train.jsonl', 9, first=100)}")
    data = load(source(f"gsm8k:{sums(tmp_path / 't.jsonl', 1)}"), train)
    how = How().changed("shots=2")
    (cell,) = fill(calls, RuledModel(says=doubled), data, how, shipped()["chain-of-thought"])
    assert "She has 100 + 100 = 200 pens.\nAnswer: 200" in cell.outcomes[0].prompt


def test_data_without_examples_leave_the_strategy_its_own(tmp_path: Path, calls: Calls) -> None:
    data = load(source(f"sst2:{reviews(tmp_path / 'd.jsonl', 2)}"))
    (cell,) = fill(calls, RuledModel(), data, How(), shipped()["few-shot"])
    assert cell.examples.endswith("of its own")
    with pytest.raises(HoneError, match="no training part"):
        fill(calls, RuledModel(), data, How().changed("shots=4"), shipped()["few-shot"])


def test_calibration_asks_of_nothing_with_the_same_examples_and_turns_the_scale(
    tmp_path: Path, calls: Calls
) -> None:
    def leans(prompt: str, answer: str) -> float:
        return good_is_positive(prompt, answer) + (0.0 if answer == "positive" else -5.0)

    train = source(f"sst2:{reviews(tmp_path / 'train.jsonl', 20)}")
    data = load(source(f"sst2:{reviews(tmp_path / 'd.jsonl', 4)}"), train)
    few, model = shipped()["few-shot"], RuledModel(finds=leans)
    (plain,) = fill(calls, model, data, How().changed("shots=2"), few)
    (mended,) = fill(calls, model, data, How().changed("shots=2,calibrate=nothing"), few)
    assert plain.score is not None
    assert mended.score is not None
    assert (plain.score.value, mended.score.value) == (0.5, 1.0)
    blank = next(prompt for prompt, _ in model.scored if prompt.rpartition("Review: ")[2].startswith("N/A"))
    opening = mended.outcomes[0].prompt.rpartition("Review: ")[0]
    assert blank.startswith(opening)


def test_calibration_by_training_questions_takes_out_what_the_examples_pull(
    tmp_path: Path, calls: Calls
) -> None:
    def pulled(prompt: str, answer: str) -> float:
        asked = prompt.rpartition("Review: ")[2]
        if "film" not in asked:
            return -1.0  # nothing is asked: no leaning shows
        return good_is_positive(prompt, answer) + (0.0 if answer == "positive" else -5.0)

    train = source(f"sst2:{reviews(tmp_path / 'train.jsonl', 40)}")
    data = load(source(f"sst2:{reviews(tmp_path / 'd.jsonl', 4)}"), train)
    scores, model = {}, RuledModel(finds=pulled)
    for by in ("nothing", "training"):
        how = How().changed(f"shots=2,calibrate={by}")
        (cell,) = fill(calls, model, data, how, shipped()["few-shot"])
        assert cell.score is not None
        scores[by] = cell.score.value
    assert scores == {"nothing": 0.5, "training": 1.0}
    bare = load(source(f"sst2:{tmp_path / 'd.jsonl'}"))
    with pytest.raises(HoneError, match="no training part"):
        fill(calls, model, bare, How().changed("calibrate=training"))


def test_self_consistency_and_chains_are_measured_as_they_are(tmp_path: Path, calls: Calls) -> None:
    def wavering(prompt: str, sampling: Sampling) -> str:
        return doubled(prompt, sampling) if (sampling.seed or 0) % 2 == 0 else "It is 5."

    data = load(source(f"gsm8k:{sums(tmp_path / 't.jsonl', 2)}"))
    voted, chained = fill(calls, RuledModel(says=wavering), data, How(), VOTE, TWO)
    assert voted.score is not None
    assert voted.score.value == 1.0
    assert [outcome.calls for outcome in voted.outcomes] == [3, 3]
    assert [outcome.calls for outcome in chained.outcomes] == [2, 2]


def test_a_column_that_cannot_be_measured_as_asked_is_refused_before_anything_runs(
    tmp_path: Path, calls: Calls
) -> None:
    reviewed = load(source(f"sst2:{reviews(tmp_path / 'd.jsonl', 2)}"))
    added = load(source(f"gsm8k:{sums(tmp_path / 't.jsonl', 2)}"))
    with pytest.raises(HoneError, match="votes or takes several steps"):
        fill(calls, RuledModel(), reviewed, How(by="likelihood"), VOTE)
    with pytest.raises(HoneError, match="do not all have options"):
        fill(calls, RuledModel(), added, How(by="likelihood"))


def test_a_question_too_long_for_the_window_has_no_score(tmp_path: Path, calls: Calls) -> None:
    short = load(source(f"gsm8k:{sums(tmp_path / 't.jsonl', 2)}"))
    long = Item("long", "word " * 5000, "4")
    (cell,) = fill(calls, RuledModel(says=doubled), Dataset("d", (*short.items, long), short.judge))
    assert (cell.failed, cell.outcomes[-1].value) == (1, None)
    assert "too long" in cell.outcomes[-1].error
    assert cell.score is not None
    assert cell.score.value == 1.0


def test_a_model_that_breaks_is_an_error_and_never_a_score(tmp_path: Path, calls: Calls) -> None:
    def breaks(prompt: str, sampling: Sampling) -> str:
        raise RuntimeError("a part of the model is broken")

    with pytest.raises(RuntimeError, match="broken"):
        fill(calls, RuledModel(says=breaks), load(source(f"gsm8k:{sums(tmp_path / 't.jsonl', 8)}")))


class Likes:
    """A scorer with a model of its own, as a reward model is: it likes digits, and cannot read one word."""

    name, rule, unit = "likes", "The more digits, the better.", NATS

    def __init__(self) -> None:
        self.asked: list[list[Reply]] = []

    def judge(self, replies: Sequence[Reply]) -> list[Score | HoneError]:
        self.asked.append(list(replies))
        return [self._liked(reply) for reply in replies]

    def _liked(self, reply: Reply) -> Score | HoneError:
        if len(reply.text.split()) == 1:
            return HoneError("It is one word.")
        return Score(-2.5 + sum(letter.isdigit() for letter in reply.text), "")


def test_a_scorer_of_ones_own_gets_all_replies_at_once_as_a_person_reads_them(
    tmp_path: Path, calls: Calls
) -> None:
    items = load(source(f"gsm8k:{sums(tmp_path / 't.jsonl', 12)}")).items
    likes = Likes()
    model = RuledModel(says=lambda prompt, sampling: f"Hm. Answer: {doubled(prompt, sampling)}")
    (cell,) = fill(calls, model, Dataset("d", items, lambda: likes), PLAIN, THINK)
    (asked,) = likes.asked
    assert [reply.item.id for reply in asked] == [item.id for item in items]
    assert {reply.text for reply in asked} == {f"That makes {2 * n}." for n in range(12)}
    assert {reply.taken for reply in asked} == {str(2 * n) for n in range(12)}
    assert all(reply.ended for reply in asked)
    assert cell.score is not None
    # Five sums have one digit, seven have two.
    assert cell.score.value == pytest.approx(-2.5 + (5 + 2 * 7) / 12)
    assert (cell.unit, cell.score.high < 0) == (NATS, True)


def test_a_scorer_is_told_which_replies_were_cut_off_and_what_it_cannot_judge_has_no_score(
    tmp_path: Path, calls: Calls
) -> None:
    items = load(source(f"gsm8k:{sums(tmp_path / 't.jsonl', 3)}")).items
    likes = Likes()
    replies = {"0": "one two three four", "1": "word", "2": "one two"}
    model = RuledModel(says=lambda prompt, sampling: replies[prompt.rpartition("Ann has ")[2][0]])
    (cell,) = fill(calls, model, Dataset("d", items, lambda: likes), How().changed("max_tokens=4"))
    assert [reply.ended for reply in likes.asked[0]] == [False, True, True]
    assert [one.ended for one in cell.outcomes] == [False, True, True]
    assert [one.value for one in cell.outcomes] == [-2.5, None, -2.5]
    assert (cell.failed, cell.outcomes[1].error) == (1, "It is one word.")


def test_the_sample_that_became_the_reply_says_whether_it_was_cut_off(tmp_path: Path, calls: Calls) -> None:
    items = load(source(f"gsm8k:{sums(tmp_path / 't.jsonl', 1)}")).items
    seeds: dict[int, str] = {}

    def says(prompt: str, sampling: Sampling) -> str:
        seeds.setdefault(sampling.seed or 0, "")
        return "b b b b" if sampling.seed == 0 else "a a"

    likes = Likes()
    how = How().changed("max_tokens=4")
    fill(calls, RuledModel(says=says), Dataset("d", items, lambda: likes), how, VOTE)
    ((reply,),) = likes.asked
    assert len(seeds) == 3
    assert (reply.text, reply.ended) == ("a a", True)


def test_a_reward_is_of_what_is_written_never_of_an_options_likelihood(tmp_path: Path, calls: Calls) -> None:
    asked = load(source(f"sst2:{reviews(tmp_path / 'd.jsonl')}"))
    rewarded = replace(asked, judge=Likes)
    (cell,) = fill(calls, RuledModel(says=lambda prompt, sampling: "It is good."), rewarded)
    assert (cell.by, cell.unit) == ("generation", NATS)
    with pytest.raises(HoneError, match="A reward is of a whole reply"):
        fill(calls, RuledModel(), rewarded, How(by="likelihood"))


@pytest.mark.parametrize("written", ["by=magic", "shots=-1", "choose=best", "colour=red", "max_tokens=0"])
def test_a_setting_of_a_column_that_there_is_not_is_refused(written: str) -> None:
    with pytest.raises(HoneError, match="A column cannot have"):
        How().changed(written)
