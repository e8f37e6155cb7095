"""`hone prompts`: the group, and its commands `evaluate` and `test`. Knows click; holds no rule.

The commands of the library are in a module of their own.
"""

import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast, get_args

import click
from tqdm import tqdm

from assistant import prompt_evaluation
from assistant.base import BaseChoice, EngineName, Quantize
from assistant.prompt_evaluation import EngineModel, RewardsOf
from feedback.command_line import HoneGroup, home_option, json_option, say
from feedback.errors import HoneError
from feedback.home import Home
from feedback.store import Store, now
from prompts import library, measures, own
from prompts.evaluation import bars, datasets, keeping, matrix, named, report, report_page
from prompts.evaluation.bars import Verdict
from prompts.evaluation.by_kind import AutoColumn
from prompts.evaluation.calls import Calls
from prompts.evaluation.columns import GREEDY, By, Calibrate, Cell, Column, How
from prompts.evaluation.datasets import Source, Wording
from prompts.evaluation.items import Dataset
from prompts.evaluation.matrix import Work
from prompts.evaluation.metrics import Rewards, no_rewards
from prompts.evaluation.model import CancelledError
from prompts.evaluation.report import Report
from prompts.evaluation.shown import CHOOSING, Choosing, Picking
from prompts.evaluation.units import NATS
from prompts.plain import AUTO

EXIT_BELOW_BAR = 1
EXIT_CANCELLED = 130

Tell = Callable[[str, int, int], None]


@click.group("prompts", cls=HoneGroup)
def prompts_group() -> None:
    """Prompts: versions and labels, import and export, and what each is worth on real tasks."""


