"""A vote that was acknowledged is there, whatever happens to the server afterwards."""

import signal
import subprocess
import sys
from pathlib import Path

from feedback import votes
from tests import build

ROOT = Path(__file__).parents[2]

BURST = """
import sys
from pathlib import Path
from tests import build
from feedback import label
from feedback.ids import LOCAL_USER

store = build.store(Path(sys.argv[1]))
about = build.asked(store, "What is tea?", "A drink.", "Leaves.", "Twigs.")
task_id = label.add_task(store, about.prompt_id, about.replies)
while True:
    print(label.rank(store, LOCAL_USER, task_id, about.replies, (1, 2, 3)), flush=True)
"""


def test_every_acknowledged_vote_survives_a_kill_in_the_middle_of_a_burst(tmp_path):
    for enough in (1, 20, 63):
        home = tmp_path / str(enough)
        with subprocess.Popen(
            [sys.executable, "-c", BURST, str(home)], cwd=ROOT, stdout=subprocess.PIPE, text=True
        ) as burst:
            acknowledged = [burst.stdout.readline().strip() for _ in range(enough)]
            burst.send_signal(signal.SIGKILL)
            # What it still said before it died was acknowledged too; a last line may be cut short.
            acknowledged += [
                line.strip() for line in burst.stdout.read().splitlines(keepends=True) if "\n" in line
            ]
        store = build.store(home)
        kept = [votes.get(store, vote_id) for vote_id in acknowledged]
        assert all(len(vote.shown) == 3 for vote in kept)
        assert len(votes.of_prompt(store, kept[0].prompt_message_id)) == 1
        assert store.row("PRAGMA integrity_check")[0] == "ok"
        assert store.rows("PRAGMA foreign_key_check") == []
