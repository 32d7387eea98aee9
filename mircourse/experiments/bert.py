"""MusicBERT put to tasks: pretrained on music without labels, then taught with few of them.

A *corpus* says what is read. ``"tunes"``: four-bar phrases of Ryan, O'Neill and Aird; the labels
are the types of the duple tunes (`mircourse.experiments.dances`), for a 6/8 alone would tell a jig.
``"movements"``: two-bar phrases of six composers' pieces; the labels are the composers. A network
is pretrained on the train split of its corpus, all of it, labels or not.

Settings were chosen on the valid split, learning from the train split. What is reported learns from
a share of the labels of both and is scored on the test split.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mircourse import scores, training
from mircourse.experiments import dances, grams
from mircourse.experiments.remembered import Trained, kept
from mircourse.experiments.runner import cache_dir
from mircourse.finetuning import (
    FineTuningTask,
    SequenceClassifier,
    classify,
    few,
    other_key,
    pooled,
    windows,
)
from mircourse.musicbert import MusicBERT
from mircourse.phrases import Continuations
from mircourse.pretraining import Masking, PretrainingTask, Units, loader
from mircourse.scores import Piece

VERSION = 1  # raised when phrases or training change: nothing kept is used again
COMPOSERS = (
    "Claudio Monteverdi",
    "Johann Sebastian Bach",
    "Johannes Ciconia",
    "Joseph Haydn",
    "Ludwig van Beethoven",
    "Wolfgang Amadeus Mozart",
)
QUARTETS = (3, 4, 5)  # of COMPOSERS: those who write for the same four instruments
CORPORA: dict[str, dict[str, Any]] = {
    "tunes": {"collections": ("ryan", "oneill", "aird"), "bars": 4},
    "movements": {
        "collections": ("bach", "monteverdi", "trecento", "haydn", "mozart", "beethoven"),
        "bars": 2,
    },
}
NETWORK: dict[str, Any] = {
    "d_model": 64,
    "n_heads": 4,
    "n_layers": 3,
    "max_seq_len": 200,
    "absolute": False,
    "dropout": 0.1,
}
PRETRAINING = {"epochs": 3, "lr": 2e-3, "batch_size": 8, "rate": 0.15}
SHARES = {"1 %": 0.01, "10 %": 0.1, "100 %": 1.0}
# Epochs by share of the labels: few labels are read more often.
TUNING: dict[str, dict[str, Any]] = {
    "pretrained": {"lr": 2e-3, "body": 1.0, "epochs": {"1 %": 40, "10 %": 20, "100 %": 6}},
    "from scratch": {"lr": 2e-3, "body": 1.0, "epochs": {"1 %": 60, "10 %": 30, "100 %": 12}},
}
WINDOWS = 12  # most windows of one movement, spread over it
FAST = 4  # pieces of each class in a trial


# ---------------------------------------------------------------------------------- pretraining


def new(*, seed: int) -> MusicBERT:
    """Return an untrained network."""
    training.seed_everything(seed)
    return MusicBERT(**NETWORK).eval()


@functools.cache
def continuations(corpus: str, split: str, fast: bool = False) -> Continuations:
    """Return the phrases of a split of a corpus that have a next one; of 30 pieces if `fast`."""
    found = CORPORA[corpus]
    pieces = [p for name in found["collections"] for p in scores.load(name, split=split)]
    return Continuations(pieces[:30] if fast else pieces, bars=found["bars"])


def pretrained(
    corpus: str, *, seed: int, fast: bool, units: Units = "notes", next_weight: float = 1.0
) -> MusicBERT:
    """Return a network pretrained on the train split of a corpus; trained once, then recalled.

    Training that was stopped goes on after its last epoch.

    Parameters
    ----------
    corpus : {"tunes", "movements"}
    seed : int
        Decides the initial weights, the pairs, the keys and what is hidden.
    fast : bool
        One epoch on a few pieces.
    units : {"notes", "tokens"}
        What is hidden together, see `mircourse.pretraining`.
    next_weight : float
        What the question of the next phrase counts; at 0 hidden events alone are learnt from.
    """

    def train(folder: Path) -> Trained:
        model = new(seed=seed)
        result = training.fit(
            PretrainingTask(model, lr=PRETRAINING["lr"], next_weight=next_weight),
            loader(
                continuations(corpus, "train", fast),
                Masking(units=units, rate=PRETRAINING["rate"]),
                batch_size=int(PRETRAINING["batch_size"]),
            ),
            epochs=1 if fast else int(PRETRAINING["epochs"]),
            seed=seed,
            gradient_clip=1.0,
            checkpoint_dir=folder,
        )
        return Trained(model, NETWORK, result.seconds)

    recipe = [VERSION, NETWORK, PRETRAINING, CORPORA[corpus], units, seed, fast]
    if next_weight != 1:  # what is kept of the usual one is found under the recipe as it was
        recipe.append({"next_weight": next_weight})
    return kept("bert", recipe, train)[0]


# --------------------------------------------------------------------------------------- labels


@dataclass(frozen=True, eq=False)
class Items:
    """What is classified: tunes, each of several rows of tokens, or single windows of movements.

    Attributes
    ----------
    rows : Tensor of int64, (N, T)
    owner : ndarray of int, (N,)
        Number of the item that each row belongs to.
    labels : ndarray of int, (P,)
    groups : list of str, length P
        Melody family of each item.
    """

    rows: Tensor
    owner: NDArray[np.int64]
    labels: NDArray[np.int64]
    groups: list[str]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, index: Sequence[int] | NDArray) -> Items:
        """Return some items, in the order given."""
        parts = [np.flatnonzero(self.owner == i) for i in index]
        owner = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
        rows = self.rows[torch.from_numpy(np.concatenate(parts))]
        return Items(rows, owner, self.labels[index], [self.groups[i] for i in index])

    def counts(self, kinds: Sequence[str]) -> list[Any]:
        """Return the runs of each item, for `mircourse.experiments.grams.classifier`."""
        rows = self.rows.numpy()
        return [grams.counts(rows[self.owner == i], kinds=kinds) for i in range(len(self))]


def _made(pieces: Sequence[Piece], labels: Sequence[int], *, bars: int, apart: bool) -> Items:
    rows, owner, label, groups = [], [], [], []
    for piece, one in zip(pieces, labels, strict=True):
        found = windows(piece, bars=bars)
        if not len(found):
            continue
        if apart:
            keep = np.unique(np.linspace(0, len(found) - 1, WINDOWS).round().astype(int))
            found = found[keep]
        for k, row in enumerate(found):
            if apart or not k:
                label.append(one)
                groups.append(piece.family)
            rows.append(row)
            owner.append(len(label) - 1)
    return Items(
        torch.from_numpy(np.stack(rows)), np.array(owner), np.array(label, np.int64), groups
    )


@functools.cache
def items(corpus: str, splits: tuple[str, ...], fast: bool = False) -> Items:
    """Return what is classified in some splits of a corpus; `FAST` pieces of each label if so."""
    if corpus == "tunes":
        pieces = [piece for split in splits for piece in dances.tunes(split)]
        labels = dances.labels(pieces)
    else:
        pieces = [
            piece
            for split in splits
            for name in CORPORA[corpus]["collections"]
            for piece in scores.load(name, split=split)
            if piece.composer in COMPOSERS
        ]
        labels = np.array([COMPOSERS.index(piece.composer) for piece in pieces])
    if fast:
        # The shortest, for some movements take seconds to cut.
        order = np.argsort([len(piece.notes) for piece in pieces], kind="stable")
        some = [i for k in np.unique(labels) for i in order[labels[order] == k][:FAST]]
        pieces, labels = [pieces[i] for i in some], labels[some]
    apart = corpus == "movements"
    return _made(pieces, labels.tolist(), bars=CORPORA[corpus]["bars"], apart=apart)


def divided(
    corpus: str, share: str, *, seed: int, held_out: str, fast: bool
) -> tuple[Items, Items]:
    """Return what is learned from, a share of the labels, and what is scored."""
    learn = items(corpus, ("train",) if held_out == "valid" else ("train", "valid"), fast)
    chosen = few(learn.labels, share=SHARES[share], groups=learn.groups, seed=seed)
    return learn.take(chosen), items(corpus, (held_out,), fast)


def n_classes(corpus: str) -> int:
    """Return how many labels there are."""
    return len(dances.TYPES if corpus == "tunes" else COMPOSERS)


# ------------------------------------------------------------------------------------- learning


def score(
    settings: Mapping[str, Any],
    *,
    corpus: str,
    share: str,
    seed: int,
    fast: bool,
    held_out: str = "test",
) -> dict[str, Any]:
    """Learn from a share of the labels as a row says, and classify what is held out.

    Parameters
    ----------
    settings : mapping
        ``method``: "majority", "n-grams" (with ``kinds``), "pretrained", "from scratch" or
        "frozen", which is a logistic regression on what the pretrained network makes of a row.
        ``next_weight``, if it is there, says how "pretrained" was: see `pretrained`.
    corpus : {"tunes", "movements"}
    share : str
        One of `SHARES`.
    seed : int
        Decides the network, the order and which labels are known.
    fast : bool
        A tiny version.
    held_out : {"valid", "test"}
        What is scored; "valid" for choosing settings.

    Returns
    -------
    dict
        ``scores`` (1 where right), ``groups`` (family), ``truth``, ``prediction``,
        ``parameters``, ``seconds``.
    """
    learn, held = divided(corpus, share, seed=seed, held_out=held_out, fast=fast)
    method = settings["method"]
    began, parameters = time.perf_counter(), 0
    if method == "majority":
        prediction = np.full(len(held), np.bincount(learn.labels).argmax())
    elif method == "n-grams":
        made = grams.classifier(
            settings.get("strength", 0.1),
            min_count=3 if share == "100 %" else 1,
            balanced=corpus == "movements",
        )
        made.fit(learn.counts(settings["kinds"]), learn.labels)
        prediction = made.predict(held.counts(settings["kinds"]))
        parameters = int(made[-1].coef_.size + made[-1].intercept_.size)
    elif method == "frozen":
        prediction, parameters = _frozen(corpus, learn, held, seed=seed, fast=fast)
    else:
        prediction, parameters = _tuned(settings, corpus, share, learn, held, seed=seed, fast=fast)
    return {
        "scores": (prediction == held.labels).astype(float).tolist(),
        "groups": held.groups,
        "truth": held.labels.tolist(),
        "prediction": [int(p) for p in prediction],
        "parameters": parameters,
        "seconds": time.perf_counter() - began,
    }


def composers(
    settings: Mapping[str, Any], *, share: str, quartets: bool, seed: int, fast: bool
) -> dict[str, Any]:
    """Return `score` of the movements, computed once; of the quartets alone if asked for."""
    memory = joblib.Memory(cache_dir() / "bert", verbose=0)
    # The recipe is part of what a result depends on.
    recipe = {"version": VERSION, "network": NETWORK, "pretraining": PRETRAINING, "tuning": TUNING}
    made = memory.cache(_composers)(dict(settings), recipe, share=share, seed=seed, fast=fast)
    if not quartets:
        return made
    keep = np.isin(made["truth"], QUARTETS)
    per_item = ("scores", "groups", "truth", "prediction")
    return made | {name: np.asarray(made[name])[keep].tolist() for name in per_item}


def _composers(settings: dict[str, Any], recipe: dict[str, Any], **task: Any) -> dict[str, Any]:
    return score(settings, corpus="movements", **task)


def _tuned(
    settings: Mapping[str, Any],
    corpus: str,
    share: str,
    learn: Items,
    held: Items,
    *,
    seed: int,
    fast: bool,
) -> tuple[NDArray[np.int64], int]:
    recipe = TUNING[settings["method"]] | dict(settings.get("recipe", {}))
    start = settings["method"] == "pretrained"
    next_weight = settings.get("next_weight", 1.0)
    bert = (
        pretrained(corpus, seed=seed, fast=fast, next_weight=next_weight)
        if start
        else new(seed=seed)
    )
    training.seed_everything(seed)
    model = SequenceClassifier(bert, n_classes(corpus))
    weights = None
    if corpus == "movements":
        sizes = np.bincount(learn.labels, minlength=n_classes(corpus))
        weights = (len(learn) / (len(sizes) * np.maximum(1, sizes))).tolist()
    training.fit(
        FineTuningTask(model, lr=recipe["lr"], body=recipe["body"], class_weights=weights),
        (learn.rows, learn.labels[learn.owner]),
        epochs=1 if fast else recipe["epochs"][share],
        batch_size=16,
        seed=seed,
        gradient_clip=1.0,
        batch_transform=other_key,
    )
    prediction = classify(model, held.rows, held.owner).argmax(axis=1)
    return prediction, sum(p.numel() for p in model.parameters())


def _frozen(
    corpus: str, learn: Items, held: Items, *, seed: int, fast: bool
) -> tuple[NDArray[np.int64], int]:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    bert = pretrained(corpus, seed=seed, fast=fast)
    balance = "balanced" if corpus == "movements" else None
    made = make_pipeline(
        StandardScaler(), LogisticRegression(C=0.1, max_iter=2000, class_weight=balance)
    )
    made.fit(read(bert, learn), learn.labels)
    return made.predict(read(bert, held)), int(made[-1].coef_.size + made[-1].intercept_.size)


@torch.no_grad()
def read(bert: MusicBERT, some: Items) -> NDArray[np.float64]:
    """Return what a network makes of each item, `pooled` and averaged over rows: ``(P, 2 D)``."""
    parts = [pooled(bert(x)["hidden_states"], x) for x in some.rows.split(64)]
    made = torch.cat(parts).double().numpy()  # (N, 2 D)
    total = np.zeros((len(some), made.shape[1]))
    np.add.at(total, some.owner, made)
    return total / np.bincount(some.owner)[:, None]
