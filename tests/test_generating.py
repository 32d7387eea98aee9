"""Generation: remembered or recomputed, alone or in a batch, seeded, grammatical, at the limits."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mircourse import choralegrid
from mircourse.events import BOS, EOS, N_EVENTS, NOTE_OFF, TIME_SHIFT, decode, encode
from mircourse.generating import generate, generate_batch
from mircourse.grammar import faults
from mircourse.musictransformer import NO_STYLE, MusicTransformer

PROMPTS = ([], [BOS, 371, 60, 300], [BOS, 371, 60, 300, 188, 64], [BOS, 371, *range(40, 60)])


@pytest.fixture(scope="module")
def model():
    """Random, in double precision: no tie is decided by rounding. Reads 48 tokens."""
    torch.manual_seed(0)
    network = MusicTransformer(24, 3, 2, max_seq_len=48).double().eval()
    with torch.no_grad():
        network.outputs["logits"].weight.mul_(20)  # so that what was read matters
    return network


@pytest.mark.parametrize("grammar", [True, False])
@pytest.mark.parametrize("styles", [None, [0, 5, NO_STYLE, 9]])
def test_remembered_is_recomputed_token_for_token(model, grammar, styles):
    arguments = {"styles": styles, "grammar": grammar, "max_tokens": 110, "seed": [1, 2, 3, 4]}
    remembered = generate_batch(model, PROMPTS, **arguments)
    recomputed = generate_batch(model, PROMPTS, cache=False, **arguments)
    assert any(len(tokens) > 2 * model.max_seq_len for tokens in remembered)
    for a, b in zip(remembered, recomputed, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("grammar", [True, False])
def test_a_piece_does_not_depend_on_its_neighbours(model, grammar):
    seeds, styles = [5, 6, 7, 8], [1, 2, 3, NO_STYLE]
    together = generate_batch(
        model, PROMPTS, styles=styles, seed=seeds, grammar=grammar, max_tokens=90
    )
    for prompt, style, seed, found in zip(PROMPTS, styles, seeds, together, strict=True):
        alone = generate(model, prompt, style=style, seed=seed, grammar=grammar, max_tokens=90)
        np.testing.assert_array_equal(found, alone)


def by_hand(model, prompt, style, n):
    """The most likely tokens, from the whole model's output each time."""
    tokens = list(prompt)
    for _ in range(n):
        out = model(torch.tensor([tokens]), torch.tensor([style]))["logits"][0, -1]
        out[N_EVENTS:EOS] = -torch.inf
        out[EOS + 1 :] = -torch.inf
        tokens.append(int(out.argmax()))
        if tokens[-1] == EOS:
            break
    return tokens


def test_the_most_likely_continuation_is_that_of_the_model(model):
    for style in (0, 7):
        found = generate(
            model, PROMPTS[1], style=style, temperature=0, grammar=False, max_tokens=40
        )
        assert found.tolist() == by_hand(model, PROMPTS[1], style, 40)


def test_tokens_are_drawn_as_often_as_the_model_says(model):
    prompt = PROMPTS[1]
    with torch.no_grad():
        logits = model(torch.tensor([prompt]))["logits"][0, -1]
    p = logits.softmax(-1).numpy().copy()
    p[N_EVENTS:EOS] = p[EOS + 1 :] = 0
    top = np.argsort(-p)[:6]
    wanted = p[top] / p[top].sum()
    n = 3000
    drawn = generate_batch(model, [prompt] * n, grammar=False, top_k=6, max_tokens=1, seed=3)
    share = np.array([np.mean([tokens[-1] == k for tokens in drawn]) for k in top])
    assert share.sum() == pytest.approx(1)
    # Five standard deviations.
    assert (np.abs(share - wanted) < 5 * np.sqrt(wanted * (1 - wanted) / n) + 1e-12).all()


@given(st.integers(0, 10**6))
@settings(deadline=None, max_examples=12)
def test_the_grammar_closes_nothing_that_is_not_open(model, seed):
    tokens = generate(model, seed=seed, max_tokens=70)
    assert faults(tokens).tolist() == []
    down = set()
    for token in tokens.tolist():
        if token < NOTE_OFF:
            assert token not in down
            down.add(token)
        elif token < TIME_SHIFT:
            down.remove(token - NOTE_OFF)
    if tokens[-1] == EOS:
        assert not down
        np.testing.assert_array_equal(encode(decode(tokens), ends=True), tokens)


