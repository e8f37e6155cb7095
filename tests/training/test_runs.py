import dataclasses
import os
import shutil
import signal
import sys

import pytest
from safetensors.torch import load_file

from assistant import base as bases
from assistant import registry
from assistant.base import Base
from feedback import snapshots
from feedback.errors import ConflictError, HoneError
from feedback.home import Home
from feedback.ids import LOCAL_USER
from tests import event_files, tiny_models, training_ground
from tests.training_ground import Ground, finished, wait
from training import data, follow, gate, metrics_copy, runs, trainers


@pytest.fixture
def on(home: Home, tiny_base: Base) -> Ground:
    return training_ground.ground(home, tiny_base)


def ignore(_step: int, _found: object) -> None:
    """A training that nobody watches."""


def started(on: Ground, **changes: object) -> runs.Run:
    recipe = dataclasses.replace(on.recipe, **changes)
    return runs.start(on.home, runs.create(on.store, LOCAL_USER, recipe, on.snapshot.id).id)


def adapter_of(on: Ground, run: runs.Run) -> dict[str, object]:
    version = registry.get(on.store, run.candidate_id)
    return load_file(on.home.path / version.adapter_dir / "adapter_model.safetensors")


def test_two_runs_train_one_after_the_other_to_a_version_and_a_gate_report(on: Ground) -> None:
    queue = [started(on, method="dpo", evaluate=True), started(on, method="sft")]
    assert runs.get(on.store, queue[1].id).state == "queued"
    dpo, sft = [finished(on, run) for run in queue]
    for run in (dpo, sft):
        assert run.state == "done", runs.log_text(on.home, run.id)
        assert run.step == run.total_steps > 0
        version = registry.get(on.store, run.candidate_id)
        assert (version.name, version.run_id) == (f"{run.method}-1", run.id)
        names = {point.name for point in runs.metrics(on.store, run.id)}
        assert {"loss", "grad_norm", "learning_rate", "tokens"} <= names
        assert ("margin" in names) == (run.method == "dpo")
    assert sft.started_at >= dpo.ended_at
    trained = on.snapshot.train_pairs
    assert f"reference: {trained} of {trained}" in runs.log_text(on.home, dpo.id)
    report = gate.report(on.store, dpo.candidate_id)
    assert report.champion_id == on.champion.id
    assert len(report.margins_nats) == on.snapshot.held_out_pairs
    assert gate.report(on.store, sft.candidate_id) is None


def test_a_run_whose_version_cannot_be_merged_is_judged_by_the_engine_that_serves_it(on: Ground) -> None:
    run = finished(on, started(on, method="dpo", adapt="bottleneck", evaluate=True, max_steps=2))
    log = runs.log_text(on.home, run.id)
    assert run.state == "done", log
    assert "Adapted by bottleneck" in log
    assert len(gate.report(on.store, run.candidate_id).margins_nats) == on.snapshot.held_out_pairs
    registry.move_champion(on.store, on.home, LOCAL_USER, run.candidate_id, "promote")
    second = finished(on, started(on, method="sft"))
    assert second.state == "failed"
    assert "cannot go on from dpo-1 by lora" in second.error
    assert "Add --adapt bottleneck" in second.error


def test_a_killed_run_resumes_to_the_same_adapter_on_the_same_snapshot(on: Ground) -> None:
    whole = finished(on, started(on, epochs=3.0))
    killed = started(on, epochs=3.0, metrics="tensorboard")
    at = wait(on, killed, lambda run: run.step >= 5)
    os.kill(at.pid, signal.SIGKILL)
    broken = finished(on, killed)
    assert (broken.state, "was killed" in broken.error) == ("interrupted", True)
    assert broken.step < whole.total_steps
    runs.resume(on.home, on.store, LOCAL_USER, killed.id)
    mended = finished(on, killed)
    log = runs.log_text(on.home, killed.id)
    assert (mended.state, mended.error) == ("done", None), log
    assert "Going on from checkpoint" in log
    assert (mended.step, mended.snapshot_id) == (whole.step, whole.snapshot_id)
    expected, found = adapter_of(on, whole), adapter_of(on, mended)
    assert expected.keys() == found.keys()
    assert max(float((expected[key] - found[key]).abs().max()) for key in expected) < 1e-5
    assert max(float(expected[key].abs().max()) for key in expected if "lora_B" in key) > 1e-4
    assert not metrics_copy.folder(on.home, whole).exists()
    copied = event_files.points(metrics_copy.folder(on.home, mended))
    assert copied == event_files.curves(on.store, killed.id)
    assert {step for step, _, _ in copied} == set(range(1, whole.step + 1))


