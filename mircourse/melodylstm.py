"""A network that predicts the next note of a tune, and so writes tunes.

Event by event, an LSTM reads the duration and the pitch of the event before and the place in the
bar where the next begins. From its hidden state come the probabilities of the next duration, and,
with that duration, of the next pitch. The symbols are those of `mircourse.melodies`.

Lesson: book/rnn/lstm
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from mircourse.melodies import (
    END,
    METERS,
    N_DURATIONS,
    N_PITCHES,
    N_PLACES,
    START_DURATION,
    START_PITCH,
    Melody,
    duration_ticks,
    place_of,
)
from mircourse.sampling import continue_melodies

Cell = Literal["lstm", "rnn"]
PADDING = -1  # a target that is not scored
_POSITIONS = N_PLACES // len(METERS)
_COLUMNS = 5  # of a row of numbers: duration and pitch before, place, duration, pitch


class MelodyLSTM(nn.Module):
    r"""Next-event model of melodies.

    Lesson: book/rnn/lstm

    Parameters
    ----------
    hidden_size : int
        Numbers in the hidden state of each layer.
    num_layers : int
        LSTM layers.
    embedding : int
        Numbers that stand for a pitch; a duration and a place have half as many.
    dropout : float
        Share of the embeddings, of the outputs of each layer and of what the pitch is read from
        that training drops.
    place : bool
        Whether the network is told the meter and where in the bar the next event begins.
        Otherwise it has to keep time itself.
    cell : {"lstm", "rnn"}
        "rnn" has a plain recurrent layer, :math:`h_t = \tanh(W [h_{t-1}, x_t] + b)`, for
        comparison.

    Raises
    ------
    ValueError
        If a size is below 1 or the cell is unknown.

    Examples
    --------
    >>> from mircourse import melodies
    >>> model = MelodyLSTM(hidden_size=32)
    >>> tune = model.generate(melodies.blank("6/8"), 8, seed=1)
    >>> len(tune) <= 8
    True
    """

    def __init__(
        self,
        hidden_size: int = 256,
        num_layers: int = 1,
        *,
        embedding: int = 64,
        dropout: float = 0.3,
        place: bool = True,
        cell: Cell = "lstm",
    ) -> None:
        super().__init__()
        if min(hidden_size, num_layers) < 1 or embedding < 2:
            raise ValueError(
                f"expected hidden_size and num_layers of 1 or more, embedding of 2 or more, "
                f"got {hidden_size}, {num_layers} and {embedding}"
            )
        if cell not in ("lstm", "rnn"):
            raise ValueError(f"cell must be lstm or rnn, got {cell!r}")
        half = embedding // 2
        self.place = place
        self.pitch_before = nn.Embedding(N_PITCHES + 1, embedding)
        self.duration_before = nn.Embedding(N_DURATIONS + 1, half)
        width = embedding + half
        if place:
            # Meters share what a position means: a reel in 2/2 teaches something about 4/4.
            self.meter = nn.Embedding(len(METERS), half)
            self.position = nn.Embedding(_POSITIONS, half)
            width += 2 * half
        kind = nn.LSTM if cell == "lstm" else nn.RNN
        self.recurrent = kind(
            width,
            hidden_size,
            num_layers,
            batch_first=True,
            dropout=dropout if num_layers > 1 else 0.0,
        )
        if cell == "lstm":
            _raise_forget_bias(self.recurrent)
        self.dropout = nn.Dropout(dropout)
        self.to_duration = nn.Linear(hidden_size, N_DURATIONS)
        self.duration_now = nn.Embedding(N_DURATIONS, embedding)
        self.mix = nn.Linear(hidden_size, embedding)
        self.to_pitch = nn.Linear(embedding, N_PITCHES)

    def embed(self, before: Tensor, place: Tensor) -> Tensor:
        """Return the input of the recurrent layer.

        Parameters
        ----------
        before : Tensor of int, (B, T, 2)
            Duration and pitch of the event before each.
        place : Tensor of int, (B, T)
            Place of each event.

        Returns
        -------
        Tensor, (B, T, D)
        """
        parts = [self.duration_before(before[..., 0]), self.pitch_before(before[..., 1])]
        if self.place:
            parts.append(self.meter(place // _POSITIONS))
            parts.append(self.position(place % _POSITIONS))
        return self.dropout(torch.cat(parts, dim=-1))  # (B, T, ...) -> (B, T, D)

    def duration_logits(self, h: Tensor) -> Tensor:
        """Return logits of the durations from the hidden state ``(..., H)``."""
        return self.to_duration(h)  # (..., H) -> (..., N_DURATIONS)

    def pitch_logits(self, h: Tensor, duration: Tensor) -> Tensor:
        """Return logits of the pitches from the hidden state (..., H) and the duration (...)."""
        mixed = torch.tanh(self.mix(h) + self.duration_now(duration))  # (..., H) -> (..., E)
        return self.to_pitch(self.dropout(mixed))  # (..., E) -> (..., N_PITCHES)

    def forward(self, rows: Tensor) -> Tensor:
        """Return what each event of a batch costs.

        Parameters
        ----------
        rows : Tensor of int, (B, T, 5)
            As `batch` makes them.

        Returns
        -------
        Tensor, (B, T, 2)
            Minus the natural logarithm of the probability of each duration and each pitch; 0
            where there is none.
        """
        if rows.ndim != 3 or rows.shape[-1] != _COLUMNS or rows.is_floating_point():
            raise ValueError(
                f"expected whole numbers (B, T, {_COLUMNS}) as melodylstm.batch makes them, "
                f"got {rows.dtype} {tuple(rows.shape)}"
            )
        h, _ = self.recurrent(self.embed(rows[..., :2], rows[..., 2]))  # (B, T, D) -> (B, T, H)
        h = self.dropout(h)
        duration, pitch = rows[..., 3], rows[..., 4]
        of_duration = _cost(self.duration_logits(h), duration)
        of_pitch = _cost(self.pitch_logits(h, duration.clamp(min=0)), pitch)
        return torch.stack([of_duration, of_pitch], dim=-1)  # 2 x (B, T) -> (B, T, 2)

    @torch.no_grad()
    def bits(self, melodies: Sequence[Melody], *, batch_size: int = 64) -> NDArray[np.float64]:
        """Return what each melody costs, in bits: minus the base-2 logarithm of its probability.

        Raises
        ------
        ValueError
            If there are no melodies, or one is empty.
        """
        device = next(self.parameters()).device
        training = self.training
        self.eval()
        # Melodies of like length together: less padding to compute.
        order = np.argsort([len(melody) for melody in melodies], kind="stable")
        bits = np.zeros(len(melodies))
        try:
            for first in range(0, len(order), batch_size):
                some = order[first : first + batch_size]
                cost = self(batch([melodies[i] for i in some]).to(device))  # (B, T, 2)
                bits[some] = cost.double().sum(dim=(1, 2)).cpu().numpy() / np.log(2)
        finally:
            self.train(training)
        return bits

    def reader(self, prompts: Sequence[Melody]) -> LSTMReader:
        """Return a reader that has read the prompts; see `mircourse.sampling`."""
        return LSTMReader(self, prompts)

    def generate(
        self,
        prompt: Melody,
        n: int,
        *,
        temperature: float = 1.0,
        top_p: float = 1.0,
        seed: int = 0,
    ) -> Melody:
        """Go on with a melody.

        Parameters
        ----------
        prompt : Melody
            What it begins with: `mircourse.melodies.encode` of notes, or
            `mircourse.melodies.blank` of a meter for a tune from nothing. Its end is taken off.
        n : int
            Most events to add; fewer if the tune ends.
        temperature : float
            0 takes the most likely symbol each time; 1 draws from what the model says.
        top_p : float
            In (0, 1]; see `mircourse.sampling.nucleus`.
        seed : int
            The same seed gives the same tune.

        Returns
        -------
        Melody
            Prompt and continuation. ``.piece(title=...)`` makes it a piece to engrave and hear,
            `mircourse.melodies.decode` a note array for `mircourse.scores.to_midi`.

        Raises
        ------
        ValueError
            If `n` is negative, or `temperature` or `top_p` out of range.
        """
        return continue_melodies(
            self, [prompt], n, temperature=temperature, top_p=top_p, seed=[seed]
        )[0]


class LSTMReader:
    """A `MelodyLSTM` that reads several melodies at a time; see `mircourse.sampling.Reader`."""

    def __init__(self, model: MelodyLSTM, prompts: Sequence[Melody]) -> None:
        self.model = model
        self.prompts = prompts
        self.device = next(model.parameters()).device
        self.ticks = np.array([melody.onset_ticks[-1] for melody in prompts])
        rows = [_inputs(melody) for melody in prompts]  # the event to come included
        lengths = torch.tensor([len(row) for row in rows])
        padded = nn.utils.rnn.pad_sequence([torch.from_numpy(r) for r in rows], batch_first=True)
        packed = nn.utils.rnn.pack_padded_sequence(
            self._embed(padded), lengths, batch_first=True, enforce_sorted=False
        )
        self._run(packed)

    @torch.no_grad()
    def durations(self) -> NDArray[np.float64]:
        """Return the probability of each duration symbol, ``(B, N_DURATIONS)``."""
        return _probabilities(self._evaluated().duration_logits(self._h))

    @torch.no_grad()
    def pitches(self, duration: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the probability of each pitch symbol after the durations, ``(B, N_PITCHES)``."""
        given = torch.from_numpy(duration).to(self.device)
        return _probabilities(self._evaluated().pitch_logits(self._h, given))

    def append(self, duration: NDArray[np.int64], pitch: NDArray[np.int64]) -> None:
        """Take one more event in each melody, ``(B,)``."""
        self.ticks = self.ticks + duration_ticks(duration)
        place = [
            int(place_of(t, meter=melody.meter, pickup_beats=melody.pickup_beats))
            for t, melody in zip(self.ticks, self.prompts, strict=True)
        ]
        row = np.stack([duration, pitch, place], axis=-1)[:, None]  # (B, 3) -> (B, 1, 3)
        self._run(self._embed(torch.from_numpy(row)))

    def _evaluated(self) -> MelodyLSTM:
        return self.model.eval()

    @torch.no_grad()
    def _embed(self, rows: Tensor) -> Tensor:
        rows = rows.to(self.device)
        return self._evaluated().embed(rows[..., :2], rows[..., 2])

    @torch.no_grad()
    def _run(self, x: Tensor | nn.utils.rnn.PackedSequence) -> None:
        _, self._state = self.model.recurrent(x, getattr(self, "_state", None))
        h = self._state[0] if isinstance(self._state, tuple) else self._state
        self._h = h[-1]  # (layers, B, H) -> (B, H)


