"""The benchmark of the contrastive loss says what it needs, and compares like with like."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from mircourse.experiments import results

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
PEERS = ("lightly", "pytorch_metric_learning")
HAVE_PEERS = all(importlib.util.find_spec(name) for name in PEERS)


def run(*arguments):
    command = [sys.executable, BENCHMARKS / "contrastive.py", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.skipif(HAVE_PEERS, reason="lightly and pytorch-metric-learning are installed")
def test_it_says_what_to_install():
    done = run("--fast")
    assert done.returncode == 2
    assert "pip install lightly pytorch-metric-learning" in done.stderr


@pytest.mark.skipif(not HAVE_PEERS, reason="lightly or pytorch-metric-learning is not installed")
def test_it_writes_results_and_leaves_the_committed_ones_alone(tmp_path):
    kept = {file: file.read_bytes() for file in results.results_dir().glob("bench-*.json")}
    done = run("--fast", "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    assert {f: f.read_bytes() for f in results.results_dir().glob("bench-*.json")} == kept
    found = results.read(tmp_path / "bench-contrastive.json")
    assert found.tasks == ["4 clips", "8 clips"]
    assert found.names() == ["nt_xent against lightly", "nt_xent against pytorch-metric-learning"]
    assert found.content["device"] == "CPU, 1 thread"
    if sys.platform.startswith("linux"):
        memory = results.read(tmp_path / "bench-contrastive-memory.json")
        assert memory.names() == ["nt_xent", "lightly", "pytorch-metric-learning"]
        assert not memory.metric.higher_is_better


@pytest.mark.skipif(not HAVE_PEERS, reason="lightly or pytorch-metric-learning is not installed")
def test_losses_that_differ_are_not_timed(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    from parts import contrasting

    ours = contrasting.methods_for(8)["nt_xent"]
    steps = [contrasting.step(loss, 8) for loss in (ours, lambda a, b: 1.01 * ours(a, b))]
    with pytest.raises(ValueError, match="expected the same loss"):
        contrasting.check_alike(["nt_xent", "other"], steps)
