"""Versions by people: kept once, labelled, put in production, taken back; all of it in the audit log."""

import shutil
import sqlite3
from pathlib import Path

import pytest

from feedback import audit
from feedback.duels import Maker
from feedback.errors import ConflictError, HoneError, NotFoundError
from feedback.ids import LOCAL_USER, PromptVersionId
from feedback.store import Store
from prompts import labels, library, service
from prompts.library import NewVersion
from prompts.plain import SHIPPED
from tests import build
from tests.prompts import ground
from tests.prompts.ground import NAME, add, source


def said(store: Store) -> list[tuple[str, str, str]]:
    """The audit log, oldest first."""
    return [(one.user_name, one.action, one.subject_id) for one in reversed(audit.entries(store))]


def test_a_saved_version_names_who_made_it_why_and_from_what(store: Store) -> None:
    person = build.person(store, "ann")
    first = add(store, "Be brief.")
    second = add(store, "Be kind.", person, note=" kinder ", parent_id=first.id)
    record = library.record(store, second.id)
    assert (record.origin, record.author, record.note, record.parent_id) == (
        "person",
        "ann",
        "kinder",
        first.id,
    )
    assert [one.id for one in library.versions(store, NAME)] == [second.id, first.id]
    assert library.get(store, second.id).strategy.steps[0].messages("Why?")[0].content == "Be kind."


def test_the_draft_label_follows_what_was_saved_and_production_stays(store: Store) -> None:
    first, second = add(store, "Be brief."), add(store, "Be kind.")
    assert labels.draft(store, NAME) == second.id
    assert labels.in_production(store, NAME) is None
    assert NAME not in library.names(store)
    assert NAME in library.all_names(store)
    labels.move_draft(store, LOCAL_USER, first.id)
    assert library.record(store, first.id).labels == ("draft",)


def test_the_same_text_again_is_the_same_version(store: Store) -> None:
    first = add(store, "Be brief.")
    add(store, "Be kind.")
    assert add(store, "Be brief.", note="again").id == first.id
    assert len(library.versions(store, NAME)) == 2
    assert library.record(store, first.id).note == ""
    assert labels.draft(store, NAME) == first.id


def test_putting_in_production_and_back_is_in_the_log_with_its_reason(store: Store) -> None:
    first, second = add(store, "Be brief."), add(store, "Be kind.")
    service.put(store, LOCAL_USER, first.id)
    done = service.put(store, LOCAL_USER, second.id, "people prefer it")
    assert (done.before, done.version_id) == (first.id, second.id)
    assert library.production(store, NAME).id == second.id
    back = service.go_back(store, LOCAL_USER, NAME, "too long")
    assert (back.before, back.version_id) == (second.id, first.id)
    assert library.production(store, NAME).id == first.id
    assert [(m.kind, m.to_id, m.note) for m in labels.moves(store, NAME)] == [
        ("back", first.id, "too long"),
        ("put", second.id, "people prefer it"),
        ("put", first.id, ""),
    ]
    assert said(store)[-3:] == [
        ("local", "prompt.production.put", first.id),
        ("local", "prompt.production.put", second.id),
        ("local", "prompt.production.back", first.id),
    ]


def test_going_back_goes_one_further_each_time_never_to_and_fro(store: Store) -> None:
    versions = [add(store, f"Be {word}.") for word in ("brief", "kind", "exact")]
    for version in versions:
        service.put(store, LOCAL_USER, version.id)
    assert labels.previous(store, NAME) == versions[1].id
    assert service.go_back(store, LOCAL_USER, NAME).version_id == versions[1].id
    assert service.go_back(store, LOCAL_USER, NAME).version_id == versions[0].id


def test_a_persons_strategy_goes_back_out_of_service_and_its_versions_stay(store: Store) -> None:
    only = add(store, "Be brief.")
    service.put(store, LOCAL_USER, only.id)
    assert service.go_back(store, LOCAL_USER, NAME).version_id is None
    assert NAME not in library.names(store)
    assert library.get(store, only.id) == only
    with pytest.raises(ConflictError, match="in production"):
        service.go_back(store, LOCAL_USER, NAME)
    service.put(store, LOCAL_USER, only.id)
    assert library.production(store, NAME).id == only.id


def test_what_came_with_hone_never_goes_out_of_service(store: Store) -> None:
    library.register_shipped(store)
    assert not labels.can_go_back(store, "zero-shot")
    with pytest.raises(ConflictError, match="nothing to go back to"):
        service.go_back(store, LOCAL_USER, "zero-shot")


def test_a_persons_version_of_a_shipped_strategy_stays_when_the_file_changes(
    store: Store, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(SHIPPED, tmp_path / "templates"))
    library.register_shipped(store, folder)
    shipped = library.production(store, "few-shot")
    text = dict(shipped.strategy.files)["few-shot.jinja"]
    mine = library.add(
        store,
        LOCAL_USER,
        NewVersion("few-shot", {"few-shot.jinja": text.replace("title: Few", "title: My few")}),
    )
    service.put(store, LOCAL_USER, mine.id)
    (folder / "few-shot.jinja").write_text(text.replace("title: Few-shot", "title: Better"))
    library.register_shipped(store, folder)
    assert library.production(store, "few-shot").id == mine.id
    assert service.go_back(store, LOCAL_USER, "few-shot").version_id == shipped.id


