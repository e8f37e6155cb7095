"""Several processes train as one would: the same curve, ended together, and refused where they cannot."""

import dataclasses
import math
import os
import signal
from pathlib import Path

import psutil
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from assistant import device
from assistant.base import Base
from feedback import datasets
from feedback.command_line import HoneGroup
from feedback.datasets import Answered, Dataset
from feedback.errors import HoneError
from feedback.home import Home
from feedback.ids import LOCAL_USER
from feedback.message import Turn
from tests import training_ground
from tests.training_ground import Ground, finished, ranks, wait
from training import answering, data, order, repeats, runs, task
from training.crew import ALONE, Crew, in_order
from training.launch import configs, launcher
from training.launch.messages import heard, line
from training.online import Online
from training.run_commands import runs_group, train
from training.runs import Beside
from training.task import Task
from training.trainers import Hooks

SILENT = Hooks(lambda *_: None, lambda *_: None, lambda *_: None)
TOLERANCE = 1e-4
"""Of loss and gradient norm, relative, in float32: two processes add the same numbers in another order."""
WITH_IMITATION = {"losses": ["sigmoid", "sft"], "loss_weights": [1.0, 0.5]}
SAME = ("loss", "grad_norm", "margin", "chosen_logprob", "tokens", "learning_rate")


@pytest.fixture
def on(home: Home, tiny_base: Base) -> Ground:
    return training_ground.ground(home, tiny_base, questions=12)


def rows(count: int = 11) -> tuple[data.Row, ...]:
    """Pairs of many lengths: no two batches of one kind."""
    return tuple(
        data.Row(
            tuple(5 + (3 * n + k) % 90 for k in range(6 + n)),
            (*(7 + (5 * n + k) % 80 for k in range(2 + n % 5)), 1),
            (*(9 + (7 * n + k) % 70 for k in range(3 + n % 4)), 1),
        )
        for n in range(count)
    )


def thumbs(count: int) -> tuple[data.Row, ...]:
    """The same answers alone, two of three liked."""
    return tuple(
        dataclasses.replace(row, rejected_ids=(), liked=n % 3 > 0) for n, row in enumerate(rows(count))
    )


def curve(job: Task, processes: int) -> dict[tuple[str, int], float]:
    """What a training tells, by name and step."""
    found: dict[tuple[str, int], float] = {}

    def keep(step: int, told: dict[str, float]) -> None:
        found.update({(name, step): value for name, value in told.items()})

    hooks = Hooks(lambda *_: None, keep, lambda *_: None)
    if processes == 1:
        trained = task.train(job, hooks, print)
    else:
        trained = launcher.train(job, configs.load(f"cpu-{processes}"), hooks, print)
    assert (trained.folder / "adapter_model.safetensors").is_file()
    assert trained.peak_bytes > 1e8
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "batch", "accumulation"), [("sft", 2, 2), ("sft", 4, 1), ("dpo", 2, 2), ("dpo", 4, 1)]
)
def test_two_processes_draw_the_curve_of_one(
    tiny_base: Base, tmp_path: Path, method: str, batch: int, accumulation: int
) -> None:
    recipe = training_ground.recipe(
        tiny_base, method=method, batch=batch, accumulation=accumulation, epochs=2,
        **(WITH_IMITATION if accumulation > 1 else {}),
    )  # fmt: skip
    one, two = (curve(Task(tiny_base, recipe, rows(), tmp_path / str(crew)), crew) for crew in (1, 2))
    assert one.keys() == two.keys()
    compared = {key: value for key, value in one.items() if key[0] in SAME}
    assert len({step for _, step in compared}) == 6  # 11 examples, 4 a step, twice
    for key, value in compared.items():
        assert math.isclose(two[key], value, rel_tol=TOLERANCE, abs_tol=1e-5), key
    first, second = (
        load_file(tmp_path / str(crew) / "adapter" / "adapter_model.safetensors") for crew in (1, 2)
    )
    assert max(float((first[name] - second[name]).abs().max()) for name in first) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize(("batch", "accumulation"), [(8, 1), (4, 2)])
