r"""Long short-term memory, written from its equations.

An `LSTMCell` keeps two vectors from step to step: the hidden state :math:`h`, which the rest of the
network sees, and the cell state :math:`C`, which it does not. Three gates decide what becomes of
them (Hochreiter and Schmidhuber, 1997; the forget gate is that of Gers et al., 2000). `LSTM` runs
cells over sequences, in layers and both directions, and gives the numbers of ``torch.nn.LSTM``.

*Conventions.* :math:`[h_{t-1}, x_t]` is the concatenation in that order, so a gate has one matrix
``(H, H + D)`` for hidden size H and input size D, and one bias ``(H,)``. PyTorch keeps a matrix for
:math:`x` and one for :math:`h`, each with a bias, and stacks the gates: the same function in
another arrangement, and faster, for it needs no loop in Python.

Lesson: book/rnn/lstm
"""

from __future__ import annotations

import math
from typing import NamedTuple, Self

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

State = tuple[Tensor, Tensor]


class Gates(NamedTuple):
    """What an `LSTMCell` decided in one step, each ``(B, H)``; all but `candidate` in 0..1."""

    forget: Tensor
    input: Tensor
    candidate: Tensor
    output: Tensor


class LSTMCell(nn.Module):
    r"""One step of an LSTM, :eq:`eq:rnn-forget` to :eq:`eq:rnn-hidden`.

    .. math::
        f_t &= \sigma(W_f \cdot [h_{t-1}, x_t] + b_f) \\
        i_t &= \sigma(W_i \cdot [h_{t-1}, x_t] + b_i) \\
        \tilde{C}_t &= \tanh(W_C \cdot [h_{t-1}, x_t] + b_C) \\
        C_t &= f_t * C_{t-1} + i_t * \tilde{C}_t \\
        o_t &= \sigma(W_o \cdot [h_{t-1}, x_t] + b_o) \\
        h_t &= o_t * \tanh(C_t)

    Lesson: book/rnn/lstm

    Parameters
    ----------
    input_size, hidden_size : int
        Numbers in :math:`x_t`, and in each of :math:`h_t` and :math:`C_t`.
    bias : bool
        Whether the gates have biases.
    forget_bias : float
        Added to :math:`b_f` before training. At 1 a new cell keeps about 0.7 of its state at each
        step, rather than half of it (Jozefowicz et al., 2015). PyTorch starts with 0.

    Raises
    ------
    ValueError
        If a size is below 1.

    Examples
    --------
    >>> cell = LSTMCell(3, 4)
    >>> h, c = cell(torch.zeros(2, 3))
    >>> h.shape
    torch.Size([2, 4])
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        bias: bool = True,
        forget_bias: float = 1.0,
    ) -> None:
        super().__init__()
        _check_sizes(input_size=input_size, hidden_size=hidden_size)
        self.input_size = input_size
        self.hidden_size = hidden_size
        # PyTorch's range: the more terms in a sum, the smaller each weight.
        bound = 1 / math.sqrt(hidden_size)

        def uniform(*shape: int) -> nn.Parameter:
            return nn.Parameter(torch.empty(*shape).uniform_(-bound, bound))

        both = hidden_size + input_size
        self.W_f, self.W_i, self.W_C, self.W_o = (uniform(hidden_size, both) for _ in range(4))
        self.b_f: nn.Parameter | None
        self.b_i: nn.Parameter | None
        self.b_C: nn.Parameter | None
        self.b_o: nn.Parameter | None
        if bias:
            self.b_f, self.b_i, self.b_C, self.b_o = (uniform(hidden_size) for _ in range(4))
            with torch.no_grad():
                self.b_f.add_(forget_bias)
        else:
            self.b_f = self.b_i = self.b_C = self.b_o = None

    def gates(self, x: Tensor, h: Tensor) -> Gates:
        """Return what the cell decides on seeing ``x`` (B, D), with hidden state ``h`` (B, H)."""
        hx = torch.cat([h, x], dim=-1)  # (B, H), (B, D) -> (B, H + D)
        return Gates(
            forget=torch.sigmoid(functional.linear(hx, self.W_f, self.b_f)),
            input=torch.sigmoid(functional.linear(hx, self.W_i, self.b_i)),
            candidate=torch.tanh(functional.linear(hx, self.W_C, self.b_C)),
            output=torch.sigmoid(functional.linear(hx, self.W_o, self.b_o)),
        )  # (B, H + D) -> (B, H) each

    def forward(self, x: Tensor, state: State | None = None) -> State:
        """Take one step.

        Parameters
        ----------
        x : Tensor, (B, input_size) or (input_size,)
            Floating point, finite.
        state : pair of Tensor, optional
            :math:`h_{t-1}` and :math:`C_{t-1}`, (B, hidden_size); zeros unless given.

        Returns
        -------
        pair of Tensor
            :math:`h_t` and :math:`C_t`.

        Raises
        ------
        TypeError
            If `x` is not floating point.
        ValueError
            If a shape does not fit, or `x` is not finite.
        """
        if x.ndim not in (1, 2) or x.shape[-1] != self.input_size:
            expected = f"(B, {self.input_size}) or ({self.input_size},)"
            raise ValueError(f"x must have shape {expected}, got {tuple(x.shape)}")
        _check_values(x)
        shape = (*x.shape[:-1], self.hidden_size)
        if state is None:
            state = (x.new_zeros(shape), x.new_zeros(shape))
        _check_state(state, shape)
        return self.step(x, state)

    def step(self, x: Tensor, state: State) -> State:
        """Take one step as `forward` does, without checking."""
        h, c = state
        f, i, candidate, o = self.gates(x, h)
        c = f * c + i * candidate
        return o * torch.tanh(c), c

    @classmethod
    def from_torch(cls, cell: nn.LSTMCell) -> Self:
        """Return a cell with the weights of PyTorch's."""
        made = cls(cell.input_size, cell.hidden_size, bias=cell.bias).to(cell.weight_ih)
        biases = (cell.bias_ih, cell.bias_hh) if cell.bias else None
        made._copy(cell.weight_ih, cell.weight_hh, biases)
        return made

    @torch.no_grad()
    def _copy(self, of_x: Tensor, of_h: Tensor, biases: tuple[Tensor, Tensor] | None) -> None:
        # PyTorch stacks the gates in the order input, forget, candidate, output.
        both = torch.cat([of_h, of_x], dim=1).chunk(4)  # (4 H, H), (4 H, D) -> 4 x (H, H + D)
        for own, gate in zip((self.W_i, self.W_f, self.W_C, self.W_o), both, strict=True):
            own.copy_(gate)
        if biases is not None:
            parts = (biases[0] + biases[1]).chunk(4)  # (4 H,) -> 4 x (H,)
            own_biases = (self.b_i, self.b_f, self.b_C, self.b_o)
            for bias, part in zip(own_biases, parts, strict=True):
                assert bias is not None
                bias.copy_(part)

    def extra_repr(self) -> str:
        """Return the sizes."""
        return f"{self.input_size}, {self.hidden_size}"


