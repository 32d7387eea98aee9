"""Find melody families among the shipped scores and assign them to train, valid and test.

Reads the archives in ``<out>/scores`` and writes ``<out>/scores/families.json``: for each
collection, each piece's family (the id of its first member) and split.

The melody is the soprano, or else the top part; the highest note where several start together.
Two pieces are related, whatever their keys, if a stretch of one melody matches a stretch of the
other, or if they begin alike.

A stretch matches:

1. Repeated pitches are joined, and each step to the next note is an interval modulo 12; the first
   `LONGEST` of them count.
2. Pairs that share at least `SHARED` of the shorter one's runs of `RUN` intervals are candidates.
3. A candidate's score is the best local alignment (Smith and Waterman, 1981) of the two interval
   sequences: a match counts 1, a mismatch or a gap -1. The pair is related if the score, and its
   share of the shorter sequence's length, reach one of the pairs of limits in `LIMITS`.

They begin alike: the melody's pitch class is read `CELLS` times a bar through the first `BARS` bars
after the pickup, whatever the time signature; in one of the twelve transpositions, at least `ALIKE`
of the readings are equal. This finds what differs in ornament but not in its frame, and is done for
tunes and chorales.

Chorales that carry the same title are related too, and so are tunes with the same title that agree
in `ALIKE_BY_NAME` of the readings. A family is a connected set of related pieces.
Tunes are compared across Ryan, O'Neill and Aird; the other collections each within themselves.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable
from itertools import combinations
from pathlib import Path

import numpy as np
from scipy.sparse import csr_array, triu

from .notes import TICKS

RUN = 6
SHARED = 0.12
# (score, share): unrelated tunes of usual length score up to 20, unrelated chorales, whose lines
# move by step and are short, up to half of the shorter. Set by looking at pairs with their titles.
LIMITS = {"bach": ((14, 0.55),)}
USUAL_LIMITS = ((24, 0.25), (14, 0.5))
# Of a long movement, so many steps: no tune is longer, and a movement shows its themes in them.
LONGEST = 640
BARS, CELLS, ALIKE = 8, 8, 0.65
# What pieces of one title must agree in: four unrelated tunes in a thousand do as well. Chorales of
# one title are always related. Of other music, the top part may rest for bars or hold one note.
ALIKE_BY_NAME = {"tunes": 0.4, "bach": 0.0}
NOT_TITLE = (
    r", bwv.*|^chorale|\b(the|\d+(st|nd|rd|th)|sett?ing|new way|old way|reel|jig|hornpipe"
    r"|strathspey|slip|air|march|irish)\b"
)
GROUPS = {
    "tunes": ("ryan", "oneill", "aird"),
    "bach": ("bach",),
    "beethoven": ("beethoven",),
    "haydn": ("haydn",),
    "mozart": ("mozart",),
    "schumann": ("schumann",),
    "trecento": ("trecento",),
    "monteverdi": ("monteverdi",),
}
FRACTIONS = {"train": 0.70, "valid": 0.15, "test": 0.15}


def build(out: Path, source: Path | None = None) -> None:
    """Write ``<out>/scores/families.json``."""
    result: dict[str, dict[str, tuple[str, str]]] = {}
    for group, collections in GROUPS.items():
        labels: list[dict] = []
        melodies: list[np.ndarray] = []
        frames: list[np.ndarray] = []
        for name in collections:
            for label, table in read(out / "scores" / f"{name}.npz"):
                labels.append({**label, "collection": name})
                onset, pitch = melody(table, label)
                melodies.append(intervals(pitch))
                frames.append(frame(onset, pitch, label))
        edges = related(melodies, LIMITS.get(group, USUAL_LIMITS))
        if group in ALIKE_BY_NAME:
            edges += alike(np.stack(frames), ALIKE)
            edges += set(same_title(labels)) & set(alike(np.stack(frames), ALIKE_BY_NAME[group]))
        family = connected(len(labels), edges)
        split = assign(labels, family)
        for label, root in zip(labels, family, strict=True):
            row = (labels[root]["id"], split[root])
            result.setdefault(label["collection"], {})[label["id"]] = row
        count = Counter(split[root] for root in family)
        print(f"{group}: {len(labels)} pieces, {len(set(family))} families, {dict(count)}")
    (out / "scores" / "families.json").write_text(as_text(result), encoding="utf-8")


def read(path: Path) -> Iterable[tuple[dict, np.ndarray]]:
    """Yield each piece's metadata and notes (n, 3): onset in ticks, pitch, voice."""
    with np.load(path, allow_pickle=False) as archive:
        members = {name: archive[name] for name in archive.files}
    start = members["start"]
    for index, label in enumerate(json.loads(members["pieces"].tobytes())):
        piece = slice(start[index], start[index + 1])
        onset = np.cumsum(members["onset"][piece], dtype=np.int64)
        yield label, np.stack([onset, members["pitch"][piece], members["voice"][piece]], axis=1)


