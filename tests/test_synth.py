"""Rendering against the score: when notes sound, how high, how loud, and alone or in a batch."""

import itertools
import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mircourse import registry, soundfonts, synth
from mircourse.notearray import note_array
from mircourse.registry import DataError

RATE = 48000  # the sampler's own: nothing between it and the test


def hz(pitch):
    return 440 * 2 ** ((pitch - 69) / 12)


def scattered(pitches, *, velocity=100):
    """Isolated notes at times that fall on no grid, 1.2 s apart, half a second long."""
    at = np.arange(len(pitches)) * 1.2 + 0.1 + np.linspace(0, 0.0173, len(pitches)) ** 0.5
    return note_array(at * 2, np.full(len(pitches), 1.0), pitches, velocity=velocity), at


# Time


@pytest.mark.parametrize(
    ("program", "pitches"),
    [
        (0, (48, 60, 67, 76)),  # piano
        (6, (48, 60, 67, 76)),  # harpsichord
        (40, (57, 64, 69, 76)),  # violin
        (43, (36, 40, 43, 50)),  # contrabass
        (56, (57, 62, 69, 74)),  # trumpet
        (58, (36, 41, 46, 50)),  # tuba
        (68, (60, 67, 72, 79)),  # oboe
        (71, (55, 60, 67, 74)),  # clarinet
        (73, (62, 67, 74, 79)),  # flute
    ],
)
def test_notes_begin_within_5_ms_of_the_score(program, pitches):
    notes, at = scattered(pitches)
    audio = np.abs(synth.render(notes, program=program, sample_rate=RATE))
    for onset in at:
        around = audio[int((onset - 0.05) * RATE) : int((onset + 0.4) * RATE)]
        first = np.argmax(around > 0.003 * around.max()) / RATE - 0.05  # 50 dB down
        assert -0.001 < first < 0.005


def test_tempo_is_quarter_notes_per_minute():
    notes = note_array([2], [1], [69])
    for tempo, second in ((120, 1.0), (60, 2.0), (90, 4 / 3)):
        audio = synth.render(notes, program=6, tempo=tempo, sample_rate=RATE)
        first = np.argmax(np.abs(audio) > 0.01 * np.abs(audio).max()) / RATE
        assert abs(first - second) < 0.005
        assert len(audio) == round((2 + 1) * 60 / tempo * RATE + synth.TAIL_SECONDS * RATE)


def test_a_note_ends_when_the_score_says():
    long, short = (
        synth.render(note_array([0], [beats], [69]), program=73, seconds=3.0) for beats in (4, 1)
    )
    level = [np.sqrt(np.mean(a[int(1.2 * 22050) : int(1.8 * 22050)] ** 2)) for a in (long, short)]
    assert level[1] < level[0] / 30


@pytest.mark.parametrize("sample_rate", [8000, 16000, 22050, 44100, 48000, 96000])
def test_any_sample_rate(sample_rate):
    audio = synth.render(note_array([1], [2], [69]), program=73, sample_rate=sample_rate)
    assert len(audio) == round((1.5 + synth.TAIL_SECONDS) * sample_rate)
    assert audio.dtype == np.float32
    assert abs(fundamental(audio, sample_rate, near=69) - 69) < 0.15
    first = np.argmax(np.abs(audio) > 0.05 * np.abs(audio).max()) / sample_rate
    assert abs(first - 0.5) < 0.02


# Pitch


def fundamental(audio, rate, *, near):
    spectrum = np.abs(np.fft.rfft(audio * np.hanning(len(audio)), 1 << 19))
    pitch = 69 + 12 * np.log2(np.arange(1, len(spectrum)) * rate / (1 << 19) / 440)
    inside = np.flatnonzero(np.abs(pitch - near) < 1.5)
    return pitch[inside[spectrum[1:][inside].argmax()]]


@pytest.mark.parametrize("font", ["fluid", "timgm6mb"])
def test_every_shipped_program_is_in_tune(font):
    programs = list(synth.programs("fluid"))
    low = {43, 57, 58, 70}
    pieces = [note_array([0], [3], [45 if p in low else 72]) for p in programs]
    rendered = synth.render(pieces, program=programs, font=font, seconds=1.5)
    for program, audio, piece in zip(programs, rendered, pieces, strict=True):
        pitch = piece["pitch"][0]
        cents = 100 * (fundamental(audio[2000:], 22050, near=pitch) - pitch)
        assert abs(cents) < (30 if program == 74 else 15), (program, cents)


