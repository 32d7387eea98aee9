"""MusicBERT: shapes as signed, padding, sight in both directions, and that it learns."""

import math

import pytest
import torch
from torch.nn import functional

from mircourse.events import CLS, MASK, N_EVENTS, N_TOKENS, PAD, SEP
from mircourse.musicbert import MusicBERT


def small(**settings):
    torch.manual_seed(0)
    return MusicBERT(16, 4, 2, max_seq_len=32, **settings).eval()


def rows(B, T):
    x = torch.randint(0, N_EVENTS, (B, T), generator=torch.Generator().manual_seed(0))
    x[:, 0], x[:, T // 2], x[:, -1] = CLS, SEP, SEP
    return x


def test_it_runs_as_it_is_signed():
    model, x = small(), rows(3, 10)
    out = model(x)
    assert {name: tuple(value.shape) for name, value in out.items()} == {
        "hidden_states": (3, 10, 16),
        "mlm_logits": (3, 10, 388),
        "nsp_logits": (3, 2),
    }
    chosen = torch.rand(3, 10, generator=torch.Generator().manual_seed(1)) < 0.3
    some = model(x, chosen)
    torch.testing.assert_close(some["mlm_logits"], out["mlm_logits"][chosen])
    nothing = model(x, mask_positions=torch.zeros(3, 10, dtype=torch.bool))
    assert nothing["mlm_logits"].shape == (0, 388)


def test_the_default_is_as_large_as_bert():
    signature = MusicBERT.__init__.__kwdefaults__, MusicBERT.__init__.__defaults__
    assert signature[1] == (768, 12, 12) and signature[0]["max_seq_len"] == 2048


def test_padding_is_found_and_a_row_is_what_it_is_alone():
    model, x = small(), rows(3, 10)
    x[1, 6:] = PAD
    x[2] = PAD
    out = model(x)
    alone = model(x[1:2, :6])
    torch.testing.assert_close(out["hidden_states"][1:2, :6], alone["hidden_states"])
    torch.testing.assert_close(out["nsp_logits"][1:2], alone["nsp_logits"])
    assert not out["hidden_states"][x == PAD].any()
    assert all(torch.isfinite(value).all() for value in out.values())
    named = model(x, padding=x == PAD)
    assert torch.equal(named["hidden_states"], out["hidden_states"])


def test_every_position_sees_every_other():
    model, x = small(), rows(1, 8)
    before = model(x)["hidden_states"]
    for t in range(8):
        changed = x.clone()
        changed[0, t] = (changed[0, t] + 1) % N_EVENTS
        moved = (model(changed)["hidden_states"] - before).abs().amax(dim=-1)[0]
        assert (moved > 1e-6).all()


def test_the_losses_begin_at_the_logarithm_of_what_there_is():
    torch.manual_seed(0)
    model, x = MusicBERT(64, 4, 3, max_seq_len=64), rows(8, 64)
    out = model(x)
    events = functional.cross_entropy(out["mlm_logits"].flatten(0, 1), (x % 388).flatten())
    assert events.item() == pytest.approx(math.log(388), abs=0.03)
    phrases = functional.cross_entropy(out["nsp_logits"], torch.arange(8) % 2)
    assert phrases.item() == pytest.approx(math.log(2), abs=0.05)


def test_gradients_reach_every_parameter_and_one_batch_is_learned():
    torch.manual_seed(0)
    model, x = MusicBERT(32, 4, 2, max_seq_len=16, dropout=0.0), rows(4, 16)
    chosen = (torch.arange(16) % 5 == 2).expand(4, 16)
    hidden, follows = x.masked_fill(chosen, MASK), torch.tensor([0, 1, 1, 0])

    def loss():
        out = model(hidden, chosen)
        events = functional.cross_entropy(out["mlm_logits"], x[chosen])
        return events + functional.cross_entropy(out["nsp_logits"], follows)

    loss().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.any(), name
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(120):
        optimiser.zero_grad()
        loss().backward()
        optimiser.step()
    assert loss().item() < 0.1


def test_errors_say_what_came():
    model, x = small(), rows(2, 8)
    with pytest.raises(TypeError, match="mask_positions must be bool"):
        model(x, torch.tensor([[1, 2], [1, 3]]))
    with pytest.raises(ValueError, match=r"expected mask_positions \(2, 8\), got \(2, 7\)"):
        model(x, torch.ones(2, 7, dtype=torch.bool))
    with pytest.raises(ValueError, match="from 0 to 393, got 394"):
        model(torch.full((1, 3), N_TOKENS))
    with pytest.raises(ValueError, match="max_seq_len = 32 tokens, got 33"):
        model(rows(1, 33))