class LSTM(nn.Module):
    """LSTM cells over sequences; the same numbers as ``torch.nn.LSTM``, from a loop you can read.

    Lesson: book/rnn/lstm

    Parameters
    ----------
    input_size, hidden_size : int
        Of the first layer's cells.
    num_layers : int
        Each layer reads the outputs of the one below.
    bias, forget_bias
        As in `LSTMCell`.
    batch_first : bool
        Sequences are (B, T, D) rather than (T, B, D).
    dropout : float
        Share of the outputs of each layer but the last that training drops, in [0, 1].
    bidirectional : bool
        Each layer has a second cell that reads from the end; the outputs are concatenated.

    Raises
    ------
    ValueError
        If a size is below 1 or `dropout` is out of range.

    Examples
    --------
    >>> lstm = LSTM(3, 4, num_layers=2, batch_first=True, bidirectional=True)
    >>> output, (h, c) = lstm(torch.zeros(5, 7, 3))
    >>> output.shape, h.shape
    (torch.Size([5, 7, 8]), torch.Size([4, 5, 4]))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        *,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        forget_bias: float = 1.0,
    ) -> None:
        super().__init__()
        _check_sizes(input_size=input_size, hidden_size=hidden_size, num_layers=num_layers)
        if not 0 <= dropout <= 1:
            raise ValueError(f"dropout must be in [0, 1], got {dropout}")
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.batch_first = batch_first
        self.dropout = dropout
        self.bidirectional = bidirectional
        self.directions = 2 if bidirectional else 1
        sizes = [input_size] + [hidden_size * self.directions] * (num_layers - 1)
        # Layer by layer, the forward cell before the backward one, as PyTorch orders states.
        self.cells = nn.ModuleList(
            LSTMCell(size, hidden_size, bias=bias, forget_bias=forget_bias)
            for size in sizes
            for _ in range(self.directions)
        )

    def forward(
        self, x: Tensor | PackedSequence, state: State | None = None
    ) -> tuple[Tensor | PackedSequence, State]:
        """Run over sequences.

        Parameters
        ----------
        x : Tensor or PackedSequence
            (T, B, D); (B, T, D) if `batch_first`; or one sequence (T, D). Sequences of unequal
            length come packed, sorted by length or not.
        state : pair of Tensor, optional
            h and C before the first step, (layers * directions, B, H), without B for one sequence;
            zeros unless given.

        Returns
        -------
        output : Tensor or PackedSequence
            h of the last layer at each step, as `x` is: (T, B, directions * H) or packed.
        state : pair of Tensor
            h and C of each layer and direction after its last step: of a backward cell that is
            the first element of the sequence.

        Raises
        ------
        TypeError
            If `x` is not floating point.
        ValueError
            If a shape does not fit, a sequence is empty, or a number is not finite.
        """
        if isinstance(x, PackedSequence):
            return self._packed(x, state)
        if x.ndim not in (2, 3) or x.shape[-1] != self.input_size:
            axes = "(B, T, D)" if self.batch_first else "(T, B, D)"
            raise ValueError(
                f"x must be {axes} or (T, D) with D = {self.input_size}, got {tuple(x.shape)}"
            )
        single = x.ndim == 2
        if single:
            x = x.unsqueeze(1)  # (T, D) -> (T, 1, D)
            if state is not None:
                _check_state(state, (len(self.cells), self.hidden_size))
                state = (state[0].unsqueeze(1), state[1].unsqueeze(1))
        elif self.batch_first:
            x = x.transpose(0, 1)  # (B, T, D) -> (T, B, D)
        if not len(x):
            raise ValueError("a sequence needs at least one step, got T = 0")
        output, (h, c) = self._run(x, state, None)
        if single:
            return output.squeeze(1), (h.squeeze(1), c.squeeze(1))
        return output.transpose(0, 1) if self.batch_first else output, (h, c)

    def _packed(self, x: PackedSequence, state: State | None) -> tuple[PackedSequence, State]:
        if x.data.ndim != 2 or x.data.shape[1] != self.input_size:
            raise ValueError(
                f"packed steps must be (N, {self.input_size}), got {tuple(x.data.shape)}"
            )
        # Packed sequences lie longest first; states come and go in the caller's order.
        padded, lengths = pad_packed_sequence(PackedSequence(x.data, x.batch_sizes))  # (T, B, D)
        if state is not None:
            _check_state(state, (len(self.cells), len(lengths), self.hidden_size))
            if x.sorted_indices is not None:
                state = (state[0][:, x.sorted_indices], state[1][:, x.sorted_indices])
        output, (h, c) = self._run(padded, state, lengths)
        steps = [row[:size] for row, size in zip(output, x.batch_sizes.tolist(), strict=True)]
        data = torch.cat(steps)  # (T, B, ...) -> (N, ...)
        if x.unsorted_indices is not None:
            h, c = h[:, x.unsorted_indices], c[:, x.unsorted_indices]
        packed = PackedSequence(data, x.batch_sizes, x.sorted_indices, x.unsorted_indices)
        return packed, (h, c)

    def _run(self, x: Tensor, state: State | None, lengths: Tensor | None) -> tuple[Tensor, State]:
        """Run all layers over ``x`` (T, B, D); sequences end after ``lengths`` (B,) steps."""
        _check_values(x)
        T, B, _ = x.shape
        shape = (len(self.cells), B, self.hidden_size)
        if state is None:
            state = (x.new_zeros(shape), x.new_zeros(shape))
        _check_state(state, shape)
        active = None
        if lengths is not None:
            steps = torch.arange(T, device=x.device)
            active = steps[:, None] < lengths.to(x.device)  # (T, B)
        last: list[State] = []
        for layer in range(self.num_layers):
            outputs = []
            for direction in range(self.directions):
                index = layer * self.directions + direction
                start = (state[0][index], state[1][index])
                cell = self.cells[index]
                assert isinstance(cell, LSTMCell)
                output, end = _over_time(cell, x, start, active, backward=direction == 1)
                outputs.append(output)
                last.append(end)
            x = torch.cat(outputs, dim=-1)  # directions x (T, B, H) -> (T, B, directions * H)
            if layer < self.num_layers - 1:
                x = functional.dropout(x, self.dropout, self.training)
        h, c = (torch.stack(part) for part in zip(*last, strict=True))
        return x, (h, c)

    @classmethod
    def from_torch(cls, lstm: nn.LSTM) -> Self:
        """Return an LSTM with the weights and the settings of PyTorch's.

        Raises
        ------
        ValueError
            If it projects its outputs (``proj_size``).
        """
        if lstm.proj_size:
            raise ValueError(f"an LSTM with proj_size={lstm.proj_size} has other equations")
        made = cls(
            lstm.input_size,
            lstm.hidden_size,
            lstm.num_layers,
            bias=lstm.bias,
            batch_first=lstm.batch_first,
            dropout=lstm.dropout,
            bidirectional=lstm.bidirectional,
        ).to(lstm.all_weights[0][0])
        for cell, (of_x, of_h, *biases) in zip(made.cells, lstm.all_weights, strict=True):
            assert isinstance(cell, LSTMCell)
            cell._copy(of_x, of_h, (biases[0], biases[1]) if biases else None)
        return made.train(lstm.training)


def _over_time(
    cell: LSTMCell, x: Tensor, state: State, active: Tensor | None, *, backward: bool
) -> tuple[Tensor, State]:
    """Run one cell over ``x`` (T, B, D); a sequence that is not active keeps its state."""
    outputs: list[Tensor] = []
    for t in reversed(range(len(x))) if backward else range(len(x)):
        h, c = cell.step(x[t], state)
        if active is not None:
            now = active[t, :, None]  # (B,) -> (B, 1)
            h, c = torch.where(now, h, state[0]), torch.where(now, c, state[1])
        state = (h, c)
        outputs.append(h)
    return torch.stack(outputs[::-1] if backward else outputs), state  # T x (B, H) -> (T, B, H)


def _check_sizes(**sizes: int) -> None:
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"{name} must be at least 1, got {size}")


def _check_values(x: Tensor) -> None:
    if not x.is_floating_point():
        raise TypeError(f"x must be floating point, got {x.dtype}")
    if not torch.isfinite(x).all():
        raise ValueError(f"x has {int((~torch.isfinite(x)).sum())} NaN or infinite values")


def _check_state(state: State, shape: tuple[int, ...]) -> None:
    for name, part in zip(("h", "C"), state, strict=True):
        if tuple(part.shape) != tuple(shape):
            raise ValueError(f"{name} must have shape {tuple(shape)}, got {tuple(part.shape)}")
