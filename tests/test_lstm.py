"""The LSTM from its equations against PyTorch's, in value and gradient."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils.rnn import pack_sequence

from mircourse.lstm import LSTM, LSTMCell

EXACT = {"rtol": 0, "atol": 1e-6}


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


@pytest.fixture
def cell():
    torch.manual_seed(0)
    return LSTMCell(3, 5).double()


@pytest.fixture
def step(cell):
    """x, h, C, what the cell makes of them, and [h, x] for formulas in NumPy."""
    x, h, c = torch.randn(2, 3).double(), torch.randn(2, 5).double(), torch.randn(2, 5).double()
    return {
        "hx": np.concatenate([h.numpy(), x.numpy()], axis=1),
        "c": c.numpy(),
        "gates": [gate.detach().numpy() for gate in cell.gates(x, h)],
        "new": [part.detach().numpy() for part in cell(x, (h, c))],
    }


def affine(cell, hx, gate):
    weight = getattr(cell, f"W_{gate}").detach().numpy()
    return hx @ weight.T + getattr(cell, f"b_{gate}").detach().numpy()


def test_forget_gate(cell, step):
    """eq:rnn-forget."""
    np.testing.assert_allclose(step["gates"][0], sigmoid(affine(cell, step["hx"], "f")), **EXACT)


def test_input_gate(cell, step):
    """eq:rnn-input."""
    np.testing.assert_allclose(step["gates"][1], sigmoid(affine(cell, step["hx"], "i")), **EXACT)


def test_candidate(cell, step):
    """eq:rnn-candidate."""
    np.testing.assert_allclose(step["gates"][2], np.tanh(affine(cell, step["hx"], "C")), **EXACT)


def test_cell_state(step):
    """eq:rnn-cell."""
    f, i, candidate, _ = step["gates"]
    np.testing.assert_allclose(step["new"][1], f * step["c"] + i * candidate, **EXACT)


def test_output_gate(cell, step):
    """eq:rnn-output."""
    np.testing.assert_allclose(step["gates"][3], sigmoid(affine(cell, step["hx"], "o")), **EXACT)


def test_hidden_state(step):
    """eq:rnn-hidden."""
    h, c = step["new"]
    np.testing.assert_allclose(h, step["gates"][3] * np.tanh(c), **EXACT)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(4, 3), (3,), (0, 3)])
def test_a_cell_is_pytorchs_cell(bias, shape):
    torch.manual_seed(1)
    theirs = nn.LSTMCell(3, 5, bias=bias).double()
    ours = LSTMCell.from_torch(theirs)
    x = torch.randn(shape).double()
    state = (torch.randn(*shape[:-1], 5).double(), torch.randn(*shape[:-1], 5).double())
    for given_state in (None, state):
        for a, b in zip(ours(x, given_state), theirs(x, given_state), strict=True):
            torch.testing.assert_close(a, b, **EXACT)


def torch_gradients(theirs, ours):
    """PyTorch's gradients, arranged as ours are."""
    found = []
    for cell, (of_x, of_h, *biases) in zip(ours.cells, theirs.all_weights, strict=True):
        matrices = torch.cat([of_h.grad, of_x.grad], dim=1).chunk(4)
        order = (cell.W_i, cell.W_f, cell.W_C, cell.W_o)
        found += list(zip(order, matrices, strict=True))
        if biases:
            # Their two biases are one sum: each has the gradient of our one bias.
            torch.testing.assert_close(biases[0].grad, biases[1].grad)
            order = (cell.b_i, cell.b_f, cell.b_C, cell.b_o)
            found += list(zip(order, biases[0].grad.chunk(4), strict=True))
    return found


def flat(output):
    return output.data if hasattr(output, "batch_sizes") else output