def test_two_processes_measure_the_kl_of_thumbs_on_the_batches_of_one(
    tiny_base: Base, tmp_path: Path, batch: int, accumulation: int
) -> None:
    recipe = training_ground.recipe(
        tiny_base, method="kto", batch=batch, accumulation=accumulation, epochs=2, learning_rate=1e-2,
        disliked_weight=0.1,  # else all answers become less likely, and the KL is held at 0
    )  # fmt: skip
    one, two = (curve(Task(tiny_base, recipe, thumbs(11), tmp_path / str(crew)), crew) for crew in (1, 2))
    assert one.keys() == two.keys()
    assert {step for name, step in one if name == "kl"} == {1, 2, 3, 4}  # 11 thumbs, 8 a step, twice
    assert all(one["kl", step] > 0.01 for step in (2, 3, 4))
    for key, value in one.items():
        assert math.isclose(two[key], value, rel_tol=TOLERANCE, abs_tol=1e-5), key
    first, second = (
        load_file(tmp_path / str(crew) / "adapter" / "adapter_model.safetensors") for crew in (1, 2)
    )
    assert max(float((first[name] - second[name]).abs().max()) for name in first) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize(("algorithm", "reward"), [("rloo", "latest"), ("grpo", "rule:concise")])
def test_two_processes_learn_online_from_the_answers_that_one_would_write(
    tiny_base: Base, tmp_path: Path, algorithm: str, reward: str
) -> None:
    """Written by OpenVINO and scored by a reward model; by the model itself, as where the base is in NF4, and
    scored by a rule.
    """
    taught = training_ground.recipe(tiny_base, method="reward", max_steps=2, learning_rate=1e-2)
    scorer = task.train(Task(tiny_base, taught, rows(8), tmp_path / "scorer"), SILENT, print).folder
    recipe = training_ground.recipe(
        tiny_base, method="rlhf", algorithm=algorithm, reward=reward, batch=4, accumulation=2, answers=4,
        answer_tokens=6, max_steps=4, judge_every=2, learning_rate=1e-2,
    )  # fmt: skip
    in_nf4 = dataclasses.replace(tiny_base, quantization="nf4")
    told = Online(tiny_base, scorer, rows(9), 1) if algorithm == "rloo" else Online(in_nf4, None, rows(9), 1)
    assert (answering.hindrance(told.base, recipe) is None) == (algorithm == "rloo")
    one, two = (
        curve(Task(tiny_base, recipe, rows(), tmp_path / str(crew), unseen=rows(13), online=told), crew)
        for crew in (1, 2)
    )
    assert one.keys() == two.keys()
    assert {"reward", "kl", "loss", "judge", "unseen_gain", "answer_tokens"} <= {name for name, _ in one}
    assert one["kl", 4] > 1e-3
    for key, value in one.items():
        # One process takes the mean of its batches' entropies, two that over all tokens.
        assert key[0] == "entropy" or math.isclose(two[key], value, rel_tol=TOLERANCE, abs_tol=1e-5), key
    files = [tmp_path / str(crew) / "adapter" / "adapter_model.safetensors" for crew in (1, 2)]
    first, second = (load_file(file) for file in files)
    assert max(float((first[name] - second[name]).abs().max()) for name in first) < 1e-5


@given(st.integers(0, 30), st.integers(1, 6))
def test_what_is_dealt_comes_back_in_its_order(count: int, processes: int) -> None:
    hands = [Crew(processes, rank).part(range(count)) for rank in range(processes)]
    assert in_order(hands) == list(range(count))


