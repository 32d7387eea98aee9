"""Models of melody on the fiddle tunes: what a note costs, whether bars add up, what is copied.

The tunes are those of Ryan and O'Neill. Networks and n-grams learn from the train split; everything
about them was chosen on the valid split; what is scored is the test split.

A model is named by settings: ``{"model": "LSTM", "place": True}``, where ``place`` says whether it
is told the meter and where in the bar it is.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Mapping, Sequence
from typing import Any

import joblib
import numpy as np
from numpy.typing import NDArray

from mircourse import melodies
from mircourse.experiments.runner import cache_dir
from mircourse.melodies import END, N_DURATIONS, N_PITCHES, REST, Melody

RECIPE = {"epochs": 7, "batch_size": 16, "gradient_clip": 1.0}
# About as many parameters: a plain recurrent layer has a quarter of an LSTM's for its size. Each
# has its own rate of learning, chosen on the valid split.
NETWORKS: dict[str, dict[str, Any]] = {
    "LSTM": {"hidden_size": 192, "dropout": 0.15, "cell": "lstm"},
    "plain RNN": {"hidden_size": 400, "dropout": 0.15, "cell": "rnn"},
}
RATES = {"LSTM": 0.005, "plain RNN": 0.002}
PROMPT_BARS = 2
GRAM = 8
FAST_TUNES = 24
LAST, BACK = 90, 64  # the event whose cost is followed back, and how far


@functools.cache
def tunes(split: str) -> tuple[Melody, ...]:
    """Return the tunes of a split."""
    return tuple(melodies.tunes(split))


def scored(fast: bool, *, step: int = 1) -> tuple[Melody, ...]:
    """Return the tunes of the test split that are scored, every one or each `step`-th."""
    return tunes("test")[::step][: FAST_TUNES if fast else None]


# ------------------------------------------------------------------------------------- models


def trained(settings: Mapping[str, Any], *, seed: int, fast: bool) -> tuple[Any, float]:
    """Return a trained network and the seconds that its training took; recalled if known.

    Parameters
    ----------
    settings : mapping
        ``model``, one of `NETWORKS`, and ``place``.
    seed : int
        Decides the initial weights and the order.
    fast : bool
        One epoch on a few tunes.
    """
    import torch

    memory = joblib.Memory(cache_dir() / "melodies", verbose=0)
    # The recipe is part of what a result depends on.
    complete = {**NETWORKS[settings["model"]], "place": settings["place"]}
    recipe = {**RECIPE, "lr": RATES[settings["model"]]}
    state, seconds = memory.cache(_train)(complete, recipe, seed=seed, fast=fast)
    model = untrained(settings, seed=seed)
    model.load_state_dict({name: torch.from_numpy(value) for name, value in state.items()})
    return model, seconds


def untrained(settings: Mapping[str, Any], *, seed: int) -> Any:
    """Return a new network."""
    from mircourse import training
    from mircourse.melodylstm import MelodyLSTM

    training.seed_everything(seed)
    return MelodyLSTM(**NETWORKS[settings["model"]], place=settings["place"]).eval()


def _train(
    arguments: dict[str, Any], recipe: dict[str, Any], *, seed: int, fast: bool
) -> tuple[dict[str, NDArray], float]:
    from mircourse import training
    from mircourse.melodylstm import MelodyLSTM
    from mircourse.melodytraining import MelodyTask, loader

    training.seed_everything(seed)
    model = MelodyLSTM(**arguments)
    learn = tunes("train")[: FAST_TUNES if fast else None]
    began = time.perf_counter()
    training.fit(
        MelodyTask(model, lr=recipe["lr"]),
        loader(learn, batch_size=recipe["batch_size"], seed=seed),
        epochs=1 if fast else recipe["epochs"],
        gradient_clip=recipe["gradient_clip"],
        seed=seed,
    )
    state = {name: value.numpy() for name, value in model.state_dict().items()}
    return state, time.perf_counter() - began


@functools.cache
def ngram(model: str, place: bool) -> Any:
    """Return the n-gram model, or the unigrams, counted on the train split."""
    from mircourse.melodyngram import MelodyNGram

    if model == "unigram":
        counted = MelodyNGram(duration_order=1, pitch_order=1, interval_order=0, place=False)
    elif place:
        counted = MelodyNGram(duration_order=6, pitch_order=4, interval_order=5)
    else:
        counted = MelodyNGram(duration_order=8, pitch_order=4, interval_order=5, place=False)
    return counted.fit(tunes("train"))


def _model(settings: Mapping[str, Any], *, seed: int, fast: bool) -> tuple[Any, int, float]:
    """Return a model, how many numbers it has, and the seconds it took."""
    if settings["model"] in NETWORKS:
        network, seconds = trained(settings, seed=seed, fast=fast)
        return network, sum(p.numel() for p in network.parameters()), seconds
    began = time.perf_counter()
    counted = ngram(settings["model"], settings["place"])
    return counted, counted.n_counts, time.perf_counter() - began


# -------------------------------------------------------------------------------- bits per note


def per_unit(truth: NDArray, prediction: NDArray) -> float:
    """Return the sum of what was found (bits, bars) over the sum of what it is counted in."""
    return float(prediction.sum() / max(1, truth.sum()))


def bits(settings: Mapping[str, Any], *, seed: int, fast: bool) -> dict[str, Any]:
    """Score a model by what the test tunes cost.

    Returns
    -------
    dict
        ``truth`` (notes of each tune), ``prediction`` (bits), ``groups`` (family),
        ``parameters``, ``seconds``.
    """
    heard = scored(fast)
    if settings["model"] == "uniform":
        cost, parameters, seconds = [uniform_bits(melody) for melody in heard], 0, 0.0
    else:
        model, parameters, seconds = _model(settings, seed=seed, fast=fast)
        network = settings["model"] in NETWORKS
        cost = model.bits(heard) if network else [model.bits(melody) for melody in heard]
    return {
        "truth": [melody.n_notes for melody in heard],
        "prediction": [float(c) for c in cost],
        "groups": [melody.family for melody in heard],
        "parameters": parameters,
        "seconds": seconds,
    }


def uniform_bits(melody: Melody) -> float:
    """Return what a melody costs if every symbol is as likely as every other."""
    going = int((melody.duration != END).sum())
    return len(melody) * float(np.log2(N_DURATIONS)) + going * float(np.log2(N_PITCHES))


# ----------------------------------------------------------------------------------- generation


def continued(settings: Mapping[str, Any], *, seed: int, fast: bool) -> list[tuple[int, Melody]]:
    """Return tunes that begin as the test tunes do, and how many events of each were given.

    The pickup and two bars are given; the model goes on for as many events as the real tune has,
    unless it ends before. "real tunes" go on as they do.
    """
    from mircourse.sampling import continue_melodies

    heard = scored(fast, step=2)
    prompts = [melody.first(prompt_events(melody)) for melody in heard]
    if settings["model"] == "real tunes":
        return [(len(p), melody) for p, melody in zip(prompts, heard, strict=True)]
    model, _, _ = _model(settings, seed=seed, fast=fast)
    most = max(len(melody) for melody in heard)
    made = continue_melodies(model, prompts, most, top_p=settings.get("top_p", 1.0), seed=seed)
    return [
        (len(p), _cut(new, len(melody)))
        for p, new, melody in zip(prompts, made, heard, strict=True)
    ]


def _cut(melody: Melody, events: int) -> Melody:
    return melody if len(melody) <= events else melody.first(events)


def prompt_events(melody: Melody) -> int:
    """Return how many events begin in the pickup and the first two bars."""
    bar = melodies.bar_ticks(melody.meter)
    limit = round(melody.pickup_beats * melodies.TICKS) + PROMPT_BARS * bar
    return int((melody.onset_ticks[: len(melody) - melody.ended] < limit).sum())


def right_bars(melody: Melody, *, after: int) -> tuple[int, int]:
    """Return how many bars are filled exactly, and how many there are, from an event on.

    A bar is right if notes or rests begin at its bar line and at the next: then those between add
    up to it. The last bar of a tune that ends may be shorter by the pickup; one that is not ended
    does not count.

    Parameters
    ----------
    melody : Melody
        A tune.
    after : int
        Bars that begin at this event or later count.
    """
    bar = melodies.bar_ticks(melody.meter)
    pickup = round(melody.pickup_beats * melodies.TICKS)
    ticks = melody.onset_ticks
    edges = set(ticks.tolist())
    first = -((pickup - int(ticks[after])) // bar)  # the first bar line at the event or later
    end = int(ticks[-1])
    full = max(0, (end - pickup) // bar - first)
    lines = [pickup + (first + k) * bar for k in range(full + 1)]
    right = sum(a in edges and a + bar in edges for a in lines[:-1])
    rest = end - lines[-1]
    if melody.ended and rest > 0:
        return right + (lines[-1] in edges and rest == bar - pickup), full + 1
    return right, full


def bars(settings: Mapping[str, Any], *, seed: int, fast: bool) -> dict[str, Any]:
    """Score what a model writes by the share of bars that are filled exactly."""
    counts = [right_bars(m, after=n) for n, m in continued(settings, seed=seed, fast=fast)]
    return _shares(counts, fast)


@functools.cache
def _known() -> frozenset[bytes]:
    return frozenset(gram for melody in tunes("train") for gram in grams(melody))


def grams(melody: Melody, *, after: int = 0) -> list[bytes]:
    """Return every eight notes in a row from an event on, as intervals and durations, in no key.

    Rests count as part of the note before.
    """
    sounds = np.flatnonzero(melody.pitch[after:] != REST) + after
    onset = melody.onset_ticks[sounds]
    steps = np.stack([np.diff(melody.pitch[sounds]), np.diff(onset)], axis=1)
    rows = steps.astype(np.int32)
    return [rows[i : i + GRAM - 1].tobytes() for i in range(len(rows) - GRAM + 2)]


def copying(settings: Mapping[str, Any], *, seed: int, fast: bool) -> dict[str, Any]:
    """Score what a model writes by the share of its 8-grams that stand in the train split."""
    known = _known()
    counts = []
    for given, melody in continued(settings, seed=seed, fast=fast):
        found = grams(melody, after=given)
        counts.append((sum(gram in known for gram in found), len(found)))
    return _shares(counts, fast)


def _shares(counts: Sequence[tuple[int, int]], fast: bool) -> dict[str, Any]:
    return {
        "truth": [whole for _, whole in counts],
        "prediction": [part for part, _ in counts],
        "groups": [melody.family for melody in scored(fast, step=2)],
    }


# ------------------------------------------------------------------------------------ gradients


def gradients(settings: Mapping[str, Any], *, back: int, seed: int, fast: bool) -> dict[str, Any]:
    """Score how much of the gradient arrives so many events back.

    The cost of one event is differentiated with respect to the state of the recurrent layer
    (hidden and cell state) some events before. The score of a tune is the base-10 logarithm of
    the gradient's norm over its norm one event back.
    """
    name, learned, place = (settings[key] for key in ("model", "trained", "place"))
    norms, parameters = _norms(name, learned, place, seed, fast)
    relative = np.log10(norms[:, back - 1] / norms[:, 0])
    return {
        "scores": relative.tolist(),
        "groups": [melody.family for melody in _long(fast)],
        "parameters": parameters,
    }


def _long(fast: bool) -> list[Melody]:
    long = [melody for melody in scored(False) if len(melody) > LAST + 1]
    return long[: FAST_TUNES if fast else 160]


@functools.lru_cache(maxsize=1)  # one distance after another is asked for
def _norms(
    name: str, learned: bool, place: bool, seed: int, fast: bool
) -> tuple[NDArray[np.float64], int]:
    settings = {"model": name, "place": place}
    if learned:
        model, _ = trained(settings, seed=seed, fast=fast)
    else:
        model = untrained(settings, seed=seed)
    return gradient_norms(model, _long(fast)), sum(p.numel() for p in model.parameters())


def gradient_norms(model: Any, some: Sequence[Melody]) -> NDArray[np.float64]:
    """Return the norm of the gradient of one event's cost, 1 to `BACK` events back: ``(N, BACK)``.

    Parameters
    ----------
    model : MelodyLSTM
        In evaluation mode.
    some : sequence of Melody
        Of more than `LAST` + 1 events each.
    """
    import torch

    from mircourse.melodylstm import batch

    rows = batch(some)[:, : LAST + 1]
    x = model.embed(rows[..., :2], rows[..., 2]).detach()  # (N, T, D)
    with torch.no_grad():
        _, state = model.recurrent(x[:, : LAST - BACK])
    kept: list[Any] = []  # the states before each of the last BACK + 1 steps
    for t in range(LAST - BACK, LAST + 1):
        parts = state if isinstance(state, tuple) else (state,)
        if not kept:
            parts = tuple(part.requires_grad_() for part in parts)
            state = parts if isinstance(state, tuple) else parts[0]
        kept.append(parts)
        h, state = model.recurrent(x[:, t : t + 1], state)  # (N, 1, D) -> (N, 1, H)
    target = rows[:, LAST]
    logits = model.duration_logits(h[:, 0]), model.pitch_logits(h[:, 0], target[:, 3])
    cost = sum(
        torch.nn.functional.cross_entropy(one, target[:, column], reduction="sum")
        for one, column in zip(logits, (3, 4), strict=True)
    )
    flat = [part for parts in kept for part in parts]
    found = iter(torch.autograd.grad(cost, flat))  # type: ignore[arg-type]
    norms = []
    for parts in kept:
        # h, and C of an LSTM, as one vector: (L, N, H) -> (N,) each
        squares = [next(found).double().square().sum(dim=(0, 2)) for _ in parts]
        norms.append(torch.stack(squares).sum(dim=0).sqrt())
    # The last is the state before the event itself: one step back.
    return torch.stack(norms[::-1][:BACK], dim=1).numpy()