def assert_same(theirs, ours, x, state=None, tolerance=None):
    """Values, final states, and the gradients of weights, initial states and input."""
    tolerance = tolerance or EXACT
    results = []
    for model in (ours, theirs):
        model.zero_grad()
        leaf = flat(x).detach().clone().requires_grad_()
        given_x = x._replace(data=leaf) if hasattr(x, "batch_sizes") else leaf
        start = None if state is None else tuple(s.clone().requires_grad_() for s in state)
        output, (h, c) = model(given_x, start)
        values = [flat(output), h, c]
        # Every value gets a weight of its own: a mistake cannot cancel in a plain sum.
        loss = sum(
            (v * torch.arange(1, v.numel() + 1).view_as(v).to(v).sin()).sum() for v in values
        )
        loss.backward()
        grads = [leaf.grad] + ([] if start is None else [s.grad for s in start])
        results.append([*values, *grads])
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, **tolerance)
    for parameter, expected in torch_gradients(theirs, ours):
        torch.testing.assert_close(parameter.grad, expected, **tolerance)


@given(
    layers=st.integers(1, 3),
    bidirectional=st.booleans(),
    batch_first=st.booleans(),
    bias=st.booleans(),
    with_state=st.booleans(),
    T=st.integers(1, 6),
    B=st.integers(1, 3),
)
@settings(max_examples=40, deadline=None)
def test_lstm_is_pytorchs_in_value_and_gradient(
    layers, bidirectional, batch_first, bias, with_state, T, B
):
    torch.manual_seed(T * 10 + B)
    theirs = nn.LSTM(3, 4, layers, bias, batch_first, 0.0, bidirectional).double()
    ours = LSTM.from_torch(theirs)
    x = torch.randn((B, T, 3) if batch_first else (T, B, 3)).double()
    shape = (layers * (1 + bidirectional), B, 4)
    state = (torch.randn(shape).double(), torch.randn(shape).double()) if with_state else None
    assert_same(theirs, ours, x, state)


