"""What is wrong in the published equations and listings of the RNN section, rebuilt small.

The page `book/reference/errata_rnn.md` names these tests; the last test keeps the two together.
"""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mircourse.lstm import LSTMCell
from mircourse.performed import performed_notes
from mircourse.pianoroll import notes_of, piano_roll
from mircourse.realtime import RealTimeMusicRNN
from mircourse.transcription import MusicTranscriptionRNN
from mircourse.transcriptionloss import Logits, TranscriptionLoss

PAGE = Path(__file__).parents[1] / "book" / "reference" / "errata_rnn.md"
SMALL = {"hidden_dim": 8, "n_layers": 1, "n_heads": 2}


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def small(**options):
    """Return a small network of ours with what padding could disturb: LSTM and attention."""
    return MusicTranscriptionRNN(**SMALL, **options).eval()


def gates_of(cell, x, h):
    """Return the four products of a PyTorch cell: input, forget, candidate, output."""
    return (F.linear(x, cell.weight_ih, cell.bias_ih) + F.linear(h, cell.weight_hh)).chunk(4, -1)


def test_four_equations_leave_the_hidden_state_open():
    """With h = C, the only state that the equations make, the second step is another one."""
    theirs, ours = nn.LSTMCell(3, 4), LSTMCell(3, 4)
    nn.init.zeros_(theirs.bias_hh)
    x = torch.randn(2, 1, 3)
    h, c = theirs(x[0])
    i, f, g, o = gates_of(theirs, x[0], torch.zeros(1, 4))
    made = torch.sigmoid(f) * 0 + torch.sigmoid(i) * torch.tanh(g)
    torch.testing.assert_close(made, c)  # the four equations give the cell state
    torch.testing.assert_close(torch.sigmoid(o) * torch.tanh(made), h)  # and two more h
    wrong = theirs(x[1], (made, made))[1]
    assert (wrong - theirs(x[1], (h, c))[1]).abs().max() > 1e-2
    state = None
    for step in x:
        output = ours.gates(step, state[0] if state else torch.zeros(1, 4)).output
        state = ours(step, state)
        torch.testing.assert_close(state[0], output * torch.tanh(state[1]))


def test_the_product_of_gates_is_not_a_convolution():
    """Two gates of length H make H numbers by ``*`` in Python, 2 H - 1 by the convolution."""
    forget, cell = np.random.default_rng(0).random((2, 5))
    assert (forget * cell).shape == (5,)
    assert np.convolve(forget, cell).shape == (9,)
    assert (forget @ cell).shape == ()


def test_one_onset_for_all_keys_cannot_say_which():
    """C held while E is struck again, or E held while C is: the same pitches, the same onset."""
    one = performed_notes([0.0, 0.0, 0.5], [1.0, 0.5, 0.5], [60, 64, 64])
    other = performed_notes([0.0, 0.0, 0.5], [1.0, 0.5, 0.5], [64, 60, 60])
    rolls = [piano_roll(notes, frames=60, hop_seconds=0.02) for notes in (one, other)]
    np.testing.assert_array_equal(rolls[0].pitches, rolls[1].pitches)
    np.testing.assert_array_equal(rolls[0].onsets.max(1), rolls[1].onsets.max(1))
    for roll, notes in zip(rolls, (one, other), strict=True):
        each, common = roll.onsets, roll.onsets.max(axis=1, keepdims=True)  # (T, 88), (T, 1)
        found = [
            notes_of(roll.pitches, onsets, roll.velocities, hop_seconds=0.02)
            for onsets in (each, common)
        ]
        np.testing.assert_array_equal(found[0]["pitch"], notes["pitch"])
        assert len(found[1]) == 2


def test_one_velocity_cannot_be_loud_and_soft():
    """For a melody at 100 over a bass at 40, the best single answer is 30 off for both."""
    truth = torch.tensor([100.0, 40.0])
    errors = [(truth - answer).square().mean() for answer in range(128)]
    best = int(torch.stack(errors).argmin())
    assert best == 70
    assert (truth - best).abs().tolist() == [30.0, 30.0]

    velocities = small(velocity_outputs=88)(torch.randn(1, 10, 88))["velocities"]
    assert velocities.shape == (1, 10, 88)
    assert velocities.std(dim=2).min() > 0


