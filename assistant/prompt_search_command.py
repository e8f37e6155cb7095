"""`hone prompts optimise`: a search for a better prompt, its evidence, its draft. Knows click."""

import shlex
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast, get_args

import click

from assistant import prompt_evaluation
from assistant.prompt_commands import asking, base_choice, base_options, check_out, datasets_of, write
from feedback.command_line import home_option, json_option, say
from feedback.errors import HoneError
from feedback.home import Home
from feedback.ids import LOCAL_USER, PromptVersionId
from feedback.store import Store, now
from prompts import library, own
from prompts.evaluation import metrics, named, report
from prompts.evaluation.columns import GREEDY, By, Calibrate, How
from prompts.evaluation.datasets import Wording
from prompts.evaluation.units import SHARE
from prompts.library import NewVersion, PromptVersion
from prompts.search import evidence, optimise, votes
from prompts.search.candidates import Candidate, Start
from prompts.search.evidence import Evidence
from prompts.search.optimise import Budget, Ended, Found, Material, Search
from prompts.search.race import Placed

SHOWN = 5
"""Candidates of the search that are told of, beside the evidence."""
EVIDENCE_SHARE = 0.3
"""Of the time, kept for the evidence: what is found is worth what can be shown of it."""


@click.command("optimise")
@click.option(
    "--strategy", "strategies", multiple=True, default=("few-shot",), show_default=True,
    metavar="NAME", help="Where to begin: a strategy, a version's id or a file. Repeat it.",
)  # fmt: skip
@click.option(
    "--data", metavar="FORMAT:FILE[#PART]", help="What proves it, and is searched on without --train."
)
@click.option("--train", metavar="FORMAT:FILE[#PART]", help="What is searched on; --data then only proves.")
@click.option("--votes", "on_votes", is_flag=True, help="Search on what people voted, instead of data.")
@click.option("--name", help="The strategy that the draft is of (default: the one begun from).")
@click.option("--questions", type=click.IntRange(100), default=4000, show_default=True, help="To be spent.")
@click.option("--minutes", type=click.FloatRange(min=0, min_open=True), default=15.0, show_default=True)
@click.option("--limit", type=click.IntRange(1), help="Prove on at most so many items.")
@click.option("--seed", type=click.IntRange(0), default=0, help="Another search over the same.")
@click.option("--model", default="champion", show_default=True, help="A version.")
@click.option("--by", type=click.Choice(get_args(By)), default="auto", show_default=True)
@click.option("--calibrate", type=click.Choice(get_args(Calibrate)), default="no", show_default=True)
@click.option("--max-tokens", type=click.IntRange(1), default=GREEDY.max_tokens, show_default=True)
@click.option("--question", default="", metavar="JINJA", help="The question, over the fields of a row.")
@click.option("--answer", default="", metavar="JINJA", help="The right answer, for plain files.")
@click.option("--option", "options", multiple=True, help="One of the answers to choose from. Repeat it.")
@click.option("--metric", default="", help="As for evaluate, but no reward.")
@click.option(
    "--out", multiple=True, type=click.Path(path_type=Path), help="The evidence: .html, .json, .csv."
)
@base_options
@json_option
@home_option
def optimise_prompt(home: Home, as_json: bool, **asked: Any) -> None:
    """Search for a better instruction and better examples; leave a draft, with evidence on unseen items.

    Begins from a strategy whose last step declares `instruction`, `examples`, or both. Nothing but these two
    changes. The same command, after a kill, asks nothing twice.
    """
    check_out(asked["out"])
    store = own.opened(home)
    found_in = [named.version(store, written) for written in asked["strategies"]]
    starts = [Start(label, one.strategy) for label, one in zip(asked["strategies"], found_in, strict=True)]
    material, how = _material(store, asked)
    name = asked["name"] or found_in[0].name
    library.check_name(name)
    choice = base_choice(*(asked[one] for one in BASE))
    with prompt_evaluation.opened(home, choice) as bench, asking(home) as (calls, tell):
        budget = Budget(asked["questions"], 60 * asked["minutes"] * (1 - EVIDENCE_SHARE))
        model = bench.model(asked["model"])
        search = Search(starts, material, how, model, calls, budget, asked["seed"], tell)
        found = search.run()
        proof = evidence.prove(search, found, tell)
    kept = _keep(store, name, found, proof, found_in, starts)
    shown = report.report([*proof.starts, proof.found], now(), f"hone {shlex.join(sys.argv[1:])}")
    write(shown, asked["out"])
    say(_told(found, proof, kept, report.table(shown)), _data(found, proof, kept), as_json)