@pytest.mark.parametrize("method", ["sft", "dpo", "kto"])
def test_a_crew_that_shards_its_weights_trains_without_our_quick_ways_to_the_same_adapter(
    tiny_base: Base, tmp_path: Path, method: str
) -> None:
    """All of what FSDP and ZeRO-3 are given but the sharding itself, which needs GPUs."""
    recipe = training_ground.recipe(tiny_base, method=method, max_steps=3)
    learnt = thumbs(8) if method == "kto" else rows(8)
    whole, parts = (
        load_file(task.train(one, SILENT, print, crew).folder / "adapter_model.safetensors")
        for crew in (ALONE, Crew(sharded=True))
        for one in [Task(tiny_base, recipe, learnt, tmp_path / str(crew.sharded))]
    )
    assert whole.keys() == parts.keys()
    assert max(float((whole[name] - parts[name]).abs().max()) for name in whole) < 1e-4
    assert not list(tmp_path.rglob("ref"))


def test_a_change_of_our_own_begins_alike_in_every_process(tiny_base: Base, tmp_path: Path) -> None:
    recipe = training_ground.recipe(tiny_base, method="sft", adapt="bottleneck", max_steps=1)
    first, second = (
        task.train(Task(tiny_base, recipe, rows(4), tmp_path / name), SILENT, print).folder
        for name in ("first", "second")
    )
    one, other = load_file(next(first.glob("*.safetensors"))), load_file(next(second.glob("*.safetensors")))
    assert all(bool((one[name] == other[name]).all()) for name in one)


def answers(on: Ground) -> Dataset:
    """Thirty questions, some of them held out."""
    found = [Answered((Turn("user", f"What is {n} and {n}?"),), str(2 * n)) for n in range(30)]
    return datasets.freeze_answers(on.store, on.home, LOCAL_USER, "sums", found)


@pytest.mark.slow
def test_two_processes_learn_answers_of_a_dataset_and_measure_those_held_out_once(on: Ground) -> None:
    recipe = training_ground.recipe(on.base, method="sft", max_steps=2, batch=8, learning_rate=3e-2)
    dataset = answers(on)
    told: list[tuple[list[str], dict[tuple[str, int], float]]] = []
    for launch in (None, configs.load("cpu-2")):
        made = runs.create(on.store, LOCAL_USER, recipe, dataset.id, Beside(launch))
        run, log = finished(on, runs.start(on.home, made.id)), runs.log_text(on.home, made.id)
        assert run.state == "done", log
        said = [one.partition("  ")[2] for one in log.splitlines() if "  Held-out answers " in one]
        points = runs.metrics(on.store, run.id)
        told.append((said, {(one.name, one.step): one.value for one in points}))
    (alone, by_one), (together, by_two) = told
    assert [one.split()[2] for one in together] == ["before:", "after:"]
    assert together[0] == alone[0]
    for name in ("held_out_nats", "perplexity", "bits_per_byte"):
        assert by_two[name, 0] == pytest.approx(by_one[name, 0], rel=TOLERANCE)
        assert by_two[name, 2] == pytest.approx(by_one[name, 2], rel=TOLERANCE)
    assert by_two["held_out_nats", 2] < by_two["held_out_nats", 0]


@pytest.mark.slow
def test_a_full_disc_under_two_processes_is_told_as_under_one(on: Ground) -> None:
    recipe = dataclasses.replace(on.recipe, method="sft", epochs=20.0, save_every=10)
    made = runs.create(on.store, LOCAL_USER, recipe, on.snapshot.id, Beside(configs.load("cpu-2")))
    full = runs.folder(on.home, made.id) / "checkpoints" / "checkpoint-20"
    wait(on, runs.start(on.home, made.id), lambda now: now.step >= 1 or now.is_over)
    full.mkdir(parents=True)
    (full / "optimizer.pt").symlink_to("/dev/full")
    ended = finished(on, made)
    assert ended.state == "failed", runs.log_text(on.home, made.id)
    assert str(ended.error).startswith("The disc seems to be full: a file could not be written.")
    assert "checkpoint-10, the last complete one, is kept." in str(ended.error)
    assert not full.exists()


