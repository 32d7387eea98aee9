"""The benchmark of attention compares forms that give the same, and writes its results."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from mircourse.experiments import results

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
FILES = ["bench-attention"] + ["bench-attention-memory"] * sys.platform.startswith("linux")
PARTS = ("attention alone", "attention layer", "training step")


@pytest.fixture
def attending(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    from parts import attending

    return attending


def test_it_writes_results_and_leaves_the_committed_ones_alone(tmp_path):
    kept = {file: file.read_bytes() for file in results.results_dir().glob("bench-*.json")}
    command = [sys.executable, "-W", "error", BENCHMARKS / "attention.py", "--fast"]
    done = subprocess.run([*command, "--out", tmp_path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert {f: f.read_bytes() for f in results.results_dir().glob("bench-*.json")} == kept
    assert sorted(file.stem for file in tmp_path.iterdir()) == FILES
    for name in FILES:
        found = results.read(tmp_path / f"{name}.json")
        wanted = [f"{part}, {tokens} tokens" for tokens in (16, 32, 64) for part in PARTS]
        assert found.tasks == wanted
        assert found.names() == ["plain", "skewed, some rows at a time", "naive"]
        assert found.content["device"] == "CPU, 1 thread"
        assert "grows as a power of the length: attention alone plain (" in found.verdict_note
        assert not found.metric.higher_is_better
    notes = [row["note"] for row in results.read(tmp_path / "bench-attention.json").rows]
    assert all(("× plain" in note) == (i % 3 > 0) for i, note in enumerate(notes))


def test_the_committed_results_have_every_length():
    tokens = (256, 512, 1024, 2048, 4096)
    wanted = [f"{part}, {n:,} tokens" for n in tokens for part in PARTS]
    for name in ("bench-attention", "bench-attention-memory"):
        found = results.load(name)
        assert found.content["command"] == "python benchmarks/attention.py"
        assert found.tasks == wanted
        longest = [row["task"] for row in found.rows if row["name"] == "naive"][-1]
        assert longest == "training step, 1,024 tokens"


def test_the_naive_form_gives_what_the_skewed_one_gives(attending):
    torch.manual_seed(0)
    ours, naive = (attending.attention_of(form, 40) for form in (attending.OURS, "naive"))
    naive.load_state_dict(ours.state_dict())
    x = torch.randn(2, 40, attending.D_MODEL)
    outs = []
    for layer in (ours, naive):
        out = layer(x)
        (out * torch.arange(40.0)[:, None].sin()).sum().backward()
        outs.append([out, *(p.grad for p in layer.parameters())])
    for a, b in zip(*outs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)


def test_the_power_of_a_power(attending):
    tokens = np.array([256.0, 512, 1024])
    assert attending.exponent(tokens, 3 * tokens**1.5) == pytest.approx(1.5)


@pytest.mark.parametrize(
    "ratios, verdict, says",
    [
        ((1.2, 1.3), "holds", "it holds for: attention layer 1.20"),
        ((1.9, 1.3), "holds-when", "it holds for: training step 1.30"),
        ((1.9, 1.7), "fails", "tokens does not hold for: attention layer 1.90"),
    ],
)
def test_the_note_says_for_which_parts_the_claim_holds(attending, ratios, verdict, says):
    by_part = dict(zip(PARTS, (1.0, *ratios), strict=True))
    measured = [
        attending.Measured(part, form, n, np.full(3, n * times), 1.0, 1)
        for n in (attending.AT // 2, attending.AT)
        for part, ours in by_part.items()
        for form, times in zip(attending.FORMS, (1.0, ours, 4.0), strict=True)
    ]
    found = attending.times(measured, "python")
    assert found["verdict"] == verdict
    assert says in found["verdict_note"]
    missed = ["attention layer"] * (ratios[0] > 1.6) + ["training step"] * (ratios[1] > 1.6)
    for part in ("attention layer", "training step"):
        after = found["verdict_note"].split(". Time")[0].partition("does not hold for")[2]
        assert (part in after) == (part in missed)