def test_what_is_in_production_cannot_be_put_there_again(store: Store) -> None:
    only = add(store, "Be brief.")
    service.put(store, LOCAL_USER, only.id)
    with pytest.raises(ConflictError, match="already"):
        service.put(store, LOCAL_USER, only.id)
    assert len(labels.moves(store, NAME)) == 1


def test_a_move_that_fails_leaves_neither_label_nor_log(store: Store) -> None:
    before = said(store)
    with pytest.raises(NotFoundError):
        service.put(store, LOCAL_USER, PromptVersionId("pv_000000000000"))
    only = add(store, "Be brief.")
    service.put(store, LOCAL_USER, only.id)
    other = add(store, "Be kind.")
    with pytest.raises(HoneError, match="501 characters"):
        service.put(store, LOCAL_USER, other.id, "x" * 501)
    assert library.production(store, NAME).id == only.id
    assert len(said(store)) == len(before) + 5  # two adds, two drafts, one move


@pytest.mark.parametrize("name", ["", "-a", "A", "a b", "a/b", "..", "a" * 61, "näme"])
def test_a_name_that_is_no_name_is_refused(store: Store, name: str) -> None:
    with pytest.raises(HoneError, match="cannot be a strategy's name"):
        library.add(store, LOCAL_USER, NewVersion(name, {f"{name}.jinja": "x"}))


def test_a_source_that_cannot_be_used_is_refused_with_its_line_and_nothing_is_kept(store: Store) -> None:
    broken = {
        f"{NAME}.jinja": source()[f"{NAME}.jinja"].replace("{{ question }}", "{{ question }}\n{{ answer }}")
    }
    with pytest.raises(HoneError, match=r"answers\.jinja cannot be used\. Line 8: .*answer"):
        library.add(store, LOCAL_USER, NewVersion(NAME, broken))
    assert library.versions(store, NAME) == []
    assert labels.draft(store, NAME) is None


def test_a_version_is_found_by_what_people_call_it(store: Store) -> None:
    first, second = add(store, "Be brief."), add(store, "Be kind.")
    service.put(store, LOCAL_USER, first.id)
    for called, found in [
        (first.id, first), (first.id[:9], first), (NAME, first), (f"{NAME}@production", first),
        (f"{NAME}@draft", second),
    ]:  # fmt: skip
        assert library.find(store, called).id == found.id
    for unknown in ("pv_", "pv_zzzz", "nothing", f"{NAME}@best", "zero-shot@draft"):
        with pytest.raises(HoneError):
            library.find(store, unknown)
    with pytest.raises(NotFoundError, match="no version of other"):
        library.of(store, "other", first.id)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE prompt_versions SET note = 'x'",
        "DELETE FROM prompt_versions",
        "UPDATE prompt_moves SET note = 'x'",
        "DELETE FROM prompt_moves",
        "UPDATE prompt_trials SET note = 'x'",
        "UPDATE prompt_trials SET ended_at = 'later'",
        "UPDATE prompt_trial_arms SET share = 0.5",
        "DELETE FROM prompt_trial_arms",
    ],
)
def test_what_never_changes_refuses_to_change(store: Store, change: str) -> None:
    from prompts import trials

    first, second = add(store, "Be brief."), add(store, "Be kind.")
    service.put(store, LOCAL_USER, first.id)
    trials.start(store, LOCAL_USER, NAME, [trials.Arm(first.id, 1), trials.Arm(second.id, 3)])
    trials.stop(store, LOCAL_USER, NAME)
    with pytest.raises(sqlite3.IntegrityError):
        store.execute(change)


def test_a_home_from_before_has_its_label_as_the_first_move(tmp_path: Path) -> None:
    """The migration: who stood in production is where going back leads."""
    path = tmp_path / "old.db"
    from sqlite_utils import Database

    from feedback import schema

    old = sqlite3.connect(path, isolation_level=None)
    for file in ("0001_first.sql", "0002_api.sql", "0003_strategies.sql"):
        schema.run(Database(old), file)
    old.execute("UPDATE users SET roles_json = '[\"chatter\"]' WHERE id = 'u_hone'")
    old.execute(
        "INSERT INTO prompt_versions (id, sha256, name, source_json, origin, created_at)"
        " VALUES ('pv_1', '1', 'zero-shot', '{}', 'shipped', 'then')"
    )
    old.execute("INSERT INTO prompt_labels VALUES ('zero-shot', 'production', 'pv_1', 'u_hone', 'then')")
    schema.run(Database(old), "0004_library.sql")
    assert old.execute("SELECT name, to_version_id, kind FROM prompt_moves").fetchall() == [
        ("zero-shot", "pv_1", "shipped")
    ]
    roles = dict(old.execute("SELECT id, roles_json FROM users").fetchall())
    assert roles["u_local"] == '["chatter","labeller","operator","engineer"]'
    assert roles["u_hone"] == '["chatter"]'


def test_ground_makes_replies_that_name_their_versions(store: Store) -> None:
    version = add(store, "Be brief.")
    by = Maker(version.id, ground.model(store, "one"))
    reply = ground.answered(store, ground.asked(store, "Why?"), by, "So.")
    row = store.row("SELECT prompt_version_id, model_version_id FROM messages WHERE id = ?", reply)
    assert row is not None
    assert tuple(row) == (version.id, by.model_version_id)