def test_programs_are_those_of_general_midi():
    names = synth.programs("fluid")
    expected = {0: "Piano", 6: "Harpsichord", 24: "Nylon", 40: "Violin", 56: "Trumpet"}
    expected |= {57: "Trombone", 58: "Tuba", 68: "Oboe", 70: "Bassoon", 71: "Clarinet"}
    expected |= {73: "Flute", 74: "Recorder", 46: "Harp", 65: "Alto Sax", 20: "Reed Organ"}
    assert all(name in names[program] for program, name in expected.items())
    assert len(names) == 20 and list(names) == sorted(names)
    assert sorted(synth.programs("timgm6mb")) == list(range(128))


def test_programs_sound_different():
    note = note_array([0], [2], [57])
    programs = list(synth.programs("fluid"))
    audio = np.stack(synth.render([note] * len(programs), program=programs, seconds=1.0))
    audio /= np.linalg.norm(audio, axis=1, keepdims=True)
    alike = audio @ audio.T - np.eye(len(programs))
    assert alike.max() < 0.99


@pytest.mark.parametrize("font", ["fluid", "timgm6mb"])
def test_programs_sound_where_pitches_says(font):
    for program in (0, 40, 43, 58, 68, 73):
        sounding = synth.pitches(font)[program]
        inside = sorted({sounding[0], 60 if 60 in sounding else 40, sounding[-1]} - {0})
        pieces = [note_array([0], [1], [pitch]) for pitch in inside]
        for audio in synth.render(pieces, program=program, font=font, seconds=0.5):
            assert np.abs(audio).max() > 1e-3, (program, inside)
        if sounding[-1] < 127:
            above = note_array([0], [1], [sounding[-1] + 1])
            with pytest.raises(ValueError, match=f"sounds at pitches .* to {sounding[-1]}; voice"):
                synth.render(above, program=program, font=font)


def test_what_is_refused_would_have_been_silent(monkeypatch):
    everything = {program: range(128) for program in range(128)}
    ranges = synth.pitches("fluid")
    monkeypatch.setattr(synth, "pitches", lambda font: everything)
    for program in (43, 58, 70):
        above = note_array([0], [1], [ranges[program][-1] + 1], velocity=127)
        assert not synth.render(above, program=program).any()


# Loudness and velocity


def test_velocity_is_loudness():
    pieces = [note_array([0], [1], [67], velocity=v) for v in (20, 40, 64, 100, 127)]
    peaks = [np.abs(a).max() for a in synth.render(pieces, seconds=1.0)]
    assert all(low < high for low, high in itertools.pairwise(peaks))


def test_a_tutti_is_not_clipped():
    pitches = np.arange(36, 96)
    loud = note_array(np.zeros(60), np.full(60, 2.0), pitches, velocity=127)
    soft = note_array(np.zeros(60), np.full(60, 2.0), pitches, velocity=127)[:6]
    both = synth.render([loud, soft], program=56, seconds=1.0, sample_rate=RATE)
    assert np.abs(both[0]).max() > 1
    flat = np.abs(np.diff(both[0])) == 0
    assert not np.any(flat & (np.abs(both[0][1:]) > 0.9 * np.abs(both[0]).max()))
    # What clips is played again by itself: its neighbour is as it would be alone.
    np.testing.assert_array_equal(
        both[1], synth.render(soft, program=56, seconds=1.0, sample_rate=RATE)
    )
    # 60 notes are the sum of 60 notes, to the sampler's 16 bits and 64 voices.
    parts = synth.render([loud[k : k + 1] for k in range(60)], program=56, seconds=1.0)
    total = synth.render(loud, program=56, seconds=1.0)
    assert np.linalg.norm(total - np.sum(parts, axis=0)) < 0.02 * np.linalg.norm(total)


# Batches


@settings(max_examples=8, deadline=None)
@given(data=st.data())
def test_a_piece_is_the_same_alone_and_in_a_batch(data):
    pieces, programs = [], []
    for _ in range(data.draw(st.integers(2, 4))):
        n = data.draw(st.integers(0, 6))
        column = st.lists(st.integers(0, 24), min_size=n, max_size=n)
        onset = np.array(data.draw(column), dtype=float) / 7
        duration = np.array(data.draw(column), dtype=float) / 9 + 0.05
        pitch = [48 + k for k in data.draw(column)]
        voice = [k % 3 for k in data.draw(column)]
        pieces.append(note_array(onset, duration, pitch, voice=voice))
        programs.append(data.draw(st.sampled_from([0, 40, 56, 73])))
    seconds = data.draw(st.sampled_from([None, 0.7]))
    batch = synth.render(pieces, program=programs, seconds=seconds)
    for piece, program, together in zip(pieces, programs, batch, strict=True):
        alone = synth.render(piece, program=program, seconds=seconds)
        np.testing.assert_array_equal(together, alone)