@pytest.mark.slow
def test_a_killed_process_fails_the_run_in_words_and_it_goes_on_from_its_checkpoint(on: Ground) -> None:
    recipe = dataclasses.replace(on.recipe, method="sft", epochs=400.0)
    made = runs.create(on.store, LOCAL_USER, recipe, on.snapshot.id, Beside(configs.load("cpu-2")))
    at = wait(on, runs.start(on.home, made.id), lambda run: run.step >= 5 or run.is_over)
    computing = ranks(at.pid)
    assert len(computing) == 2, runs.log_text(on.home, made.id)
    os.kill(computing[1].pid, signal.SIGKILL)
    failed = finished(on, made)
    assert failed.state == "failed"
    assert "One of the 2 processes ended" in str(failed.error)
    assert "resumed from its last checkpoint" in str(failed.error)
    _, alive = psutil.wait_procs(computing, timeout=20)
    assert alive == []

    runs.resume(on.home, on.store, LOCAL_USER, made.id)
    again = wait(on, made, lambda run: run.is_over or run.step > failed.step)
    assert again.state == "running", runs.log_text(on.home, made.id)
    assert "Going on from checkpoint" in runs.log_text(on.home, made.id)
    computing = ranks(again.pid)
    os.kill(again.pid, signal.SIGKILL)  # nobody is left to end them: they end by themselves
    _, alive = psutil.wait_procs(computing, timeout=20)
    assert alive == []
    assert finished(on, made).state == "interrupted"

    runs.resume(on.home, on.store, LOCAL_USER, made.id)
    third = wait(on, made, lambda run: run.is_over or run.step > again.step)
    computing = ranks(third.pid)
    runs.cancel(on.store, LOCAL_USER, made.id)
    assert finished(on, made).state == "cancelled", runs.log_text(on.home, made.id)
    _, alive = psutil.wait_procs(computing, timeout=20)
    assert alive == []


RLHF = ["reward=rule:concise", "answers=4", "answer_tokens=6", "judge_every=2", "max_steps=2"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "changes", "said"),
    [("dpo", [], "reference: "), ("rlhf", RLHF, "On held-out prompts the reward")],
)
def test_a_run_of_two_processes_makes_a_version_and_says_how_many_made_it(
    on: Ground, method: str, changes: list[str], said: str
) -> None:
    words = [method, "--launch", "cpu-2", "--model", str(on.base.folder), "--quantize", "none", "--home"]
    words += [str(on.home.path), *(word for one in ("evaluate=false", *changes) for word in ("--set", one))]
    done = CliRunner().invoke(train, words)
    run = runs.get(on.store, "latest")
    log = runs.log_text(on.home, run.id)
    assert done.exit_code == 0, log
    assert (run.state, run.processes, run.launch) == ("done", 2, "cpu-2")
    whole = f"{run.recipe.batch} x {run.recipe.accumulation}"
    assert f"2 processes (cpu-2): of each step of {whole} examples, one takes" in log
    assert said in log
    shown = CliRunner().invoke(runs_group, ["show", "--home", str(on.home.path)]).output
    assert "2 processes, launched by cpu-2" in shown
    assert "Memory: peak" in shown


