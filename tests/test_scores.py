"""Scores: what ships, what goes in and out of it, and what it says when something is wrong."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pretty_midi
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mircourse import registry, scores
from mircourse.scores import NOTE_DTYPE, check_notes, from_midi, note_array, to_midi

ROOT = Path(__file__).parent.parent
COLLECTIONS = scores.names()
TICK = 10080

# Notes that MIDI can hold: per voice and pitch, one ends before or as the next begins.
line = st.lists(
    st.tuples(st.integers(0, 3 * TICK), st.integers(1, 8 * TICK), st.integers(1, 127)),
    min_size=1,
    max_size=6,
)
lines = st.dictionaries(
    st.tuples(st.integers(0, 20), st.integers(0, 127)), line, min_size=0, max_size=8
)


def array_from(lines_):
    rows = []
    for (voice, pitch), notes in lines_.items():
        now = 0
        for gap, length, velocity in notes:
            rows.append(((now + gap) / TICK, length / TICK, pitch, voice, velocity))
            now += gap + length
    table = np.array(rows).reshape(-1, 5)
    return note_array(
        table[:, 0], table[:, 1], table[:, 2], voice=table[:, 3], velocity=table[:, 4]
    )


@pytest.fixture(scope="module")
def everything():
    return {name: scores.load(name) for name in COLLECTIONS}


# What ships


@pytest.mark.parametrize("name", COLLECTIONS)
def test_every_piece_is_a_sound_sorted_note_array(everything, name):
    for piece in everything[name]:
        assert piece.notes.dtype == NOTE_DTYPE
        assert len(check_notes(piece.notes)) > 0
        again = np.lexsort((piece.notes["voice"], piece.notes["pitch"], piece.notes["onset_beat"]))
        assert (again == np.arange(len(again))).all(), piece
        assert piece.collection == name and piece.title and piece.composer
        assert piece.n_voices <= 20 and piece.duration_beat > 1


def test_ids_are_unique_among_all_collections(everything):
    ids = [piece.id for collection in everything.values() for piece in collection]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("name", COLLECTIONS)
def test_splits_cover_a_collection_without_overlap(everything, name):
    parts = [scores.load(name, split=split) for split in ("train", "valid", "test")]
    assert all(len(part) > 0 for part in parts)
    assert sorted(p.id for part in parts for p in part) == sorted(p.id for p in everything[name])
    assert len(parts[0]) > 0.5 * len(everything[name])


def test_families_do_not_cross_splits(everything):
    splits = {}
    for collection in everything.values():
        for piece in collection:
            splits.setdefault(piece.family, set()).add(piece.split)
    assert max(map(len, splits.values())) == 1


def test_tune_types_come_from_the_transcriber_never_from_the_title(everything):
    found = {p.tune_type for name in ("ryan", "oneill", "aird") for p in everything[name]}
    assert found - {None} <= {
        *("reel", "hornpipe", "jig", "slip jig", "strathspey", "clog", "fling", "walkaround"),
        *("slide", "air", "waltz", "march", "gavotte"),
    }
    unlabelled = everything["oneill"].filter(lambda p: p.tune_type is None)
    assert any("hornpipe" in piece.title.lower() for piece in unlabelled)


def test_pickups_are_shorter_than_a_bar(everything):
    for collection in everything.values():
        for piece in collection:
            if piece.bar_beats:
                assert 0 <= piece.pickup_beats < piece.bar_beats, piece


def test_jsb_split_names_our_chorales(everything):
    rows = scores.jsb_split()
    sizes = {split: sum(row.split == split for row in rows) for split in ("train", "valid", "test")}
    assert sizes == {"train": 229, "valid": 76, "test": 77}
    for row in rows:
        if row.piece_id is not None:
            assert everything["bach"][row.piece_id].n_voices >= 4
            assert row.agreement > 0.8


# The note array


def test_note_array_sorts_by_onset_then_pitch():
    notes = note_array([1, 0, 0], [1, 1, 1], [60, 64, 62], voice=[0, 1, 2], velocity=90)
    assert notes["pitch"].tolist() == [62, 64, 60]
    assert notes["voice"].tolist() == [2, 1, 0]
    assert (notes["velocity"] == 90).all()


def test_no_notes_make_an_empty_array():
    assert note_array([], [], []).shape == (0,)


@pytest.mark.parametrize(
    ("columns", "error", "message"),
    [
        (([np.nan], [1], [60]), ValueError, "onset_beat must be finite, got nan at note 0"),
        (([0, np.inf], [1, 1], [60, 61]), ValueError, "onset_beat must be finite, got inf"),
        (([-1], [1], [60]), ValueError, "onset_beat must be at least 0 beats, got -1.0"),
        (([0], [-2], [60]), ValueError, "duration_beat must be more than 0 beats, got -2.0"),
        (([0], [0], [60]), ValueError, "duration_beat must be more than 0 beats, got 0.0"),
        (([0], [1], [128]), ValueError, "pitch must be 0 to 127, got 128"),
        (([0], [1], [70000]), ValueError, "pitch must be 0 to 127"),
        (([0], [1], [60.5]), TypeError, "pitch must be whole numbers, got 60.5"),
        (([0], [1], [np.nan]), ValueError, "pitch must be finite"),
        (([0], [1], ["C4"]), TypeError, "pitch must be numbers"),
        (([0, 1], [1], [60, 62]), ValueError, r"duration_beat has shape \(1,\), expected \(2,\)"),
        (([[0]], [[1]], [[60]]), ValueError, r"onset must have shape \(n,\), got \(1, 1\)"),
    ],
)
def test_note_array_says_what_is_wrong(columns, error, message):
    with pytest.raises(error, match=message):
        note_array(*columns)


def test_velocity_and_voice_are_checked():
    with pytest.raises(ValueError, match=r"velocity must be 1 to 127, got 0"):
        note_array([0], [1], [60], velocity=0)
    with pytest.raises(ValueError, match=r"voice must be at least 0, got -1"):
        note_array([0], [1], [60], voice=-1)


def test_check_notes_wants_a_note_array():
    with pytest.raises(TypeError, match=r"ndarray lacks onset_beat"):
        check_notes(np.zeros(3))
    with pytest.raises(ValueError, match=r"shape \(n,\), got \(2, 2\)"):
        check_notes(np.zeros((2, 2), NOTE_DTYPE))


# Pieces and collections


def test_a_piece_prints_as_something_readable(everything):
    assert repr(everything["bach"]["bwv66.6"]) == (
        "Piece('bwv66.6', 'Chorale, BWV 66.6': 163 notes in 4 voices, 36 beats, 4/4, F# minor)"
    )
    assert repr(everything["bach"]).startswith(
        "Collection('bach': 409 pieces, 109,819 notes; train"
    )


@given(index=st.integers(0, 408), semitones=st.integers(-24, 24))
@settings(max_examples=60, deadline=None)
def test_transposition_there_and_back_is_the_identity(everything, index, semitones):
    piece = everything["bach"][index]
    up = piece.transpose(semitones)
    back = up.transpose(-semitones)
    assert (up.notes["pitch"] - piece.notes["pitch"] == semitones).all()
    assert (back.notes == piece.notes).all()
    assert up.family == piece.family and up.split == piece.split
    # The signature moves as its key does, and stays within six sharps or flats.
    assert (up.sharps - piece.sharps - 7 * semitones) % 12 == 0
    assert abs(up.sharps) <= 6 or semitones % 12 == 0
    if piece.key:
        step = pretty_midi.note_name_to_number(f"{up.key}4".replace("b", "!")) - (
            pretty_midi.note_name_to_number(f"{piece.key}4".replace("b", "!"))
        )
        assert (step - semitones) % 12 == 0


def test_transposing_out_of_range_is_an_error(everything):
    piece = everything["ryan"][0]
    with pytest.raises(ValueError, match=r"outside 0\.\.127"):
        piece.transpose(100)
    with pytest.raises(TypeError, match=r"whole number, got 1.5"):
        piece.transpose(1.5)


@given(
    index=st.integers(0, 408), start=st.integers(0, 40), length=st.sampled_from([0.5, 1, 3, 8.25])
)
@settings(max_examples=60, deadline=None)
def test_excerpt_holds_what_begins_inside(everything, index, start, length):
    piece = everything["bach"][index]
    part = piece.excerpt(start, start + length)
    onset = piece.notes["onset_beat"]
    inside = piece.notes[(onset >= start) & (onset < start + length)]
    assert (part.notes["pitch"] == inside["pitch"]).all()
    assert np.allclose(part.notes["onset_beat"] + start, inside["onset_beat"])
    assert part.duration_beat <= length
    if part.bar_beats:
        bars = (part.pickup_beats + start - piece.pickup_beats) / part.bar_beats
        assert np.isclose(bars, round(bars))


def test_an_excerpt_needs_a_start_before_its_end(everything):
    for limits in [(4, 4), (5, 1), (0, np.nan)]:
        with pytest.raises(ValueError, match=r"expected start_beat < end_beat"):
            everything["bach"][0].excerpt(*limits)


def test_an_excerpt_of_silence_is_empty(everything):
    part = everything["bach"][0].excerpt(1000, 1001)
    assert len(part.notes) == 0 and part.duration_beat == 0 and part.n_voices == 0


def test_notes_are_read_only_so_that_pieces_can_be_shared(everything):
    with pytest.raises(ValueError, match=r"read-only"):
        everything["bach"][0].notes["pitch"][0] = 0


def test_a_collection_is_a_sequence_by_index_slice_and_id(everything):
    bach = everything["bach"]
    assert bach["bwv66.6"] is bach[[p.id for p in bach].index("bwv66.6")]
    assert [p.id for p in bach[2:4]] == [bach[2].id, bach[3].id]
    assert len(bach.filter(lambda p: p.mode == "minor")) == sum(p.mode == "minor" for p in bach)
    assert bach[-1] in bach and bach.licence and "Greentree" in bach.credit
    with pytest.raises(KeyError, match=r"'bach' has no piece 'bwv0'; its ids look like bwv"):
        bach["bwv0"]
    with pytest.raises(ValueError, match=r"no split 'dev'; choose from train, valid, test"):
        bach.split("dev")


def test_an_unknown_collection_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"no collection 'bachs'; choose from bach, ryan, oneill"):
        scores.load("bachs")


# MIDI


@given(lines)
@settings(max_examples=50, deadline=None)
def test_notes_to_midi_and_back_are_the_same_notes(lines_):
    notes = array_from(lines_)
    back = from_midi(to_midi(notes))
    for name in NOTE_DTYPE.names:
        np.testing.assert_allclose(back[name], notes[name], rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", COLLECTIONS)
def test_shipped_pieces_survive_midi_exactly(everything, name):
    for piece in (piece.excerpt(0, 200) for piece in everything[name][:3]):
        back = from_midi(to_midi(piece))
        assert (back["pitch"] == piece.notes["pitch"]).all()
        assert (back["onset_beat"] == piece.notes["onset_beat"]).all()
        assert (back["voice"] == piece.notes["voice"]).all()


def test_midi_agrees_with_pretty_midi(everything, tmp_path):
    piece = everything["bach"]["bwv66.6"]
    file = tmp_path / "chorale.mid"
    raw = to_midi(piece, file, tempo=90, program={0: 73, 3: 70})
    assert file.read_bytes() == raw
    midi = pretty_midi.PrettyMIDI(str(file))
    assert [i.program for i in midi.instruments] == [73, 0, 0, 70]
    assert midi.get_tempo_changes()[1][0] == pytest.approx(90, abs=1e-3)
    for voice, instrument in enumerate(midi.instruments):
        ours = piece.notes[piece.notes["voice"] == voice]
        theirs = sorted(instrument.notes, key=lambda n: (n.start, n.pitch))
        assert [n.pitch for n in theirs] == ours["pitch"].tolist()
        np.testing.assert_allclose(
            [n.start for n in theirs], ours["onset_beat"] * 60 / 90, atol=1e-4
        )


def test_midi_of_another_program_is_read(tmp_path):
    midi = pretty_midi.PrettyMIDI(initial_tempo=100)
    for program, pitch in [(0, 60), (40, 72)]:
        instrument = pretty_midi.Instrument(program)
        instrument.notes.append(pretty_midi.Note(80, pitch, 0.6, 1.2))
        midi.instruments.append(instrument)
    drums = pretty_midi.Instrument(0, is_drum=True)
    drums.notes.append(pretty_midi.Note(80, 36, 0, 1))
    midi.instruments.append(drums)
    midi.write(str(tmp_path / "other.mid"))
    notes = from_midi(tmp_path / "other.mid")
    assert notes["pitch"].tolist() == [60, 72] and notes["voice"].tolist() == [0, 1]
    np.testing.assert_allclose(notes["onset_beat"], 1, atol=0.01)
    np.testing.assert_allclose(notes["duration_beat"], 1, atol=0.01)


def test_midi_says_what_is_wrong(tmp_path):
    notes = note_array([0], [1], [60])
    with pytest.raises(ValueError, match=r"tempo must be 4 to 6000 .* got 0"):
        to_midi(notes, tempo=0)
    with pytest.raises(ValueError, match=r"a program is 0 to 127, got 128 for voice 0"):
        to_midi(notes, program=128)
    with pytest.raises(ValueError, match=r"these bytes cannot be read as MIDI"):
        from_midi(b"RIFF not a midi file")
    with pytest.raises(ValueError, match=r"cannot be read as MIDI"):
        from_midi(to_midi(notes)[:-12])
    with pytest.raises(FileNotFoundError):
        from_midi(tmp_path / "none.mid")


# Faults in the data folder


@pytest.fixture
def data_copy(tmp_path, monkeypatch):
    source = registry.data_dir()
    for name in ("registry.json", "scores/schumann.npz", "scores/families.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(source / name, tmp_path / name)
    monkeypatch.setenv("MIRCOURSE_DATA", str(tmp_path))
    assert len(scores.load("schumann")) > 0
    return tmp_path


@pytest.mark.parametrize("name", ["scores/schumann.npz", "scores/families.json"])
@pytest.mark.parametrize("fault", ["missing", "truncated", "altered"])
def test_faulty_data_names_file_hash_and_remedy(data_copy, name, fault):
    file, expected = data_copy / name, registry.entries()[name]
    raw = file.read_bytes()
    if fault == "missing":
        file.unlink()
    else:
        middle = len(raw) // 2
        altered = raw[:middle] + bytes([raw[middle] ^ 1]) + raw[middle + 1 :]
        file.write_bytes(raw[:middle] if fault == "truncated" else altered)
    with pytest.raises(registry.DataError) as error:
        scores.load("schumann")
    for part in (str(file), expected.sha256, "MIRCOURSE_DATA"):
        assert part in str(error.value)


def test_importing_scores_loads_nothing_heavy():
    code = (
        "import sys, mircourse.scores as s; s.load('haydn'); "
        "heavy = {'torch', 'librosa', 'music21', 'pretty_midi', 'mido', 'scipy', 'matplotlib'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.strip() == "[]"
