"""The Music Transformer: what it may see, what it remembers, how it begins, and that it learns."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from mircourse.events import N_EVENTS, N_TOKENS
from mircourse.musictransformer import NO_STYLE, OUTPUTS, MusicTransformer

CLOSE = {"rtol": 1e-5, "atol": 1e-5}
KINDS = [
    {"relative": True, "absolute": True},
    {"relative": True, "absolute": False},
    {"relative": False, "absolute": True},
    {"relative": True, "absolute": True, "max_distance": 5},
]


def small(**settings):
    torch.manual_seed(0)
    made = MusicTransformer(16, 4, 2, 48, **{"dropout": 0.1, **settings})
    # Style and position begin small: larger, a mistake with them shows.
    with torch.no_grad():
        made.style_embedding.weight.normal_()
        for name, parameter in made.named_parameters():
            if "rel_pos_emb" in name:
                parameter.normal_(std=2)
    return made.eval()


def tokens(B, T, seed=0):
    return torch.randint(0, N_TOKENS, (B, T), generator=torch.Generator().manual_seed(seed))


def loss(model, x):
    return functional.cross_entropy(model(x)["logits"][:, :-1].flatten(0, 1), x[:, 1:].flatten())


def assert_same_outputs(a, b):
    assert a.keys() == b.keys()
    for name in a:
        torch.testing.assert_close(a[name], b[name], **CLOSE)


def test_it_runs_as_it_is_signed():
    torch.manual_seed(0)
    model = MusicTransformer(d_model=32, n_heads=8, n_layers=1, max_seq_len=64, vocab_size=388)
    out = model(tokens(2, 7), torch.tensor([0, 9]))
    assert {name: tuple(value.shape) for name, value in out.items()} == {
        "hidden_states": (2, 7, 32),
        "logits": (2, 7, N_TOKENS),
        "pitches": (2, 7, 128),
        "durations": (2, 7, 32),
        "dynamics": (2, 7, 8),
    }
    assert N_EVENTS == 388


@pytest.mark.parametrize("kind", KINDS)
def test_a_causal_model_does_not_see_what_comes(kind):
    model, x = small(**kind), tokens(1, 12)
    before = model(x)
    for t in range(12):
        changed = x.clone()
        changed[:, t:] = (changed[:, t:] + 7) % N_TOKENS
        after = model(changed)
        for name in before:
            assert torch.equal(after[name][:, :t], before[name][:, :t])
        assert not torch.allclose(after["logits"][:, t], before["logits"][:, t])


def test_a_bidirectional_model_sees_all():
    model, x = small(causal=False), tokens(1, 12)
    changed = x.clone()
    changed[0, 11] = (changed[0, 11] + 7) % N_TOKENS
    assert not torch.allclose(model(x)["logits"][0, 0], model(changed)["logits"][0, 0])


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("in_front", [False, True])
def test_a_padded_batch_is_each_alone(kind, causal, in_front):
    model = small(causal=causal, **kind)
    lengths, T = [1, 7, 12, 0], 12
    x, padding = tokens(4, T), torch.zeros(4, T, dtype=torch.bool)
    style = torch.tensor([3, NO_STYLE, 0, 1])
    for i, n in enumerate(lengths):
        padding[i, slice(0, T - n) if in_front else slice(n, T)] = True
    together = model(x, style, padding=padding)
    assert all(torch.isfinite(value).all() for value in together.values())
    assert not together["hidden_states"][padding].any()
    for i, n in enumerate(lengths[:3]):
        here = slice(T - n, T) if in_front else slice(0, n)
        alone = model(x[i : i + 1, here], style[i : i + 1])
        assert_same_outputs({k: v[i : i + 1, here] for k, v in together.items()}, alone)


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_pieces_in_a_row_are_each_alone(kind, causal):
    model, x = small(causal=causal, **kind), tokens(2, 12)
    segments = torch.tensor([[0] * 5 + [1] * 7, [4] * 1 + [2] * 3 + [-1] * 8])
    together = model(x, segments=segments)["logits"]
    for i, a, b in ((0, 0, 5), (0, 5, 12), (1, 0, 1), (1, 1, 4)):
        torch.testing.assert_close(
            together[i : i + 1, a:b], model(x[i : i + 1, a:b])["logits"], **CLOSE
        )


@given(
    cuts=st.lists(st.integers(1, 8), min_size=1, max_size=5),
    kind=st.sampled_from(KINDS),
    style=st.sampled_from([None, 3]),
)
@settings(max_examples=30, deadline=None)
def test_steps_with_a_cache_are_one_pass(cuts, kind, style):
    model = small(**kind)
    x = tokens(2, sum(cuts))
    whole, cache, end = model(x, style)["logits"], model.new_cache(2, style=style), 0
    for n in cuts:
        logits = model.step(x[:, end : end + n], cache)
        end += n
        assert cache.length == end
        torch.testing.assert_close(logits, whole[:, end - 1], **CLOSE)


@pytest.mark.parametrize("kind", KINDS)
def test_prompts_of_unequal_length_go_on_as_each_alone(kind):
    model, x = small(**kind), tokens(3, 14)
    padding = torch.zeros(3, 9, dtype=torch.bool)
    padding[1, :4] = padding[2, :8] = True
    style = torch.tensor([1, 2, NO_STYLE])
    cache = model.new_cache(3, style=style)
    found = [model.step(x[:, :9], cache, padding=padding)]
    found += [model.step(x[:, t : t + 1], cache) for t in range(9, 14)]
    for i, start in enumerate((0, 4, 8)):
        alone = model(x[i : i + 1, start:], style[i : i + 1])["logits"][0, 8 - start :]
        torch.testing.assert_close(torch.stack([step[i] for step in found]), alone, **CLOSE)
    rows = torch.tensor([2, 1])
    cache.select(rows)
    on = model.step(x[rows, :1], cache)
    more = torch.cat([x, x[:, :1]], dim=1)
    for k, (i, start) in enumerate(((2, 8), (1, 4))):
        alone = model(more[i : i + 1, start:], style[i : i + 1])["logits"][0, -1]
        torch.testing.assert_close(on[k], alone, **CLOSE)


def test_forward_with_a_cache_gives_every_output():
    model, x = small(), tokens(2, 8)
    whole, cache = model(x, 4), model.new_cache(2)
    model(x[:, :5], 4, cache=cache)
    rest = model(x[:, 5:], 4, cache=cache)
    assert_same_outputs(rest, {name: value[:, 5:] for name, value in whole.items()})


def test_a_mask_hides_what_it_says():
    model, x = small(causal=False), tokens(2, 6)
    mask = torch.ones(6, 6, dtype=torch.bool)
    mask[:, 4] = False
    mask[4, 4] = True
    changed = x.clone()
    changed[:, 4] = (changed[:, 4] + 7) % N_TOKENS
    rest = [0, 1, 2, 3, 5]
    a, b = model(x, mask=mask)["logits"], model(changed, mask=mask)["logits"]
    torch.testing.assert_close(a[:, rest], b[:, rest])
    assert not torch.allclose(a[:, 4], b[:, 4])
    torch.testing.assert_close(model(x, mask=mask.expand(2, 6, 6))["logits"], a)
    nothing = model(x, mask=torch.zeros(6, 6, dtype=torch.bool))["logits"]
    assert torch.isfinite(nothing).all()


def test_styles_are_told_apart_and_none_is_one():
    model, x = small(), tokens(1, 5)
    found = [model(x, style)["logits"] for style in [*range(10), None]]
    for i, a in enumerate(found):
        assert not any(torch.allclose(a, b, atol=1e-4) for b in found[:i])
    assert torch.equal(model(x, torch.tensor([NO_STYLE]))["logits"], found[-1])
    assert torch.equal(model(x, torch.tensor([2]))["logits"], found[2])


@pytest.mark.parametrize("settings", [*KINDS, {"causal": False}])
def test_gradients_reach_every_parameter(settings):
    model = small(**settings).train()
    x = tokens(2, 48)
    out = model(x, torch.tensor([1, NO_STYLE]))
    # A loss for each output; of styles, those that occur.
    total = sum(
        functional.cross_entropy(out[name].flatten(0, 1), (x % out[name].shape[-1]).flatten())
        for name in OUTPUTS
    )
    total.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.any(), name
    used = model.style_embedding.weight.grad.any(dim=1).nonzero().flatten().tolist()
    assert used == [1, 10]


@pytest.mark.parametrize("d_model, n_layers", [(64, 2), (256, 6)])
@pytest.mark.parametrize("causal", [True, False])
def test_the_loss_begins_at_the_logarithm_of_what_there_is(d_model, n_layers, causal):
    torch.manual_seed(0)
    model = MusicTransformer(d_model, 4, n_layers, 64, causal=causal, dropout=0.0)
    x = tokens(8, 64)
    for name, value in model(x).items():
        if name == "hidden_states":
            assert value.std().item() == pytest.approx(1, abs=0.01)
            continue
        K = value.shape[-1]
        found = functional.cross_entropy(value.flatten(0, 1), (x % K).flatten())
        assert found.item() == pytest.approx(math.log(K), abs=0.03), name


def test_what_layers_add_does_not_grow_with_depth():
    torch.manual_seed(0)
    sizes = {}
    for n_layers in (2, 12):
        model = MusicTransformer(64, 4, n_layers, 64, dropout=0.0)
        seen = []
        model.norm.register_forward_pre_hook(lambda _, x, seen=seen: seen.append(x[0].std()))
        model(tokens(4, 64))
        sizes[n_layers] = seen[0].item()
    assert sizes[12] == pytest.approx(sizes[2], rel=0.15)


@pytest.mark.parametrize("relative", [True, False])
def test_one_batch_is_learned_by_heart(relative):
    torch.manual_seed(0)
    model = MusicTransformer(32, 4, 2, 32, relative=relative, dropout=0.0)
    x = tokens(4, 24)
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(150):
        optimiser.zero_grad()
        cost = loss(model, x)
        cost.backward()
        optimiser.step()
    assert loss(model, x).item() < 0.1 < math.log(N_TOKENS)


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("settings", [*KINDS, {"causal": False}])
def test_half_precision_has_no_nan(kind, settings):
    exact = small(**settings)
    x, padding = tokens(3, 12), torch.zeros(3, 12, dtype=torch.bool)
    padding[1, 4:] = padding[2] = True
    expected = exact(x, padding=padding)["logits"]
    half = small(**settings).to(kind)
    out = half(x, padding=padding)
    out["logits"].float().square().mean().backward()
    for value in [*out.values(), *(p.grad for p in half.parameters() if p.grad is not None)]:
        assert value.dtype == kind and torch.isfinite(value).all()
    torch.testing.assert_close(out["logits"].float(), expected, rtol=0.1, atol=0.05)


def test_mixed_precision_trains():
    model = small().train()
    x = tokens(2, 12)
    with torch.autocast("cpu", torch.bfloat16):
        cost = loss(model, x)
    cost.backward()
    assert torch.isfinite(cost)
    for parameter in model.parameters():
        assert parameter.grad is None or torch.isfinite(parameter.grad).all()


def test_attention_weights_are_where_tokens_look():
    model, x = small(), tokens(2, 9)
    weights = model.attention_weights(x, 3)
    assert weights.shape == (2, 2, 4, 9, 9)
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 2, 4, 9))
    assert not weights.triu(1).any()


def test_one_token_and_the_longest_sequence():
    model = small()
    assert model(tokens(1, 1))["logits"].shape == (1, 1, N_TOKENS)
    assert model(tokens(1, 48))["logits"].shape == (1, 48, N_TOKENS)
    cache = model.new_cache(1)
    model.step(tokens(1, 48), cache)
    with pytest.raises(ValueError, match="max_seq_len = 48 tokens, got 1 after 48"):
        model.step(tokens(1, 1), cache)


def test_only_what_is_asked_for():
    model = small(outputs=["pitches"])
    assert set(model(tokens(1, 3))) == {"hidden_states", "pitches"}
    with pytest.raises(ValueError, match="without the output 'logits'"):
        model.new_cache(1)
    with pytest.raises(ValueError, match="got \\('words',\\)"):
        small(outputs=["words"])


@pytest.mark.parametrize(
    "x, error, message",
    [
        (torch.zeros(1, 0, dtype=torch.int64), ValueError, r"at least one of them, got \(1, 0\)"),
        (torch.zeros(3, dtype=torch.int64), ValueError, r"tokens \(B, T\).*got \(3,\)"),
        (torch.zeros(1, 3), TypeError, r"whole numbers, got torch\.float32"),
        (torch.tensor([[5, N_TOKENS]]), ValueError, "from 0 to 393, got 394"),
        (torch.tensor([[5, -1]]), ValueError, "from 0 to 393, got -1"),
        (torch.zeros(1, 49, dtype=torch.int64), ValueError, "max_seq_len = 48 tokens, got 49"),
    ],
)
def test_wrong_tokens_are_refused(x, error, message):
    with pytest.raises(error, match=message):
        small()(x)


def test_wrong_styles_and_masks_are_refused():
    model, x = small(), tokens(2, 5)
    for style in (10, -2, torch.tensor([0, 10])):
        with pytest.raises(ValueError, match="styles go from 0 to 9, with -1 for none"):
            model(x, style)
    with pytest.raises(ValueError, match=r"each of 2 sequences, got \(3,\)"):
        model(x, torch.tensor([1, 2, 3]))
    with pytest.raises(TypeError, match=r"whole numbers, got torch\.float32"):
        model(x, torch.tensor([1.0, 2.0]))
    with pytest.raises(TypeError, match="mask must be bool"):
        model(x, mask=torch.zeros(5, 5))
    with pytest.raises(ValueError, match=r"mask \(5, 5\) or \(2, 5, 5\), got \(4, 4\)"):
        model(x, mask=torch.ones(4, 4, dtype=torch.bool))
    with pytest.raises(ValueError, match=r"padding \(2, 5\), got \(5,\)"):
        model(x, padding=torch.ones(5, dtype=torch.bool))
    with pytest.raises(ValueError, match=r"segments \(2, 5\), got \(2, 4\)"):
        model(x, segments=x[:, :4])


def test_wrong_caches_are_refused():
    model, x = small(), tokens(2, 5)
    with pytest.raises(ValueError, match="of 3 sequences, got 2"):
        model.step(x, model.new_cache(3))
    with pytest.raises(ValueError, match="do not go together"):
        model(x, segments=x, cache=model.new_cache(2))
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        model.new_cache(0)
    with pytest.raises(ValueError, match="cannot go on from earlier"):
        small(causal=False).new_cache(2)
    with pytest.raises(ValueError, match="cannot go on from earlier"):
        small(causal=False)(x, cache=model.new_cache(2))


def test_wrong_sizes_are_refused():
    with pytest.raises(ValueError, match="n_layers, max_seq_len and vocab_size"):
        MusicTransformer(16, 4, 0)
    with pytest.raises(ValueError, match="n_heads must divide"):
        MusicTransformer(16, 3, 1)
    with pytest.raises(ValueError, match=r"dropout must be in \[0, 1\), got 1"):
        MusicTransformer(16, 4, 1, dropout=1.0)
    with pytest.raises(ValueError, match="max_distance must be from 0 to 47"):
        small(max_distance=48)
