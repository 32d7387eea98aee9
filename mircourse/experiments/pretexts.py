"""What a `MusicBERT` was trained for: next phrases, and the pitches of hidden notes.

Both are scored on the tunes beside models that count.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mircourse.events import MASK, N_EVENTS, NOTE_OFF, PAD, TIME_SHIFT
from mircourse.experiments import grams
from mircourse.experiments.bert import continuations, pretrained
from mircourse.musicbert import MusicBERT
from mircourse.phrases import Pair, join
from mircourse.pretraining import Masking, Units, fixed


def follows(
    method: str, *, seed: int, fast: bool, corpus: str = "tunes", held_out: str = "test"
) -> dict[str, Any]:
    """Say of pairs of phrases whether the second follows the first.

    Parameters
    ----------
    method : {"n-grams", "pretrained"}
        `mircourse.experiments.grams.Continues`, or the head of a pretrained network.
    seed : int
        Of the network.
    fast : bool
        A tiny version.
    corpus : {"tunes", "movements"}
    held_out : {"valid", "test"}

    Returns
    -------
    dict
        ``scores`` (1 where right), ``groups`` (family of the first phrase), ``parameters``,
        ``seconds``.
    """
    pairs = continuations(corpus, held_out, fast).pairs(seed=0)
    began = time.perf_counter()
    if method == "n-grams":
        learn = continuations(corpus, "train", fast).pairs(seed=0)
        model: Any = grams.Continues().fit(learn)
        said = model.predict(pairs)
        parameters = int(model.model[-1].coef_.size + 1)
    else:
        bert = pretrained(corpus, seed=seed, fast=fast)
        said = answers(bert, pairs)
        parameters = sum(p.numel() for p in bert.parameters())
    truth = np.array([int(pair.follows) for pair in pairs])
    return {
        "scores": (said == truth).astype(float).tolist(),
        "groups": [pair.first.family for pair in pairs],
        "parameters": parameters,
        "seconds": time.perf_counter() - began,
    }


@torch.no_grad()
def answers(bert: MusicBERT, pairs: Sequence[Pair]) -> NDArray[np.int64]:
    """Return 1 for each pair of which the network says that the second phrase follows, else 0."""
    found = []
    for first in range(0, len(pairs), 64):
        some = pairs[first : first + 64]
        rows = [torch.from_numpy(join(pair.first, pair.second)) for pair in some]
        x = nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=PAD)
        nothing = torch.zeros(x.shape, dtype=torch.bool)
        found.append(bert(x, mask_positions=nothing)["nsp_logits"].argmax(dim=1))
    return torch.cat(found).numpy()


@dataclass(frozen=True, eq=False)
class Gaps:
    """Pairs of phrases with hidden events, and the note-ons to be guessed, in order.

    Attributes
    ----------
    x : Tensor of int64, (N, 2, T)
        As of `mircourse.pretraining.batch`.
    row, column, pitch : ndarray of int, (Q,)
        Position of each hidden note-on, and what it was.
    groups : list of str, length Q
        Melody family.
    """

    x: Tensor
    row: NDArray[np.int64]
    column: NDArray[np.int64]
    pitch: NDArray[np.int64]
    groups: list[str]


@functools.cache
def gaps(units: Units, held_out: str, fast: bool = False) -> Gaps:
    """Return the right pairs of a split of the tunes with one in seven units hidden.

    Every chosen one is replaced by `MASK`, so that all guesses are about what is not there.
    """
    source = continuations("tunes", held_out, fast)
    pairs = [source.right(i) for i in range(0, len(source), 3)]
    x, y = fixed(pairs, Masking(units=units, masked=1.0, random=0.0), seed=0)
    target = y[:, 1:].numpy()
    row, column = np.nonzero((target >= 0) & (target < NOTE_OFF))
    groups = [pairs[i].first.family for i in row]
    return Gaps(x, row, column, target[row, column], groups)


def guesses(
    method: str, *, units: Units, seed: int, fast: bool, held_out: str = "test"
) -> dict[str, Any]:
    """Guess the pitches of hidden note-ons.

    Parameters
    ----------
    method : str
        "partner": the pitch of the next note-off that no note-on explains, if there is one, else
        the note before; "n-grams": counts of the interval from the note before, given the notes
        around; "notes" or "tokens": a network pretrained with these units.
    units : {"notes", "tokens"}
        What is hidden together.
    seed, fast, held_out
        As for `follows`.

    Returns
    -------
    dict
        ``scores`` (1 where right), ``groups`` (family), ``parameters``, ``seconds``.
    """
    asked = gaps(units, held_out, fast)
    began, parameters = time.perf_counter(), 0
    if method == "partner":
        said = np.array([partner(asked.x[i, 0].numpy(), j) for i, j in _places(asked)])
    elif method == "n-grams":
        source = continuations("tunes", "train", fast)
        model = grams.Between().fit([join(a, b) for a, b in source.followed[::2]])
        said = np.array([model.guess(asked.x[i, 0].numpy(), j) for i, j in _places(asked)])
        parameters = model.n_counts
    else:
        bert = pretrained("tunes", seed=seed, fast=fast, units=method)  # type: ignore[arg-type]
        said = fill(bert, asked)
        parameters = sum(p.numel() for p in bert.parameters())
    return {
        "scores": (said == asked.pitch).astype(float).tolist(),
        "groups": asked.groups,
        "parameters": parameters,
        "seconds": time.perf_counter() - began,
    }


def _places(asked: Gaps) -> list[tuple[int, int]]:
    return list(zip(asked.row.tolist(), asked.column.tolist(), strict=True))


def partner(tokens: NDArray[np.int64], at: int) -> int:
    """Return the pitch of the first note-off after a place that no note-on before explains.

    If a special token other than `MASK` comes first, the pitch of the last note-on before; if
    there is none either, middle C.
    """
    sounding = set()
    for token in tokens[:at].tolist():
        if token < NOTE_OFF:
            sounding.add(token)
        elif token < TIME_SHIFT:
            sounding.discard(token - NOTE_OFF)
    for token in tokens[at + 1 :].tolist():
        if token >= N_EVENTS and token != MASK:
            break
        if token < NOTE_OFF:
            sounding.add(token)
        elif token < TIME_SHIFT:
            if token - NOTE_OFF not in sounding:
                return token - NOTE_OFF
            sounding.discard(token - NOTE_OFF)
    before = tokens[:at][tokens[:at] < NOTE_OFF]
    return int(before[-1]) if len(before) else 60


@torch.no_grad()
def fill(bert: MusicBERT, asked: Gaps) -> NDArray[np.int64]:
    """Return the likeliest pitch at each place: of note-ons alone, for that is what is asked."""
    found = np.zeros(asked.x[:, 0].shape, np.int64)
    for first in range(0, len(found), 64):
        x = asked.x[first : first + 64]
        logits = bert(x[:, 0])["mlm_logits"][..., :NOTE_OFF]  # (B, T, 388) -> (B, T, 128)
        found[first : first + 64] = logits.argmax(dim=-1).numpy()
    return found[asked.row, asked.column]
