"""The benchmark of streaming runs, compares like with like, and writes a result."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mircourse.experiments import latency, results

BENCHMARK = Path(__file__).resolve().parents[1] / "benchmarks" / "streaming.py"
ROWS = [
    "StreamingChroma against real time",
    "StreamingChroma against chroma_stft",
    "StreamingChroma against chroma_cqt",
]


def test_it_writes_a_result_and_leaves_the_committed_one_alone(tmp_path):
    committed = results.results_dir() / "bench-streaming.json"
    before = committed.read_bytes()
    command = [sys.executable, "-W", "error", BENCHMARK, "--fast", "--out", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert committed.read_bytes() == before
    found = results.read(tmp_path / "bench-streaming.json")
    assert [row["name"] for row in found.rows] == ROWS
    assert found.content["device"] == "CPU, 1 thread"
    assert "frames a second" in found.rows[0]["note"]
    for row in found.rows:
        assert 0 < row["interval"][0] <= row["mean"] <= row["interval"][1]


def test_the_committed_result_has_every_block_size():
    found = results.load("bench-streaming")
    assert found.content["command"] == "python benchmarks/streaming.py"
    wanted = [(name, task) for task in latency.BLOCKS for name in ROWS]
    assert [(row["name"], row["task"]) for row in found.rows] == wanted


@pytest.mark.parametrize("method", ["stft", "cqt"])
@pytest.mark.parametrize("block", [512, 2048])
def test_each_block_gives_librosa_s_chroma_of_its_own_hops(method, block):
    audio = 0.1 * np.random.default_rng(0).standard_normal(6144).astype(np.float32)
    read = latency.reader(method, {})
    found = [read(audio[i : i + block]) for i in range(0, len(audio), block)]
    assert np.concatenate(found, axis=1).shape == (12, 12)
    if method == "stft":
        import librosa

        padded = np.concatenate([np.zeros(latency.WINDOW - 512, dtype=np.float32), audio])
        whole = librosa.feature.chroma_stft(
            y=padded, sr=22050, n_fft=4096, hop_length=512, center=False, tuning=0.0
        )
        np.testing.assert_allclose(np.concatenate(found, axis=1), whole, atol=1e-5)


def test_an_unknown_method_is_refused():
    with pytest.raises(ValueError, match="got 'ear'"):
        latency.reader("ear", {})
