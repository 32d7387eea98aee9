"""What is wrong in the published equations and listings of the Transformer section, rebuilt small.

The page `book/reference/errata_transformer.md` names these tests; the last test keeps the two
together.
"""

import math
import re
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mircourse import events, scores
from mircourse.attention import (
    MultiHeadAttention,
    PositionalEncoding,
    RelativePositionalEncoding,
    scaled_dot_product_attention,
)
from mircourse.musicbert import MusicBERT
from mircourse.musictransformer import MusicTransformer
from mircourse.performed import performed_notes
from mircourse.phrases import join, phrases

PAGE = Path(__file__).parents[1] / "book" / "reference" / "errata_transformer.md"
LENGTH, VOCABULARY = 64, 388


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def waves(length, size):
    """The listing's table of positions, in single precision and with its slices."""
    table = torch.zeros(length, size)
    place = torch.arange(length).float()[:, None]  # (T, 1)
    rate = torch.exp(torch.arange(0, size, 2).float() * (-math.log(10000.0) / size))
    table[:, 0::2], table[:, 1::2] = torch.sin(place * rate), torch.cos(place * rate)
    return table


class RelativeListing(nn.Module):
    """The listing's relative encoding: what it learns, and how it finds it."""

    def __init__(self, size, length):
        super().__init__()
        self.vectors = nn.Parameter(torch.randn(2 * length - 1, size))

    def forward(self, q, k):
        n = q.size(1)
        place = torch.arange(n)
        return self.vectors[place[:, None] - place + n - 1]


class Listing(nn.Module):
    """The network as printed: its parts, and what its forward pass does with them."""

    def __init__(self, size=32, length=LENGTH):
        super().__init__()
        self.tokens = nn.Embedding(VOCABULARY, size)
        self.styles = nn.Embedding(10, size)
        self.register_buffer("waves", waves(length, size))
        self.relative = RelativeListing(size, length)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            self.body = nn.TransformerEncoder(nn.TransformerEncoderLayer(size, 4, 4 * size), 2)
        self.heads = nn.ModuleList(nn.Linear(size, n) for n in (128, 32, 8))

    def embed(self, x, style=None):
        h = self.tokens(x) * math.sqrt(self.tokens.embedding_dim) + self.waves[: x.shape[1]]
        return h if style is None else h + self.styles(style)[:, None]

    def hidden(self, x, style=None, mask=None):
        return self.body(self.embed(x, style).transpose(0, 1), mask=mask).transpose(0, 1)

    def forward(self, x, style=None, mask=None):
        h = self.hidden(x, style, mask)
        names = "pitches", "durations", "dynamics"
        return {name: head(h) for name, head in zip(names, self.heads, strict=True)}


def small(**options):
    return MusicTransformer(32, 4, 2, LENGTH, **options).eval()


def small_bert():
    return MusicBERT(32, 4, 2, max_seq_len=LENGTH).eval()


def some_tokens(*shape):
    return torch.randint(0, VOCABULARY, shape)


def without_gradient(model):
    return [name for name, p in model.named_parameters() if p.grad is None]


def test_read_as_text_the_equations_lose_root_and_exponents():
    """Multiplied by d instead of divided by its root, one key takes all and nothing moves."""
    d = 64
    q, k = torch.randn(2, 20, d)

    def slope(scores):
        p = scores.softmax(-1)
        return (p * (1 - p)).sum(-1).mean()  # the diagonal of the derivative

    assert slope(q @ k.T * d) < 1e-2 < 0.5 < slope(q @ k.T / math.sqrt(d))
    out, weights = scaled_dot_product_attention(q, k, k)
    torch.testing.assert_close(out, F.scaled_dot_product_attention(q, k, k))
    assert (weights * (1 - weights)).sum(-1).mean() > 0.5
    with pytest.raises(ZeroDivisionError):  # and pos / (100002 i / d) has no value for i = 0
        math.sin(5 / (100002 * 0 / d))
    assert PositionalEncoding(d, 10)(torch.zeros(1, 10, d))[0, 5, 0] == pytest.approx(math.sin(5))


