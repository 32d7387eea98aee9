"""The benchmarks run, compare like with like, and write results. Their times are not tested."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mircourse.experiments import results

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
ROWS = {
    "front-end": [
        "LogMel against librosa",
        "LogMel against torchaudio",
        "LogCQT against librosa",
    ],
    "cnn-training": ["MusicCNN of width 0.125 against ResNet-18"],
    "rendering": [
        "render against real time",
        "one call against a call for each piece",
        "one call against a call for each piece",
        "render against pretty_midi.synthesize",
    ],
}


def run(*arguments):
    command = [sys.executable, "-W", "error", BENCHMARKS / "cnn.py", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    kept = {file: file.read_bytes() for file in results.results_dir().glob("bench-*.json")}
    done = run("--fast", "--out", folder)
    assert done.returncode == 0, done.stderr
    # The tiny mode measures nothing that a reader should see.
    assert {f: f.read_bytes() for f in results.results_dir().glob("bench-*.json")} == kept
    assert {file.stem for file in folder.iterdir()} == {f"bench-{name}" for name in ROWS}
    return {name: results.read(folder / f"bench-{name}.json") for name in ROWS}


@pytest.mark.parametrize("name", ROWS)
def test_each_part_writes_a_result(measured, name):
    result = measured[name]  # read, and so checked against the schema
    assert [row["name"] for row in result.rows] == ROWS[name]
    assert result.content["device"] == "CPU, 1 thread"
    assert result.content["command"] == f"python benchmarks/cnn.py {name} --fast"
    assert result.metric.higher_is_better
    for row in result.rows:
        low, high = row["interval"]
        assert 0 < low <= row["mean"] <= high
        assert row["task"] and row["note"]


def test_the_committed_results_come_from_these_parts():
    for name, rows in ROWS.items():
        result = results.load(f"bench-{name}")
        assert result.content["command"] == f"python benchmarks/cnn.py {name}"
        assert set(rows) <= {row["name"] for row in result.rows}


def test_memory_is_told_where_it_can_be(measured):
    notes = [row["note"] for row in measured["front-end"].rows]
    assert all(("peak memory" in note) == sys.platform.startswith("linux") for note in notes)


def test_an_unknown_part_is_refused():
    done = run("drumming")
    assert done.returncode == 2
    assert "no part drumming; there are front-end, cnn-training, rendering" in done.stderr


@pytest.fixture
def parts(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    from parts import beside, front_end, resnet, training

    return {"beside": beside, "front_end": front_end, "resnet": resnet, "training": training}


def test_the_peer_is_the_published_network(parts):
    # He et al. (2016) with 3 input channels and 1,000 classes: 11.69 million parameters.
    network = parts["resnet"].ResNet18(1000, channels=3)
    assert parts["training"].parameters(network) == 11_689_512


def test_the_peer_reads_log_mels(parts):
    import torch

    network = parts["resnet"].ResNet18(19)
    assert network(torch.zeros(2, 128, 54)).shape == (2, 19)
    assert network.stages(network.stem(torch.zeros(2, 1, 128, 64))).shape == (2, 512, 4, 2)


def test_a_step_learns(parts):
    import torch

    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 3))
    x, y = torch.randn(8, 3, 4), torch.arange(8) % 3
    before = torch.nn.functional.cross_entropy(network(x), y)
    take = parts["training"].step(network, x, y)
    for _ in range(50):
        take()
    assert torch.nn.functional.cross_entropy(network(x), y) < before


def test_spectrograms_that_differ_are_not_timed(parts):
    check = parts["front_end"].check_alike
    ours = np.log(np.random.default_rng(0).uniform(0.1, 1, (2, 5, 7)))
    check(ours, ours + 1e-4, 1e-3)
    with pytest.raises(ValueError, match=r"of the loudest apart; expected"):
        check(ours, ours + 0.1, 1e-3)
    with pytest.raises(ValueError, match=r"shapes \(2, 5, 7\) and \(2, 5, 6\)"):
        check(ours, ours[..., 1:], 1e-3)


def test_the_ratio_is_of_medians_and_above_one_where_ours_is_faster(parts):
    times = np.array([[1.0, 2.0], [1.0, 2.2], [9.0, 18.0]])
    found = parts["beside"].ratio_of(times)
    assert found.value == pytest.approx(2.2)
    assert (found.low, found.high) == pytest.approx((2.0, 2.2))
    assert (found.seconds_a, found.seconds_b, found.rounds) == (1.0, 2.2, 3)


def test_ours_and_the_peer_take_turns(parts):
    calls = []
    parts["beside"].beside(lambda: calls.append("a"), lambda: calls.append("b"), repeats=3)
    timed = calls[2:8]  # after one call of each to warm up; those for the memory come last
    assert "".join(timed) == "ababab"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_peak_memory_is_what_a_function_touches(parts):
    peak = parts["beside"].peak_megabytes
    assert 95 < peak(lambda: np.ones(100 * 2**17)) < 130  # 100 MiB of doubles
    assert peak(lambda: None) < 5


def test_transcription_is_measured_beside_the_peer_where_there_is_one(tmp_path):
    if not os.environ.get("MIRCOURSE_BASIC_PITCH_PYTHON"):
        pytest.skip("MIRCOURSE_BASIC_PITCH_PYTHON is not set")
    command = [sys.executable, "-W", "error", BENCHMARKS / "transcription.py", "--fast"]
    done = subprocess.run([*command, "--out", tmp_path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    result = results.read(tmp_path / "bench-transcription.json")
    assert [row["name"] for row in result.rows] == [
        "MusicTranscriptionRNN against basic-pitch",
        "MusicTranscriptionRNN against real time",
    ]
