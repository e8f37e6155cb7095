import dataclasses
import os
import signal

import pytest
from safetensors.torch import load_file
from tests import training_ground
from tests.training_ground import Ground, finished, wait

from assistant import registry
from assistant.base import Base
from feedback.errors import ConflictError, HoneError
from feedback.home import Home
from feedback.ids import LOCAL_USER
from training import gate, runs


@pytest.fixture
def on(home: Home, tiny_base: Base) -> Ground:
    return training_ground.ground(home, tiny_base)


def started(on: Ground, **changes: object) -> runs.Run:
    recipe = dataclasses.replace(on.recipe, **changes)
    return runs.start(on.home, runs.create(on.store, LOCAL_USER, recipe, on.snapshot.id).id)


def adapter_of(on: Ground, run: runs.Run) -> dict[str, object]:
    version = registry.get(on.store, run.candidate_id)
    return load_file(on.home.path / version.adapter_dir / "adapter_model.safetensors")


@pytest.mark.parametrize("method", ["dpo", "sft"])
def test_a_run_ends_with_a_model_version_and_a_gate_report(on: Ground, method: str) -> None:
    run = finished(on, started(on, method=method, evaluate=True))
    log = runs.log_text(on.home, run.id)
    assert run.state == "done", log
    assert run.step == run.total_steps > 0
    version = registry.get(on.store, run.candidate_id)
    assert (version.name, version.run_id) == (f"{method}-1", run.id)
    report = gate.report(on.store, version.id)
    assert report.champion_id == on.champion.id
    assert len(report.margins_nats) == on.snapshot.held_out_pairs
    assert "loss" in log
    names = {point.name for point in runs.metrics(on.store, run.id)}
    assert {"loss", "grad_norm", "learning_rate", "tokens"} <= names
    assert ("margin" in names) == (method == "dpo")


def test_a_killed_run_resumes_to_the_same_adapter_on_the_same_snapshot(on: Ground) -> None:
    whole = finished(on, started(on, epochs=6.0))
    killed = started(on, epochs=6.0)
    at = wait(on, killed, lambda run: run.step >= 5)
    os.kill(at.pid, signal.SIGKILL)
    broken = finished(on, killed)
    assert broken.state == "interrupted"
    assert broken.step < whole.total_steps
    runs.resume(on.home, on.store, LOCAL_USER, killed.id)
    mended = finished(on, killed)
    log = runs.log_text(on.home, killed.id)
    assert mended.state == "done", log
    assert "Going on from checkpoint" in log
    assert (mended.step, mended.snapshot_id) == (whole.step, whole.snapshot_id)
    expected, found = adapter_of(on, whole), adapter_of(on, mended)
    assert expected.keys() == found.keys()
    assert max(float((expected[key] - found[key]).abs().max()) for key in expected) < 1e-5
    assert max(float(expected[key].abs().max()) for key in expected if "lora_B" in key) > 1e-4


def test_a_cancelled_run_ends_cleanly_and_can_be_resumed(on: Ground) -> None:
    run = started(on, epochs=40.0)
    wait(on, run, lambda now: now.step >= 3)
    runs.cancel(on.store, LOCAL_USER, run.id)
    ended = finished(on, run)
    assert ended.state == "cancelled", runs.log_text(on.home, run.id)
    assert ended.candidate_id is None
    assert runs.resume(on.home, on.store, LOCAL_USER, run.id).state in ("queued", "running")
    runs.cancel(on.store, LOCAL_USER, run.id)
    assert finished(on, run).state == "cancelled"


def test_a_terminated_process_says_cancelled(on: Ground) -> None:
    run = started(on, epochs=40.0)
    os.kill(wait(on, run, lambda now: now.step >= 1).pid, signal.SIGTERM)
    assert finished(on, run).state == "cancelled"


def test_two_runs_train_one_after_the_other(on: Ground) -> None:
    first, second = started(on), started(on)
    assert runs.get(on.store, second.id).state == "queued"
    assert finished(on, first).state == "done"
    done = finished(on, second)
    assert done.state == "done"
    assert done.started_at >= runs.get(on.store, first.id).ended_at


def test_a_second_round_goes_on_from_the_champions_adapter(on: Ground) -> None:
    first = finished(on, started(on, epochs=3.0))
    registry.move_champion(on.store, on.home, LOCAL_USER, first.candidate_id, "promote")
    second = finished(on, started(on))
    assert second.state == "done", runs.log_text(on.home, second.id)
    assert second.base_version_id == first.candidate_id
    margins = [p.value for p in runs.metrics(on.store, second.id, ["margin"])]
    assert abs(margins[0]) < 1e-3  # the reference is the champion, not the bare base
    folder = on.home.path / registry.get(on.store, second.candidate_id).adapter_dir
    assert not (folder / "ref").exists()


def test_a_loss_that_is_no_number_fails_with_a_sentence(on: Ground) -> None:
    run = finished(on, started(on, learning_rate=1e30, max_grad_norm=1e30, epochs=3.0))
    assert run.state == "failed"
    assert "learning rate" in run.error
    assert "Traceback" not in run.error


def test_a_run_on_another_base_than_the_champions_is_refused(on: Ground, tmp_path: object) -> None:
    from tests.tiny_models import save_llama

    save_llama(on.home.path / "other", seed=9)
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


def test_a_queued_run_is_cancelled_at_once_and_a_done_one_not_at_all(on: Ground) -> None:
    run = runs.create(on.store, LOCAL_USER, on.recipe, on.snapshot.id)
    assert runs.cancel(on.store, LOCAL_USER, run.id).state == "cancelled"
    with pytest.raises(ConflictError, match="It is cancelled"):
        runs.cancel(on.store, LOCAL_USER, run.id)


def test_a_snapshot_frozen_for_another_chat_template_is_refused(on: Ground) -> None:
    from feedback import snapshots

    other = snapshots.freeze(on.store, LOCAL_USER, "f" * 64, on.snapshot.prompt_version_id)
    with pytest.raises(HoneError, match="another chat template"):
        runs.create(on.store, LOCAL_USER, on.recipe, other.id)
