"""The shape of the store holds what the rules lean on."""

import sqlite3

import pytest
from sqlite_utils import Database

from feedback import conversations, datasets, schema
from feedback.ids import LOCAL_USER
from feedback.store import Store
from tests import build


def tables(store):
    return [row["name"] for row in store.rows("SELECT name FROM sqlite_schema WHERE type = 'table'")]


def test_every_foreign_key_leads_an_index_or_a_primary_key(store):
    bare = []
    for table in tables(store):
        leading = {
            store.rows(f"PRAGMA index_info({index['name']!r})")[0]["name"]
            for index in store.rows(f"PRAGMA index_list({table!r})")
            if not index["partial"]
        }
        for key in store.rows(f"PRAGMA foreign_key_list({table!r})"):
            if key["seq"] == 0 and key["from"] not in leading:
                bare.append(f"{table}.{key['from']}")
    assert bare == []


def test_no_foreign_key_dangles_after_a_whole_circle_of_judgements(store):
    build.judged_store(store)
    assert store.rows("PRAGMA foreign_key_check") == []
    assert store.row("PRAGMA integrity_check")[0] == "ok"


def test_a_foreign_key_that_points_nowhere_is_refused(store):
    with pytest.raises(sqlite3.IntegrityError):
        store.execute(
            "INSERT INTO conversations VALUES ('c', 'nobody', '', 'chat', 1, NULL, '', '', NULL, '')"
        )


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE snapshots SET train_pairs = 0",
        "UPDATE snapshot_pairs SET chosen = 'x'",
        "UPDATE audit_log SET action = 'x'",
        "DELETE FROM audit_log",
        "UPDATE prompt_versions SET name = 'x'",
        "UPDATE model_versions SET name = 'x'",
    ],
)
def test_what_never_changes_refuses_to_change(store, change):
    build.judged_store(store)
    with pytest.raises(sqlite3.IntegrityError):
        store.execute(change)


def test_search_still_finds_the_right_message_after_a_vacuum(store):
    withdrawn = build.asked(store, "first words")
    kept = build.asked(store, "second thoughts")
    store.execute("UPDATE conversations SET selected_leaf_id = NULL")
    store.execute("DELETE FROM messages WHERE id = ?", withdrawn.prompt_id)
    store.execute("VACUUM")
    found = conversations.listing(store, LOCAL_USER, "thoughts second")
    assert [item.id for item in found] == [kept.conversation_id]


def test_datasets_kept_before_there_were_answers_stay_texts_that_runs_point_at(tmp_path):
    old = Database(tmp_path / "old.db")
    schema.migrations.apply(old, stop_before="m0009_answers")
    old.execute("INSERT INTO users (id, name, roles_json, created_at) VALUES ('u', 'u', '[]', '')")
    old.execute("INSERT INTO datasets VALUES ('d_1', 'x', 'text', 'old.txt', 3, 'u', '')")
    old.conn.commit()
    old.close()
    store = Store(tmp_path / "old.db")
    (kept,) = datasets.listing(store)
    assert (kept.id, kept.kind, kept.name, kept.rows) == ("d_1", "text", "old.txt", 3)
    assert store.rows("PRAGMA foreign_key_check") == []
    with pytest.raises(sqlite3.IntegrityError, match="immutable"):
        store.execute("UPDATE datasets SET kind = 'answers'")
    with pytest.raises(sqlite3.IntegrityError, match="CHECK"):
        store.execute(
            "INSERT INTO datasets (id, sha256, kind, name, rows, created_by, created_at)"
            " VALUES ('d_2', 'y', 'tables', 'n', 1, 'u', '')"
        )


def test_datasets_kept_before_there_were_labels_stay_what_they_are(tmp_path):
    old = Database(tmp_path / "old.db")
    schema.migrations.apply(old, stop_before="m0012_labels")
    old.execute("INSERT INTO users (id, name, roles_json, created_at) VALUES ('u', 'u', '[]', '')")
    for kind in ("text", "answers"):
        old.execute(
            "INSERT INTO datasets (id, sha256, kind, name, rows, created_by, created_at)"
            f" VALUES ('d_{kind}', '{kind}', '{kind}', 'old', 3, 'u', '')"
        )
    old.conn.commit()
    old.close()
    store = Store(tmp_path / "old.db")
    assert {one.id: one.kind for one in datasets.listing(store)} == {"d_text": "text", "d_answers": "answers"}
    with pytest.raises(sqlite3.IntegrityError, match="immutable"):
        store.execute("UPDATE datasets SET kind = 'labels'")
