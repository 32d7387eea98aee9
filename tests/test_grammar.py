"""The grammar allows what encode writes, and nothing else."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mircourse import scores, styles
from mircourse.events import (
    BOS,
    EOS,
    N_TOKENS,
    NOTE_OFF,
    PAD,
    TIME_SHIFT,
    VELOCITY,
    decode,
    encode,
)
from mircourse.grammar import Grammar, faults
from mircourse.performed import performed_notes

KINDS = (
    (0, NOTE_OFF),
    (NOTE_OFF, TIME_SHIFT),
    (TIME_SHIFT, VELOCITY),
    (VELOCITY, BOS),
    (EOS, EOS + 1),
)


def wander(seed, length, grammar):
    """Tokens drawn at random, of those allowed; after `length` the piece ends as soon as it may."""
    rng = np.random.default_rng(seed)
    tokens = [BOS]
    grammar.append([BOS])
    while tokens[-1] != EOS:
        allowed = np.flatnonzero(grammar.allowed()[0])
        over = len(tokens) > length
        if over and EOS in allowed:
            allowed = allowed[allowed == EOS]
        kinds = [allowed[(allowed >= a) & (allowed < b)] for a, b in KINDS]
        kinds = [kind for kind in kinds if len(kind)]
        # Late pieces let keys come up, or time pass until they can.
        late = [kind for kind in kinds if NOTE_OFF <= kind[0] < VELOCITY]
        some = late[0] if over and late else kinds[rng.integers(len(kinds))]
        tokens.append(int(rng.choice(some)))
        grammar.append(tokens[-1:])
    return tokens


@given(st.integers(0, 10**6), st.integers(0, 120))
@settings(deadline=None, max_examples=60)
def test_what_is_allowed_is_what_encode_writes(seed, length):
    tokens = wander(seed, length, Grammar())
    assert encode(decode(tokens), ends=True).tolist() == tokens
    assert faults(tokens).tolist() == []


@given(st.integers(0, 10**6), st.integers(0, 80))
@settings(deadline=None, max_examples=60)
def test_nothing_is_closed_that_is_not_open(seed, length):
    down = set()
    for token in wander(seed, length, Grammar()):
        if token < NOTE_OFF:
            assert token not in down
            down.add(token)
        elif token < TIME_SHIFT:
            assert token - NOTE_OFF in down
            down.remove(token - NOTE_OFF)
    assert not down


@given(
    st.lists(
        st.tuples(st.floats(0, 2), st.floats(0.001, 2), st.integers(60, 63), st.integers(1, 127)),
        max_size=12,
    )
)
@settings(deadline=None, max_examples=80)
def test_what_encode_writes_is_allowed(rows):
    columns = np.array(rows, dtype=float).reshape(-1, 4).T
    notes = performed_notes(columns[0], columns[1], columns[2], velocity=columns[3])
    assert faults(encode(notes, ends=True)).tolist() == []


def test_real_music_is_allowed():
    for collection in ("bach", "ryan", "trecento"):
        assert faults(styles.tokens(scores.load(collection)[0])).tolist() == []


@pytest.mark.parametrize(
    ("tokens", "where"),
    [
        ([188], [0]),  # comes up without having gone down
        ([371, 60, 60], [2]),  # goes down twice
        ([371, 60, 188], [2]),  # comes up at once
        ([60], [0]),  # no velocity
        ([371, 64, 60], [2]),  # from the highest
        ([371, 371, 60], [1]),
        ([371, 256, 60], [1]),  # a velocity for nothing
        ([256, 256], [1]),  # two short waits
        ([355, 355, 256, 371], []),
        ([371, 60, 256, EOS], [3]),  # ends while a key is down
        ([371, 60, 256, 188, EOS], []),
        ([BOS, EOS, PAD, PAD], []),
        ([BOS, EOS, 371], [2]),
        ([371, BOS], [1]),
    ],
)
def test_faults_are_found_where_they_are(tokens, where):
    assert faults(tokens).tolist() == where


def test_sequences_of_a_batch_do_not_meddle():
    alone = [wander(seed, 40, Grammar()) for seed in range(3)]
    together = Grammar(3)
    singles = [Grammar() for _ in alone]
    for column in range(min(map(len, alone))):
        allowed = together.allowed()
        for k, single in enumerate(singles):
            np.testing.assert_array_equal(allowed[k], single.allowed()[0])
            single.append([alone[k][column]])
        together.append([tokens[column] for tokens in alone])


def test_reading_prompts_at_once_is_reading_them_token_by_token():
    prompts = [wander(seed, 10 + 9 * seed, Grammar())[: 8 + 7 * seed] for seed in range(4)]
    together = Grammar(4)
    together.read(prompts)
    for k, prompt in enumerate(prompts):
        single = Grammar()
        for token in prompt:
            single.append([token])
        np.testing.assert_array_equal(together.allowed()[k], single.allowed()[0])
        np.testing.assert_array_equal(
            together.select([k]).allowed(), single.allowed(), err_msg="selected"
        )


@given(st.lists(st.integers(0, N_TOKENS - 1), max_size=40))
@settings(deadline=None, max_examples=150)
def test_whatever_was_read_something_may_follow(tokens):
    grammar = Grammar()
    for token in tokens:
        grammar.append([token])
        assert grammar.allowed().any()


def test_a_prompt_that_leads_nowhere_lets_time_pass():
    grammar = Grammar()
    grammar.read([[VELOCITY, 127, VELOCITY + 1]])
    assert np.flatnonzero(grammar.allowed()[0]).tolist() == list(range(TIME_SHIFT, VELOCITY))


def test_wrong_shapes_are_refused():
    with pytest.raises(ValueError, match="batch_size"):
        Grammar(0)
    with pytest.raises(ValueError, match="expected 2 tokens, got 1"):
        Grammar(2).append([60])
    with pytest.raises(ValueError, match="expected 2 sequences, got 1"):
        Grammar(2).read([[60]])
    with pytest.raises(ValueError, match="0 to 393"):
        Grammar().append([394])