def batch(melodies: Sequence[Melody]) -> Tensor:
    """Return melodies as rows of numbers, padded at the end: ``(B, T, 5)``.

    A row holds the duration and the pitch of the event before, the place, and the duration and
    the pitch of the event itself; the last two are `PADDING` where nothing is to be predicted.

    Raises
    ------
    ValueError
        If there are no melodies, or one is empty.
    """
    if not melodies or not all(len(melody) for melody in melodies):
        raise ValueError("expected one melody or more, each of one event or more")
    T = max(len(melody) for melody in melodies)
    rows = np.zeros((len(melodies), T, _COLUMNS), np.int64)
    rows[..., 3:] = PADDING
    for row, melody in zip(rows, melodies, strict=True):
        n = len(melody)
        row[:n, :3] = _inputs(melody)[:n]
        row[:n, 3] = melody.duration
        row[:n, 4] = np.where(melody.duration == END, PADDING, melody.pitch)
    return torch.from_numpy(rows)


def _inputs(melody: Melody) -> NDArray[np.int64]:
    """Return duration and pitch before, and place, of each event and the next: ``(n + 1, 3)``."""
    before = np.concatenate([[START_DURATION], melody.duration])
    pitch_before = np.concatenate([[START_PITCH], melody.pitch])
    return np.stack([before, pitch_before, melody.place], axis=-1)


def _cost(logits: Tensor, target: Tensor) -> Tensor:
    """Return minus the log-probability of each target, ``(B, T)``; 0 for padding."""
    return functional.cross_entropy(
        logits.transpose(1, 2),  # (B, T, K) -> (B, K, T)
        target,
        ignore_index=PADDING,
        reduction="none",
    )


def _probabilities(logits: Tensor) -> NDArray[np.float64]:
    return logits.double().softmax(dim=-1).cpu().numpy()


@torch.no_grad()
def _raise_forget_bias(lstm: nn.LSTM | nn.RNN) -> None:
    # Jozefowicz et al. (2015). PyTorch's second quarter is the forget gate.
    for layer in range(lstm.num_layers):
        bias = cast(Tensor, getattr(lstm, f"bias_ih_l{layer}"))
        bias[lstm.hidden_size : 2 * lstm.hidden_size] += 1
