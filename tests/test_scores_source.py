"""The shipped scores against their source: rebuilt, and read by other means."""

import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from mircourse import registry, scores

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "data"))

from builders import archive, notes, tunes  # noqa: E402
from builders import scores as builder  # noqa: E402

music21 = pytest.importorskip("music21")
if music21.__version__ != builder.MUSIC21:
    pytest.skip(f"the data derives from music21 {builder.MUSIC21}", allow_module_level=True)

SAMPLE = [("bach", 5), ("ryan", 5), ("oneill", 5), ("aird", 5), ("trecento", 1), ("monteverdi", 1)]


def shipped(name):
    with np.load(registry.path(f"scores/{name}.npz")) as opened:
        return {member: opened[member] for member in opened.files}


def first_pieces(members, count):
    """Cut an archive's members down to its first pieces."""
    import json

    notes_ = int(members["start"][count])
    labels = json.loads(members["pieces"].tobytes())[:count]
    cut = {name: members[name][:notes_] for name in ("onset", "duration", "pitch", "voice")}
    return {
        "start": members["start"][: count + 1],
        **cut,
        "ticks": members["ticks"],
        "pieces": archive.json_array(labels),
    }


@pytest.mark.parametrize(("name", "count"), SAMPLE)
def test_rebuilding_a_sample_gives_the_same_bytes(name, count):
    derived = builder.derive(name, builder.corpus_folder(), limit=count)
    rebuilt = archive.npz_bytes(builder.arrays(derived))
    assert rebuilt == archive.npz_bytes(first_pieces(shipped(name), count))


def test_archives_hold_nothing_but_what_the_builder_writes():
    for name in scores.names():
        file = registry.path(f"scores/{name}.npz")
        again = archive.npz_bytes(shipped(name))
        assert archive.members(again) == archive.members(file)


def test_archive_bytes_do_not_depend_on_the_time(monkeypatch):
    import time

    arrays = {"a": np.arange(5), "b": np.zeros((2, 3))}
    first = archive.npz_bytes(arrays)
    monkeypatch.setattr(time, "time", lambda: 2e9)
    assert archive.npz_bytes(arrays) == first


@pytest.mark.parametrize("identity", ["bwv66.6", "bwv26.6", "bwv372"])
def test_chorales_agree_with_music21_read_another_way(identity):
    # The oracle strips ties with music21's own routine, part by part, and knows nothing of ours.
    score = music21.corpus.parse(f"bach/{identity}")
    expected = set()
    for voice, part in enumerate(score.parts):
        for note in part.stripTies().flatten().notes:
            if not note.duration.isGrace:
                row = (float(note.offset), float(note.quarterLength), note.pitch.midi, voice)
                expected.add(row)
    fields = ["onset_beat", "duration_beat", "pitch", "voice"]
    piece = scores.load("bach")[identity]
    assert {tuple(row) for row in piece.notes[fields].tolist()} == expected


def test_a_tune_is_what_its_abc_says():
    # Aird's first tune by hand: G major, common time in halves, pickup of two eighths.
    piece = scores.load("aird")["aird-0001"]
    assert piece.title == "The Ranting Highlandman." and piece.encoder == "Jack Campin"
    assert (piece.key, piece.mode, piece.sharps, piece.meter) == ("G", "major", 1, "2/2")
    assert piece.pickup_beats == 1.0
    # AG|B2B2 B2AG|
    assert piece.notes["pitch"][:8].tolist() == [69, 67, 71, 71, 71, 69, 67, 71]
    assert piece.notes["onset_beat"][:8].tolist() == [0, 0.5, 1, 2, 3, 4, 4.5, 5]
    assert piece.notes["duration_beat"][:7].tolist() == [0.5, 0.5, 1, 1, 1, 0.5, 0.5]


def abc(body):
    text = f"X:1\nT:test\nM:4/4\nL:1/4\nK:D\n{body}\n"
    return notes.note_table(music21.converter.parse(text, format="abc", forceSource=True))


def test_ties_become_one_note_and_graces_and_chord_symbols_vanish():
    table, counts = abc('"Am"A2-A{gf}e|f-f-f2|')
    beats = table[:, :2] / notes.TICKS
    assert table[:, 2].tolist() == [69, 76, 78]
    assert beats.tolist() == [[0, 3], [3, 1], [4, 4]]
    assert counts["grace"] == 2 and counts["ties"] == 3


def test_a_tie_between_different_pitches_is_ignored():
    table, _ = abc("A-B2-c|")
    assert table[:, 2].tolist() == [69, 71, 73]
    assert (table[:, 1] / notes.TICKS).tolist() == [1, 2, 1]


def test_triplets_are_exact():
    table, counts = abc("(3ABA (3A/B/A/ A|")
    assert counts["rounded"] == 0
    onsets = [Fraction(int(t), notes.TICKS) for t in table[:, 0]]
    thirds = [Fraction(0), Fraction(2, 3), Fraction(4, 3)]
    assert onsets == [*thirds, 2, Fraction(7, 3), Fraction(8, 3), 3]


def test_repeats_are_written_once():
    table, _ = abc("|:ABAB:|")
    assert len(table) == 4


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("G", ("G", "major")),
        ("EM", ("E", "major")),
        ("Bbm", ("Bb", "minor")),
        ("A Mixolydian % two sharps", ("A", "mixolydian")),
        ("Ador", ("A", "dorian")),
        ("F#m", ("F#", "minor")),
        ("Hp", (None, None)),
        ("Bn", (None, None)),
    ],
)
def test_keys_are_read_as_the_transcriber_wrote_them(value, expected):
    assert tunes.key_and_mode(tunes.header(f"X:1\nK:{value}\nABc")) == expected


def test_reserved_files_stay_out():
    corpus = builder.corpus_folder()
    madrigals = [job[0] for job in builder.list_jobs("monteverdi", corpus)]
    assert len(madrigals) == 40 and not any("-5." in identity for identity in madrigals)
    assert len(list(builder.list_jobs("trecento", corpus))) == 81
    assert not any("846" in job[0] for job in builder.list_jobs("bach", corpus))
