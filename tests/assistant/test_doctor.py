"""`hone doctor`: the engine and its servers, the champion, and what its adapter means for speed."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from assistant import registry
from assistant.base import Base, BaseChoice, chat_template, resolve
from assistant.doctor import doctor, examine
from feedback.home import Home
from feedback.ids import LOCAL_USER
from feedback.store import Store
from tests import tiny_models
from tests.completions_server import CompletionsServer, Model
from tests.wire_server import WireServer


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"peft_type": "LORA", "r": 8, "bias": "none", "use_dora": False}, "shared with other versions"),
        (
            {"peft_type": "LORA", "use_dora": True, "bias": "all"},
            "of its own: it is no plain LoRA: bias, use_dora",
        ),
        (
            {"peft_type": "LORA", "set_by_a_later_peft": 1},
            "of its own: it is no plain LoRA: set_by_a_later_peft",
        ),
        ({"peft_type": "IA3"}, "of its own: it is IA3, not LoRA"),
    ],
)
def test_it_tells_whether_the_champion_shares_forward_passes(
    settings: dict[str, Any], told: str, store: Store, home: Home, tiny_base: Base, tmp_path: Path
) -> None:
    choice = BaseChoice(str(tiny_base.folder), "none")
    base = resolve(home, choice)
    registry.ensure_base(store, base, chat_template(base))
    folder = tiny_models.fake_adapter(tmp_path / "adapter")
    (folder / "adapter_config.json").write_text(json.dumps(settings))
    added = registry.add(store, home, base, folder, None, "dpo")
    registry.move_champion(store, home, LOCAL_USER, added.id, "promote")
    found = {one.what: one.found for one in examine(home, choice)}
    assert found["its passes"].startswith(told)


def looked(home: Home, *arguments: str) -> Result:
    return CliRunner().invoke(doctor, [*arguments, "--home", str(home.path)])


def test_it_says_what_a_remote_server_is_and_can_do(tiny_base: Base, home: Home) -> None:
    model = Model(tiny_base, home)
    server = CompletionsServer(model)
    found = looked(home, "--model", str(tiny_base.folder), "--quantize", "none", "--remote", server.url)
    assert found.exit_code == 0, found.output
    assert f"ok  engine        remote: Answers come from {server.url}" in found.output
    assert f"ok  remote        {server.url} (vllm) serves it as tiny: 512 tokens" in found.output
    assert "loads adapters while it runs; not: holds replies to a JSON schema; tells log-prob" in found.output
    server.kill()
    model.served.close()
    away = looked(home, "--model", str(tiny_base.folder), "--quantize", "none", "--remote", server.url)
    assert away.exit_code == 1
    assert f"NO  remote        The server {server.url} did not answer." in away.output


def test_a_server_that_loads_no_adapters_cannot_serve_an_adapted_champion(
    store: Store, home: Home, tiny_base: Base, tmp_path: Path
) -> None:
    base = resolve(home, BaseChoice(str(tiny_base.folder), "none"))
    registry.ensure_base(store, base, chat_template(base))
    added = registry.add(
        store, home, base, tiny_models.save_adapter(base, tmp_path / "adapter", 1), None, "sft"
    )
    registry.move_champion(store, home, LOCAL_USER, added.id, "promote")
    server = WireServer()
    found = looked(home, "--model", str(tiny_base.folder), "--quantize", "none", "--remote", server.url)
    server.close()
    assert found.exit_code == 1
    assert f"NO  remote        {server.url} (openai) serves it as tiny" in found.output
    assert "not: loads adapters while it runs" in found.output


def test_it_sees_that_the_champion_belongs_to_another_base(
    store: Store, home: Home, tiny_base: Base, tmp_path: Path
) -> None:
    registry.ensure_base(store, tiny_base, chat_template(tiny_base))
    tiny_models.save_llama(tmp_path / "other")
    found = looked(home, "--model", str(tmp_path / "other"), "--quantize", "none")
    assert found.exit_code == 1
    assert f"NO  champion      {tiny_base.id} cannot answer on the base other-" in found.output


@pytest.mark.parametrize("wrong", [["--engine", "telepathy"], ["--quantize", "int4"]])
def test_an_engine_or_a_quantisation_that_there_is_not_is_refused(home: Home, wrong: list[str]) -> None:
    assert looked(home, *wrong).exit_code == 2
