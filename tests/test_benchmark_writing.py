"""The benchmarks of events and generation say what they need where it is missing."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from mircourse.experiments import results

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
PEERS = {"events": "miditok", "generation": "transformers"}
ROWS = {
    "events": {"encode against miditok", "decode against miditok"},
    "generation": {
        "generate against GPT-2's generate",
        "a step against a step of GPT-2",
        "remembering against reading all again",
    },
}


@pytest.mark.parametrize("name", PEERS)
def test_without_the_peer_it_says_what_to_install_and_with_it_writes_a_result(name, tmp_path):
    command = [sys.executable, "-W", "error", BENCHMARKS / f"{name}.py", "--fast"]
    done = subprocess.run(
        [*command, "--out", tmp_path], capture_output=True, text=True, check=False
    )
    if importlib.util.find_spec(PEERS[name]) is None:
        assert done.returncode == 1
        assert f"this benchmark needs {PEERS[name]}" in done.stderr
        assert "pip install" in done.stderr
        assert not list(tmp_path.iterdir())
        return
    assert done.returncode == 0, done.stderr
    found = results.read(tmp_path / f"bench-{name}.json")
    assert {row["name"] for row in found.rows} == ROWS[name]
    for row in found.rows:
        assert 0 < row["interval"][0] <= row["mean"] <= row["interval"][1]


def test_the_committed_result_of_events_is_of_this_benchmark():
    found = results.load("bench-events")
    assert found.content["command"] == "python benchmarks/events.py"
    assert {row["name"] for row in found.rows} == ROWS["events"]
