"""Trials: conversations divided by their ids alone, for as long as the trial runs."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedback import audit
from feedback.errors import ConflictError, HoneError, NotFoundError
from feedback.ids import LOCAL_USER, ConversationId, MessageId, PromptVersionId, TrialId
from feedback.store import Store
from prompts import service, trials
from prompts.library import PromptVersion
from prompts.trials import Arm, Trial
from tests.prompts.ground import NAME, add


def trial(*shares: float) -> Trial:
    """A trial of as many versions."""
    arms = tuple(Arm(PromptVersionId(f"pv_{n}"), share) for n, share in enumerate(shares))
    return Trial(TrialId("tr_1"), NAME, arms, "", LOCAL_USER, "now", None, None)


@pytest.fixture
def two(store: Store) -> tuple[PromptVersion, PromptVersion]:
    """The version in production, and a draft."""
    first, second = add(store, "Be brief."), add(store, "Be kind.")
    service.put(store, LOCAL_USER, first.id)
    return first, second


@given(st.text(max_size=40))
def test_a_conversation_stays_with_its_version(conversation: str) -> None:
    running = trial(0.2, 0.5, 0.3)
    falls = {trials.arm_of(running, ConversationId(conversation)) for _ in range(3)}
    assert len(falls) == 1
    assert falls <= {arm.version_id for arm in running.arms}


def test_conversations_fall_to_versions_by_their_shares() -> None:
    running = trial(0.8, 0.15, 0.05)
    fell = Counter(trials.arm_of(running, ConversationId(f"c_{n}")) for n in range(20_000))
    for arm in running.arms:
        # Four standard errors of a share of 20,000 draws.
        assert (
            abs(fell[arm.version_id] / 20_000 - arm.share) < 4 * (arm.share * (1 - arm.share) / 20_000) ** 0.5
        )


def test_another_trial_divides_anew() -> None:
    one, other = trial(0.5, 0.5), Trial(TrialId("tr_2"), *list(vars(trial(0.5, 0.5)).values())[1:])
    alike = sum(
        trials.arm_of(one, ConversationId(f"c_{n}")) == trials.arm_of(other, ConversationId(f"c_{n}"))
        for n in range(2000)
    )
    assert 900 < alike < 1100


def test_a_reply_is_set_against_each_other_version_alike() -> None:
    running = trial(0.9, 0.05, 0.05)
    met = Counter(trials.rival_of(running, PromptVersionId("pv_0"), MessageId(f"m_{n}")) for n in range(4000))
    assert set(met) == {"pv_1", "pv_2"}
    assert 1800 < met[PromptVersionId("pv_1")] < 2200
    assert trials.rival_of(running, PromptVersionId("pv_9"), MessageId("m_1")) is None


def test_a_trial_decides_who_answers_until_it_is_stopped(
    store: Store, two: tuple[PromptVersion, PromptVersion]
) -> None:
    first, second = two
    running = trials.start(store, LOCAL_USER, NAME, [Arm(first.id, 1), Arm(second.id, 3)], "shorter?")
    assert [arm.share for arm in running.arms] == [0.25, 0.75]
    found = {service.version_for(store, NAME, ConversationId(f"c_{n}")).id for n in range(50)}
    assert found == {first.id, second.id}
    ended = trials.stop(store, LOCAL_USER, NAME)
    assert (ended.id, ended.ended_by) == (running.id, LOCAL_USER)
    assert {service.version_for(store, NAME, ConversationId(f"c_{n}")).id for n in range(50)} == {first.id}
    assert [one.action for one in audit.entries(store, 2)] == ["prompt.trial.stop", "prompt.trial.start"]
    assert trials.history(store, NAME) == [ended]
    with pytest.raises(NotFoundError):
        trials.stop(store, LOCAL_USER, NAME)


def test_putting_in_production_or_going_back_ends_the_trial(
    store: Store, two: tuple[PromptVersion, PromptVersion]
) -> None:
    first, second = two
    arms = [Arm(first.id, 1), Arm(second.id, 1)]
    running = trials.start(store, LOCAL_USER, NAME, arms)
    assert service.put(store, LOCAL_USER, first.id).ended_trial == running.id  # decided for what serves
    assert trials.running(store, NAME) is None
    trials.start(store, LOCAL_USER, NAME, arms)
    service.put(store, LOCAL_USER, second.id)
    assert trials.running(store, NAME) is None
    trials.start(store, LOCAL_USER, NAME, arms)
    assert service.go_back(store, LOCAL_USER, NAME).version_id == first.id
    assert trials.running(store, NAME) is None


def test_what_is_no_trial_is_refused_in_words(store: Store, two: tuple[PromptVersion, PromptVersion]) -> None:
    first, second = two
    refused: list[tuple[list[Arm], str]] = [
        ([Arm(first.id, 1)], "2 to 8"),
        ([Arm(first.id, 1), Arm(first.id, 1)], "twice"),
        ([Arm(first.id, 1), Arm(second.id, 0)], "share above 0"),
        ([Arm(first.id, 1), Arm(second.id, float("nan"))], "share above 0"),
        ([Arm(first.id, 1), Arm(second.id, float("inf"))], "share above 0"),
        ([Arm(first.id, 1), Arm(second.id, 1e-300)], "too small"),
        ([Arm(first.id, 1), Arm(PromptVersionId("pv_x"), 1)], "no prompt version"),
    ]
    for arms, why in refused:
        with pytest.raises(HoneError, match=why):
            trials.start(store, LOCAL_USER, NAME, arms)
    assert trials.running(store, NAME) is None
    trials.start(store, LOCAL_USER, NAME, [Arm(first.id, 1), Arm(second.id, 1)])
    with pytest.raises(ConflictError, match="running"):
        trials.start(store, LOCAL_USER, NAME, [Arm(first.id, 1), Arm(second.id, 1)])