@given(st.integers(1, 40), st.integers(1, 6), st.integers(1, 6), st.integers(1, 12), st.integers(0, 3))
def test_processes_in_turn_take_the_global_batches_of_one(
    count: int, batch: int, accumulation: int, processes: int, epoch: int
) -> None:
    if batch * accumulation % processes:
        with pytest.raises(ValueError, match="cannot be divided"):
            order.share(batch, accumulation, processes)
        return
    from accelerate.data_loader import BatchSamplerShard
    from torch.utils.data import BatchSampler

    own, times = order.share(batch, accumulation, processes)
    step = batch * accumulation
    assert own * times * processes == step
    epochs = order.LengthOrder([n % 7 for n in range(count)], batch, seed=2, whole=step)
    epochs.set_epoch(epoch)
    found = list(epochs)
    assert len(found) == len(epochs) == -(-count // step) * step
    assert set(found) == set(range(count))
    assert max(map(found.count, found)) <= -(-len(found) // count)
    sampler = BatchSampler(epochs, own, drop_last=False)
    by_rank = [list(BatchSamplerShard(sampler, processes, rank)) for rank in range(processes)]
    for at in range(len(found) // step):
        taken = [batches[at * times : (at + 1) * times] for batches in by_rank]
        everybodys = [place for batches in taken for batch_ in batches for place in batch_]
        assert sorted(everybodys) == sorted(found[at * step : (at + 1) * step])


def test_every_shipped_config_is_one_that_accelerate_reads() -> None:
    from accelerate.commands.config.config_args import load_config_from_file

    assert configs.names() == ["cpu-2", "ddp-8", "deepspeed-zero2", "deepspeed-zero3", "fsdp"]
    for name in configs.names():
        ours, theirs = configs.load(name), load_config_from_file(str(configs.FOLDER / f"{name}.yaml"))
        assert theirs.num_processes == ours.processes == (2 if name == "cpu-2" else 8)
        assert theirs.distributed_type.value == ours.kind
        assert theirs.use_cpu == ours.on_cpu
        assert ours.sharded == (name in ("fsdp", "deepspeed-zero3"))
        assert ours.text.startswith("# ")


def test_a_config_of_ones_own_is_read_by_its_path(tmp_path: Path) -> None:
    file = tmp_path / "two-nodes.yaml"
    file.write_text(configs.load("ddp-8").text.replace("num_machines: 1", "num_machines: 2"))
    assert (configs.load(str(file)).name, configs.load(str(file)).here) == ("two-nodes", 4)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("distributed_type: TPU\nnum_processes: 8", "Hone starts MULTI_GPU, FSDP, DEEPSPEED"),
        ("distributed_type: MULTI_GPU", "launching is for 2 or more"),
        ("distributed_type: MULTI_GPU\nnum_processes: 8\nnum_machines: 3", "does not divide"),
        ("distributed_type: FSDP\nnum_processes: 2\nuse_cpu: true", "computes on GPUs"),
        ("[", "is not YAML. Line 1: expected the node content, but found '<stream end>'. Correct"),
        ("words", "not a list of settings"),
    ],
)
def test_a_config_that_hone_cannot_start_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(HoneError, match=complaint):
        configs.read("mine", text)


@pytest.mark.parametrize(
    ("launch", "changes", "complaint"),
    [
        ("ddp-8", {"method": "kto", "batch": 4, "accumulation": 4}, "batch=16 --set accumulation=1; the KL"),
        ("cpu-2", {"method": "kto", "batch": 2, "accumulation": 4}, "a part of 2 answers or more"),
        ("cpu-2", {"method": "kto", "batch": 5}, "batch=6 --set accumulation=2"),
        ("fsdp", {"method": "rlhf", "batch": 8}, "rlhf cannot be trained under fsdp"),
        ("cpu-2", {"batch": 3, "accumulation": 1}, "cannot be divided among 2 processes"),
        ("ddp-8", {"batch": 4, "accumulation": 3}, "cannot be divided among 8 processes"),
        ("ddp-8", {"batch": 4, "accumulation": 2} | WITH_IMITATION, "parts of one give another mean"),
        ("fsdp", {"batch": 8, "adapt": "bottleneck"}, "bottleneck cannot be trained under fsdp"),
        (
            "deepspeed-zero3",
            {"batch": 8, "method": "reward"},
            "reward cannot be trained under deepspeed-zero3",
        ),
    ],
)
def test_what_several_processes_cannot_train_is_refused_before_a_run_is_made(
    on: Ground, launch: str, changes: dict[str, object], complaint: str
) -> None:
    recipe = training_ground.recipe(on.base, **changes)
    with pytest.raises(HoneError, match=complaint):
        runs.create(on.store, LOCAL_USER, recipe, on.snapshot.id, Beside(configs.load(launch)))
    assert runs.listing(on.store) == []


def test_a_dataset_is_not_trained_on_where_nobody_has_whole_weights_to_measure_with(on: Ground) -> None:
    dataset = answers(on)
    recipe = training_ground.recipe(on.base, method="sft", batch=8)
    with pytest.raises(HoneError, match="A run on a dataset cannot be trained under fsdp"):
        runs.create(on.store, LOCAL_USER, recipe, dataset.id, Beside(configs.load("fsdp")))
    assert runs.listing(on.store) == []


def test_a_repetition_is_computed_by_as_many_processes(on: Ground) -> None:
    config = configs.load("cpu-2")
    first = runs.create(on.store, LOCAL_USER, on.recipe, on.snapshot.id, Beside(config))
    runs.cancel(on.store, LOCAL_USER, first.id)
    again = repeats.create(on.store, on.home, LOCAL_USER, first.id)
    assert (again.repeats_id, again.processes, again.crew) == (first.id, 2, config)


def test_an_unknown_config_is_answered_with_those_there_are(on: Ground) -> None:
    hone = HoneGroup("hone", commands={"train": train})
    words = ["train", "sft", "--launch", "gpu-9", "--home", str(on.home.path)]
    found = CliRunner().invoke(hone, words)
    assert found.exit_code == 2
    assert "There are cpu-2, ddp-8, deepspeed-zero2, deepspeed-zero3, fsdp." in found.output


@pytest.mark.parametrize("launch", ["ddp-8", "fsdp", "deepspeed-zero2", "deepspeed-zero3"])
def test_a_config_for_what_this_machine_lacks_makes_no_run(on: Ground, launch: str) -> None:
    hone = HoneGroup("hone", commands={"train": train})
    words = ["train", "dpo", "--launch", launch, "--set", "batch=8", "--home", str(on.home.path)]
    found = CliRunner().invoke(hone, words)
    assert found.exit_code == 2
    assert f"Error: {launch} needs {'8 GPUs' if launch in {'ddp-8', 'fsdp'} else 'DeepSpeed'}" in found.stderr
    assert runs.listing(on.store) == []


def test_fewer_gpus_than_a_config_asks_for_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "gpus", lambda: 4)
    with pytest.raises(HoneError, match=r"and torch sees 4\. Copy the config with num_processes: 4"):
        launcher.check_machine(configs.load("ddp-8"))
    monkeypatch.setattr(device, "gpus", lambda: 8)
    launcher.check_machine(configs.load("ddp-8"))