def test_a_sigmoid_before_the_loss_stops_learning_where_it_is_most_wrong():
    """From a logit of 17 on the rounded probability is 1, the loss 100, and the gradient 0."""
    logit = torch.tensor([20.0], requires_grad=True)
    loss = F.binary_cross_entropy(torch.sigmoid(logit), torch.zeros(1))
    loss.backward()
    assert loss.item() == 100.0  # where PyTorch cuts it off
    assert logit.grad.item() == 0.0

    logits = torch.full((1, 1, 88), 20.0, requires_grad=True)
    silent = torch.zeros(1, 1, 88)
    parts = TranscriptionLoss(onset=0, velocity=0)(
        Logits(logits, silent, silent), torch.zeros(1, 1, 3, 88)
    )
    parts["total"].backward()
    assert parts["total"].item() == pytest.approx(20.0)
    assert logits.grad.sum().item() == pytest.approx(1.0)


def test_padding_is_attended_to():
    """The listing transposes as its attention wants it, but does not say what is padding."""
    clip = torch.randn(1, 6, 16)
    padded = F.pad(clip, (0, 0, 0, 10))  # (1, 16, 16)
    attention = nn.MultiheadAttention(16, 2).eval()

    def attend(x):
        y = x.transpose(0, 1)  # (B, T, D) -> (T, B, D)
        return attention(y, y, y)[0].transpose(0, 1)

    assert (attend(padded)[:, :6] - attend(clip)).abs().max() > 1e-2
    assert_alone_as_together(small())


def test_the_backward_direction_reads_the_padding_first():
    clip = torch.randn(1, 6, 16)
    lstm = nn.LSTM(16, 8, batch_first=True, bidirectional=True)
    alone, together = lstm(clip)[0], lstm(F.pad(clip, (0, 0, 0, 10)))[0][:, :6]
    torch.testing.assert_close(together[..., :8], alone[..., :8])
    assert (together[..., 8:] - alone[..., 8:]).abs().max() > 1e-2
    assert_alone_as_together(small(attention=False))


def test_a_convolution_gives_padding_a_value():
    """After one layer with a bias zeros are zeros no more, and the next layer reads them."""
    clip = torch.randn(1, 3, 6)
    layers = nn.Sequential(nn.Conv1d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv1d(4, 4, 3, padding=1))
    padded = layers(F.pad(clip, (0, 10)))[..., :6]
    assert (padded - layers(clip)).abs().max() > 1e-3
    assert_alone_as_together(small(attention=False, recurrent=False))


def assert_alone_as_together(model):
    """Assert that a clip in a padded batch gives what it gives alone."""
    clip, long = torch.randn(1, 6, 88), torch.randn(1, 16, 88)
    batch = torch.cat([F.pad(clip, (0, 0, 0, 10), value=7.0), long])
    with torch.no_grad():
        together = model(batch, lengths=torch.tensor([6, 16]))["pitches"][:1, :6]
        torch.testing.assert_close(together, model(clip)["pitches"], atol=1e-5, rtol=1e-4)


def test_batch_normalisation_counts_the_padding():
    """In training, the mean over a batch that is mostly padding is mostly that of silence."""
    norm = nn.BatchNorm1d(1, momentum=1.0)
    clip = 5 + torch.randn(1, 1, 10)
    norm(torch.cat([clip, torch.zeros(1, 1, 90)], dim=2))
    assert norm.running_mean.item() < 1


def test_attention_over_a_whole_recording_grows_with_its_square():
    """A weight for each pair of frames: for an hour at 50 frames a second, 130 GB."""
    attention = nn.MultiheadAttention(16, 8, batch_first=True)
    for frames in (10, 40):
        x = torch.randn(1, frames, 16)
        assert attention(x, x, x)[1].shape == (1, frames, frames)
    assert round(4 * (3600 * 50) ** 2 / 1e9) == 130


def test_dropout_between_layers_warns_if_there_is_one_layer():
    with pytest.warns(UserWarning, match="dropout option adds dropout after all but last"):
        nn.LSTM(16, 8, num_layers=1, dropout=0.3)
    small()  # any warning is an error here


class Listing(nn.Module):
    """The streaming network's forward pass, as printed: its output and its hidden state."""

    def __init__(self, size=4):
        super().__init__()
        self.gru = nn.GRU(size, size, batch_first=True)
        self.conv = nn.Conv1d(size, size, kernel_size=3, padding=2)

    def forward(self, x, hidden=None):
        out, hidden = self.gru(x, hidden)
        after = self.conv(out.transpose(1, 2))  # (B, H, T + 2)
        return out + after[:, :, :-2].transpose(1, 2), hidden

    def in_chunks(self, x, size):
        outs, hidden = [], None
        for chunk in x.split(size, dim=1):
            out, hidden = self(chunk, hidden)
            outs.append(out)
        return torch.cat(outs, dim=1)


