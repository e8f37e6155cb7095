"""What `hone serve` is asked for and cannot do: one sentence, exit code 2, and no model loaded before it."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from app import cli
from assistant.base import Base


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (["--engine", "telepathy"], "'telepathy' is not one of"),
        (
            ["--engine", "remote"],
            "Error: The remote engine needs a server. No --remote says where it is. Add",
        ),
        (
            ["--engine", "openvino", "--remote", "http://127.0.0.1:9"],
            "The engine openvino and --remote exclude",
        ),
        (["--remote", ""], "'' is no address of a server"),
        (["--remote", "http://a:b"], "'http://a:b' is no address of a server"),
        (["--quantize", "int4"], "'int4' is not one of"),
        (["--port", "99999"], "99999 is not in the range"),
    ],
)
def test_what_does_not_fit_together_is_refused_before_a_model_is_looked_at(
    asked: list[str], said: str, tmp_path: Path
) -> None:
    done = CliRunner().invoke(cli, ["serve", *asked, "--home", str(tmp_path)])
    assert done.exit_code == 2
    assert said in done.stderr
    assert "Model:" not in done.stderr
    assert not (tmp_path / "bases").exists()


def test_a_server_that_is_away_is_named_once(tiny_base: Base, tmp_path: Path) -> None:
    asked = ["--model", str(tiny_base.folder), "--quantize", "none", "--remote", "http://127.0.0.1:9"]
    done = CliRunner().invoke(cli, ["serve", *asked, "--home", str(tmp_path)])
    assert done.exit_code == 2
    assert done.stderr.count("did not answer") == 1
    assert (
        "Error: No server of the model answers. The server http://127.0.0.1:9 did not answer" in done.stderr
    )


def test_openvino_says_why_it_cannot_run_a_base(tiny_base: Base, tmp_path: Path) -> None:
    asked = ["--model", str(tiny_base.folder), "--quantize", "nf4", "--engine", "openvino"]
    done = CliRunner().invoke(cli, ["serve", *asked, "--home", str(tmp_path)])
    assert done.exit_code == 2
    assert "OpenVINO cannot run tiny-llama, nf4 here. Nf4 quantisation was asked for." in done.stderr