def test_the_relative_encoding_is_built_and_never_used():
    listing = Listing()
    sum(
        out.square().sum() for out in listing(some_tokens(2, 9), torch.tensor([0, 1])).values()
    ).backward()
    assert without_gradient(listing) == ["relative.vectors"]
    assert RelativeListing(512, 2048).vectors.numel() == 2_096_640  # at the article's sizes

    model = small()
    sum(
        out.square().sum() for out in model(some_tokens(2, 9), torch.tensor([0, 1])).values()
    ).backward()
    assert without_gradient(model) == []
    assert all(layer.attention.relative.rel_pos_emb.grad.any() for layer in model.layers)


def test_the_relative_encoding_reads_neither_query_nor_key():
    """It returns the vectors themselves; nothing has been multiplied with them."""
    listing = RelativeListing(8, 16)
    q, k = torch.randn(2, 1, 5, 8)
    torch.testing.assert_close(listing(q, k), listing(0 * q, 0 * k))
    assert listing(q, k).shape == (5, 5, 8)

    ours = RelativePositionalEncoding(8, 16)
    assert ours(q, k).shape == (1, 5, 5)
    torch.testing.assert_close(ours(2 * q, k), 2 * ours(q, k))


def test_a_distance_has_another_vector_at_every_length():
    """The row of distance 0 is that of the length at hand, not the middle of the table."""
    listing = RelativeListing(8, 16)
    rows = []
    for length in (3, 5, 16):
        here = listing(torch.zeros(1, length, 8), None)[0, 0]
        rows.append((listing.vectors == here).all(1).nonzero().item())
    assert rows == [2, 4, 15]

    ours = RelativePositionalEncoding(8, 16)
    q = torch.randn(1, 16, 8)
    whole = ours(q, q)
    for length in (3, 5):
        part = ours(q[:, :length], q[:, :length])
        torch.testing.assert_close(part, whole[:, :length, :length])


def test_a_vector_for_each_pair_of_places():
    """T² d numbers: at the article's sizes 8.6 GB for each sequence and layer."""
    q = torch.randn(1, 48, 32)
    assert RelativeListing(32, 48)(q, q).numel() == 48**2 * 32
    assert round(4 * 2048**2 * 512 / 1e9, 1) == 8.6

    kept = []
    with torch.autograd.graph.saved_tensors_hooks(
        lambda t: kept.append(t.numel()) or t, lambda t: t
    ):
        RelativePositionalEncoding(32, 48)(q, q).sum()
    assert 0 < max(kept) < 48**2 * 32 / 8


def test_relative_vectors_are_as_wide_as_the_model_and_not_as_a_head():
    """Eight heads of 64 numbers cannot be multiplied with vectors of 512."""
    q = torch.randn(1, 8, 5, 64)  # (B, H, T, d)
    vectors = RelativeListing(512, 5)(torch.zeros(1, 5, 512), None)
    with pytest.raises(RuntimeError, match=r"subscript d"):
        torch.einsum("bhid,ijd->bhij", q, vectors)
    attention = MultiHeadAttention(512, 8, relative=True, max_len=5)
    assert attention.relative.rel_pos_emb.shape == (8, 9, 64)


def test_relative_vectors_begin_as_large_as_what_is_played():
    """Products of size √d, as those of queries and keys have: random distances decide as much."""
    q, k = torch.randn(2, 1, 200, 64)
    from_keys = (q @ k.transpose(1, 2)).std().item()
    from_places = torch.einsum("bid,ijd->bij", q, RelativeListing(64, 200)(q, k)).std().item()
    assert from_places / from_keys == pytest.approx(1, abs=0.1)
    assert RelativePositionalEncoding(64, 200)(q, k).std().item() / from_keys < 0.2


def test_an_odd_d_model_stops_the_positional_encoding():
    with pytest.raises(RuntimeError, match="expanded size"):
        waves(10, 7)
    table = PositionalEncoding(7, 10)(torch.zeros(1, 10, 7))[0]
    torch.testing.assert_close(table[:, 6], torch.sin(torch.arange(10) / 10000 ** (6 / 7)))


def test_late_positions_in_single_precision_are_off():
    place, column = np.arange(5000)[:, None], np.arange(0, 512, 2)
    exact = torch.from_numpy(np.sin(place / 10000 ** (column / 512)))
    assert (waves(5000, 512)[:, 0::2] - exact).abs().max() > 2e-4
    ours = PositionalEncoding(512, 5000)(torch.zeros(1, 5000, 512))[0]
    assert (ours[:, 0::2] - exact).abs().max() < 1e-6


