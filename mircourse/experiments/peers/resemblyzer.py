"""The published voice encoder *Resemblyzer* as a network to start from, in PyTorch.

Resemblyzer 0.1.4 (Resemble AI, 2019, Apache-2.0) tells speakers apart: three layers of LSTM read 40
mel bands of speech, and recordings of one voice come to lie together, by the generalised end-to-end
loss of Wan et al. (2018). Its package holds the weights in a file of PyTorch's. The rest of it
asks for a compiler, for voice activity detection, and imports a part of SciPy that is no longer
there; so the package is needed for its file alone::

    pip install --no-deps resemblyzer==0.1.4

It is never imported. What it does with a clip is done here: resample to 16 kHz, raise the level to
-30 dB of full scale, mel *power*, without a logarithm, in windows of 1.6 s, the last one padded
with silence. Only its cutting of what is not speech is left out, for a note is none.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mircourse.audio import check_audio

SAMPLE_RATE = 16000
N_FFT, HOP = 400, 160
N_MELS = 40
WINDOW_FRAMES = 160
STEP_FRAMES = 77  # from one window to the next: 1.3 windows a second
COVERED = 0.75  # of the last window, or it is left out where there are others
LEVEL = -30.0  # decibels of full scale
SIZE, LAYERS = 256, 3


class VoiceEncoder(nn.Module):
    """Three layers of LSTM, the last one's last state through a linear layer and a ReLU."""

    def __init__(self) -> None:
        super().__init__()
        sizes = [N_MELS] + [SIZE] * (LAYERS - 1)
        self.layers = nn.ModuleList(nn.LSTM(size, SIZE, batch_first=True) for size in sizes)
        self.linear = nn.Linear(SIZE, SIZE)

    def forward(self, mel: Tensor) -> dict[str, Tensor]:
        """Compute the states of each layer and the embedding.

        Parameters
        ----------
        mel : Tensor, shape (B, T, 40)
            As `mel` returns.

        Returns
        -------
        dict of str to Tensor
            ``layer 1``, ``layer 2``, ``layer 3`` (B, T, 256), and ``embedding`` (B, 256), of
            length 1, no number below 0.
        """
        found, x = {}, mel
        for number, layer in enumerate(self.layers, start=1):
            x, _ = layer(x)  # (B, T, 40 or 256) -> (B, T, 256)
            found[f"layer {number}"] = x
        raw = self.linear(x[:, -1]).relu()  # (B, 256)
        return found | {"embedding": raw / raw.norm(dim=1, keepdim=True).clamp(min=1e-12)}


def find(file: str | Path | None = None) -> Path:
    """Return the file of the weights: `file`, or where the package is installed."""
    if file is not None:
        return Path(file)
    spec = find_spec("resemblyzer")
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError("resemblyzer is not here: pip install --no-deps resemblyzer==0.1.4")
    return Path(spec.submodule_search_locations[0]) / "pretrained.pt"


def load(file: str | Path | None = None) -> VoiceEncoder:
    """Load the published weights, in evaluation mode.

    Parameters
    ----------
    file : str or Path, optional
        ``pretrained.pt`` of the package. By default the installed one's, which is found and not
        imported.

    Returns
    -------
    VoiceEncoder
        1,423,616 weights.

    Raises
    ------
    FileNotFoundError
        If the package or its file is missing.
    ValueError
        If the file holds other weights.
    """
    path = find(file)
    if not path.exists():
        raise FileNotFoundError(f"there is no {path}")
    # Only tensors are read: the file may not run code.
    stored = torch.load(path, map_location="cpu", weights_only=True)["model_state"]
    model, state = VoiceEncoder(), {}
    for name, value in stored.items():
        kind, _, part = name.partition(".")
        if kind == "lstm":  # weight_ih_l2 -> layers.2.weight_ih_l0
            weight, _, number = part.rpartition("_l")
            state[f"layers.{number}.{weight}_l0"] = value
        elif kind == "linear":
            state[name] = value
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise ValueError(f"{path} holds other weights: {error}") from error
    return model.eval()


def mel(audio: NDArray, *, sample_rate: float) -> NDArray[np.float32]:
    """Compute the network's input: mel power in windows of 1.6 s.

    Parameters
    ----------
    audio : ndarray, shape (n,)
        One clip, mono.
    sample_rate : float
        In hertz; the clip is resampled to 16 kHz.

    Returns
    -------
    ndarray of float32, shape (n_windows, 160, 40)

    Raises
    ------
    TypeError, ValueError
        If `check_audio` refuses the audio.
    """
    import librosa

    audio = check_audio(audio, sample_rate=sample_rate)
    audio = librosa.resample(audio, orig_sr=sample_rate, target_sr=SAMPLE_RATE)
    loudness = np.sqrt(np.mean(audio.astype(np.float64) ** 2))
    if loudness > 0:
        # Only ever louder.
        audio = audio * np.float32(max(1.0, 10 ** (LEVEL / 20) / loudness))
    n_frames = -(-(len(audio) + 1) // HOP)
    starts = list(range(0, max(1, n_frames - WINDOW_FRAMES + STEP_FRAMES + 1), STEP_FRAMES))
    covered = (len(audio) / HOP - starts[-1]) / WINDOW_FRAMES
    if covered < COVERED and len(starts) > 1:
        starts.pop()
    missing = (starts[-1] + WINDOW_FRAMES) * HOP - len(audio)
    power = librosa.feature.melspectrogram(
        y=np.pad(audio, (0, max(0, missing))),
        sr=SAMPLE_RATE,
        n_fft=N_FFT,
        hop_length=HOP,
        n_mels=N_MELS,
    ).T  # (T, 40)
    return np.stack([power[first : first + WINDOW_FRAMES] for first in starts]).astype(np.float32)


def embed(audio: NDArray, *, sample_rate: float, model: VoiceEncoder) -> NDArray[np.float32]:
    """Return the embedding of one clip, (256,), of length 1: the mean over its windows."""
    with torch.inference_mode():
        windows = model(torch.from_numpy(mel(audio, sample_rate=sample_rate)))["embedding"]
    mean = windows.mean(dim=0)
    return (mean / mean.norm().clamp(min=1e-12)).numpy()
