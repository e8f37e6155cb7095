"""Snapshots: whole, frozen, named by their content, traceable both ways."""

import pytest

from feedback import audit, demonstrations, snapshots, splits, votes
from feedback.errors import HoneError, NotFoundError
from feedback.ids import DEFAULT_PROJECT, LOCAL_USER
from tests import build


def freeze(store, **how):
    return snapshots.freeze(
        store, LOCAL_USER, how.pop("template", build.TEMPLATE_SHA256), build.PROMPT_VERSION, **how
    )


def voted_prompts(store, count):
    with store.transaction():
        return [
            build.voted(store, build.asked(store, f"question {number}", "good one", "bad"), (1, 2))
            for number in range(count)
        ]


def test_without_pairs_there_is_nothing_to_freeze(store):
    build.voted(store, build.asked(store, "What is tea?", "A drink.", "Leaves."), (1, 1))
    with pytest.raises(HoneError):
        freeze(store)
    assert snapshots.listing(store) == []
    assert store.rows("SELECT * FROM prompt_splits") == []


def test_a_snapshot_holds_what_the_preview_said(store):
    voted_prompts(store, 30)
    preview = snapshots.preview(store)
    assert store.rows("SELECT * FROM prompt_splits") == []
    snapshot = freeze(store)
    assert snapshot.report == preview
    parts = snapshots.pairs(store, snapshot.id)
    assert (len(parts.train), len(parts.held_out)) == (snapshot.train_pairs, snapshot.held_out_pairs)
    assert (preview.pairs, preview.train, preview.held_out) == (30, len(parts.train), len(parts.held_out))
    assert (preview.chosen_words, preview.rejected_words) == ((2,) * 30, (1,) * 30)
    assert min(len(parts.train), len(parts.held_out)) > 0


def test_no_first_turn_is_on_both_sides(store):
    voted_prompts(store, 30)
    parts = snapshots.pairs(store, freeze(store).id)
    train, held_out = ({pair.turns[0].content for pair in part} for part in (parts.train, parts.held_out))
    assert not train & held_out
    assert all(
        pair.held_out == splits.is_held_out(pair.split_key) for pair in (*parts.train, *parts.held_out)
    )


def test_the_same_content_is_the_same_snapshot(store):
    voted_prompts(store, 3)
    snapshot = freeze(store)
    assert freeze(store) == snapshot
    assert snapshots.listing(store) == [snapshot]
    assert snapshot.id == f"s_{snapshot.sha256[:12]}"
    assert [entry.action for entry in audit.entries(store)] == ["snapshot.freeze"]


def test_whatever_matters_changes_the_hash(store):
    first_vote, *_ = voted_prompts(store, 3)
    seen = [freeze(store).sha256, freeze(store, template="u" * 64).sha256]
    seen.append(freeze(store, project_id=DEFAULT_PROJECT).sha256)
    other = votes.get(store, first_vote)
    stranger = build.person(store, "bo")
    votes.record(store, votes.NewVote(stranger, other.prompt_message_id, other.shown, (1, 2), "api"))
    seen.append(freeze(store).sha256)
    votes.withdraw(store, LOCAL_USER, first_vote)
    seen.append(freeze(store).sha256)
    store.execute("UPDATE prompt_splits SET held_out = 1 - held_out")
    seen.append(freeze(store).sha256)
    assert len(set(seen)) == len(seen)


def test_a_snapshot_stays_as_it_was_when_votes_change(store):
    first_vote, *_ = voted_prompts(store, 3)
    snapshot = freeze(store)
    before = snapshots.pairs(store, snapshot.id)
    votes.withdraw(store, LOCAL_USER, first_vote)
    assert snapshots.pairs(store, snapshot.id) == before
    assert freeze(store) != snapshot


def test_every_pair_names_its_judgements_and_each_judgement_leads_to_its_snapshots(store):
    about = build.asked(store, "What is tea?", "A drink.", "Leaves.")
    vote = build.voted(store, about, (1, 2))
    better = demonstrations.record(store, LOCAL_USER, about.replies[1], "A drink.")
    snapshot = freeze(store)
    parts = snapshots.pairs(store, snapshot.id)
    (pair,) = parts.train + parts.held_out
    assert [(source.kind, source.id) for source in pair.sources] == [
        ("demonstration", better),
        ("vote", vote),
    ]
    assert pair.chosen_is_demonstration
    (row,) = store.rows("SELECT snapshot_id FROM snapshot_pair_sources WHERE vote_id = ?", vote)
    assert row["snapshot_id"] == snapshot.id


def test_a_snapshot_is_found_by_the_beginning_of_its_id_and_as_the_latest(store):
    voted_prompts(store, 1)
    first = freeze(store)
    second = freeze(store, template="u" * 64)
    for name in (first.id, first.id[:6], first.id.removeprefix("s_")):
        assert snapshots.get(store, name) == first
    assert snapshots.get(store, "latest") == second
    with pytest.raises(HoneError):
        snapshots.get(store, "s_")
    for name in ("s_%", "s_zzzz", "nothing"):
        with pytest.raises(NotFoundError):
            snapshots.get(store, name)
    with pytest.raises(NotFoundError):
        snapshots.pairs(store, "s_nowhere")


def test_a_project_freezes_its_own_votes_only(store):
    store.execute("INSERT INTO label_projects (id, name, created_at) VALUES ('p_other', 'Other', '')")
    voted_prompts(store, 2)
    about = build.asked(store, "What is tea?", "A drink.", "Leaves.")
    votes.record(
        store, votes.NewVote(LOCAL_USER, about.prompt_id, about.replies, (1, 2), "api", project_id="p_other")
    )
    counted = [snapshots.preview(store, project).pairs for project in (None, DEFAULT_PROJECT, "p_other")]
    assert counted == [3, 2, 1]
