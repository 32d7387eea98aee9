"""What n-grams know: baselines that count turns of phrase in what a `MusicBERT` reads.

Rows of tokens become notes again, and these become runs of intervals of the top voice, of times
from one onset to the next, and of chords above their lowest note. None of them depends on the key.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numpy.typing import NDArray

from mircourse.events import N_EVENTS, NOTE_OFF, steps_after
from mircourse.ngrams import BEFORE, NGram, windows
from mircourse.phrases import Pair, Phrase

LONGEST = 5  # in a run
KINDS = ("pitch", "rhythm", "chord")
STRENGTHS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0)  # inverse regularisation
_REACH = 24  # semitones; greater intervals count as this


class Line(NamedTuple):
    """A phrase as its onsets: when, the highest pitch that begins, and the chord."""

    onset: NDArray[np.int64]  # (n,), steps of 10 ms
    top: NDArray[np.int64]  # (n,), MIDI
    chord: list[tuple[int, ...]]  # semitones above the lowest, of what begins together


def line(tokens: npt.ArrayLike) -> Line:
    """Return the onsets of a phrase without special tokens."""
    given = np.asarray(tokens, np.int64)
    begins = given < NOTE_OFF
    pitch = given[begins]
    onset, first = np.unique(steps_after(given)[begins], return_index=True)
    together = np.split(pitch, first[1:]) if len(onset) else []
    top = np.maximum.reduceat(pitch, first) if len(onset) else pitch
    return Line(onset, top, [tuple((one - one.min()).tolist()) for one in together])


def symbols(one: Line) -> dict[str, list[Any]]:
    """Return a phrase as three rows of symbols, by kind; chords of one note are left out."""
    chord = [c for c in one.chord if len(c) > 1]
    return {
        "pitch": np.clip(np.diff(one.top), -_REACH, _REACH).tolist(),
        "rhythm": np.diff(one.onset).tolist(),
        "chord": chord,
    }


def runs(row: Sequence[Any], *, longest: int = LONGEST) -> Counter[tuple]:
    """Count the runs of one to `longest` symbols in a row."""
    return Counter(
        tuple(row[i : i + n]) for n in range(1, longest + 1) for i in range(len(row) - n + 1)
    )


def counts(rows: npt.ArrayLike, *, kinds: Sequence[str] = KINDS) -> Counter[tuple]:
    """Count the runs in all phrases of some rows of tokens; special tokens part the phrases.

    Raises
    ------
    ValueError
        If a kind is unknown.
    """
    if unknown := set(kinds) - set(KINDS):
        raise ValueError(f"kinds are {', '.join(KINDS)}, got {', '.join(sorted(unknown))}")
    total: Counter[tuple] = Counter()
    for row in np.atleast_2d(np.asarray(rows)):
        for phrase in np.split(row, np.flatnonzero(row >= N_EVENTS)):
            read = symbols(line(phrase[phrase < N_EVENTS]))
            for kind in kinds:
                longest = 2 if kind == "chord" else LONGEST
                for run, n in runs(read[kind], longest=longest).items():
                    total[kind, *run] += n
    return total


# ---------------------------------------------------------------------------------- classify


def classifier(strength: float, *, min_count: int, balanced: bool) -> Any:
    """Return a logistic regression on the logarithms of one plus the counts.

    Parameters
    ----------
    strength : float
        Inverse of the regularisation.
    min_count : int
        Items that a run has to be in to count.
    balanced : bool
        Weigh classes as if they were of equal size.
    """
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer

    return make_pipeline(
        CountVectorizer(analyzer=_elements, min_df=min_count),
        FunctionTransformer(np.log1p),
        LogisticRegression(
            C=strength, max_iter=2000, tol=1e-3, class_weight="balanced" if balanced else None
        ),
    )


def _elements(counted: Counter[tuple]) -> list[tuple]:
    return list(counted.elements())


def best_strength(
    make: Callable[[float], Any], learn: tuple[Any, Any], check: tuple[Any, Any]
) -> float:
    """Return the strength with which a classifier is most often right on other items."""
    return max(STRENGTHS, key=lambda c: make(c).fit(*learn).score(*check))


# -------------------------------------------------------------------------------- next phrase


class Continues:
    """Whether a phrase follows another, by what they share and by where they meet.

    Of each pair: how large a share of the second phrase's runs, for each length, stands in the
    first too, as intervals, as times, as both, and as pitches; how far the mean pitches and the
    numbers of notes differ; how alike the pitch classes are; and by how many bits the first notes
    of the second phrase cost less after the end of the first than at a beginning, counted in the
    train phrases. A logistic regression weighs them. Nothing depends on the key.

    Parameters
    ----------
    strength : float
        Inverse regularisation.
    """

    order = 4
    head = 3  # intervals of the second phrase that are looked at where the phrases meet

    def __init__(self, *, strength: float = 1.0) -> None:
        self.strength = strength
        self.grams = {
            kind: NGram(size, order=self.order, smoothing="witten-bell")
            for kind, size in (("pitch", 2 * _REACH + 1), ("rhythm", 400))
        }
        self.model: Any = None

    def fit(self, pairs: Sequence[Pair]) -> Continues:
        """Count in the phrases that follow, and weigh on all pairs."""
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        joined = [_joined(line(p.first.tokens), line(p.second.tokens)) for p in pairs if p.follows]
        for k, gram in enumerate(self.grams.values()):
            gram.fit(*windows([both[k] for both, _ in joined], order=self.order))
        x, y = self.features(pairs), [int(pair.follows) for pair in pairs]
        regression = LogisticRegression(C=self.strength, max_iter=2000)
        self.model = make_pipeline(StandardScaler(), regression).fit(x, y)
        return self

    def predict(self, pairs: Sequence[Pair]) -> NDArray[np.int64]:
        """Return 1 for each pair whose second phrase seems to follow, else 0."""
        return np.asarray(self.model.predict(self.features(pairs)), np.int64)

    def features(self, pairs: Sequence[Pair]) -> NDArray[np.float64]:
        """Return what is said of each pair, ``(N, F)``."""
        known: dict[int, tuple[Line, dict[str, Counter]]] = {}

        def read(phrase: Phrase) -> tuple[Line, dict[str, Counter]]:
            if id(phrase) not in known:
                one = line(phrase.tokens)
                known[id(phrase)] = one, _views(one)
            return known[id(phrase)]

        rows, meetings = [], []
        for pair in pairs:
            (a, ours), (b, theirs) = read(pair.first), read(pair.second)
            rows.append([*_shared(ours, theirs), *_alike(a, b)])
            meetings.append(_joined(a, b))
        return np.column_stack([np.array(rows), *self._meet(meetings)])

    def _meet(self, meetings: list[tuple[tuple[NDArray, NDArray], int]]) -> list[NDArray]:
        found = []
        for k, gram in enumerate(self.grams.values()):
            after, alone = [], []
            for both, start in meetings:
                row = both[k][: start + self.head]
                after.append(row)
                alone.append(row[start:])
            gains = []
            for rows, begin in ((after, [s for _, s in meetings]), (alone, [0] * len(meetings))):
                bits = -gram.log2_probability(*windows(rows, order=self.order))
                ends = np.cumsum([len(row) for row in rows])
                total = np.concatenate([[0], np.cumsum(bits)])
                starts = np.array([e - len(r) for e, r in zip(ends, rows, strict=True)])
                gains.append(total[ends] - total[starts + np.minimum(begin, ends - starts)])
            found.append(gains[1] - gains[0])
        return found


def _views(one: Line) -> dict[str, Counter]:
    interval, wait = np.diff(one.top).tolist(), np.diff(one.onset).tolist()
    return {
        "pitch": runs(interval),
        "rhythm": runs(wait),
        "both": runs(list(zip(interval, wait, strict=True))),
        "same pitch": runs(one.top.tolist()),
    }


def _shared(ours: dict[str, Counter], theirs: dict[str, Counter]) -> list[float]:
    found: list[float] = []
    for view, b in theirs.items():
        a = ours[view]
        size, both = np.zeros(LONGEST + 1), np.zeros(LONGEST + 1)
        for run, n in b.items():
            size[len(run)] += n
            both[len(run)] += min(n, a.get(run, 0))
        found += (both / np.maximum(1, size))[1:].tolist()
    return found


def _alike(a: Line, b: Line) -> list[float]:
    classes = [np.bincount(one.top % 12, minlength=12) + 1e-9 for one in (a, b)]
    cosine = classes[0] @ classes[1] / np.prod([np.linalg.norm(c) for c in classes])
    return [
        float(cosine),
        abs(float(a.top.mean() - b.top.mean())),
        abs(len(a.onset) - len(b.onset)),
        abs(int(b.top[0]) - int(a.top[-1])),
    ]


def _joined(a: Line, b: Line) -> tuple[tuple[NDArray, NDArray], int]:
    """Return intervals and times over both phrases, and the first that belongs to the second.

    The interval from the last note of the first phrase to the first of the second is one of them;
    the time there is not known, and stands as 0.
    """
    pitch = np.clip(np.diff(np.concatenate([a.top, b.top])), -_REACH, _REACH) + _REACH
    wait = np.concatenate([np.diff(a.onset), [0], np.diff(b.onset)]).clip(max=399)
    return (pitch, wait), len(a.top) - 1


# ------------------------------------------------------------------------------------ between


class Between:
    """A hidden pitch from the notes around it: a model that counts, in both directions.

    What is counted is the interval from the note before to the hidden one, after the interval from
    the note before to the note after, that from the second note before to the one before, and that
    from the note after to the second after. Chords are read from the lowest note up.
    """

    def __init__(self) -> None:
        self.gram = NGram(2 * _REACH + 1, order=4, smoothing="witten-bell")

    @property
    def n_counts(self) -> int:
        """Number of pairs of a context and an interval that were seen."""
        return self.gram.n_counts

    def fit(self, rows: Sequence[npt.ArrayLike]) -> Between:
        """Count in rows of tokens of which nothing is hidden."""
        contexts, targets = [], []
        for row in rows:
            pitch = np.asarray(row)[np.asarray(row) < NOTE_OFF]
            wide = np.concatenate([[BEFORE, BEFORE], pitch, [BEFORE, BEFORE]])
            for k in range(3, len(wide) - 2):
                contexts.append(_around(wide[k - 2 : k], wide[k + 1 : k + 3]))
                targets.append(_interval(wide[k - 1], wide[k]))
        self.gram.fit(np.array(contexts), np.array(targets))
        return self

    def guess(self, tokens: NDArray[np.int64], at: int) -> int:
        """Return the likeliest pitch at a place where a note-on is hidden.

        Hidden notes around it are passed over: nobody says where they are. Without a note before,
        the next one is said.
        """
        before = tokens[:at][tokens[:at] < NOTE_OFF]
        after = tokens[at + 1 :][tokens[at + 1 :] < NOTE_OFF]
        if not len(before):
            return int(after[0]) if len(after) else 60
        context = _around(
            np.concatenate([[BEFORE, BEFORE], before])[-2:],
            np.concatenate([after, [BEFORE, BEFORE]])[:2],
        )
        likely = self.gram.probabilities(np.array([context]))[0]
        return int(np.clip(before[-1] + likely.argmax() - _REACH, 0, NOTE_OFF - 1))


def _interval(a: int, b: int) -> int:
    if BEFORE in (a, b):
        return BEFORE
    return int(np.clip(b - a, -_REACH, _REACH)) + _REACH


def _around(before: NDArray[np.int64], after: NDArray[np.int64]) -> list[int]:
    return [
        _interval(before[1], after[0]),
        _interval(before[0], before[1]),
        _interval(after[0], after[1]),
    ]
