"""RealTimeMusicRNN: pitch classes from the past alone, a chunk at a time.

Lesson: book/rnn/streaming
"""

from __future__ import annotations

import warnings
from os import PathLike
from typing import NamedTuple

import torch
from torch import Tensor, nn

from mircourse.causal import CausalSpectrogram

N_PITCH_CLASSES = 12


class StreamState(NamedTuple):
    """Everything that a `RealTimeMusicRNN` has to remember from one chunk to the next.

    Attributes
    ----------
    hidden : Tensor, shape (n_layers, B, hidden_dim)
        Hidden state of each layer of the GRU.
    past : Tensor, shape (B, hidden_dim, kernel_size - 1)
        The last outputs of the GRU, which the convolution still needs.
    """

    hidden: Tensor
    past: Tensor


class RealTimeMusicRNN(nn.Module):
    r"""Say for each frame which pitch classes sound, from that frame and those before it.

    A GRU (Cho et al., 2014), :eq:`eq:rnn-gru`, then a causal convolution over its outputs,

    .. math:: y_t = g_t + b + \sum_{k=0}^{K-1} W_k\, g_{t-k}

    (:eq:`eq:rnn-causal`), then one sigmoid for each pitch class. The state that `forward` takes
    and returns holds the past of both, so music may come in chunks of any size: the outputs are
    those of one pass over the whole. The article's listing hands on the GRU's state alone, and its
    convolution starts every chunk from zeros.

    With a look-ahead of :math:`L` frames the network answers :math:`L` frames late: row ``t`` of
    the output is about frame ``t - L``, of which it has heard :math:`L` frames more. No step is
    different; the delay is learned in training.

    Lesson: book/rnn/streaming

    Parameters
    ----------
    input_dim, hidden_dim : int
        Bands of the spectrogram; units of each layer of the GRU.
    n_layers, kernel_size : int
        Of the GRU and the convolution.
    look_ahead : int
        Frames that the answer comes late.
    sample_rate, n_fft, hop_length
        Of `mircourse.causal.CausalSpectrogram`, the front end that is built in as ``spectrogram``.

    Attributes
    ----------
    spectrogram : CausalSpectrogram
        Makes ``(B, T, input_dim)`` of ``(B, samples)``.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Examples
    --------
    >>> model = RealTimeMusicRNN().eval()
    >>> x = torch.randn(1, 50, 128)
    >>> whole, _ = model(x)
    >>> first, state = model(x[:, :20])
    >>> second, state = model(x[:, 20:], state)
    >>> torch.allclose(torch.cat([first, second], dim=1), whole, atol=1e-5)
    True
    """

    mean: Tensor
    deviation: Tensor

    def __init__(
        self,
        input_dim: int = 128,
        hidden_dim: int = 128,
        *,
        n_layers: int = 2,
        kernel_size: int = 3,
        look_ahead: int = 0,
        sample_rate: int = 22050,
        n_fft: int = 4096,
        hop_length: int = 512,
    ) -> None:
        super().__init__()
        if min(input_dim, hidden_dim, n_layers, kernel_size) < 1 or look_ahead < 0:
            raise ValueError(
                f"got input_dim={input_dim}, hidden_dim={hidden_dim}, n_layers={n_layers}, "
                f"kernel_size={kernel_size}, look_ahead={look_ahead}; expected 1 or more, and a "
                "look-ahead of 0 or more"
            )
        self.input_dim, self.hidden_dim = input_dim, hidden_dim
        self.kernel_size, self.look_ahead = kernel_size, look_ahead
        self.spectrogram = CausalSpectrogram(
            sample_rate, n_fft=n_fft, hop_length=hop_length, n_bands=input_dim
        )
        # A fixed scale for each band: normalising by the input at hand would look ahead.
        self.register_buffer("mean", torch.zeros(input_dim))
        self.register_buffer("deviation", torch.ones(input_dim))
        self.gru = nn.GRU(input_dim, hidden_dim, n_layers, batch_first=True)
        self.causal_conv = nn.Conv1d(hidden_dim, hidden_dim, kernel_size)
        self.output = nn.Linear(hidden_dim, N_PITCH_CLASSES)

    def initial_state(self, batch: int = 1) -> StreamState:
        """Return the state before the first frame: zeros."""
        weight = self.output.weight
        return StreamState(
            weight.new_zeros(self.gru.num_layers, batch, self.hidden_dim),
            weight.new_zeros(batch, self.hidden_dim, self.kernel_size - 1),
        )

    def standardize(self, features: Tensor) -> None:
        """Set the mean and deviation of each band to those of ``features`` (..., input_dim)."""
        flat = features.reshape(-1, self.input_dim).double()  # (..., F) -> (N, F)
        self.mean.copy_(flat.mean(dim=0))
        self.deviation.copy_(flat.std(dim=0, correction=0).clamp_min(1e-3))

    def forward(self, x: Tensor, state: StreamState | None = None) -> tuple[Tensor, StreamState]:
        """Return how likely each pitch class sounds, and the state for the next chunk.

        Parameters
        ----------
        x : Tensor, shape (B, T, input_dim)
            Frames of `spectrogram`, any number of them, 0 included.
        state : StreamState, optional
            What the last call returned; without it the music begins here.

        Returns
        -------
        Tensor, shape (B, T, 12)
            Between 0 and 1, from C to B. Row ``t`` is about frame ``t - look_ahead``; the first
            ``look_ahead`` rows of a stream are about nothing.
        StreamState
            To hand to the next call.

        Raises
        ------
        TypeError, ValueError
            If ``x`` is not floating point, has another shape, or holds NaN or infinity; if the
            state is of another batch or network.
        """
        logits, state = self.logits(x, state)
        return torch.sigmoid(logits), state

    def logits(self, x: Tensor, state: StreamState | None = None) -> tuple[Tensor, StreamState]:
        """Return `forward` before its sigmoid, as losses want it."""
        self._check(x, state)
        if state is None:
            state = self.initial_state(len(x))
        if x.shape[1] == 0:
            return x.new_zeros(len(x), 0, N_PITCH_CLASSES), state
        x = (x - self.mean) / self.deviation
        g, hidden = self.gru(x, state.hidden)  # (B, T, F) -> (B, T, H)
        heard = torch.cat([state.past, g.transpose(1, 2)], dim=2)  # -> (B, H, K - 1 + T)
        y = g + self.causal_conv(heard).transpose(1, 2)  # (B, H, T) -> (B, T, H)
        past = heard[:, :, heard.shape[2] - (self.kernel_size - 1) :]  # -> (B, H, K - 1)
        return self.output(y), StreamState(hidden, past)  # (B, T, H) -> (B, T, 12)

    def _check(self, x: Tensor, state: StreamState | None) -> None:
        if torch.compiler.is_compiling() or torch.jit.is_tracing():
            return
        if not isinstance(x, Tensor) or not x.is_floating_point():
            kind = x.dtype if isinstance(x, Tensor) else type(x).__name__
            raise TypeError(f"got {kind}; expected a floating-point tensor of frames")
        if x.ndim != 3 or x.shape[2] != self.input_dim:
            raise ValueError(
                f"got frames of shape {tuple(x.shape)}; expected (B, T, {self.input_dim}): make "
                "them with .spectrogram"
            )
        if not torch.isfinite(x).all():
            raise ValueError(f"{int((~torch.isfinite(x)).sum())} values are NaN or infinite")
        if state is not None:
            for got, expected in zip(state, self.initial_state(len(x)), strict=True):
                if got.shape != expected.shape:
                    raise ValueError(
                        f"got a state of shape {tuple(got.shape)}; expected "
                        f"{tuple(expected.shape)} for a batch of {len(x)}"
                    )