def test_batches_are_split_where_they_get_long(monkeypatch):
    pieces = [note_array([0], [1], [60 + k]) for k in range(5)]
    whole = synth.render(pieces, program=73, seconds=0.5)
    calls = []
    monkeypatch.setattr(synth, "_BATCH_BLOCKS", 2 * synth._BLOCKS_PER_SECOND * 0.5)
    sample = synth._sample
    monkeypatch.setattr(synth, "_sample", lambda b, *rest: calls.append(len(b)) or sample(b, *rest))
    parts = synth.render(pieces, program=73, seconds=0.5)
    assert calls == [2, 2, 1]
    for one, other in zip(whole, parts, strict=True):
        np.testing.assert_array_equal(one, other)


def test_tempo_and_program_for_each_piece():
    notes = note_array([0, 1], [1, 1], [60, 67])
    both = synth.render([notes, notes], tempo=[60, 120], program=[0, 73])
    np.testing.assert_array_equal(both[0], synth.render(notes, tempo=60, program=0))
    np.testing.assert_array_equal(both[1], synth.render(notes, tempo=120, program=73))
    with pytest.raises(ValueError, match="2 pieces need 2 values of tempo, got 3"):
        synth.render([notes, notes], tempo=[60, 120, 90])
    assert synth.render([]) == []


@pytest.mark.parametrize("font", ["fluid", "timgm6mb"])
def test_nothing_rings_on_into_the_next_piece(font):
    # 44, 48, 65 and 88 of TimGM6mb ask for reverb or chorus by themselves.
    programs = [p for p in (0, 11, 40, 44, 46, 48, 65, 73, 88) if p in synth.programs(font)]
    loud = note_array([0], [4], [60], velocity=127)
    pieces = [piece for _ in programs for piece in (loud, loud[:0])]
    voices = [program for program in programs for _ in range(2)]
    audio = synth.render(pieces, program=voices, font=font, seconds=0.4)
    assert all(np.abs(a).max() > 0.01 for a in audio[::2])
    assert not any(a.any() for a in audio[1::2])


# Voices


def test_each_voice_has_its_program():
    notes = note_array([0, 0], [2, 2], [60, 67], voice=[0, 1])
    mixed = synth.render(notes, program={0: 73, 1: 40}, seconds=1.0)
    flute = synth.render(notes[notes["voice"] == 0], program=73, seconds=1.0)
    violin = synth.render(notes[notes["voice"] == 1], program=40, seconds=1.0)
    np.testing.assert_allclose(mixed, flute + violin, atol=1e-4)


def test_a_unison_of_two_voices_is_two_notes():
    unison = note_array([0, 0], [1, 4], [60, 60], voice=[0, 1])
    audio = synth.render(unison, program=73, seconds=2.0)
    longer = synth.render(unison[1:], program=73, seconds=2.0)
    late = slice(int(1.5 * 22050), int(1.9 * 22050))
    # When the short note has ended, the long one sounds on, as if alone.
    np.testing.assert_allclose(audio[late], longer[late], atol=1e-4)


def test_a_repeated_pitch_in_one_voice_begins_again():
    overlapping = note_array([0, 1], [3, 1], [60, 60])
    clean = note_array([0, 1], [1, 1], [60, 60])
    one, other = (synth.render(n, program=73, seconds=2) for n in (overlapping, clean))
    np.testing.assert_array_equal(one, other)


def test_more_voices_than_channels():
    voices = np.arange(20)
    crowd = note_array(np.zeros(20), np.ones(20), 50 + voices, voice=voices)
    one = note_array(np.zeros(20), np.ones(20), 50 + voices)
    np.testing.assert_array_equal(synth.render(crowd), synth.render(one))
    with pytest.raises(ValueError, match="a piece can have 15 programs, got 20"):
        synth.render(crowd, program={int(v): int(v) for v in voices}, font="timgm6mb")


# Edges and mistakes


def test_no_notes_are_silence():
    empty = note_array([], [], [])
    np.testing.assert_array_equal(synth.render(empty), np.zeros(22050))
    np.testing.assert_array_equal(synth.render(empty, seconds=0.25), np.zeros(round(0.25 * 22050)))