def ours_in_chunks(model, x, size):
    outs, state = [], None
    for chunk in x.split(size, dim=1):
        out, state = model(chunk, state)
        outs.append(out)
    return torch.cat(outs, dim=1)


def test_the_slice_makes_the_convolution_causal():
    """Sound: with zeros on both sides, dropping the last two outputs leaves a causal filter."""
    listing, x = Listing(), torch.randn(1, 20, 4)
    changed = x.clone()
    changed[:, 12:] += 1.0
    before, after = listing(x)[0], listing(changed)[0]
    torch.testing.assert_close(before[:, :12], after[:, :12])
    assert (before[:, 12] - after[:, 12]).abs().max() > 1e-3


def test_every_chunk_forgets_the_frames_before_it():
    """The hidden state is handed on, the convolution's last two inputs are not."""
    listing, x = Listing(), torch.randn(1, 21, 4)
    whole = listing(x)[0]
    gap = (listing.in_chunks(x, 7) - whole).abs().amax(dim=(0, 2))  # (T,)
    wrong = (gap > 1e-4).nonzero().flatten().tolist()
    assert wrong == [7, 8, 14, 15]  # the first two frames of each chunk but the first

    model = RealTimeMusicRNN(4, 8).eval()
    with torch.no_grad():
        for size in (1, 7, 1000):
            torch.testing.assert_close(
                ours_in_chunks(model, x, size), model(x)[0], atol=1e-5, rtol=0
            )


def test_frame_by_frame_two_of_three_taps_do_nothing():
    """With chunks of one frame the taps for the past meet zeros only, whatever they learnt."""
    listing, x = Listing(), torch.randn(1, 9, 4)
    one_by_one = listing.in_chunks(x, 1)
    with torch.no_grad():
        listing.conv.weight[:, :, :2] = 1e3
    torch.testing.assert_close(listing.in_chunks(x, 1), one_by_one)

    model = RealTimeMusicRNN(4, 8).eval()
    with torch.no_grad():
        before = ours_in_chunks(model, x, 1)
        model.causal_conv.weight[:, :, :2] = 1.0
        assert (ours_in_chunks(model, x, 1) - before).abs().max() > 1e-3


def test_padding_on_both_sides_computes_frames_that_are_dropped():
    conv = nn.Conv1d(4, 4, kernel_size=3, padding=2)
    assert conv(torch.randn(1, 4, 1)).shape[2] == 3  # for one frame, of which one is kept
    assert RealTimeMusicRNN(4, 8).causal_conv.padding == (0,)


def test_the_slice_is_of_one_kernel_size_only():
    """Padding and slice are the number 2; a wider kernel in the same lines looks ahead."""
    x = torch.randn(1, 4, 12)
    conv = nn.Conv1d(4, 4, kernel_size=5, padding=2)
    assert conv(x)[:, :, :-2].shape[2] == 10  # two frames short, and shifted
    changed = x.clone()
    changed[:, :, 8:] += 1.0
    assert (conv(changed) - conv(x))[:, :, 6].abs().max() > 1e-3

    model, frames = RealTimeMusicRNN(4, 8, kernel_size=5).eval(), torch.randn(1, 12, 4)
    later = frames.clone()
    later[:, 8:] += 1.0
    torch.testing.assert_close(model(later)[0][:, :8], model(frames)[0][:, :8])


def test_a_handed_on_state_holds_the_graph_of_all_that_came():
    """Training on the second chunk goes back into the first, whose graph is gone."""
    listing, x = Listing(), torch.randn(1, 10, 4)
    out, hidden = listing(x[:, :5])
    out.sum().backward()
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        listing(x[:, 5:], hidden)[0].sum().backward()
    listing(x[:, 5:], hidden.detach())[0].sum().backward()


def test_the_page_and_these_tests_name_each_other():
    named = set(re.findall(r"`(test_\w+)`", PAGE.read_text(encoding="utf-8")))
    here = {name for name in globals() if name.startswith("test_")}
    assert named == here - {"test_the_page_and_these_tests_name_each_other"}
