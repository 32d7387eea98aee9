"""What the hidden states of a `MusicBERT` know: a logistic regression reads it off them.

A probe sees the state of one position and nothing else. If it finds there what the token at that
position does not say, the layers have brought it from elsewhere. Three things are asked of each
note-on of four bars of a tune that begins somewhere within a bar, moved to any of twelve keys:

================= ====================================================================
key               pitch class of the tune's tonic, 12 classes
place in the bar  which eighth of a 4/4 bar (or of two beats in 2/4) the note begins in
hidden pitch      pitch class of the note, when its on and off are hidden
================= ====================================================================

The tunes are the duple ones of Ryan and O'Neill. Probes learn from the train split, where the
network was pretrained without these labels. Beside them stands what counting finds without any
network: of the key, from the pitch classes of the whole excerpt; of the place, from the times
between the notes around; of the hidden pitch, from the intervals around it.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mircourse.events import CLS, MASK, NOTE_OFF, PAD, SEP, steps_after
from mircourse.experiments import bert, dances, grams
from mircourse.phrases import MAX_TOKENS, tokens_of, tonic_of, transposed
from mircourse.pretraining import units_of

QUESTIONS = ("key", "place in the bar", "hidden pitch")
PLACES = 8
BARS = 4
NOTES = 6  # of each excerpt that are asked about
STRENGTH = 0.1
STEPS_A_BAR = 192
AROUND = 4  # times between notes that are counted on either side of a note
_GRAIN = 6  # steps: half a sixteenth
_WAITS = 33  # grains, from 0; longer times count as the last


@dataclass(frozen=True, eq=False)
class Asked:
    """Excerpts and what is asked of them.

    Attributes
    ----------
    rows : Tensor of int64, (N, T)
        What the network reads.
    row, column : ndarray of int, (Q,)
        The position that each question is about.
    answer : ndarray of int, (Q,)
    groups : list of str, length Q
        Melody family.
    """

    rows: Tensor
    row: NDArray[np.int64]
    column: NDArray[np.int64]
    answer: NDArray[np.int64]
    groups: list[str]


@functools.cache
def asked(question: str, split: str, fast: bool = False) -> Asked:
    """Return excerpts of tunes of a split, the same ones each time, and the answers.

    Raises
    ------
    ValueError
        If the question is unknown.
    """
    if question not in QUESTIONS:
        raise ValueError(f"question must be one of {QUESTIONS}, got {question!r}")
    rng = np.random.default_rng([QUESTIONS.index(question), bert.VERSION])
    pieces = [p for p in dances.tunes(split) if tonic_of(p) is not None]
    if fast:
        pieces = pieces[:: len(pieces) // 24]
    rows = np.full((len(pieces), MAX_TOKENS + 2), PAD, np.int64)
    row, column, answer, groups = [], [], [], []
    for k, piece in enumerate(pieces):
        bar = float(piece.bar_beats or 0)
        late = int(rng.integers(PLACES)) * bar / PLACES
        first = piece.pickup_beats + late + bar * int(rng.integers(3))
        up = int(rng.integers(-6, 6))
        part = piece.excerpt(first - 1e-6, first + BARS * bar - 1e-6)
        tokens = transposed(tokens_of(part)[:MAX_TOKENS], up)
        if not len(part.notes):
            continue
        passed = steps_after(tokens)
        offset = late * STEPS_A_BAR / bar
        ons = np.flatnonzero(tokens < NOTE_OFF)
        some = np.sort(rng.permutation(ons)[:NOTES])
        units = units_of(tokens)
        hidden = tokens.copy()
        if question == "hidden pitch":
            hidden[np.isin(units, some)] = MASK
        rows[k, : len(tokens) + 2] = [CLS, *hidden.tolist(), SEP]
        for at in some.tolist():
            row.append(k)
            column.append(at + 1)
            groups.append(piece.family)
            place = int((passed[at] + offset) * PLACES / STEPS_A_BAR + 1e-6) % PLACES
            tonic = ((tonic_of(piece) or 0) + up) % 12
            answer.append({"key": tonic, "place in the bar": place}.get(question, tokens[at] % 12))
    return Asked(torch.from_numpy(rows), np.array(row), np.array(column), np.array(answer), groups)


@torch.no_grad()
def states(model: bert.MusicBERT, some: Asked, *, embeddings: bool) -> NDArray[np.float64]:
    """Return what is at the positions asked about: token embeddings or last hidden states."""
    if embeddings:
        tokens = some.rows[some.row, some.column]
        return model.transformer.token_embedding(tokens).double().numpy()
    parts = [model(x)["hidden_states"] for x in some.rows.split(64)]
    return torch.cat(parts)[some.row, some.column].double().numpy()  # (N, T, D) -> (Q, D)


def counts(question: str, some: Asked) -> NDArray[np.float64]:
    """Return what counting says of each note-on that is asked about.

    Parameters
    ----------
    question : {"key", "place in the bar"}
    some : Asked

    Returns
    -------
    ndarray of float, (Q, F)
        For the key the share of each of twelve pitch classes in the excerpt; for the place the
        `AROUND` times from onset to onset before the note and after it, one-hot, 0 where there is
        no other note.

    Raises
    ------
    ValueError
        If the question is another one.
    """
    rows = some.rows.numpy()
    if question == "key":
        made = np.stack([np.bincount(row[row < NOTE_OFF] % 12, minlength=12) for row in rows])
        return (made / made.sum(axis=1, keepdims=True).clip(1))[some.row]
    if question != "place in the bar":
        raise ValueError(f"counts are of key and place in the bar, got {question!r}")
    one_hot = np.eye(_WAITS)
    found = []
    for row, column in zip(some.row, some.column, strict=True):
        tokens = rows[row]
        at = np.flatnonzero(tokens < NOTE_OFF)
        wait = np.diff(steps_after(tokens)[at]) // _GRAIN
        wide = np.pad(np.minimum(wait, _WAITS - 1), AROUND)
        k = int(np.searchsorted(at, column))  # wait k - 1 ends at this note, wait k begins there
        found.append(one_hot[wide[k : k + 2 * AROUND]].ravel())
    return np.stack(found)


def between(learn: Asked, held: Asked) -> NDArray[np.int64]:
    """Return the pitch class that `grams.Between`, learnt from some excerpts, says of others."""
    model = grams.Between().fit(list(learn.rows.numpy()))
    rows = held.rows.numpy()
    places = zip(held.row.tolist(), held.column.tolist(), strict=True)
    return np.array([model.guess(rows[i], j) for i, j in places]) % 12


def probe(
    settings: Mapping[str, Any], *, question: str, seed: int, fast: bool, held_out: str = "test"
) -> dict[str, Any]:
    """Learn to answer a question from the states of a network, and answer it on held-out tunes.

    Parameters
    ----------
    settings : mapping
        ``network``: "pretrained", "masking alone" (pretrained without the question of the next
        phrase), "untrained", "none" for what counting finds, or None for the commonest answer;
        ``embeddings``: whether the token alone is looked at.
    question : str
        One of `QUESTIONS`.
    seed : int
        Of the network.
    fast : bool
        A tiny version.
    held_out : {"valid", "test"}

    Returns
    -------
    dict
        ``scores`` (1 where right), ``groups`` (family), ``parameters``, ``seconds``.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    began = time.perf_counter()
    learn, held = (asked(question, split, fast) for split in ("train", held_out))
    network, parameters = settings["network"], 0
    if network is None:
        prediction = np.full(len(held.answer), np.bincount(learn.answer).argmax())
    elif network == "none" and question == "hidden pitch":
        # Counted in excerpts of which nothing is hidden.
        prediction = between(asked("key", "train", fast), held)
    else:
        if network == "none":
            x, y = (counts(question, some) for some in (learn, held))
        else:
            model = _network(network, seed=seed, fast=fast)
            x, y = (states(model, s, embeddings=settings["embeddings"]) for s in (learn, held))
        regression = LogisticRegression(C=STRENGTH, max_iter=300, tol=1e-3)
        made = make_pipeline(StandardScaler(), regression).fit(x, learn.answer)
        prediction = made.predict(y)
        parameters = int(regression.coef_.size + regression.intercept_.size)
    return {
        "scores": (prediction == held.answer).astype(float).tolist(),
        "groups": held.groups,
        "parameters": parameters,
        "seconds": time.perf_counter() - began,
    }


def _network(name: str, *, seed: int, fast: bool) -> bert.MusicBERT:
    if name == "untrained":
        return bert.new(seed=seed)
    next_weight = {"pretrained": 1.0, "masking alone": 0.0}[name]
    return bert.pretrained("tunes", seed=seed, fast=fast, next_weight=next_weight)