def test_seconds_cut_and_fill():
    notes = note_array([0, 2], [1, 1], [60, 64])
    whole = synth.render(notes, program=6, sample_rate=RATE)
    short = synth.render(notes, program=6, sample_rate=RATE, seconds=0.8)
    np.testing.assert_array_equal(short, whole[: len(short)])
    long = synth.render(notes, program=6, sample_rate=RATE, seconds=6)
    assert len(long) == 6 * RATE and not long[-RATE:].any()


def test_two_calls_give_the_same_samples():
    notes = note_array([0, 0.3], [1, 1], [60, 64])
    np.testing.assert_array_equal(synth.render(notes), synth.render(notes))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"program": 1}, r"font 'fluid' has no program 1; it has 0 Yamaha Grand Piano, 6 Harps"),
        ({"program": {0: 200}}, "has no program 200"),
        ({"font": "no-such.sf2"}, r"font must be 'fluid', 'timgm6mb' or the path.*'no-such.sf2'"),
        ({"tempo": 0}, "tempo must be above 0 and finite, got 0"),
        ({"tempo": float("nan")}, "tempo must be above 0 and finite, got nan"),
        ({"seconds": -1}, "seconds must be above 0 and finite, got -1"),
        ({"seconds": float("inf")}, "got inf"),
        ({"sample_rate": 10}, "sample_rate must be 1,000 to 192,000 whole Hz, got 10"),
        ({"sample_rate": 22050.5}, "got 22050.5"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        synth.render(note_array([0], [1], [60]), **arguments)


def test_bad_music():
    notes = note_array([0], [1], [60])
    broken = notes.copy()
    broken["onset_beat"] = np.nan
    with pytest.raises(ValueError, match="onset_beat must be finite, got nan at note 0"):
        synth.render(broken)
    with pytest.raises(TypeError, match="expected a note array"):
        synth.render(np.zeros(100))
    with pytest.raises(TypeError, match="expected a piece, notes or a sequence of these"):
        synth.render(7)


# Soundfonts


def test_a_font_by_its_path(tmp_path):
    copy = tmp_path / "mine.sf2"
    shutil.copy(soundfonts.locate("fluid"), copy)
    assert synth.programs(copy) == synth.programs("fluid")
    notes = note_array([0], [1], [60])
    np.testing.assert_array_equal(synth.render(notes, font=copy), synth.render(notes))


def test_files_that_are_not_fonts(tmp_path):
    text = tmp_path / "text.sf2"
    text.write_text("not a font at all")
    with pytest.raises(ValueError, match=r"text\.sf2 is not a soundfont \(SF2\)"):
        synth.programs(text)
    content = soundfonts.locate("fluid").read_bytes()
    cut = tmp_path / "cut.sf2"
    cut.write_bytes(content[:-1000])
    with pytest.raises(ValueError, match=rf"cut\.sf2 is cut short: .* of {len(content)}"):
        synth.programs(cut)
    hollow = tmp_path / "hollow.sf2"
    hollow.write_bytes(b"RIFF\x04\x00\x00\x00sfbk")
    with pytest.raises(ValueError, match="has no presets"):
        synth.programs(hollow)


def test_a_damaged_shipped_font_is_named(tmp_path, monkeypatch):
    (tmp_path / "soundfont").mkdir()
    shutil.copy(registry.data_dir() / "registry.json", tmp_path)
    (tmp_path / soundfonts.SHIPPED).write_bytes(b"RIFF")
    monkeypatch.setenv("MIRCOURSE_DATA", str(tmp_path))
    with pytest.raises(DataError, match=r"fluid-subset\.sf2 has 4 bytes"):
        synth.render(note_array([0], [1], [60]))


def test_the_shipped_font_stays_small_and_brings_its_licence():
    assert registry.path(soundfonts.SHIPPED).stat().st_size < 16_000_000
    assert "Frank Wen" in registry.path("soundfont/LICENCE.txt").read_text(encoding="utf-8")


def test_a_longer_release_lets_notes_die_away_more_slowly(tmp_path):
    short = note_array([0], [0.5], [60], velocity=80)

    def after_the_end(font):
        audio = synth.render(short, tempo=60, font=font, seconds=1.0, sample_rate=16000)
        return np.square(audio[round(0.6 * 16000) : round(0.7 * 16000)]).mean()

    levels = []
    for factor in (0.5, 1.0, 3.0):
        file = tmp_path / f"{factor}.sf2"
        file.write_bytes(soundfonts.with_release("fluid", factor=factor))
        levels.append(after_the_end(file))
    assert 4 * levels[0] < levels[1] < levels[2] / 4
    np.testing.assert_allclose(levels[1], after_the_end("fluid"))
    with pytest.raises(ValueError, match="factor=0"):
        soundfonts.with_release("fluid", factor=0)
