"""Attention with distances, skewed and naive, beside PyTorch's own attention without them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from mircourse.attention import KeyValues, MultiHeadAttention
from mircourse.experiments.definition import Metric
from mircourse.experiments.report import describe_metric, provenance
from mircourse.experiments.runner import describe_device
from mircourse.intervals import bootstrap_statistic
from mircourse.musictransformer import MusicTransformer
from mircourse.relative import RelativePositionalEncoding
from mircourse.relativeattention import relative_attention
from parts.beside import peak_megabytes, seconds

D_MODEL, N_HEADS = 512, 8  # those of the default MusicTransformer
ROUNDS = {256: 9, 512: 7, 1024: 3, 2048: 9, 4096: 3}  # by tokens
# 8 heads x 2048 x 2048 pairs x 64 numbers are 8.6 GB, and their gradient as much again.
NAIVE_UP_TO = 1024
# Skewing by itself would still keep the logits of all pairs.
OURS = "skewed, some rows at a time"
FORMS = ("plain", OURS, "naive")
KINDS = {"plain": "peer", OURS: "ours", "naive": "baseline"}
PARTS = ("attention alone", "attention layer", "training step")
JUDGED = PARTS[1:]  # alone, without projections, no network has it
AT, AT_MOST = 2048, 1.6
A_TENTH = 0.1

TIME_CLAIM = (
    f"At {AT:,} tokens attention that knows distances takes at most {AT_MOST} times the time of "
    "PyTorch's own, which knows none"
)
MEMORY_CLAIM = (
    "Skewing some rows at a time adds less than a tenth of the memory that a vector for every pair "
    "of tokens adds"
)


class NaiveAttention(MultiHeadAttention):
    """Relative attention with a vector for every pair of positions (Shaw et al., 2018)."""

    def forward(
        self, x: Tensor, *, mask: Tensor | None = None, cache: KeyValues | None = None
    ) -> Tensor:
        """Return what the skewed form returns, for whole causal sequences."""
        assert mask is None and cache is None and self.causal and self.relative is not None
        q, k, v = self._project(x, None)
        out = naive(q, k, v, self.relative.window(x.shape[1], x.shape[1]))
        return self.to_out(out.transpose(1, 2).flatten(2))  # (B, H, T, d) -> (B, T, H * d)


def naive(q: Tensor, k: Tensor, v: Tensor, vectors: Tensor) -> Tensor:
    """Attend causally, (B, H, T, d), with the vectors (H, T, d) gathered for every pair."""
    _, H, T, d = q.shape
    place = torch.arange(T)
    index = (place[None] - place[:, None]).clamp(max=0) + T - 1  # (T, T)
    pairs = vectors.index_select(1, index.flatten()).view(H, T, T, d)
    by_query = q.permute(1, 2, 0, 3) @ pairs.mT  # (H, T, B, d) @ (H, T, d, T)
    logits = (q @ k.mT + by_query.permute(2, 0, 1, 3)) / math.sqrt(d)  # (B, H, T, T)
    later = place[None] > place[:, None]
    return logits.masked_fill(later, -math.inf).softmax(dim=-1) @ v


@dataclass(frozen=True)
class Measured:
    """One form at one length.

    Attributes
    ----------
    part : str
        One of `PARTS`.
    form : str
        One of `FORMS`.
    tokens : int
        Length of the sequence.
    times : ndarray, (rounds,)
        Seconds of processor time.
    megabytes : float or None
        How far memory rises, where that can be told.
    parameters : int
        Numbers that are learned.
    """

    part: str
    form: str
    tokens: int
    times: NDArray[np.float64]
    megabytes: float | None
    parameters: int


def measure(*, fast: bool) -> list[Measured]:
    """Measure every form at every length, in turns."""
    rounds = {16: 2, 32: 2, 64: 2} if fast else ROUNDS
    found = []
    for tokens, n in rounds.items():
        forms = [f for f in FORMS if f != "naive" or tokens <= NAIVE_UP_TO]
        for part, make in zip(PARTS, (alone_step, layer_step, training_step), strict=True):
            made = {form: make(form, tokens) for form in forms}
            steps = {form: step for form, (step, _) in made.items()}
            for step in steps.values():
                step()
            times = np.array([[seconds(step) for step in steps.values()] for _ in range(n)])
            for form, column in zip(forms, times.T, strict=True):
                peak = peak_megabytes(steps[form])
                found.append(Measured(part, form, tokens, column, peak, made[form][1]))
    return found


def alone_step(form: str, tokens: int) -> tuple[Callable[[], Any], int]:
    """Return forward and backward of attention without projections, and its parameters."""
    torch.manual_seed(0)
    d = D_MODEL // N_HEADS
    leaves = [torch.randn(1, N_HEADS, tokens, d, requires_grad=True) for _ in range(3)]
    weight = torch.randn(1, N_HEADS, tokens, d)
    distances = RelativePositionalEncoding(d, tokens, n_heads=N_HEADS, causal=True)

    def step() -> None:
        for x in (*leaves, distances.rel_pos_emb):
            x.grad = None
        if form == "plain":
            out = functional.scaled_dot_product_attention(*leaves, is_causal=True)
        elif form == "naive":
            out = naive(*leaves, distances.window(tokens, tokens))
        else:
            out = relative_attention(*leaves, distances.window(tokens, tokens), causal=True)
        (out * weight).sum().backward()

    return step, 0 if form == "plain" else _count(distances)


def layer_step(form: str, tokens: int) -> tuple[Callable[[], Any], int]:
    """Return forward and backward of one attention layer, and its number of parameters."""
    torch.manual_seed(0)
    layer = attention_of(form, tokens)
    x = torch.randn(1, tokens, D_MODEL, requires_grad=True)
    weight = torch.randn(1, tokens, D_MODEL)

    def step() -> None:
        layer.zero_grad()
        x.grad = None
        (layer(x) * weight).sum().backward()

    return step, _count(layer)


def training_step(form: str, tokens: int) -> tuple[Callable[[], Any], int]:
    """Return a training step of a MusicTransformer of one layer, and its parameters."""
    torch.manual_seed(0)
    model = MusicTransformer(
        D_MODEL, N_HEADS, 1, tokens, relative=form != "plain", dropout=0.0, outputs=["logits"]
    )
    if form == "naive":
        own = attention_of("naive", tokens)
        own.load_state_dict(model.layers[0].attention.state_dict())
        model.layers[0].attention = own
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-4)
    x = torch.randint(0, model.n_tokens, (1, tokens + 1))

    def step() -> None:
        optimiser.zero_grad()
        logits = model(x[:, :-1])["logits"]
        functional.cross_entropy(logits.flatten(0, 1), x[:, 1:].flatten()).backward()
        optimiser.step()

    return step, _count(model)


def attention_of(form: str, tokens: int) -> MultiHeadAttention:
    """Return a causal attention layer of one form."""
    kind = NaiveAttention if form == "naive" else MultiHeadAttention
    return kind(D_MODEL, N_HEADS, causal=True, relative=form != "plain", max_len=tokens)


def times(measured: list[Measured], command: str) -> dict[str, Any]:
    """Return the result of the times."""
    at = AT if any(m.tokens == AT for m in measured) else max(m.tokens for m in measured)
    rows, reached, missed = [], [], []
    for m in measured:
        note = ""
        if m.form != "plain":
            value, low, high = _ratio(m, _of(measured, m.part, "plain", m.tokens))
            note = f"{value:.2f} [{low:.2f}, {high:.2f}] × plain"
            if m.form == OURS and m.tokens == at and m.part in JUDGED:
                (reached if high <= AT_MOST else missed).append(f"{m.part} {note}")
        rows.append(_row(m, *_median(m.times), note))
    exponents = _exponents(measured, lambda m: float(np.median(m.times)))
    verdict = "holds" if len(reached) == len(JUDGED) else "holds-when" if reached else "fails"
    note = (
        f"At {at:,} tokens {_for_which(reached, missed)}. "
        f"Time grows as a power of the length: {exponents}"
    )
    metric = Metric("processor time", "s", higher_is_better=False)
    return _content("bench-attention", TIME_CLAIM, verdict, note, command, metric, rows, measured)


def memory(measured: list[Measured], command: str) -> dict[str, Any]:
    """Return the result of the memory that each form adds to plain attention."""
    rows, shares = [], {}
    for m in measured:
        assert m.megabytes is not None
        plain = _of(measured, m.part, "plain", m.tokens).megabytes or 0.0
        extra = m.megabytes - plain
        note = "" if m.form == "plain" else f"{extra:+.0f} MB beside plain"
        if m.form == "naive":
            ours = _of(measured, m.part, OURS, m.tokens).megabytes or 0.0
            shares[m.part] = (ours - plain) / extra if extra > 0 else math.inf
            shown = f"{shares[m.part]:.1%}"
            note += f"; skewing some rows at a time adds {shown} of that"
        rows.append(_row(m, m.megabytes, m.megabytes, m.megabytes, note))
    reached = [part for part in JUDGED if shares[part] < A_TENTH]
    verdict = "holds" if len(reached) == len(JUDGED) else "holds-when" if reached else "fails"
    longest = max(m.tokens for m in measured if m.form == "naive")
    listed = "; ".join(f"{part} {share:.1%}" for part, share in shares.items())
    note = (
        f"Of what the naive form adds at {longest:,} tokens, the longest that it was run at, "
        f"skewing some rows at a time adds: {listed}. Memory grows as a power of the length: "
        f"{_exponents(measured, lambda m: max(m.megabytes or 0.0, 0.1))}"
    )
    metric = Metric("peak memory", "MB", higher_is_better=False)
    return _content(
        "bench-attention-memory", MEMORY_CLAIM, verdict, note, command, metric, rows, measured
    )


def exponent(tokens: NDArray[np.float64], values: NDArray[np.float64]) -> float:
    """Return p of the power of the length, value = c * tokens ** p, by least squares of logs."""
    return float(np.polyfit(np.log(tokens), np.log(values), 1)[0])


def _exponents(measured: list[Measured], value: Callable[[Measured], float]) -> str:
    found = []
    for part in PARTS:
        listed = []
        for form in FORMS:
            some = [m for m in measured if (m.part, m.form) == (part, form)]
            lengths = np.array([m.tokens for m in some], dtype=float)
            p = exponent(lengths, np.array([value(m) for m in some]))
            upto = "" if form != "naive" else f" to {max(m.tokens for m in some):,}"
            listed.append(f"{form} ({p:.2f}{upto})")
        found.append(f"{part} {', '.join(listed)}")
    return "; ".join(found)


def _for_which(reached: list[str], missed: list[str]) -> str:
    held = [f"it holds for: {'; '.join(reached)}"] if reached else []
    return ", and ".join(held + ([f"does not hold for: {'; '.join(missed)}"] if missed else []))


def _of(measured: list[Measured], part: str, form: str, tokens: int) -> Measured:
    return next(m for m in measured if (m.part, m.form, m.tokens) == (part, form, tokens))


def _ratio(ours: Measured, peer: Measured) -> tuple[float, float, float]:
    def value(index: NDArray[np.int64]) -> float:
        return float(np.median(ours.times[index]) / np.median(peer.times[index]))

    # Rounds are drawn whole: what slowed both in a round stays together.
    found = bootstrap_statistic(value, len(ours.times))
    return found.mean, found.low, found.high


def _median(values: NDArray[np.float64]) -> tuple[float, float, float]:
    found = bootstrap_statistic(lambda index: float(np.median(values[index])), len(values))
    return found.mean, found.low, found.high


def _row(m: Measured, mean: float, low: float, high: float, note: str) -> dict[str, Any]:
    return {
        "name": m.form,
        "kind": KINDS[m.form],
        "task": f"{m.part}, {m.tokens:,} tokens",
        "parameters": m.parameters,
        "seeds": [0],
        "scores": [mean],
        "mean": mean,
        "interval": [low, high],
        "note": note,
    }


def _content(
    name: str,
    claim: str,
    verdict: str,
    note: str,
    command: str,
    metric: Metric,
    rows: list[dict[str, Any]],
    measured: list[Measured],
) -> dict[str, Any]:
    return {
        "experiment": name,
        "claim": claim,
        "verdict": verdict,
        "verdict_note": note,
        "command": command,
        "device": describe_device(),
        "wall_seconds": round(float(sum(m.times.sum() for m in measured)), 1),
        **provenance(),
        "metric": describe_metric(metric),
        "split": "",
        "groups": "rounds",
        "rows": rows,
    }


def _count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())
