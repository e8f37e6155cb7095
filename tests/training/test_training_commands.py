import json

import click
import pytest
from click.testing import CliRunner, Result

from assistant import registry
from assistant.base import Base
from feedback.command_line import HoneGroup
from feedback.home import Home
from feedback.store import Store
from tests import tiny_models, training_ground
from tests.training_ground import Ground
from training import commands, runs


@pytest.fixture
def on(home: Home, tiny_base: Base) -> Ground:
    return training_ground.ground(home, tiny_base)


def call(on: Ground, command: click.Command, *words: str) -> Result:
    hone = HoneGroup("hone", commands={"it": command})
    return CliRunner().invoke(hone, ["it", *words, "--home", str(on.home.path)])


def told(on: Ground, command: click.Command, *words: str) -> dict[str, object]:
    found = call(on, command, *words, "--json")
    assert found.exit_code == 0, found.output
    return json.loads(found.stdout)


@pytest.fixture
def _busy(on: Ground) -> None:
    training_ground.somebody_else_trains(on)


def test_a_snapshot_is_frozen_listed_and_shown_by_latest_or_the_start_of_its_id(on: Ground) -> None:
    training_ground.vote(on.store, on.champion, "One more?", "Yes.", "No no.")
    made = told(on, commands.snapshot, "create")
    assert made["id"] != on.snapshot.id
    assert [one["id"] for one in told(on, commands.snapshot, "list")] == [made["id"], on.snapshot.id]
    assert told(on, commands.snapshot, "show")["snapshot"]["id"] == made["id"]
    assert told(on, commands.snapshot, "show", on.snapshot.id[:6])["snapshot"]["id"] == on.snapshot.id
    assert "Next: hone train dpo" in call(on, commands.snapshot, "create").output


@pytest.mark.usefixtures("_busy")
def test_training_takes_the_preset_with_what_was_changed(on: Ground) -> None:
    made = told(
        on, commands.train, "dpo", "--detach", "--preset", "dpo-quick", "--epochs", "3", "--set", "beta=0.3",
        "--model", str(on.base.folder), "--quantize", "none",
    )  # fmt: skip
    run = runs.get(on.store, made["id"])
    assert (run.state, run.snapshot_id) == ("queued", on.snapshot.id)
    recipe = run.recipe
    assert (recipe.name, recipe.epochs, recipe.beta, recipe.model) == (
        "dpo-quick",
        3,
        0.3,
        str(on.base.folder),
    )
    assert recipe.max_length == 192


