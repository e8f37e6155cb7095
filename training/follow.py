"""Following a run from a terminal: a progress bar that only looks. The run does not know that it is
watched.
"""

import time
from typing import Any

from tqdm import tqdm

from feedback.home import Home
from feedback.ids import RunId
from feedback.store import Store
from training import runs
from training.runs import Run

POLL_S = 0.5
SHOWN = ("loss", "margin", "accuracy", "calibration_loss")


def to_end(store: Store, home: Home, run_id: RunId) -> Run:
    """Show the run on stderr, where that is a terminal, until it is over, and return it. KeyboardInterrupt
    leaves it running.
    """
    runs.start_next(home, store)
    shown = "{desc} {bar} {n_fmt}/{total_fmt} {postfix}"
    with tqdm(unit="step", desc=f"{run_id} queued", bar_format=shown, disable=None) as bar:
        while True:
            runs.sweep(store)
            run = runs.get(store, run_id)
            _show(store, run, bar)
            if run.is_over:
                return run
            time.sleep(POLL_S)


def _show(store: Store, run: Run, bar: Any) -> None:
    bar.set_description_str(f"{run.id} {run.state}", refresh=False)
    if run.total_steps:
        bar.total = run.total_steps
    bar.n = run.step
    newest = {point.name: point.value for point in runs.metrics(store, run.id, SHOWN)}
    bar.set_postfix({name: f"{newest[name]:.3f}" for name in SHOWN if name in newest}, refresh=False)
    bar.refresh()