@given(
    lengths=st.lists(st.integers(1, 6), min_size=1, max_size=5),
    layers=st.integers(1, 2),
    bidirectional=st.booleans(),
    with_state=st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_packed_sequences_in_any_order(lengths, layers, bidirectional, with_state):
    torch.manual_seed(sum(lengths))
    theirs = nn.LSTM(3, 4, layers, bidirectional=bidirectional).double()
    ours = LSTM.from_torch(theirs)
    packed = pack_sequence([torch.randn(n, 3).double() for n in lengths], enforce_sorted=False)
    shape = (layers * (1 + bidirectional), len(lengths), 4)
    state = (torch.randn(shape).double(), torch.randn(shape).double()) if with_state else None
    assert_same(theirs, ours, packed, state)
    output, _ = ours(packed, state)
    assert torch.equal(output.batch_sizes, packed.batch_sizes)
    assert torch.equal(output.unsorted_indices, packed.unsorted_indices)


def test_sorted_packed_sequences_without_indices():
    torch.manual_seed(0)
    theirs = nn.LSTM(3, 4, bidirectional=True).double()
    packed = pack_sequence([torch.randn(n, 3).double() for n in (5, 2, 1)])
    assert_same(theirs, LSTM.from_torch(theirs), packed)


def test_one_sequence_without_a_batch():
    torch.manual_seed(0)
    theirs = nn.LSTM(3, 4, 2, bidirectional=True, batch_first=True).double()
    state = (torch.randn(4, 4).double(), torch.randn(4, 4).double())
    assert_same(theirs, LSTM.from_torch(theirs), torch.randn(6, 3).double(), state)


def test_single_precision_agrees_to_its_rounding():
    torch.manual_seed(0)
    theirs = nn.LSTM(8, 16, 2, bidirectional=True)
    tolerance = {"rtol": 1e-4, "atol": 1e-4}
    assert_same(theirs, LSTM.from_torch(theirs), torch.randn(50, 4, 8), None, tolerance)


@pytest.mark.parametrize("dropout", [0.5, 1.0])
def test_dropout_lies_between_layers_and_only_in_training(dropout):
    torch.manual_seed(0)
    theirs = nn.LSTM(3, 4, 3, dropout=dropout).double()
    ours = LSTM.from_torch(theirs)
    x = torch.randn(6, 2, 3).double()
    outputs = []
    for model in (ours, theirs):
        torch.manual_seed(1)
        outputs.append(model(x)[0])
    torch.testing.assert_close(outputs[0], outputs[1], **EXACT)
    torch.testing.assert_close(ours.eval()(x)[0], theirs.eval()(x)[0], **EXACT)
    assert not torch.allclose(outputs[0], ours(x)[0])


def test_a_sequence_in_two_halves_is_the_whole():
    torch.manual_seed(0)
    lstm = LSTM(3, 4, 2, batch_first=True)
    x = torch.randn(2, 9, 3)
    whole, end = lstm(x)
    first, state = lstm(x[:, :4])
    second, last = lstm(x[:, 4:], state)
    torch.testing.assert_close(torch.cat([first, second], dim=1), whole)
    torch.testing.assert_close(last, end)


def test_parameters_are_counted_from_the_equations():
    lstm = LSTM(7, 5, 2, bidirectional=True)
    first, second = 4 * (5 * (5 + 7) + 5), 4 * (5 * (5 + 10) + 5)
    assert sum(p.numel() for p in lstm.parameters()) == 2 * (first + second)


def test_the_forget_bias_moves_the_forget_gate_alone():
    made = []
    for forget_bias in (0.0, 1.0):
        torch.manual_seed(0)
        made.append(LSTMCell(3, 5, forget_bias=forget_bias))
    zero, one = (dict(cell.named_parameters()) for cell in made)
    for name in zero:
        torch.testing.assert_close(
            one[name] - zero[name], torch.full_like(zero[name], name == "b_f")
        )


@pytest.mark.parametrize("shape", [(4, 2, 2), (3,), (4, 2, 3, 1)])
def test_wrong_shapes_are_refused(shape):
    with pytest.raises(ValueError, match="x must be"):
        LSTM(3, 4)(torch.zeros(shape))


def test_wrong_input_is_refused_with_what_came():
    lstm, cell = LSTM(3, 4), LSTMCell(3, 4)
    with pytest.raises(ValueError, match="T = 0"):
        lstm(torch.zeros(0, 2, 3))
    with pytest.raises(TypeError, match=r"torch\.int64"):
        lstm(torch.zeros(5, 2, 3, dtype=torch.int64))
    x = torch.zeros(5, 2, 3)
    x[1, 1, 1] = torch.nan
    with pytest.raises(ValueError, match="1 NaN"):
        lstm(x)
    with pytest.raises(ValueError, match="1 NaN"):
        cell(x[1])
    with pytest.raises(ValueError, match=r"h must have shape \(1, 2, 4\), got \(1, 3, 4\)"):
        lstm(torch.zeros(5, 2, 3), (torch.zeros(1, 3, 4), torch.zeros(1, 3, 4)))
    with pytest.raises(ValueError, match=r"C must have shape \(2, 4\), got \(2, 5\)"):
        cell(torch.zeros(2, 3), (torch.zeros(2, 4), torch.zeros(2, 5)))
    with pytest.raises(ValueError, match=r"\(B, 3\) or \(3,\), got \(2, 4\)"):
        cell(torch.zeros(2, 4))
    with pytest.raises(ValueError, match=r"packed steps must be \(N, 3\), got \(5, 2\)"):
        lstm(pack_sequence([torch.zeros(5, 2)]))


def test_wrong_settings_are_refused():
    with pytest.raises(ValueError, match="hidden_size must be at least 1, got 0"):
        LSTMCell(3, 0)
    with pytest.raises(ValueError, match="num_layers must be at least 1, got 0"):
        LSTM(3, 4, 0)
    with pytest.raises(ValueError, match="dropout must be in"):
        LSTM(3, 4, dropout=1.5)
    with pytest.raises(ValueError, match="proj_size=2"):
        LSTM.from_torch(nn.LSTM(3, 4, proj_size=2))