def base_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Which base computes, as for `hone serve`."""
    options = (
        click.option(
            "--base", default="embedded", show_default=True, help="embedded, a folder, or a Hub id."
        ),
        click.option("--quantize", default="auto", show_default=True, type=click.Choice(get_args(Quantize))),
        click.option("--engine", default="auto", show_default=True, type=click.Choice(get_args(EngineName))),
        click.option("--remote", "remotes", multiple=True, metavar="URL", help="A server that computes."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def base_choice(base: str, quantize: str, engine: str, remotes: tuple[str, ...]) -> BaseChoice:
    return BaseChoice(base, cast(Quantize, quantize), cast(EngineName, engine), remotes)


@prompts_group.command("evaluate")
@click.option(
    "--strategy",
    "strategies",
    multiple=True,
    default=("zero-shot", "few-shot"),
    show_default=True,
    metavar="NAME[:KEY=VALUE,...]",
    help="A strategy, a version's id, a file, or auto; with settings of its own, as few-shot:shots=8.",
)
@click.option("--model", "models", multiple=True, default=("champion",), show_default=True, help="A version.")
@click.option("--data", multiple=True, required=True, metavar="FORMAT:FILE[#PART]", help="What is asked.")
@click.option("--train", multiple=True, metavar="FORMAT:FILE[#PART]", help="Where examples come from.")
@click.option("--limit", type=click.IntRange(1), help="At most so many items of each dataset.")
@click.option("--by", type=click.Choice(get_args(By)), default="auto", show_default=True)
@click.option(
    "--calibrate",
    type=click.Choice(get_args(Calibrate)),
    default="no",
    is_flag=False,
    flag_value="nothing",
    help="Take the model's leaning out of likelihoods, as it answers nothing, or training questions.",
)
@click.option("--shots", type=click.IntRange(0), help="Examples to show (default: as the strategy says).")
@click.option("--choose", type=click.Choice(CHOOSING), help="Which (default: as it says, else balanced).")
@click.option("--draw", type=click.IntRange(0), default=0, help="Shuffle them, each number in its own way.")
@click.option("--max-tokens", type=click.IntRange(1), default=GREEDY.max_tokens, show_default=True)
@click.option("--question", default="", metavar="JINJA", help="The question, over the fields of a row.")
@click.option("--answer", default="", metavar="JINJA", help="The right answer, for plain files.")
@click.option("--option", "options", multiple=True, help="One of the answers to choose from. Repeat it.")
@click.option(
    "--metric",
    default="",
    help="exact, choice, number, ifeval, regex:..., length:..., json-schema:..., reward:RUN",
)
@click.option("--out", multiple=True, type=click.Path(path_type=Path), help="A report: .html, .json or .csv.")
@base_options
@json_option
@home_option
@click.pass_obj
def evaluate(rewards_of: RewardsOf, home: Home, as_json: bool, **asked: Any) -> None:
    """Measure prompts on data: every strategy on every model and dataset.

    FORMAT is gsm8k, bbh, sst2, ag-news, mmlu, ifeval, or jsonl or csv with --question and --answer. What was
    answered is kept: the same command, after a kill or with more strategies, computes only what is new.
    """
    check_out(asked["out"])
    wording = Wording(asked["question"], asked["answer"], asked["options"], asked["metric"])
    choice = base_choice(asked["base"], asked["quantize"], asked["engine"], asked["remotes"])
    sets = datasets_of(asked["data"], asked["train"], wording, asked["limit"], rewards_of(home, choice))
    how = How(
        cast(By, asked["by"]),
        cast(Calibrate, asked["calibrate"]),
        Picking(asked["shots"], cast("Choosing | None", asked["choose"]), asked["draw"]),
        replace(GREEDY, max_tokens=asked["max_tokens"]),
    )
    store = own.opened(home)
    ways = [_way(store, written, how) for written in asked["strategies"]]
    with prompt_evaluation.opened(home, choice) as bench:
        models = [bench.model(name) for name in asked["models"]]
        works = matrix.plan([way(model) for model in models for way in ways], sets)
        cells = _fill(home, works)
    ids = {model.name: model.version_id for model in models}
    kept = measures.record(store, keeping.measurings(works, cells, ids))
    found = report.report(cells, now(), f"hone {shlex.join(sys.argv[1:])}")
    write(found, asked["out"])
    where = "".join(f"\nReport: {file}" for file in asked["out"]) or "\nNext: --out report.html shows it all."
    where = f"{_kept_for_auto(kept, works)}{where}".lstrip()
    say(f"{report.table(found)}\n\n{where}", report.as_data(found), as_json)


@prompts_group.command("test")
@click.argument("file", type=click.Path(path_type=Path))
@base_options
@json_option
@home_option
@click.pass_context
def test(context: click.Context, home: Home, file: Path, as_json: bool, **base: Any) -> None:
    """Hold prompts to their bars: exit 1 when one of FILE's tests falls below its own.

    FILE is YAML: a list of tests, each with a strategy, data and a bar. docs/evaluation.md shows one.
    """
    tests, choice = bars.read(file), base_choice(**base)
    rewards_of: RewardsOf = context.obj
    rewards = rewards_of(home, choice)
    sets = [datasets.load(one.data, one.train, one.wording, one.limit, rewards) for one in tests]
    store = own.opened(home)
    ways = [_way(store, one.strategy, one.how) for one in tests]
    with prompt_evaluation.opened(home, choice) as bench:
        columns = [way(bench.model(one.model)) for way, one in zip(ways, tests, strict=True)]
        pairs = zip(columns, sets, strict=True)
        cells = _fill(home, [work for column, one in pairs for work in matrix.plan([column], [one])])
    verdicts = [bars.judge(one, cell) for one, cell in zip(tests, cells, strict=True)]
    passed = sum(verdict.passed for verdict in verdicts)
    lines = [*(verdict.sentence for verdict in verdicts), "", f"{passed} of {len(verdicts)} pass."]
    say("\n".join(lines), {"passed": bars.all_pass(verdicts), "tests": _test_data(verdicts)}, as_json)
    if not bars.all_pass(verdicts):
        context.exit(EXIT_BELOW_BAR)


def _kept_for_auto(kept: int, works: Sequence[Work]) -> str:
    """What `auto` will know of what was measured."""
    if any(work.metric is not None and work.metric.unit == NATS for work in works):
        return "Not kept for auto, which counts right answers: these are rewards."
    return f"Kept for auto, which chooses by them: {kept} measures." if kept else ""


def _test_data(verdicts: Sequence[Verdict]) -> list[dict[str, object]]:
    return [
        {
            "name": verdict.bar.name, "passed": verdict.passed, "bar": verdict.bar.bar,
            "unit": verdict.cell.unit.name,
            "score": verdict.cell.score, "items": len(verdict.cell.outcomes), "failed": verdict.cell.failed,
            "sentence": verdict.sentence,
        }
        for verdict in verdicts
    ]  # fmt: skip


def check_out(files: Sequence[Path]) -> None:
    """HoneError for a file that no report could be written to: said before anything is computed."""
    for file in files:
        _check_out(file)


def _check_out(file: Path) -> None:
    if file.suffix not in (".html", ".json", ".csv"):
        raise HoneError(
            f"No report can be written to {file}.",
            "Its ending says no kind.",
            "End it in .html, .json or .csv.",
        )
    if not file.absolute().parent.is_dir():
        raise HoneError(f"No report can be written to {file}.", "Its folder is missing.", "Make it first.")


def write(found: Report, files: Sequence[Path]) -> None:
    """The report, in each file as its ending says."""
    ways = {".html": report_page.page, ".json": report.as_json, ".csv": report.as_csv}
    for file in files:
        file.write_text(ways[file.suffix](found), encoding="utf-8", newline="")


def datasets_of(
    data: Sequence[str],
    train: Sequence[str],
    wording: Wording,
    limit: int | None,
    rewards: Rewards = no_rewards,
) -> list[Dataset]:
    """Each dataset with the training file of its format; of its part, where that file is named with one."""
    shown = [datasets.source(one) for one in train]
    found = []
    for asked in (datasets.source(one) for one in data):
        examples = _examples_for(asked, shown)
        found.append(datasets.load(asked, examples, wording, limit, rewards))
    return found


def _examples_for(asked: Source, shown: Sequence[Source]) -> Source | None:
    same = [one for one in shown if one.format == asked.format and one.part in ("", asked.part)]
    if not same:
        return None
    return replace(same[0], part=same[0].part or asked.part)


def _way(store: Store, written: str, how: How) -> Callable[[EngineModel], Column | AutoColumn]:
    """A strategy as it was asked for, to be put on a model. HoneError for what there is not."""
    name, settings = named.parted(written)
    changed = how.changed(settings)
    if name == AUTO:
        serving = library.serving(store)
        return lambda model: AutoColumn(
            written, changed, model, serving, measures.read(store, model.version_id)
        )
    version = named.version(store, name)
    return lambda model: Column(written, version.id, version.strategy, changed, model)


def _fill(home: Home, works: Sequence[Work]) -> list[Cell]:
    with asking(home) as (calls, tell):
        return matrix.run(works, calls, tell)


@contextmanager
def asking(home: Home) -> Iterator[tuple[Calls, Tell]]:
    """The kept answers, and progress on stderr. A stop ends the process with a sentence; nothing is lost."""
    calls = Calls(prompt_evaluation.calls_file(home))
    try:
        with _bar() as tell:
            yield calls, tell
    except (KeyboardInterrupt, CancelledError):
        click.echo("Stopped. What was answered is kept: the same command goes on from there.", err=True)
        sys.exit(EXIT_CANCELLED)
    finally:
        calls.close()


@contextmanager
def _bar() -> Iterator[Tell]:
    """Progress on stderr."""
    shown = "{desc} {bar} {n_fmt}/{total_fmt} [{remaining} left]"
    with tqdm(bar_format=shown, leave=False, disable=None) as bar:  # None: where stderr is no terminal

        def tell(what: str, done: int, total: int) -> None:
            bar.set_description_str(what, refresh=what.startswith("Judging"))
            bar.total = total
            bar.update(done - bar.n)

        yield tell