def melody(table: np.ndarray, label: dict) -> tuple[np.ndarray, np.ndarray]:
    """Return onsets (beats) and pitches of the melody, (n,) each."""
    names = label.get("parts", [])
    voice = next((i for i, part in enumerate(names) if part.startswith("Soprano")), None)
    if voice is None or not (table[:, 2] == voice).any():
        voice = table[:, 2].min()
    line = table[table[:, 2] == voice]
    # Rows are sorted by onset and pitch, so the last of those that start together is the highest.
    last = np.append(np.diff(line[:, 0]) > 0, True)
    return line[last, 0] / TICKS, line[last, 1]


def intervals(pitch: np.ndarray) -> np.ndarray:
    """Return the steps between different pitches, modulo 12, (n,) int8."""
    steps = np.diff(pitch)
    return (steps[steps != 0][:LONGEST] % 12).astype(np.int8)


def frame(onset: np.ndarray, pitch: np.ndarray, label: dict) -> np.ndarray:
    """Return the pitch class at each cell of the first bars, (BARS * CELLS,); -1 past the end."""
    over, under = map(int, (label["meter"] or "4/4").split("/"))
    beat = label["pickup"] + np.arange(BARS * CELLS) * 4 * over / under / CELLS
    sounding = np.searchsorted(onset, beat + 1e-6, side="right") - 1
    return np.where(beat <= onset[-1], pitch[np.maximum(sounding, 0)] % 12, -1)


def alike(frames: np.ndarray, share: float) -> list[tuple[int, int]]:
    """Return the pairs whose frames (n, cells) agree in at least ``share`` of the cells."""
    here = (frames[:, :, None] == np.arange(12)).astype(np.float32)  # (n, cells, 12)
    flat = here.reshape(len(frames), -1)
    found = set()
    for semitones in range(12):
        moved = np.roll(here, semitones, axis=2).reshape(len(frames), -1)
        pairs = np.argwhere(np.triu(flat @ moved.T >= share * frames.shape[1], 1))
        found.update(map(tuple, pairs.tolist()))
    return sorted(found)


def related(
    melodies: list[np.ndarray], limits: tuple[tuple[int, float], ...]
) -> list[tuple[int, int]]:
    """Return the pairs of melodies that belong together."""
    length = np.array([len(melody) for melody in melodies])
    pairs = candidates(melodies)
    score = alignment_scores(melodies, pairs)
    share = score / length[pairs].min(axis=1)
    keep = np.zeros(len(pairs), bool)
    for least_score, least_share in limits:
        keep |= (score >= least_score) & (share >= least_share)
    return [(int(a), int(b)) for a, b in pairs[keep]]


def candidates(melodies: list[np.ndarray]) -> np.ndarray:
    """Return the pairs (p, 2) that share enough runs of intervals to be worth aligning."""
    powers = 12 ** np.arange(RUN)
    runs = [
        np.unique(np.lib.stride_tricks.sliding_window_view(m, RUN) @ powers)
        if len(m) >= RUN
        else np.zeros(0, int)
        for m in melodies
    ]
    size = np.array([len(found) for found in runs])
    codes, columns = np.unique(np.concatenate(runs), return_inverse=True)
    rows = np.repeat(np.arange(len(runs)), size)
    holds = csr_array((np.ones(len(rows), np.int32), (rows, columns)), (len(runs), len(codes)))
    shared = triu(holds @ holds.T, k=1).tocoo()
    near = shared.data >= SHARED * np.minimum(size[shared.row], size[shared.col])
    return np.stack([shared.row[near], shared.col[near]], axis=1).astype(int)