def test_a_cancelled_run_ends_cleanly_and_can_be_resumed_and_terminated(on: Ground) -> None:
    run = started(on, epochs=200.0)
    wait(on, run, lambda now: now.step >= 3)
    runs.cancel(on.store, LOCAL_USER, run.id)
    ended = finished(on, run)
    assert ended.state == "cancelled", runs.log_text(on.home, run.id)
    assert ended.candidate_id is None
    runs.resume(on.home, on.store, LOCAL_USER, run.id)
    again = wait(on, run, lambda now: now.is_over or (now.state == "running" and now.step > ended.step))
    os.kill(again.pid, signal.SIGTERM)
    assert finished(on, run).state == "cancelled", runs.log_text(on.home, run.id)


def test_a_second_round_goes_on_from_the_champions_adapter(on: Ground) -> None:
    folder = tiny_models.save_adapter(on.base, on.home.path / "first-round", strength=0.05)
    first = registry.add(on.store, on.home, on.base, folder, None, "dpo")
    registry.move_champion(on.store, on.home, LOCAL_USER, first.id, "promote")
    second = finished(on, started(on, save_every=1, max_steps=3))
    assert second.state == "done", runs.log_text(on.home, second.id)
    assert second.base_version_id == first.id
    margins = [p.value for p in runs.metrics(on.store, second.id, ["margin"])]
    assert abs(margins[0]) < 1e-2  # the reference is the champion, not the bare base
    kept = on.home.path / registry.get(on.store, second.candidate_id).adapter_dir
    assert not (kept / "ref").exists()
    before, after = load_file(folder / "adapter_model.safetensors"), adapter_of(on, second)
    moved = max(float((before[key] - after[key]).abs().max()) for key in before)
    assert 0 < moved < 0.1


def test_a_loss_that_is_no_number_ends_training_with_a_sentence(on: Ground) -> None:
    rows = [data.Row((5, 6, 7), (8, 9, 1), (10, 11, 1))] * 8
    recipe = dataclasses.replace(on.recipe, learning_rate=1e30, max_grad_norm=1e30, epochs=9.0)
    job = trainers.Job(
        bases.load_model(on.base),
        bases.load_tokenizer(on.base),
        rows,
        recipe,
        on.home.path / "run",
        None,
        "cpu",
    )
    with pytest.raises(HoneError, match="learning rate is most likely too high"):
        trainers.train_dpo(job, trainers.Hooks(ignore, ignore, ignore))


def test_a_run_on_another_base_than_the_champions_is_refused(on: Ground) -> None:
    tiny_models.save_llama(on.home.path / "other", seed=9)
    run = finished(on, started(on, model=str(on.home.path / "other")))
    assert run.state == "failed"
    assert "--model" in run.error


def test_a_run_whose_process_is_gone_becomes_interrupted(on: Ground) -> None:
    run = runs.create(on.store, LOCAL_USER, on.recipe, on.snapshot.id)
    # The number of a living process, but one that was born after the last heartbeat: it is not ours.
    on.store.execute(
        "UPDATE runs SET state = 'running', pid = ?, heartbeat_at = '2001-01-01T00:00:00Z' WHERE id = ?",
        os.getpid(), run.id,
    )  # fmt: skip
    assert runs.sweep(on.store) == [run.id]
    assert runs.get(on.store, run.id).state == "interrupted"


def test_a_run_whose_process_ends_before_it_takes_the_run_fails_and_can_be_resumed(
    on: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = sys.executable
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    run = follow.to_end(on.store, on.home, started(on).id)
    assert run.state == "failed"
    assert "exit code 1" in (run.error or "")
    assert f"hone runs resume {run.id}" in (run.error or "")
    monkeypatch.setattr(sys, "executable", python)
    runs.resume(on.home, on.store, LOCAL_USER, run.id)
    assert finished(on, run).state == "done"


def test_a_queued_run_is_cancelled_at_once_and_a_done_one_not_at_all(on: Ground) -> None:
    run = runs.create(on.store, LOCAL_USER, on.recipe, on.snapshot.id)
    assert runs.cancel(on.store, LOCAL_USER, run.id).state == "cancelled"
    with pytest.raises(ConflictError, match="It is cancelled"):
        runs.cancel(on.store, LOCAL_USER, run.id)


def test_a_snapshot_frozen_for_another_chat_template_is_refused(on: Ground) -> None:
    other = snapshots.freeze(on.store, LOCAL_USER, "f" * 64, on.snapshot.prompt_version_id)
    with pytest.raises(HoneError, match="another chat template"):
        runs.create(on.store, LOCAL_USER, on.recipe, other.id)
