"""What a right answer to each exercise of the RNN chapter has.

Lesson: book/rnn/exercises
"""

from __future__ import annotations

import numpy as np

from mircourse.check import exercise, expect
from mircourse.checks import rnn_notes as rnn_notes  # its exercises are of this chapter, too
from mircourse.checks.oracles import (
    autograd_jacobians,
    causal_correlation,
    in_blocks,
    tune_as_rows,
)

loss = exercise("rnn_2", title="A loss from logits")


@loss.property("knowing nothing costs log 2")
def _loss_even(cross_entropy):
    expect(cross_entropy(np.zeros((4, 88)), np.zeros((4, 88)), 1.0), np.log(2))


@loss.property("agrees with PyTorch, the weight of the ones included")
def _loss_torch(cross_entropy):
    import torch

    rng = np.random.default_rng(0)
    z, y = rng.normal(0, 3, (20, 88)), (rng.random((20, 88)) < 0.1).astype(float)
    for weight in (1.0, 5.0):
        wanted = torch.nn.functional.binary_cross_entropy_with_logits(
            torch.from_numpy(z), torch.from_numpy(y), pos_weight=torch.tensor(weight)
        )
        expect(cross_entropy(z, y, weight), wanted)


@loss.property("a confident mistake costs its logit, neither infinity nor a constant")
def _loss_large(cross_entropy):
    expect(cross_entropy(np.array([800.0]), np.array([0.0]), 1.0), 800.0)
    expect(cross_entropy(np.array([-800.0]), np.array([1.0]), 1.0), 800.0)


late = exercise("rnn_3", title="How late?")


@late.property("sample by sample: half the window, and the hops looked ahead")
def _late_samples(delay):
    expect(delay(0, hop=512, window=2048, look_ahead=0, block=1), 1024)
    expect(delay(7, hop=512, window=2048, look_ahead=3, block=1), 1024 + 3 * 512)


@late.property("a block that ends exactly where the last frame does is enough")
def _late_exact(delay):
    expect(delay(0, hop=512, window=2048, look_ahead=2, block=1024), 2048)


@late.property("agrees with waiting for one block after another")
def _late_blocks(delay):
    for frame in range(12):
        for look_ahead, block in ((0, 441), (2, 1000), (1, 4096)):
            come = 0
            while come < (frame + look_ahead) * 256 + 400:
                come += block
            got = delay(frame, hop=256, window=800, look_ahead=look_ahead, block=block)
            expect(got, come - frame * 256)


lstm = exercise("rnn_4", title="One step of an LSTM")


def _lstm_case(seed, hidden=5, inputs=3):
    rng = np.random.default_rng(seed)
    weight, bias = (
        rng.standard_normal((4, hidden, hidden + inputs)),
        rng.standard_normal((4, hidden)),
    )
    x, h, c = rng.standard_normal(inputs), np.tanh(rng.standard_normal(hidden)), rng.normal(size=5)
    return x, h, c, weight, bias


@lstm.property("a forget gate that is open and an input gate that is shut keep the cell state")
def _lstm_keeps(lstm_step):
    x, h, c, weight, bias = _lstm_case(0)
    bias = np.array([50.0, -50.0, 0.0, 0.0])[:, None] + np.zeros_like(bias)
    expect(lstm_step(x, h, c, 0 * weight, bias)[1], c)


@lstm.property("the hidden state is what the output gate lets out of the cell's tanh")
def _lstm_hidden(lstm_step):
    x, h, c, weight, bias = _lstm_case(1)
    bias = np.array([50.0, -50.0, 0.0, 0.0])[:, None] + np.zeros_like(bias)
    expect(lstm_step(x, h, c, 0 * weight, bias)[0], np.tanh(c) / 2)


@lstm.property("agrees with PyTorch's cell over several steps")
def _lstm_torch(lstm_step):
    import torch

    x, h, c, weight, bias = _lstm_case(2)
    cell = torch.nn.LSTMCell(3, 5).double()
    order = [1, 0, 2, 3]  # PyTorch stacks input, forget, candidate, output
    with torch.no_grad():
        cell.weight_hh.copy_(torch.from_numpy(weight[order, :, :5]).flatten(0, 1))
        cell.weight_ih.copy_(torch.from_numpy(weight[order, :, 5:]).flatten(0, 1))
        cell.bias_ih.copy_(torch.from_numpy(bias[order]).flatten())
        cell.bias_hh.zero_()
        theirs = torch.from_numpy(h), torch.from_numpy(c)
        for step in range(4):
            theirs = cell(torch.from_numpy(x * step), theirs)
            h, c = lstm_step(x * step, h, c, weight, bias)
            expect(h, theirs[0])
            expect(c, theirs[1])


gru = exercise("rnn_5", title="One step of a GRU")