def export_onnx(model: RealTimeMusicRNN, path: str | PathLike[str]) -> None:
    """Write a network as ONNX, its state as inputs and outputs, to run without PyTorch.

    The inputs are ``x`` (B, T, input_dim), ``hidden`` and ``past``; the outputs ``chroma``,
    ``next_hidden`` and ``next_past``. B and T may be any numbers from 1. Begin with zeros of the
    shapes of `StreamState`, then feed each output state to the next call.

    Lesson: book/rnn/streaming

    Parameters
    ----------
    model : RealTimeMusicRNN
        Exported in evaluation mode.
    path : path
        Of the file, overwritten if it is there.

    Raises
    ------
    ImportError
        If ``onnx`` is not installed.
    """
    try:
        import onnx  # noqa: F401
    except ImportError as error:
        raise ImportError("writing ONNX needs: pip install onnx") from error

    names = ["x", "hidden", "past"], ["chroma", "next_hidden", "next_past"]
    axes = {name: {1 if "hidden" in name else 0: "batch"} for group in names for name in group}
    for name in ("x", "chroma"):
        axes[name][1] = "frames"
    training = model.training
    try:
        with warnings.catch_warnings():
            # PyTorch 2.13's newer exporter fixes the number of frames in the graph of a GRU. The
            # older one warns that it is older, of nn.GRU's own checks of shapes, and of initial
            # states that are not inputs, as ours are.
            for category in (DeprecationWarning, torch.jit.TracerWarning):
                warnings.simplefilter("ignore", category)
            warnings.filterwarnings("ignore", message="Exporting a model to ONNX with a batch_size")
            torch.onnx.export(
                _Flat(model).eval(),
                (torch.zeros(1, 7, model.input_dim), *model.initial_state()),
                str(path),
                dynamo=False,
                input_names=names[0],
                output_names=names[1],
                dynamic_axes=axes,
            )
    finally:
        model.train(training)


class _Flat(nn.Module):
    # ONNX knows tensors, not states of several.
    def __init__(self, model: RealTimeMusicRNN) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor, hidden: Tensor, past: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        chroma, state = self.model(x, StreamState(hidden, past))
        return chroma, *state
