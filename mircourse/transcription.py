"""Piano transcription with a bidirectional LSTM: which keys are down, when struck, how hard.

`MusicTranscriptionRNN` is the article's network, with options that make it a good one.
`mircourse.transcriptionloss` has what it learns by, `mircourse.transcribing` turns recordings into
notes.
"""

from __future__ import annotations

import math
from typing import Literal, get_args

import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from mircourse.acoustic import AcousticLayers, HarmonicLayers, MelLayers, SemitoneLayers
from mircourse.audio import check_waveform
from mircourse.semitones import KEYS
from mircourse.transcriptionloss import Logits

__all__ = ["FrontEnd", "MusicTranscriptionRNN"]

FrontEnd = Literal["semitones", "log-mel", "harmonic"]
# How often a cell of a roll is 1 in the training music, roughly: where the outputs begin.
PRIOR = {"pitches": 0.04, "onsets": 0.01}


class MusicTranscriptionRNN(nn.Module):
    r"""Transcribe piano music: convolutions, a bidirectional LSTM, attention, three outputs.

    With its defaults this is the article's network: 88 semitone bins through two 1-D convolutions,
    three bidirectional LSTM layers, self-attention over time with eight heads added to what they
    say, then linear outputs for the 88 keys, *one* onset for all keys and *one* velocity. Keyword
    arguments give what transcribes better: a spectrogram with 2-D convolutions, an onset and a
    velocity for each key. ``harmonic`` layers also see each key by itself, and what they see there
    is added to the outputs of that key.

    Lesson: book/rnn/transcription

    Parameters
    ----------
    input_dim : int
        Rows of the spectrogram: 88 semitones, the number of mel bands for ``"log-mel"`` (229 in
        Hawthorne et al., 2018); ``"harmonic"`` has rows of its own and ignores it.
    hidden_dim : int
        Of the LSTM in one direction.
    n_layers : int
        Of the LSTM.
    front_end : {"semitones", "log-mel", "harmonic"}
        The spectrogram and its convolutions; see `mircourse.acoustic`.
    onset_outputs, velocity_outputs : {1, 88}
        One for all keys, or one for each.
    bidirectional : bool
        Read the recording from its end, too; without it no output depends on later frames by way
        of the LSTM.
    recurrent : bool
        Without it a dense layer of the same width stands where the LSTM is.
    attention : bool
        Without it the LSTM's output goes to the outputs as it is.
    n_heads : int
        Of the attention; divides the LSTM's width.
    dropout : float
        Between LSTM layers.
    channels, size : int
        Width of the 2-D convolutions and of the dense layer behind them.
    key_dim : int
        Above 0, and with ``harmonic`` layers, a second bidirectional LSTM of this width reads each
        key by itself, the same for all keys: what the convolutions see there and what the first
        LSTM says of it. It follows a note from its onset to its end.
    sample_rate, hop_length : int
        Of the spectrogram.
    onset_threshold, pitch_threshold : float
        Probabilities from which `transcribe` lets a note begin, and go on, in (0, 1).

    Raises
    ------
    ValueError
        If an argument is out of range.

    Examples
    --------
    >>> model = MusicTranscriptionRNN().eval()
    >>> for name, x in model(torch.zeros(2, 50, 88)).items():
    ...     print(name, tuple(x.shape))
    pitches (2, 50, 88)
    onsets (2, 50, 1)
    velocities (2, 50, 1)
    attention (2, 50, 50)
    """

    def __init__(
        self,
        input_dim: int = 88,
        hidden_dim: int = 256,
        n_layers: int = 3,
        *,
        front_end: FrontEnd = "semitones",
        onset_outputs: int = 1,
        velocity_outputs: int = 1,
        bidirectional: bool = True,
        recurrent: bool = True,
        attention: bool = True,
        n_heads: int = 8,
        dropout: float = 0.3,
        channels: int = 24,
        size: int = 192,
        key_dim: int = 0,
        sample_rate: int = 16000,
        hop_length: int = 320,
        onset_threshold: float = 0.5,
        pitch_threshold: float = 0.5,
    ) -> None:
        super().__init__()
        width = hidden_dim * (2 if bidirectional else 1)
        if front_end not in get_args(FrontEnd):
            raise ValueError(f"got front_end={front_end!r}; expected one of {get_args(FrontEnd)}")
        if min(input_dim, hidden_dim, n_layers, channels, size) < 1 or not 0 <= dropout < 1:
            raise ValueError("sizes must be 1 or more and dropout in [0, 1)")
        for name, count in (("onset", onset_outputs), ("velocity", velocity_outputs)):
            if count not in (1, KEYS):
                raise ValueError(f"got {name}_outputs={count}; expected 1 or {KEYS}")
        if attention and width % n_heads:
            raise ValueError(f"n_heads={n_heads} does not divide the LSTM's width, {width}")
        if not (0 < onset_threshold < 1 and 0 < pitch_threshold < 1):
            raise ValueError("onset_threshold and pitch_threshold must be in (0, 1)")
        self.onset_threshold, self.pitch_threshold = onset_threshold, pitch_threshold
        self.sample_rate = sample_rate
        rates = {"sample_rate": sample_rate, "hop_length": hop_length}
        self.acoustic: AcousticLayers
        if front_end == "semitones":
            self.acoustic = SemitoneLayers(input_dim, **rates)
        elif front_end == "log-mel":
            self.acoustic = MelLayers(input_dim, channels=channels, size=size, **rates)
        else:
            self.acoustic = HarmonicLayers(channels=channels, size=size, **rates)
        self.hop_seconds = self.acoustic.hop_seconds
        if recurrent:
            self.lstm: nn.Module = nn.LSTM(
                self.acoustic.size,
                hidden_dim,
                n_layers,
                batch_first=True,
                dropout=dropout if n_layers > 1 else 0.0,
                bidirectional=bidirectional,
            )
        else:
            self.lstm = nn.Sequential(nn.Linear(self.acoustic.size, width), nn.ReLU())
        self.attention = (
            nn.MultiheadAttention(width, n_heads, dropout=0.1, batch_first=True)
            if attention
            else None
        )
        outputs = {"pitches": KEYS, "onsets": onset_outputs, "velocities": velocity_outputs}
        self.outputs = nn.ModuleDict({name: nn.Linear(width, n) for name, n in outputs.items()})
        for name, prior in PRIOR.items():
            bias = self.get_parameter(f"outputs.{name}.bias")
            nn.init.constant_(bias, math.log(prior / (1 - prior)))
        self.by_key = [name for name, n in outputs.items() if n == KEYS]
        self.key_lstm, channels = None, self.acoustic.key_channels
        if key_dim:
            if not channels:
                raise ValueError(f"key_dim={key_dim} needs front_end='harmonic', got {front_end!r}")
            self.key_lstm = nn.LSTM(
                channels + len(self.by_key), key_dim, batch_first=True, bidirectional=True
            )
            channels = 2 * key_dim
        self.key_outputs = nn.Linear(channels, len(self.by_key), bias=False) if channels else None

    def features(self, waveform: Tensor) -> Tensor:
        """Return what the convolutions read, (B, T, features), of waveforms (B, samples)."""
        return self.acoustic.features(waveform)

    def forward(self, x: Tensor, *, lengths: Tensor | None = None) -> dict[str, Tensor]:
        """Return probabilities, velocities and attention.

        Parameters
        ----------
        x : Tensor, shape (B, T, features) or (B, samples)
            Spectrograms as `features` gives them, or waveforms at `sample_rate`.
        lengths : Tensor of int, shape (B,), optional
            How many frames of each item are its own (how many samples, of waveforms); the rest is
            padding, does not influence the others, and its outputs mean nothing.

        Returns
        -------
        dict
            ``pitches`` (B, T, 88) and ``onsets`` (B, T, 1 or 88) between 0 and 1,
            ``velocities`` (B, T, 1 or 88) between 0 and 127, and, if the network has it,
            ``attention`` (B, T, T): how much frame t attends to each other one, the mean of the
            heads.

        Raises
        ------
        TypeError, ValueError
            If x is neither, is empty, holds NaN or infinity, or lengths do not fit.
        """
        x, lengths = self._checked(x, lengths)
        hidden, keys, weights = self._hidden(x, lengths, attention=True)
        pitches, onsets, velocities = self._logits(hidden, keys, lengths)
        found = {
            "pitches": pitches.sigmoid(),
            "onsets": onsets.sigmoid(),
            "velocities": velocities.sigmoid() * 127,
        }
        return found if weights is None else found | {"attention": weights}

    def logits(self, x: Tensor, *, lengths: Tensor | None = None) -> Logits:
        """Return what `forward` does before the sigmoids: what `TranscriptionLoss` takes."""
        x, lengths = self._checked(x, lengths)
        hidden, keys, _ = self._hidden(x, lengths, attention=False)
        return self._logits(hidden, keys, lengths)

    def transcribe(self, audio: ArrayLike, *, sample_rate: float) -> NDArray:
        """Write down the notes of a recording; see `mircourse.transcribing.transcribe`."""
        from mircourse.transcribing import transcribe

        return transcribe(audio, sample_rate=sample_rate, model=self)

    def _logits(self, hidden: Tensor, keys: Tensor | None, lengths: Tensor | None) -> Logits:
        found = {name: layer(hidden) for name, layer in self.outputs.items()}  # (B, T, n)
        if keys is not None and self.key_outputs is not None:
            seen = keys.permute(0, 3, 2, 1)  # (B, C, T, 88) -> (B, 88, T, C)
            if self.key_lstm is not None:
                said = torch.stack([found[name] for name in self.by_key], dim=-1)  # (B, T, 88, k)
                seen = torch.cat([seen, said.transpose(1, 2)], dim=-1)  # (B, 88, T, C + k)
                each = None if lengths is None else lengths.repeat_interleave(KEYS)
                read = _recur(self.key_lstm, seen.flatten(0, 1), each)  # (B 88, T, 2 key_dim)
                seen = read.unflatten(0, (-1, KEYS))
            more = self.key_outputs(seen).transpose(1, 2)  # (B, 88, T, k) -> (B, T, 88, k)
            for i, name in enumerate(self.by_key):
                found[name] = found[name] + more[..., i]
        return Logits(**found)

    def _hidden(
        self, x: Tensor, lengths: Tensor | None, *, attention: bool
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        mask = None
        if lengths is not None:
            mask = torch.arange(x.shape[1], device=x.device) < lengths[:, None]  # (B, T)
        hidden, keys = self.acoustic(x, mask)  # (B, T, size)
        hidden = _recur(self.lstm, hidden, lengths)  # (B, T, width)
        if self.attention is None:
            return hidden, keys, None
        padding = None if mask is None else ~mask
        attended, weights = self.attention(
            hidden, hidden, hidden, key_padding_mask=padding, need_weights=attention
        )  # (B, T, width), (B, T, T)
        return hidden + attended, keys, weights

    def _checked(self, x: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor | None]:
        if lengths is not None:
            lengths = torch.as_tensor(lengths, device=x.device)
            steps = x.shape[1] if x.ndim > 1 else 0
            if lengths.shape != x.shape[:1] or lengths.min() < 1 or lengths.max() > steps:
                raise ValueError(
                    f"got lengths {lengths.tolist()}; expected {x.shape[0]} numbers, each from 1 "
                    f"to {steps}"
                )
        if x.ndim == 2:
            check_waveform(x)
            x = self.features(x)  # (B, samples) -> (B, T, features)
            if lengths is not None:
                lengths = 1 + lengths // round(self.hop_seconds * self.sample_rate)
            return x, lengths
        if x.ndim != 3 or x.shape[2] != self.acoustic.n_features or x.shape[1] == 0:
            raise ValueError(
                f"got an input of shape {tuple(x.shape)}; expected (B, samples) or "
                f"(B, T, {self.acoustic.n_features}) with at least one frame"
            )
        if not x.is_floating_point():
            raise TypeError(f"got an input of {x.dtype}; expected floating point")
        if not torch.compiler.is_compiling() and not x.isfinite().all():
            raise ValueError("the input holds NaN or infinity")
        return x, lengths


def _recur(layer: nn.Module, x: Tensor, lengths: Tensor | None) -> Tensor:
    """Return what a layer says of (B, T, C), reading only the frames that are an item's own."""
    if not isinstance(layer, nn.LSTM):
        return layer(x)
    if lengths is None:
        return layer(x)[0]
    packed = nn.utils.rnn.pack_padded_sequence(
        x, lengths.cpu(), batch_first=True, enforce_sorted=False
    )
    out, _ = nn.utils.rnn.pad_packed_sequence(
        layer(packed)[0], batch_first=True, total_length=x.shape[1]
    )
    return out