@pytest.mark.usefixtures("_busy")
def test_a_queued_run_is_listed_shown_and_cancelled(on: Ground) -> None:
    run = told(on, commands.train, "sft", "--detach")["id"]
    assert run in call(on, commands.runs_group, "list").output
    assert told(on, commands.runs_group, "show", run)["run"]["state"] == "queued"
    assert "has not started" in call(on, commands.runs_group, "log", run).output
    assert told(on, commands.runs_group, "cancel", run)["state"] == "cancelled"
    assert "hone runs resume" in call(on, commands.runs_group, "show", run).output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["dpo", "--preset", "dop"], "There is no recipe"),
        (["dpo", "--preset", "sft"], "hone train sft"),
        (["ppo"], "There is no method ppo. RLOO and GRPO stand in its place: `hone train rlhf`"),
        (["ipo"], "hone train dpo --preset ipo"),
        (["dpo", "--adapt", "qlora"], "QLoRA is lora on a base in few bits: adapt lora, quantize nf4."),
        (["dpo", "--set", "adapt=qlora"], "QLoRA is lora on a base in few bits"),
        (["dpo", "--set", "bta=1"], "Did you mean 'beta'"),
        (["dpo", "--set", "beta"], "KEY=VALUE"),
        (["dpo", "--preset", "ipo", "--recipe", "my.yaml"], "both ipo and my.yaml are asked for"),
        (["dpo", "--set", "method=sft"], "Run `hone train sft`, or leave --set method out."),
        (
            ["kto", "--set", "losses=ipo"],
            "kto does not read the setting losses. It is for dpo. Leave it out.",
        ),
        (["reward", "--set", "beta=0.2"], "It is for dpo, kto, rlhf."),
        (["kto", "--set", "liked_weight=0", "--set", "disliked_weight=0"], "nothing would be trained"),
        (["sft", "--snapshot", "s_zzz"], "no snapshot"),
        (["sft", "--epochs", "none"], "cannot be 'none'"),
        (["sft", "--model", "/nowhere"], "There is no model folder /nowhere."),
        (["sft", "--data", "latest"], "no dataset of answers yet"),
        (["sft", "--data", "nowhere.jsonl"], "no file nowhere.jsonl"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_2(on: Ground, words: list[str], said: str) -> None:
    found = call(on, commands.train, *words, "--detach")
    assert found.exit_code == 2
    assert said in found.stderr
    assert "Traceback" not in found.stderr
    assert runs.listing(on.store) == []


def test_a_run_that_fails_says_why_once(on: Ground) -> None:
    base = ("--model", str(on.base.folder), "--quantize", "none")
    found = call(on, commands.train, "sft", *base, "--learning-rate", "1e38", "--set", "max_steps=4")
    assert found.exit_code == 2
    why = str(runs.listing(on.store)[0].error)
    assert "The learning rate is most likely too high" in why
    assert (found.stdout.count(why), found.stderr.count(why)) == (0, 1)
    assert ": failed, " in found.stdout


def test_text_is_trained_on_in_a_home_that_nobody_has_talked_in(home: Home, tiny_base: Base) -> None:
    text = home.path.parent / "text.txt"
    text.write_text("The cat sat on the mat, and the dog looked at the cat.\n\n" * 20)
    hone = HoneGroup("hone", commands={"train": commands.train})
    words = ("--model", str(tiny_base.folder), "--quantize", "none", "--set", "max_steps=1", "--json")
    done = CliRunner().invoke(hone, ["train", "clm", "--data", str(text), *words, "--home", str(home.path)])
    assert (done.exit_code, done.stderr) == (0, ""), done.output  # no bar where stderr is no terminal
    store = Store(home.store_file)
    run = json.loads(done.stdout)["run"]
    assert (run["state"], run["base_version_id"]) == ("done", registry.champion(store).id)


def test_evaluate_judges_a_candidate_and_promote_asks_the_gate(on: Ground) -> None:
    folder = tiny_models.save_adapter(on.base, on.home.path / "adapter")
    version = registry.add(on.store, on.home, on.base, folder, None, "dpo")
    base = ("--model", str(on.base.folder), "--quantize", "none")
    report = told(on, commands.evaluate, version.name, "--snapshot", "latest", *base)
    assert report["verdict"] in ("fail", "not_enough_evidence")
    assert len(report["margins_nats"]) == on.snapshot.held_out_pairs
    refused = call(on, commands.models, "promote", version.name)
    assert (refused.exit_code, registry.champion(on.store).id) == (2, on.champion.id)
    moved = told(on, commands.models, "promote", version.name, "--override", "a rehearsal of promotion")
    assert moved["after"]["id"] == version.id == registry.champion(on.store).id
    assert told(on, commands.models, "rollback")["after"]["id"] == on.champion.id
    assert call(on, commands.models, "rollback").exit_code == 2


def test_a_version_without_a_run_needs_a_snapshot_to_be_judged_on(on: Ground) -> None:
    folder = tiny_models.save_adapter(on.base, on.home.path / "adapter")
    version = registry.add(on.store, on.home, on.base, folder, None, "dpo")
    found = call(on, commands.evaluate, version.id, "--model", str(on.base.folder), "--quantize", "none")
    assert found.exit_code == 2
    assert "--snapshot" in found.stderr