def test_without_the_grammar_a_random_model_errs(model):
    assert len(faults(generate(model, grammar=False, max_tokens=70)))


def test_the_same_seed_the_same_piece(model):
    first = generate(model, seed=11, max_tokens=40)
    np.testing.assert_array_equal(first, generate(model, seed=11, max_tokens=40))
    others = [generate(model, seed=seed, max_tokens=40).tolist() for seed in range(12, 16)]
    assert first.tolist() not in others


def test_it_goes_on_until_enough_and_does_not_end_before(model):
    def enough(tokens):
        return bool((tokens >= TIME_SHIFT).sum() >= 30)

    tokens = generate(model, until=enough, max_tokens=500, seed=2)
    assert enough(tokens) and not enough(tokens[:-1])
    assert EOS not in tokens


def test_limits(model):
    assert generate(model, max_tokens=0).tolist() == [BOS]
    assert generate(model, [], max_tokens=0).tolist() == [BOS]
    ended = [BOS, 371, 60, 256, 188, EOS]
    assert generate(model, ended, max_tokens=9).tolist() == ended
    full = [BOS, *[355] * 47]
    for prompt in (full[:47], full, [*full, 355], [*full, *full]):
        for cache in (True, False):
            longer = generate(model, prompt, max_tokens=4, cache=cache, grammar=False)
            assert longer[: len(prompt)].tolist() == prompt
            assert len(prompt) < len(longer) <= len(prompt) + 4
    shortest = MusicTransformer(8, 2, 1, max_seq_len=1)
    a = generate(shortest, max_tokens=8, seed=1)
    np.testing.assert_array_equal(a, generate(shortest, max_tokens=8, seed=1, cache=False))
    assert len(a) > 2


def test_the_mode_that_a_model_had_is_restored(model):
    dropping = MusicTransformer(16, 2, 1, max_seq_len=32, dropout=0.5)
    dropping.train()
    a, b = (generate(dropping, max_tokens=20, seed=1) for _ in range(2))
    np.testing.assert_array_equal(a, b)
    assert dropping.training
    generate(model, max_tokens=2)
    assert not model.training


def test_other_vocabularies_have_no_grammar():
    torch.manual_seed(0)
    chorister = MusicTransformer(16, 2, 1, 32, choralegrid.N_SYMBOLS, n_special=3)
    arguments = {"vocab_size": choralegrid.N_SYMBOLS, "max_tokens": 30}
    tokens = generate(chorister, grammar=False, **arguments)
    assert tokens[0] == choralegrid.BOS
    assert choralegrid.grid_of(tokens).shape[1] == 4
    with pytest.raises(ValueError, match="grammar is that of the 394 tokens"):
        generate(chorister, **arguments)
    with pytest.raises(ValueError, match="no end after 388 tokens"):
        generate(chorister, grammar=False)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"prompt": [400]}, ValueError, "tokens go from 0 to 393, got 400"),
        ({"prompt": [-1]}, ValueError, "tokens go from 0 to 393"),
        ({"prompt": [[1, 2]]}, ValueError, r"a prompt has shape \(n,\)"),
        ({"prompt": [0.5]}, TypeError, "whole numbers"),
        ({"style": 10}, ValueError, "styles go from 0 to 9"),
        ({"max_tokens": -1}, ValueError, "max_tokens"),
        ({"temperature": -1}, ValueError, "temperature"),
        ({"top_p": 0}, ValueError, "top_p"),
        ({"top_k": 0}, ValueError, "top_k"),
    ],
)
def test_what_cannot_be_is_refused(model, arguments, error, message):
    with pytest.raises(error, match=message):
        generate(model, **arguments)


def test_what_cannot_be_in_a_batch_is_refused(model):
    with pytest.raises(ValueError, match="expected prompts"):
        generate_batch(model, [])
    with pytest.raises(ValueError, match="1 seeds for 2 prompts"):
        generate_batch(model, [[], []], seed=[1])
    with pytest.raises(ValueError, match="3 styles for 2 prompts"):
        generate_batch(model, [[], []], styles=[1, 2, 3])
    both_ways = MusicTransformer(8, 2, 1, max_seq_len=8, causal=False)
    with pytest.raises(ValueError, match="it must be causal"):
        generate(both_ways)
