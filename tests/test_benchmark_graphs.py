"""The benchmark of graphs runs, compares what is equal, and writes results."""

import subprocess
import sys
from pathlib import Path

import pytest

from mircourse.experiments import results

BENCHMARK = Path(__file__).resolve().parents[1] / "benchmarks" / "graphs.py"
# PyG compiles a tuple with TorchScript when it is loaded, which PyTorch 2.13 advises against.
WARNINGS = ["-W", "error", "-W", "ignore:`torch.jit.script`:DeprecationWarning"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("results")
    kept = {file: file.read_bytes() for file in results.results_dir().glob("bench-*.json")}
    command = [sys.executable, *WARNINGS, BENCHMARK, "--fast", "--out", made]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    # The tiny mode measures nothing that a reader should see.
    assert {f: f.read_bytes() for f in results.results_dir().glob("bench-*.json")} == kept
    return made


def test_each_part_writes_a_result(folder):
    names = {file.stem for file in folder.iterdir()}
    assert names == {"bench-graphs", "bench-graph-batches", "bench-graph-growth"}
    for name in names:
        result = results.read(folder / f"{name}.json")  # read, and so checked against the schema
        assert result.content["command"] == "python benchmarks/graphs.py --fast"
        assert result.content["device"] == "CPU, 1 thread"
        for row in result.rows:
            low, high = row["interval"]
            assert low <= row["mean"] <= high and row["task"] and row["note"]


def test_a_smaller_exponent_is_better(folder):
    growth = results.read(folder / "bench-graph-growth.json")
    assert not growth.metric.higher_is_better and growth.metric.name == "exponent"