def test_the_embeddings_drown_positions_and_styles():
    """Normal numbers times √512 stand beside waves of size 0.7 and styles of size 1."""
    listing = Listing(512)
    tokens = listing.tokens(some_tokens(1, 50)) * math.sqrt(512)
    assert tokens.std() / listing.waves[:50].std() > 30
    assert tokens.std() / listing.styles.weight.std() > 20

    model = MusicTransformer(512, 8, 1, LENGTH)
    tokens = model.token_embedding(some_tokens(1, 50)) * math.sqrt(512)
    assert tokens.std() / model.positions.pe[:50].std() < 2


def test_without_a_style_the_network_meets_what_it_never_saw():
    """None adds nothing, and nothing is not what any style adds."""
    listing, x = Listing(), some_tokens(1, 6)
    inputs = torch.stack([listing.embed(x, torch.tensor([s])) for s in range(10)])
    assert (inputs - listing.embed(x)).flatten(1).norm(dim=1).min() > 1

    model = small()
    assert model.style_embedding.num_embeddings == 11
    model(x)["logits"].square().sum().backward()
    assert model.style_embedding.weight.grad[10].any()  # none is learnt as a style is


def test_the_future_is_seen_unless_a_mask_is_given():
    listing, x = Listing().eval(), some_tokens(1, 12)
    changed = x.clone()
    changed[:, 8:] = (x[:, 8:] + 1) % VOCABULARY
    assert (listing(x)["pitches"] - listing(changed)["pitches"])[:, :8].abs().max() > 1e-2

    model = small()
    torch.testing.assert_close(model(x)["logits"][:, :8], model(changed)["logits"][:, :8])
    both = small(causal=False)
    assert (both(x)["logits"] - both(changed)["logits"])[:, :8].abs().max() > 1e-4


def test_a_mask_from_outside_makes_it_causal():
    """Sound: whoever passes the mask gets a causal network."""
    listing, x = Listing().eval(), some_tokens(1, 12)
    mask = nn.Transformer.generate_square_subsequent_mask(12)
    changed = x.clone()
    changed[:, 8:] = (x[:, 8:] + 1) % VOCABULARY
    one, other = (listing(given, mask=mask)["pitches"][:, :8] for given in (x, changed))
    torch.testing.assert_close(one, other)


def test_padding_is_read_as_music():
    listing, x = Listing().eval(), some_tokens(1, 6)
    padded = F.pad(x, (0, 6))  # with token 0, the lowest C
    assert (listing(padded)["pitches"][:, :6] - listing(x)["pitches"]).abs().max() > 1e-2

    model = small(causal=False)
    padded = F.pad(x, (0, 6), value=events.PAD)
    together = model(padded, padding=padded == events.PAD)["logits"][:, :6]
    torch.testing.assert_close(together, model(x)["logits"], atol=1e-5, rtol=1e-4)


def test_no_output_can_say_what_comes_next():
    """128, 32 and 8 numbers for a vocabulary of 388: no time passes, no key comes up."""
    out = Listing().eval()(some_tokens(1, 4))
    assert {name: o.shape[2] for name, o in out.items()} == {
        "pitches": 128,
        "durations": 32,
        "dynamics": 8,
    }
    ours = small()(some_tokens(1, 4))
    assert ours["logits"].shape[2] == events.N_TOKENS
    assert out.keys() < ours.keys()


def test_durations_and_dynamics_are_no_tokens():
    """Of the 388 events none is a duration; what the heads shall say has to be worked out."""
    kinds = {name.split()[0] for name in events.names(range(VOCABULARY))}
    assert kinds == {"NOTE_ON", "NOTE_OFF", "TIME_SHIFT", "VELOCITY"}
    tokens = events.encode(performed_notes([0.0, 0.5], [0.5, 1.0], [60, 67], velocity=[20, 120]))
    targets = events.note_targets(tokens)
    assert targets.pitches[0] == 60 and targets.pitches[1] == 67
    assert targets.durations[1] > targets.durations[0]
    assert (targets.dynamics[0], targets.dynamics[1]) == (1, 7)
    assert targets.pitches[-1] == events.IGNORED


