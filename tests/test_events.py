"""Events against a state machine and a step-by-step writer; any tokens sound; miditok agrees."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mircourse import events, scores, styles
from mircourse.events import (
    BOS,
    CLS,
    EOS,
    IGNORED,
    MASK,
    N_EVENTS,
    N_TOKENS,
    NOTE_OFF,
    NOTE_ON,
    PAD,
    SEP,
    TIME_SHIFT,
    VELOCITY,
    decode,
    duration_bins,
    encode,
    names,
    note_targets,
)
from mircourse.performed import perform, performed_notes

# Few pitches and crowded times: overlaps, repetitions and notes too short for a step.
some_notes = st.lists(
    st.tuples(
        st.floats(0, 3),
        st.one_of(st.floats(1e-4, 0.02), st.floats(0.02, 3)),
        st.integers(60, 62),
        st.integers(1, 127),
    ),
    max_size=14,
).map(
    lambda rows: performed_notes(
        [r[0] for r in rows],
        [r[1] for r in rows],
        [r[2] for r in rows],
        velocity=[r[3] for r in rows],
    )
)
any_tokens = st.lists(
    st.one_of(
        st.integers(0, N_TOKENS - 1),
        st.sampled_from([60, 61, 128 + 60, 128 + 61, 256, 260, 360, 385, BOS, EOS, PAD]),
    ),
    max_size=60,
)


def round_step(seconds):
    return int(np.floor(100 * seconds + 0.5))


def wanted(notes):
    """(onset, end, pitch, level) in steps, by looking at each pitch at each step."""
    rows = []
    for pitch in np.unique(notes["pitch"]):
        struck = {}
        for row in notes[notes["pitch"] == pitch]:
            onset = round_step(row["onset_sec"])
            end = max(round_step(row["onset_sec"] + row["duration_sec"]), onset + 1)
            level = (int(row["velocity"]) - 1) // 4
            before = struck.get(onset, (0, 0))
            struck[onset] = (max(end, before[0]), max(level, before[1]))
        for onset, (_, level) in struck.items():
            end = max(e for o, (e, _) in struck.items() if o <= onset)
            end = min([end] + [o for o in struck if o > onset])
            rows.append((onset, end, int(pitch), level))
    return sorted(rows, key=lambda row: (row[0], row[2]))


def written(rows):
    """The tokens, one step of time after another."""
    tokens, waited, level = [], 0, None
    for now in range(max((end for _, end, _, _ in rows), default=-1) + 1):
        ends = sorted(p for _, end, p, _ in rows if end == now)
        begins = sorted((p, v) for onset, _, p, v in rows if onset == now)
        if ends or begins:
            while waited:
                tokens.append(TIME_SHIFT + min(waited, 100) - 1)
                waited -= min(waited, 100)
        tokens += [NOTE_OFF + p for p in ends]
        for p, v in begins:
            if v != level:
                tokens.append(VELOCITY + v)
                level = v
            tokens.append(NOTE_ON + p)
        waited += 1
    return tokens


def heard(tokens):
    """(onset, steps, pitch, level, position) of each note, by playing the tokens one by one."""
    found, down, now, level = [], {}, 0, 15

    def raise_key(pitch):
        if pitch in down:
            onset, touch, at = down.pop(pitch)
            found.append((onset, now - onset, pitch, touch, at))

    for at, token in enumerate(tokens):
        if token < NOTE_OFF:
            raise_key(token)
            down[token] = (now, level, at)
        elif token < TIME_SHIFT:
            raise_key(token - NOTE_OFF)
        elif token < VELOCITY:
            now += token - TIME_SHIFT + 1
        elif token < N_EVENTS:
            level = token - VELOCITY
        elif token != MASK:
            for pitch in list(down):
                raise_key(pitch)
    for pitch in list(down):
        raise_key(pitch)
    return found


@given(some_notes)
@settings(deadline=None, max_examples=150)
def test_encode_writes_what_happens_step_by_step(notes):
    assert encode(notes).tolist() == written(wanted(notes))


@given(some_notes)
@settings(deadline=None, max_examples=100)
def test_decode_gives_back_what_was_encoded_to_quantisation(notes):
    again = decode(encode(notes))
    rows = wanted(notes)
    np.testing.assert_allclose(again["onset_sec"], [r[0] / 100 for r in rows], atol=1e-9)
    np.testing.assert_allclose(again["duration_sec"], [(r[1] - r[0]) / 100 for r in rows])
    assert again["pitch"].tolist() == [r[2] for r in rows]
    assert again["velocity"].tolist() == [4 * r[3] + 2 for r in rows]
    # Nothing is lost the second time.
    np.testing.assert_array_equal(encode(again), encode(notes))


@pytest.mark.parametrize("collection", ["bach", "trecento", "aird", "mozart"])
def test_scores_come_back_to_half_a_step(collection):
    music = perform(scores.load(collection)[0], tempo=117)
    again = decode(encode(music))
    assert len(again) == len(music)
    order = np.lexsort((music["pitch"], np.floor(100 * music["onset_sec"] + 0.5)))
    for name in ("onset_sec", "duration_sec"):
        error = np.abs(again[name] - music[name][order])
        assert error.max() <= (0.005 if name == "onset_sec" else 0.0100001)
    assert np.abs(again["velocity"] - music["velocity"][order]).max() <= 2


@given(st.integers(1, 127))
@settings(deadline=None)
def test_velocities_are_two_off_at_most(velocity):
    (note,) = decode(encode(performed_notes([0], [1], [60], velocity=velocity)))
    assert abs(int(note["velocity"]) - velocity) <= 2


@given(any_tokens)
@settings(deadline=None, max_examples=300)
def test_any_tokens_sound_as_played_one_by_one(tokens):
    rows = sorted(
        (onset / 100, steps / 100, pitch, 4 * level + 2)
        for onset, steps, pitch, level, _ in heard(tokens)
        if steps
    )
    assert sorted(decode(tokens).tolist()) == rows


@given(any_tokens)
@settings(deadline=None, max_examples=300)
def test_targets_are_of_the_next_note_in_the_piece(tokens):
    notes = {at: (pitch, steps, level) for _, steps, pitch, level, at in heard(tokens)}
    targets = note_targets(tokens)
    new_piece = {PAD, BOS, EOS, CLS, SEP}
    for at in range(len(tokens)):
        expected = (IGNORED,) * 3
        for later in range(at + 1, len(tokens)):
            if tokens[later] in new_piece:
                break
            if later in notes:
                pitch, steps, level = notes[later]
                expected = (pitch, int(duration_bins(steps)), level // 4)
                break
        assert tuple(int(column[at]) for column in targets) == expected


def test_what_each_head_is_to_say_of_two_notes():
    tokens = [BOS, VELOCITY + 8, 60, TIME_SHIFT + 47, 128 + 60, VELOCITY + 31, 64, 267, 192, EOS]
    targets = note_targets(tokens)
    none = IGNORED
    assert targets.pitches.tolist() == [60, 60, 64, 64, 64, 64, none, none, none, none]
    assert targets.durations.tolist() == [16, 16, 8, 8, 8, 8, none, none, none, none]
    assert targets.dynamics.tolist() == [2, 2, 7, 7, 7, 7, none, none, none, none]


def test_note_values_plain_dotted_and_of_triplets_differ():
    quarter = 48
    values = np.array([quarter / 16, quarter / 8, quarter / 4, quarter / 2, quarter, 96, 192])
    plain, dotted, thirds = (duration_bins(values * f) for f in (1, 1.5, 4 / 3))
    assert plain.tolist() == [0, 4, 8, 12, 16, 20, 24]
    assert len({*plain, *dotted, *thirds}) == 21
    assert duration_bins([1, 10**6]).tolist() == [0, 31]


def test_the_vocabulary_has_388_events_and_the_rest_outside():
    kinds = [name.split()[0] for name in names(range(N_TOKENS))]
    counts = {kind: kinds.count(kind) for kind in kinds}
    assert counts == {
        "NOTE_ON": 128, "NOTE_OFF": 128, "TIME_SHIFT": 100, "VELOCITY": 32,
        "PAD": 1, "BOS": 1, "EOS": 1, "MASK": 1, "CLS": 1, "SEP": 1,
    }  # fmt: skip
    assert (N_EVENTS, N_TOKENS) == (388, 394)
    assert names([0, 128, 256, 355, 356, 387]) == [
        "NOTE_ON 0", "NOTE_OFF 0", "TIME_SHIFT 10 ms", "TIME_SHIFT 1000 ms",
        "VELOCITY 1-4", "VELOCITY 125-127",
    ]  # fmt: skip


def test_nothing_is_nothing():
    silence = performed_notes([], [], [])
    assert encode(silence).tolist() == []
    assert encode(silence, ends=True).tolist() == [BOS, EOS]
    for empty in ([], [BOS, EOS], [TIME_SHIFT], np.zeros(0, np.int64)):
        assert len(decode(empty)) == 0
        assert all((column == IGNORED).all() for column in note_targets(empty))


def test_a_note_left_open_lasts_to_the_end_and_specials_are_silent():
    assert decode([60, MASK, TIME_SHIFT + 99, TIME_SHIFT + 49]).tolist() == [(0.0, 1.5, 60, 62)]
    assert decode([60, TIME_SHIFT + 9, EOS, TIME_SHIFT + 9]).tolist() == [(0.0, 0.1, 60, 62)]


@pytest.mark.parametrize("function", [decode, names, note_targets])
def test_what_is_no_token_is_refused(function):
    for wrong in ([394], [-1], [60, 1000]):
        with pytest.raises(ValueError, match="a token is 0 to 393, got"):
            function(wrong)
    with pytest.raises(TypeError, match="whole numbers"):
        function([1.5])
    with pytest.raises(ValueError, match="shape"):
        function([[1, 2]])


def test_encode_refuses_what_is_no_performance():
    with pytest.raises(TypeError, match="performed array"):
        encode(np.zeros(3))


# --------------------------------------------------------------------------------------- miditok

GOLDEN = json.loads((Path(__file__).parent / "golden" / "miditok_midilike.json").read_text())


def instants(tokens):
    """What happens at each instant, from names such as ``NoteOn_60`` or our tokens.

    (step, keys that come up, keys that go down with their levels, lowest first). miditok writes a
    velocity after each note, we before each change; it lets keys come up in the order in which
    they went down, we from the lowest.
    """
    found, now, level = {}, 0, None
    for token in tokens:
        kind, _, value = token.partition("_")
        ups, downs = found.setdefault(now, ([], []))
        if kind == "TimeShift":
            beats, part, resolution = map(int, value.split("."))
            now += beats * resolution + part
        elif kind == "NoteOff":
            ups.append(int(value))
        elif kind == "NoteOn":
            downs.append([int(value), level])
        else:
            downs[-1][1] = (int(value) - 1) // 4
    return [(step, sorted(ups), downs) for step, (ups, downs) in found.items() if ups or downs]


def ours_as_miditok(tokens):
    """Our tokens under miditok's names, a velocity after each note."""
    out, level = [], None
    for token in tokens.tolist():
        if token < NOTE_OFF:
            out += [f"NoteOn_{token}", f"Velocity_{4 * level + 3}"]
        elif token < TIME_SHIFT:
            out.append(f"NoteOff_{token - NOTE_OFF}")
        elif token < VELOCITY:
            out.append(f"TimeShift_0.{token - TIME_SHIFT + 1}.48")
        else:
            level = token - VELOCITY
    return out


@pytest.mark.parametrize("collection", ["bach", "oneill"])
def test_miditok_writes_the_same_events(collection):
    """The file was made with miditok as it says; benchmarks/events.py compares with it live."""
    (name,) = (n for n in GOLDEN["tokens"] if n.startswith("bwv") == (collection == "bach"))
    piece = scores.load(collection)[name].excerpt(0, GOLDEN["beats"][name])
    tokens = encode(perform(styles.accented(piece), tempo=styles.TEMPO))
    theirs = instants(GOLDEN["tokens"][name].split())
    assert len(theirs) > 20
    assert instants(ours_as_miditok(tokens)) == theirs


def test_the_module_says_what_the_constants_are():
    for name, number in events.SPECIALS.items():
        assert f"{number} ``{name}``" in events.__doc__
