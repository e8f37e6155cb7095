import dataclasses
import json

import pytest

from assistant import registry
from assistant.base import Base
from assistant.registry import ModelVersion, Promotion
from feedback import audit
from feedback.errors import ConflictError, HoneError
from feedback.home import Home
from feedback.ids import LOCAL_USER, ModelVersionId, new_id
from feedback.store import now
from tests import tiny_models, training_ground
from tests.scripted import ScriptedEngine
from tests.training_ground import Ground
from training import promotion
from training.gate import GateReport


@pytest.fixture
def on(home: Home, tiny_base: Base) -> Ground:
    return training_ground.ground(home, tiny_base, questions=4)


def candidate(on: Ground, seed: int = 1) -> ModelVersion:
    folder = tiny_models.save_adapter(on.base, on.home.path / f"adapter-{seed}", seed)
    return registry.add(on.store, on.home, on.base, folder, None, "dpo")


def judged(on: Ground, version: ModelVersion, champion: ModelVersion, verdict: str) -> None:
    report = GateReport(verdict, ("Because.",), (), ())  # type: ignore[arg-type]
    on.store.execute(
        """INSERT INTO gate_reports
             (id, candidate_id, champion_id, snapshot_id, verdict, report_json, created_at)
           VALUES (?, ?, ?, ?, ?, ?, ?)""",
        new_id("g"), version.id, champion.id, on.snapshot.id, verdict,
        json.dumps(dataclasses.asdict(report)), now(),
    )  # fmt: skip


def test_a_pass_against_the_champion_promotes(on: Ground) -> None:
    version = candidate(on)
    judged(on, version, on.champion, "pass")
    moved = promotion.promote(on.store, on.home, LOCAL_USER, version.name)
    assert (moved.before.id, moved.after.id, moved.override) == (on.champion.id, version.id, None)
    assert registry.champion(on.store).id == version.id
    assert registry.history(on.store)[0].gate_report_id == moved.report.id


@pytest.mark.parametrize("verdict", ["fail", "not_enough_evidence", None])
def test_anything_but_a_pass_needs_a_typed_reason(on: Ground, verdict: str | None) -> None:
    version = candidate(on)
    if verdict:
        judged(on, version, on.champion, verdict)
    for reason in (None, "because", "         x"):
        with pytest.raises(HoneError):
            promotion.promote(on.store, on.home, LOCAL_USER, version.id, reason)
        assert registry.champion(on.store).id == on.champion.id
    promotion.promote(on.store, on.home, LOCAL_USER, version.id, "I read forty replies myself")
    assert registry.champion(on.store).id == version.id
    assert "I read forty replies myself" in json.dumps([entry.detail for entry in audit.entries(on.store)])
    assert registry.history(on.store)[0].override_reason == "I read forty replies myself"


def test_a_pass_against_an_earlier_champion_proves_nothing(on: Ground) -> None:
    first, second = candidate(on, 1), candidate(on, 2)
    judged(on, first, on.champion, "pass")
    judged(on, second, on.champion, "pass")
    promotion.promote(on.store, on.home, LOCAL_USER, first.id)
    with pytest.raises(ConflictError, match="not been evaluated against the champion"):
        promotion.promote(on.store, on.home, LOCAL_USER, second.id)


def test_the_newest_report_counts(on: Ground) -> None:
    version = candidate(on)
    judged(on, version, on.champion, "pass")
    judged(on, version, on.champion, "fail")
    with pytest.raises(ConflictError, match="verdict is fail"):
        promotion.promote(on.store, on.home, LOCAL_USER, version.id)


def test_the_champion_is_not_promoted_again(on: Ground) -> None:
    with pytest.raises(ConflictError, match="already"):
        promotion.promote(on.store, on.home, LOCAL_USER, on.champion.id, "a long enough reason")


def test_rolling_back_twice_goes_two_champions_back(on: Ground) -> None:
    first, second = candidate(on, 1), candidate(on, 2)
    for version in (first, second):
        promotion.promote(on.store, on.home, LOCAL_USER, version.id, "for the test alone")
    assert promotion.roll_back(on.store, on.home, LOCAL_USER).after.id == first.id
    assert promotion.roll_back(on.store, on.home, LOCAL_USER).after.id == on.champion.id
    with pytest.raises(ConflictError, match="nothing to roll back"):
        promotion.roll_back(on.store, on.home, LOCAL_USER)
    promotion.promote(on.store, on.home, LOCAL_USER, second.id, "for the test alone")
    assert promotion.roll_back(on.store, on.home, LOCAL_USER).after.id == on.champion.id


def test_a_damaged_adapter_is_not_promoted(on: Ground) -> None:
    version = candidate(on)
    judged(on, version, on.champion, "pass")
    (on.home.path / version.adapter_dir / "adapter_model.safetensors").write_bytes(b"torn")
    with pytest.raises(HoneError, match="damaged"):
        promotion.promote(on.store, on.home, LOCAL_USER, version.id)
    assert registry.champion(on.store).id == on.champion.id


def test_the_line_of_champions_follows_promotions_and_rollbacks() -> None:
    def move(kind: str, to: str) -> Promotion:
        return Promotion("x", None, ModelVersionId(to), kind, None, None, LOCAL_USER, "")  # type: ignore[arg-type]

    history = [move("first", "a"), move("promote", "b"), move("rollback", "a"), move("promote", "c")]
    assert promotion.line(history) == ("a", "c")
    assert promotion.line(history[:2]) == ("a", "b")
    assert promotion.line([]) == ()


class Loading(ScriptedEngine):
    """Notes what it was made to load, and cannot load what is in `unable`."""

    def __init__(self, *unable: str) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.unable = unable

    def load(self, version: ModelVersion) -> None:
        if version.id in self.unable:
            raise HoneError(f"{version.name} cannot answer here.")
        self.loaded.append(version.id)


def test_a_version_that_the_engine_cannot_load_is_refused_before_the_pointer_moves(on: Ground) -> None:
    version = candidate(on)
    judged(on, version, on.champion, "pass")
    with (
        pytest.raises(HoneError, match="cannot answer here"),
        promotion.made_ready(Loading(version.id), on.store, version.id),
    ):
        promotion.promote(on.store, on.home, LOCAL_USER, version.id)
    assert registry.champion(on.store).id == on.champion.id


def test_a_promotion_that_is_refused_leaves_the_engine_with_the_champion(on: Ground) -> None:
    version, engine = candidate(on), Loading()
    with pytest.raises(ConflictError), promotion.made_ready(engine, on.store, version.id):
        promotion.promote(on.store, on.home, LOCAL_USER, version.id)
    assert engine.loaded == [version.id, on.champion.id]
