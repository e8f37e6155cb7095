"""Model versions and the champion pointer."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from assistant import registry
from assistant.base import Base, chat_template
from assistant.registry import ModelVersion
from feedback import audit
from feedback.errors import ConflictError, HoneError, NotFoundError
from feedback.home import Home
from feedback.ids import LOCAL_USER
from feedback.store import Store
from tests import tiny_models


@pytest.fixture
def first(store: Store, tiny_base: Base) -> ModelVersion:
    return registry.ensure_base(store, tiny_base, chat_template(tiny_base))


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    return tiny_models.fake_adapter(tmp_path / "adapter")


@pytest.fixture
def candidate(store: Store, home: Home, tiny_base: Base, adapter: Path) -> ModelVersion:
    return registry.add(store, home, tiny_base, adapter, None, "dpo")


def test_the_base_is_the_first_champion_and_stays_it_at_every_start(
    store: Store, tiny_base: Base, first: ModelVersion
) -> None:
    assert registry.ensure_base(store, tiny_base, chat_template(tiny_base)) == first
    assert registry.champion(store) == first
    assert [(p.kind, p.from_version_id) for p in registry.history(store)] == [("first", None)]


def test_before_the_first_start_nothing_answers(store: Store) -> None:
    with pytest.raises(NotFoundError):
        registry.champion(store)


def test_a_home_whose_champion_has_another_base_is_refused_not_switched(
    store: Store, tiny_base: Base, first: ModelVersion
) -> None:
    with pytest.raises(ConflictError, match="belongs to tiny-llama"):
        registry.ensure_base(store, replace(tiny_base, id="other"), chat_template(tiny_base))
    assert registry.listing(store) == [first]


def test_a_version_gets_the_next_free_name_and_keeps_only_the_adapter(
    store: Store, home: Home, tiny_base: Base, first: ModelVersion, adapter: Path
) -> None:
    (adapter / "optimizer.pt").write_bytes(b"large")
    (adapter / "ref").mkdir()
    names = [registry.add(store, home, tiny_base, adapter, None, "dpo").name for _ in range(2)]
    assert names == ["dpo-1", "dpo-2"]
    version = registry.get(store, "dpo-2")
    kept = sorted(file.name for file in (home.path / str(version.adapter_dir)).iterdir())
    assert kept == ["adapter_config.json", "adapter_model.safetensors", "manifest.json"]
    assert registry.get(store, version.id) == version
    assert registry.listing(store) == [first, registry.get(store, "dpo-1"), version]
    assert registry.champion(store) == first


def test_a_folder_without_an_adapter_becomes_no_version(
    store: Store, home: Home, tiny_base: Base, tmp_path: Path
) -> None:
    with pytest.raises(HoneError, match="holds no adapter"):
        registry.add(store, home, tiny_base, tmp_path, None, "dpo")
    assert registry.listing(store) == []


def test_promotion_moves_the_pointer_and_says_so_in_history_and_audit_log(
    store: Store, home: Home, tiny_base: Base, first: ModelVersion, adapter: Path
) -> None:
    version = registry.add(store, home, tiny_base, adapter, None, "dpo")
    registry.move_champion(store, home, LOCAL_USER, version.id, "promote", override_reason="a trial")
    assert registry.champion(store) == version
    registry.move_champion(store, home, LOCAL_USER, first.id, "rollback")
    assert registry.champion(store) == first
    moves = [(p.kind, p.from_version_id, p.to_version_id) for p in registry.history(store)]
    assert moves == [
        ("rollback", version.id, first.id),
        ("promote", first.id, version.id),
        ("first", None, first.id),
    ]
    entries = audit.entries(store)
    assert [e.action for e in entries] == ["champion.rollback", "champion.promote", "champion.first"]
    assert entries[1].detail["override_reason"] == "a trial"


@pytest.mark.parametrize("file", ["adapter_model.safetensors", "adapter_config.json", "manifest.json"])
@pytest.mark.parametrize("harm", ["changed", "gone"])
def test_a_damaged_version_cannot_be_promoted(
    store: Store, home: Home, first: ModelVersion, candidate: ModelVersion, file: str, harm: str
) -> None:
    version = candidate
    path = home.path / str(version.adapter_dir) / file
    if harm == "gone":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(HoneError, match="dpo-1 is damaged"):
        registry.move_champion(store, home, LOCAL_USER, version.id, "promote")
    assert registry.champion(store) == first


def test_a_manifest_that_was_changed_along_with_the_weights_is_still_damage(
    store: Store, home: Home, tiny_base: Base, first: ModelVersion, adapter: Path
) -> None:
    from assistant.checksums import sha256_of

    version = registry.add(store, home, tiny_base, adapter, None, "dpo")
    folder = home.path / str(version.adapter_dir)
    (folder / "adapter_model.safetensors").write_bytes(b"other weights")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"]["adapter_model.safetensors"] = sha256_of(folder / "adapter_model.safetensors")
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(HoneError, match="is damaged"):
        registry.check_files(home, version)


def test_a_version_of_another_base_cannot_be_promoted(
    store: Store, home: Home, tiny_base: Base, first: ModelVersion, adapter: Path
) -> None:
    stranger = registry.add(store, home, replace(tiny_base, id="other"), adapter, None, "dpo")
    with pytest.raises(ConflictError, match="belongs to other"):
        registry.move_champion(store, home, LOCAL_USER, stranger.id, "promote")


def test_a_version_trained_with_another_chat_template_cannot_be_promoted(
    store: Store, home: Home, tiny_base: Base, first: ModelVersion, adapter: Path
) -> None:
    version = registry.add(store, home, tiny_base, adapter, None, "dpo")
    with store.transaction():
        store.execute("DELETE FROM promotions")
        store.execute("DELETE FROM pointers")
        store.execute("DELETE FROM model_versions WHERE id = ?", first.id)
    registry.ensure_base(store, tiny_base, replace(chat_template(tiny_base), source="another"))
    with pytest.raises(ConflictError, match="chat template"):
        registry.move_champion(store, home, LOCAL_USER, version.id, "promote")


def test_the_champion_is_not_promoted_onto_itself(store: Store, home: Home, first: ModelVersion) -> None:
    with pytest.raises(ConflictError, match="already"):
        registry.move_champion(store, home, LOCAL_USER, first.id, "promote")
    assert len(registry.history(store)) == 1


def test_an_unknown_version_is_not_found(store: Store) -> None:
    with pytest.raises(NotFoundError, match="hone models list"):
        registry.get(store, "dpo-9")
