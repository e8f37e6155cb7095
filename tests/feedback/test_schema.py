"""The shape of the store holds what the rules lean on."""

import sqlite3

import pytest

from feedback import conversations
from feedback.ids import LOCAL_USER
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