def alignment_scores(
    melodies: list[np.ndarray], pairs: np.ndarray, batch: int = 4096
) -> np.ndarray:
    """Return each pair's Smith-Waterman score (p,): match 1, mismatch -1, gap -1.

    Many pairs are aligned at once, sorted by length so that little is padding.
    """
    length = np.array([len(melody) for melody in melodies])
    padded = np.full((len(melodies), length.max()), -1, np.int8)
    for row, melody in zip(padded, melodies, strict=True):
        row[: len(melody)] = melody
    scores = np.zeros(len(pairs), np.int16)
    order = np.argsort(length[pairs].max(axis=1), kind="stable")
    for first in range(0, len(order), batch):
        now = order[first : first + batch]
        left, right = pairs[now, 0], pairs[now, 1]
        a = padded[left, : length[left].max()]  # (b, n)
        b = padded[right, : length[right].max()]  # (b, m)
        b = np.where(b < 0, -2, b)  # padding never matches padding
        column = np.arange(b.shape[1], dtype=np.int16)
        table = np.zeros((len(now), b.shape[1] + 1), np.int16)
        best = np.zeros(len(now), np.int16)
        for i in range(a.shape[1]):
            match = np.where(a[:, i : i + 1] == b, 1, -1).astype(np.int16)
            row = np.maximum(table[:, 1:] - 1, table[:, :-1] + match)
            # Gaps along the row: the running maximum of score plus column, less the column.
            row = np.maximum.accumulate(np.maximum(row, 0) + column, axis=1) - column
            table[:, 1:] = row
            best = np.maximum(best, row.max(axis=1))
        scores[now] = best
    return scores


def same_title(labels: list[dict]) -> list[tuple[int, int]]:
    """Return the pairs of pieces with one title: spelling, settings and words for dances aside."""
    holders: dict[str, list[int]] = defaultdict(list)
    for index, label in enumerate(labels):
        plain = unicodedata.normalize("NFKD", label["title"].lower().replace("ß", "ss"))
        title = re.sub(r"[^a-z]", "", re.sub(NOT_TITLE, "", plain))
        if title:
            holders[title].append(index)
    return [pair for found in holders.values() for pair in combinations(found, 2)]


def connected(count: int, edges: Iterable[tuple[int, int]]) -> list[int]:
    """Return for each of ``count`` items the smallest member of its connected set."""
    root = list(range(count))

    def find(item: int) -> int:
        while root[item] != item:
            root[item] = root[root[item]]
            item = root[item]
        return item

    for a, b in edges:
        low, high = sorted((find(a), find(b)))
        root[high] = low
    return [find(item) for item in range(count)]


def assign(labels: list[dict], family: list[int]) -> dict[int, str]:
    """Return a split for each family, near `FRACTIONS` in each collection and tune type.

    Families go one by one, the largest first and equals in the order of a hash of their name, to
    the split that lacks most of what they hold.
    """
    strata = [(label["collection"], label["tune_type"]) for label in labels]
    total = Counter(strata)
    holds: dict[int, Counter] = defaultdict(Counter)
    for stratum, root in zip(strata, family, strict=True):
        holds[root][stratum] += 1
    filled = {split: Counter() for split in FRACTIONS}
    result = {}
    for root in sorted(holds, key=lambda r: (-holds[r].total(), digest(labels[r]["id"]))):

        def lack(split: str, root: int = root) -> float:
            wanted = {s: FRACTIONS[split] * total[s] for s in holds[root]}
            return sum(n * (1 - filled[split][s] / wanted[s]) for s, n in holds[root].items())

        result[root] = max(FRACTIONS, key=lack)
        filled[result[root]] += holds[root]
    return result


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def as_text(result: dict[str, dict[str, tuple[str, str]]]) -> str:
    """Return JSON with a line for each piece."""
    blocks = []
    for name, rows in result.items():
        lines = (f"  {json.dumps(piece)}: {json.dumps(row)}" for piece, row in rows.items())
        blocks.append(f" {json.dumps(name)}: {{\n" + ",\n".join(lines) + "\n }")
    return "{\n" + ",\n".join(blocks) + "\n}\n"