def _gru_case(seed):
    rng = np.random.default_rng(seed)
    shapes = ((3, 5, 4), (3, 5, 5), (3, 5), (3, 5))
    return [rng.standard_normal(4), rng.standard_normal(5)] + [rng.normal(size=s) for s in shapes]


@gru.property("an update gate at 1 keeps the hidden state")
def _gru_keeps(gru_step):
    x, h, w, u, b, d = _gru_case(0)
    b[1] = 200.0
    expect(gru_step(x, h, w, u, b, d), h)


@gru.property("agrees with PyTorch's cell, its reset gate after the product")
def _gru_torch(gru_step):
    import torch

    x, h, w, u, b, d = _gru_case(1)
    cell = torch.nn.GRUCell(4, 5).double()
    with torch.no_grad():
        for theirs, ours in zip(cell.parameters(), (w, u, b, d), strict=True):
            theirs.copy_(torch.from_numpy(ours.reshape(tuple(theirs.shape))))
        expect(gru_step(x, h, w, u, b, d), cell(torch.from_numpy(x), torch.from_numpy(h)))


attention = exercise("rnn_10", title="Attention that leaves padding out")


def _clips(seed, *lengths):
    rng = np.random.default_rng(seed)
    return list(rng.standard_normal((3, len(lengths), max(lengths), 8)))


@attention.property("without padding it agrees with PyTorch")
def _attention_torch(attend):
    import torch

    clips = _clips(0, 6, 6, 6)
    q, k, v = (torch.from_numpy(part) for part in clips)
    wanted = torch.nn.functional.scaled_dot_product_attention(q, k, v)
    expect(attend(*clips, np.array([6, 6, 6])), wanted)


@attention.property("each clip of a padded batch gives what it gives alone")
def _attention_alone(attend):
    lengths = np.array([7, 3, 1])
    clips = _clips(1, *lengths)
    together = attend(*clips, lengths)
    for i, n in enumerate(lengths):
        alone = attend(*(part[i : i + 1, :n] for part in clips), lengths[i : i + 1])
        expect(together[i, :n], alone[0])


@attention.property("what stands in the padding does not matter, and comes out as 0")
def _attention_padding(attend):
    lengths = np.array([5, 2])
    clips = _clips(2, *lengths)
    for part in clips:
        part[1, 2:] = 1e6
    got = attend(*clips, lengths)
    for part in clips:
        part[1, 2:] = -3.0
    expect(got[1, :2], attend(*clips, lengths)[1, :2])
    expect(got[1, 2:], np.zeros((3, 8)))


stream = exercise("rnn_11", title="A convolution that remembers")


def _stream_case(seed, taps=3):
    # The pitches of a tune, one row a note, and random weights.
    x = tune_as_rows(seed)
    return x, np.random.default_rng(seed).standard_normal((taps, x.shape[1], 4))


@stream.property("all at once, it is a convolution with zeros before the beginning")
def _stream_whole(convolve):
    x, kernel = _stream_case(0)
    expect(convolve(x, None, kernel)[0], causal_correlation(x, kernel))


@stream.property("blocks of 7 and of 1000 give the same")
def _stream_blocks(convolve):
    x, kernel = _stream_case(1)
    for size in (7, 1000):
        expect(in_blocks(convolve, x, [size], kernel), causal_correlation(x, kernel))


@stream.property("so do blocks of one frame, shorter than what has to be remembered")
def _stream_single(convolve):
    x, kernel = _stream_case(2, taps=6)
    expect(in_blocks(convolve, x, [1], kernel), causal_correlation(x, kernel))
    expect(in_blocks(convolve, x, [2, 1, 9], kernel), causal_correlation(x, kernel))


@stream.property("a state may be used twice: it is not changed in place")
def _stream_pure(convolve):
    x, kernel = _stream_case(3)
    _, state = convolve(x[:10], None, kernel)
    first = np.array(convolve(x[10:12], state, kernel)[0])
    expect(convolve(x[10:12], state, kernel)[0], first)


gradient = exercise("rnn_12", title="The gradient through time")


@gradient.property("the last state is itself: the identity")
def _gradient_last(jacobians):
    w, states = 0.5 * np.ones((3, 3)), np.full((4, 3), 0.2)
    expect(jacobians(w, states)[-1], np.eye(3))


@gradient.property("one step back, it is the slope of tanh times the weights")
def _gradient_step(jacobians):
    rng = np.random.default_rng(0)
    w, states = rng.standard_normal((3, 3)), np.tanh(rng.standard_normal((2, 3)))
    expect(jacobians(w, states)[0], (1 - states[1] ** 2)[:, None] * w)


@gradient.property("agrees with automatic differentiation along a tune")
def _gradient_autograd(jacobians):
    w, states, wanted = autograd_jacobians(tune_as_rows(0)[:12])
    expect(jacobians(w, states), wanted, atol=1e-10)
