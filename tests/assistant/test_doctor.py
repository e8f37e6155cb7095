"""`hone doctor` on what the champion's adapter means for speed."""

import json
from pathlib import Path
from typing import Any

import pytest

from assistant import registry
from assistant.base import Base, BaseChoice, chat_template
from assistant.doctor import examine
from feedback.home import Home
from feedback.ids import LOCAL_USER
from feedback.store import Store
from tests import tiny_models


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
    registry.ensure_base(store, tiny_base, chat_template(tiny_base))
    folder = tiny_models.fake_adapter(tmp_path / "adapter")
    (folder / "adapter_config.json").write_text(json.dumps(settings))
    added = registry.add(store, home, tiny_base, folder, None, "dpo")
    registry.move_champion(store, home, LOCAL_USER, added.id, "promote")
    found = {one.what: one.found for one in examine(home, BaseChoice(str(tiny_base.folder), "none"))}
    assert found["its passes"].startswith(told)