def test_what_this_machine_lacks_is_said_before_anything_is_started(tiny_base: Base) -> None:
    with pytest.raises(HoneError, match="needs DeepSpeed, which is not installed"):
        launcher.base_for(configs.load("deepspeed-zero2"), tiny_base)
    with pytest.raises(HoneError, match="needs 8 GPUs on this machine"):
        launcher.base_for(configs.load("ddp-8"), tiny_base)
    nf4 = dataclasses.replace(tiny_base, device="cuda", quantization="nf4")
    with pytest.raises(HoneError, match="cannot be cut into parts"):
        launcher.base_for(configs.load("fsdp"), nf4)
    assert launcher.base_for(configs.load("cpu-2"), nf4).device == "cpu"


def test_a_task_is_the_same_after_it_was_written_and_read(tiny_base: Base, tmp_path: Path) -> None:
    recipe = training_ground.recipe(tiny_base, **WITH_IMITATION)
    told = Task(
        tiny_base, recipe, rows(3), tmp_path, tmp_path / "start", None, "base/cpu", rows(1), 40, "The end"
    )
    assert task.from_json(task.to_json(told)) == told
    for head in (None, tmp_path / "head"):
        online = dataclasses.replace(told, online=Online(tiny_base, head, rows(2), 7))
        assert task.from_json(task.to_json(online)) == online
    classes = task.Classes((0, 1, 1), (1,), ((0.1, -1 / 3), (2e-9, 4.0)), (0.0, 1e30))
    assert task.from_json(task.to_json(dataclasses.replace(told, classes=classes))).classes == classes


@given(st.lists(st.one_of(st.text(), st.integers(), st.floats(allow_nan=False)), min_size=1), st.text())
def test_a_message_is_heard_as_it_was_said_and_no_other_line_is(words: list[object], other: str) -> None:
    said = line(*words)
    assert said.count("\n") == 1
    assert heard(said) == words
    assert heard(other) is None or other.startswith("hone-run ")
