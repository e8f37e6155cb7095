import random
from dataclasses import replace
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training import plot
from training.gate import Bars, judge
from training.measure import Measurement, PairScore, ReplyPair, SampledReply

FINE = SampledReply("A good short answer.", 20, endless=False)
ENDLESS = SampledReply("and so on and so on", 160, endless=True)
EMPTY = SampledReply("  ", 0, endless=False)


def pairs(margins: list[float]) -> tuple[PairScore, ...]:
    return tuple(PairScore(f"prompt {i}", margin, margin / 10, 0.0) for i, margin in enumerate(margins))


def measured(margins: list[float], **changes: object) -> Measurement:
    both = tuple(ReplyPair(f"question {i}", FINE, FINE) for i in range(20))
    return replace(Measurement(pairs(margins), 20.0, 20.0, both), **changes)


def replies(candidate: SampledReply, count: int, of: int = 20) -> tuple[ReplyPair, ...]:
    return tuple(ReplyPair(f"question {i}", candidate if i < count else FINE, FINE) for i in range(of))


STRONG = [0.5 + 0.1 * (i % 7) for i in range(30)]


def test_a_strong_effect_that_breaks_nothing_passes() -> None:
    report = judge(measured(STRONG))
    assert report.verdict == "pass"
    assert all(check.ok is not False for check in report.checks)
    assert "No guard is broken." in report.reasons


@pytest.mark.parametrize(
    ("guard", "changes"),
    [
        ("perplexity", {"candidate_perplexity": 21.1}),
        ("endless", {"replies": replies(ENDLESS, 3)}),
        ("empty", {"replies": replies(EMPTY, 1)}),
        ("length", {"replies": replies(SampledReply("long", 61, endless=False), 20)}),
        ("drift", {"replies": replies(SampledReply("Aw, what?", 20, False, champion_nats=-1.01), 20)}),
    ],
)
def test_each_guard_alone_fails_a_strong_effect(guard: str, changes: dict[str, object]) -> None:
    report = judge(measured(STRONG, **changes))
    assert report.verdict == "fail"
    assert [check.name for check in report.checks if check.ok is False] == [guard]
    assert len(report.reasons) == 1


def test_what_stays_just_within_the_guards_passes() -> None:
    assert judge(measured(STRONG, candidate_perplexity=20.9)).verdict == "pass"
    assert judge(measured(STRONG, replies=replies(ENDLESS, 2))).verdict == "pass"
    strange = SampledReply("A bit odd.", 20, False, champion_nats=-0.99)
    assert judge(measured(STRONG, replies=replies(strange, 20))).verdict == "pass"


def test_a_fault_that_the_champion_has_as_well_is_no_news() -> None:
    both = tuple(
        ReplyPair(f"question {i}", EMPTY if i < 3 else FINE, EMPTY if i < 3 else FINE) for i in range(20)
    )
    assert judge(measured(STRONG, replies=both)).verdict == "pass"


def test_coin_flips_rarely_pass() -> None:
    chance = random.Random(1)
    verdicts = [judge(measured([chance.gauss(0, 1) for _ in range(30)])).verdict for _ in range(100)]
    assert verdicts.count("pass") <= 6
    assert verdicts.count("not_enough_evidence") >= 85


def test_few_prompts_are_not_enough_however_strong() -> None:
    report = judge(measured(STRONG[:11]))
    assert report.verdict == "not_enough_evidence"
    assert "11 held-out prompts" in report.reasons[0]


def test_no_held_out_prompt_at_all_is_not_enough() -> None:
    assert judge(measured([])).verdict == "not_enough_evidence"


def test_a_weak_positive_effect_is_not_enough() -> None:
    assert judge(measured([1.0, -0.9] * 10)).verdict == "not_enough_evidence"


def test_an_effect_that_surely_goes_the_wrong_way_fails() -> None:
    assert judge(measured([-margin for margin in STRONG])).verdict == "fail"


def test_a_few_large_margins_do_not_outvote_the_sign_test() -> None:
    report = judge(measured([10.0] * 12 + [-0.1] * 10))
    assert next(check for check in report.checks if check.name == "margin").ok
    assert report.verdict == "not_enough_evidence"


def test_many_pairs_of_one_prompt_count_once() -> None:
    same = tuple(replace(pair, prompt_sha256=f"prompt {i % 5}") for i, pair in enumerate(pairs(STRONG)))
    report = judge(measured([], pairs=same))
    assert len(report.margins_nats) == 5
    assert report.margins_nats[0] == pytest.approx(sum(STRONG[::5]) / 6)
    assert report.verdict == "not_enough_evidence"


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(-5, 5), min_size=1, max_size=40))
def test_candidate_and_champion_never_both_pass(margins: list[float]) -> None:
    one = measured(margins)
    assert one.swap().swap() == one
    assert {judge(one).verdict, judge(one.swap()).verdict} != {"pass"}
    assert judge(one).margins_nats == tuple(-m for m in judge(one.swap()).margins_nats)


def test_each_bar_changes_a_verdict_or_an_interval() -> None:
    near = measured(
        [2.0] * 22 + [-1.0] * 8,
        candidate_perplexity=20.8,
        replies=replies(replace(ENDLESS, tokens=100), 2),
    )
    base = judge(near)
    stricter = [
        Bars(min_prompts=31), Bars(p_value=0.001), Bars(confidence=0.999999), Bars(perplexity_ratio=1.0),
        Bars(endless_points=0.05), Bars(length_ratio=1.1),
    ]  # fmt: skip
    assert base.verdict == "pass"
    for bars in stricter:
        assert judge(near, bars).checks != base.checks


def test_the_plot_is_an_svg_with_a_dot_for_each_prompt() -> None:
    report = judge(measured(STRONG))
    drawn = ElementTree.fromstring(plot.svg(report))
    assert sum(1 for part in drawn.iter() if part.tag.endswith("circle")) == len(STRONG) + 1
    assert plot.svg(judge(measured([]))) == ""