def test_a_vocabulary_of_388_has_no_room_for_cls_and_mask():
    listing = Listing().eval()
    for token in (events.PAD, events.CLS, events.MASK):
        with pytest.raises(IndexError, match="out of range"):
            listing(torch.tensor([[token, 60]]))
        assert small()(torch.tensor([[token, 60]]))["logits"].isfinite().all()
    with pytest.raises(ValueError, match="tokens go from 0 to 393, got 394"):
        small()(torch.tensor([[394]]))


def test_the_first_event_stands_in_for_cls():
    """What is read as the summary of two phrases is whatever the first one begins with."""
    one, two = phrases(scores.load("ryan", split="train")[0])[:2]
    assert np.concatenate([one.tokens, two.tokens])[0] < VOCABULARY
    tokens = join(one, two)
    assert tokens[0] == events.CLS
    assert np.flatnonzero(tokens == events.SEP).tolist() == [len(one) + 1, len(tokens) - 1]


def test_hidden_states_are_asked_for_and_not_returned():
    with pytest.raises(KeyError, match="hidden_states"):
        Listing()(some_tokens(1, 4))["hidden_states"]
    out = small_bert()(some_tokens(2, 4))
    assert {name: tuple(o.shape) for name, o in out.items()} == {
        "hidden_states": (2, 4, 32),
        "mlm_logits": (2, 4, 388),
        "nsp_logits": (2, 2),
    }


def test_places_given_as_numbers_pick_rows_of_the_batch():
    """Indexing takes them for sequences, and says so only if there are too few."""
    hidden, numbers = torch.randn(3, 7, 4), torch.tensor([[0, 2], [1, 1], [2, 0]])
    assert hidden[numbers].shape == (3, 2, 7, 4)
    chosen = torch.zeros(3, 7, dtype=torch.bool)
    chosen[[0, 0, 2], [0, 2, 5]] = True
    assert small_bert()(some_tokens(3, 7), chosen)["mlm_logits"].shape == (3, 388)
    with pytest.raises(TypeError, match=r"mask_positions must be bool, got torch\.int64"):
        small_bert()(some_tokens(3, 7), numbers)


def test_bert_carries_layers_that_nothing_trains():
    """Training on several processes stops at parameters without a gradient."""
    listing = Listing()
    listing.hidden(some_tokens(2, 9)).square().sum().backward()
    assert {name.split(".")[0] for name in without_gradient(listing)} == {
        "heads",
        "relative",
        "styles",
    }
    model = small_bert()
    out = model(some_tokens(2, 9))
    (out["mlm_logits"].square().sum() + out["nsp_logits"].square().sum()).backward()
    assert without_gradient(model) == []


def test_all_layers_begin_as_copies_of_one():
    first, second = Listing().body.layers
    for one, other in zip(first.parameters(), second.parameters(), strict=True):
        torch.testing.assert_close(one, other)
    first, second = small().layers
    assert (first.attention.to_qkv.weight != second.attention.to_qkv.weight).any()


def test_the_batch_that_comes_second_warns():
    with pytest.warns(UserWarning, match="batch_first was not True"):
        nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2), 1)
    small()  # any warning is an error here


def test_too_long_a_sequence_is_told_of_as_a_mismatch_of_sizes():
    x = some_tokens(1, LENGTH + 1)
    with pytest.raises(RuntimeError, match="must match the size of tensor"):
        Listing()(x)
    with pytest.raises(IndexError, match="out of bounds"):
        RelativeListing(8, LENGTH)(torch.zeros(1, LENGTH + 1, 8), None)
    with pytest.raises(
        ValueError, match=f"at most max_seq_len = {LENGTH} tokens, got {LENGTH + 1}"
    ):
        small()(x)


def test_weights_fit_one_length_only():
    """The waves are saved with the weights, and the table of distances is as long as they are."""
    with pytest.raises(RuntimeError, match="size mismatch for waves"):
        Listing(length=2 * LENGTH).load_state_dict(Listing().state_dict())
    model = small(max_distance=16)
    longer = MusicTransformer(32, 4, 2, 2 * LENGTH, max_distance=16).eval()
    longer.load_state_dict(model.state_dict())
    x = some_tokens(1, LENGTH)
    torch.testing.assert_close(longer(x)["logits"], model(x)["logits"])


def test_the_page_and_these_tests_name_each_other():
    named = set(re.findall(r"`(test_\w+)`", PAGE.read_text(encoding="utf-8")))
    here = {name for name in globals() if name.startswith("test_")}
    assert named == here - {"test_the_page_and_these_tests_name_each_other"}