BASE = ("base", "quantize", "engine", "remotes")


def _material(store: Store, asked: dict[str, Any]) -> tuple[Material, How]:
    """What is searched on, and how it is asked."""
    sampling = replace(GREEDY, max_tokens=asked["max_tokens"])
    if asked["on_votes"] == bool(asked["data"]):
        raise HoneError(
            "There is nothing to search on." if not asked["data"] else "Votes and data are two searches.",
            todo="Give either --data FORMAT:FILE or --votes.",
        )
    if asked["on_votes"]:
        return votes.material(store), How("likelihood", "plain", sampling=sampling)
    if metrics.unit_of(asked["metric"]) != SHARE:
        raise HoneError(
            "A search cannot go by a reward model.",
            "What it finds would be proved by the same model that it was fitted to.",
            "Search on --votes, or on right answers; hone prompts evaluate then measures rewards.",
        )
    wording = Wording(asked["question"], asked["answer"], asked["options"], asked["metric"])
    train = (asked["train"],) if asked["train"] else ()
    dataset = datasets_of([asked["data"]], train, wording, None)[0]
    how = How(cast(By, asked["by"]), cast(Calibrate, asked["calibrate"]), sampling=sampling)
    return optimise.parted(dataset, asked["limit"]), how


def _keep(
    store: Store,
    name: str,
    found: Found,
    proof: Evidence,
    versions: Sequence[PromptVersion],
    starts: Sequence[Start],
) -> PromptVersion | None:
    """The draft; None where the search found nothing better, or the evidence speaks for a start."""
    if proof.verdict in ("worse", "no better", "the start"):
        return None
    parent = versions[list(starts).index(found.best.start)]
    files = dict(found.best.strategy(name).files)
    return library.add(
        store, LOCAL_USER, NewVersion(name, files, proof.note, _known(store, parent), "search")
    )


def _known(store: Store, version: PromptVersion) -> PromptVersionId | None:
    """Its id, if the library has it: a strategy from a file need not be there."""
    known = {one.id for one in library.versions(store, version.name)}
    return version.id if version.id in known else None


MORE: dict[Ended, str] = {
    "the questions were spent": "more --questions",
    "the time was spent": "more --minutes",
}
SAYS = {
    "better": "It is better than every start, on items it never saw.",
    "not sure": "Whether it is better is not sure: try {more}, or more data to prove it on.",
    "no better": "On items it never saw it did no better: nothing is kept. Try another --seed, or {more}.",
    "worse": "On items it never saw it is worse: nothing is kept. Try another --seed, or {more}.",
    "the start": "No candidate did better than the start: nothing is kept. Try another --seed, or {more}.",
}


def _told(found: Found, proof: Evidence, kept: PromptVersion | None, table: str) -> str:
    lines = [
        f"Searched {len(found.placed)} candidates with {found.questions} questions in {found.seconds:.0f} s"
        f" ({found.ended_by}). The best on the items searched on:",
        "",
        *map(_line, found.placed[:SHOWN]),
        "",
        "On held-out items:",
        "",
        table,
        "",
        SAYS[proof.verdict].format(more=MORE[found.ended_by]),
    ]
    if kept is not None:
        further = f"`hone prompts label {kept.name} production {kept.id}`"
        if proof.verdict != "better":
            further = "let people tell: the tab Trial divides conversations between it and what answers now"
        lines += [
            f"{kept.id} is the draft of {kept.name}.",
            f"Next: `hone prompts show {kept.id}`, try it on the page /prompts, or {further}.",
        ]
    return "\n".join(lines)


def _line(placed: Placed[Candidate]) -> str:
    one = placed.runner
    said = f'; "{one.instruction[:60]}"' if one.instruction else ""
    return f"{placed.score:.3f} on {placed.items:>4} items  {len(one.examples)} examples{said}  ({one.how})"


def _data(found: Found, proof: Evidence, kept: PromptVersion | None) -> dict[str, object]:
    return {
        "verdict": proof.verdict,
        "version": kept.id if kept else None,
        "name": kept.name if kept else None,
        "questions": found.questions,
        "seconds": found.seconds,
        "ended_by": found.ended_by,
        "candidates": [
            {
                "score": one.score, "items": one.items, "how": one.runner.how,
                "instruction": one.runner.instruction, "examples": len(one.runner.examples),
            }
            for one in found.placed
        ],
        "held_out": {
            "found": proof.found.score,
            "starts": {one.column: one.score for one in proof.starts},
            "against": list(proof.against),
        },
        "files": dict(found.best.strategy(found.best.start.strategy.name).files),
    }  # fmt: skip
