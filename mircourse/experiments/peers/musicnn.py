"""The published tagger *musicnn* as a frozen feature extractor, in PyTorch.

musicnn (Pons and Serra, 2019, late-breaking demo at ISMIR; architecture of Pons et al., 2018,
ISMIR) was trained on 50 tags of MagnaTagATune (``MTT_musicnn``) or of the Million Song Dataset
(``MSD_musicnn``). Its package, ISC licence, holds the weights as TensorFlow 1 checkpoints and
asks for TensorFlow; here the architecture is written out in PyTorch and the checkpoints are read
by `tensor_bundle`, so the package is needed for its files alone::

    pip install --no-deps musicnn==0.1.0

or point `load` at a folder that holds ``MTT_musicnn/``. The package is never imported.

The package splits a clip into whole windows of three seconds, drops what is left of it, and
refuses a clip shorter than one. `features` does the same, but repeats a short clip until it fills
a window: the padding named in the training configuration that comes with the weights. The package
rounds the mel spectrogram to 16 bits before the logarithm and `log_mel` does not: the input
changes by less than 4e-4. The activations are those of the package's own TensorFlow graph to
1e-5 of the largest.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch

from mircourse.audio import check_audio
from mircourse.experiments.peers import tensor_bundle
from mircourse.experiments.peers.musicnn_network import N_MELS, Musicnn, state_dict

SAMPLE_RATE = 16000
N_FFT, HOP = 512, 256
WINDOW_FRAMES = 187
WINDOW_SAMPLES = (WINDOW_FRAMES - 1) * HOP  # the shortest audio that fills a window
# fmt: off
MTT_TAGS = (
    "guitar", "classical", "slow", "techno", "strings", "drums", "electronic", "rock", "fast",
    "piano", "ambient", "beat", "violin", "vocal", "synth", "female", "indian", "opera", "male",
    "singing", "vocals", "no vocals", "harpsichord", "loud", "quiet", "flute", "woman",
    "male vocal", "no vocal", "pop", "soft", "sitar", "solo", "man", "classic", "choir", "voice",
    "new age", "dance", "male voice", "female vocal", "beats", "harp", "cello", "no voice",
    "weird", "country", "metal", "female voice", "choral",
)
MSD_TAGS = (
    "rock", "pop", "alternative", "indie", "electronic", "female vocalists", "dance", "00s",
    "alternative rock", "jazz", "beautiful", "metal", "chillout", "male vocalists",
    "classic rock", "soul", "indie rock", "Mellow", "electronica", "80s", "folk", "90s", "chill",
    "instrumental", "punk", "oldies", "blues", "hard rock", "ambient", "acoustic", "experimental",
    "female vocalist", "guitar", "Hip-Hop", "70s", "party", "country", "easy listening", "sexy",
    "catchy", "funk", "electro", "heavy metal", "Progressive rock", "60s", "rnb", "indie pop",
    "sad", "House", "happy",
)
# fmt: on
TAGS = {"MTT_musicnn": MTT_TAGS, "MSD_musicnn": MSD_TAGS}


def find(directory: str | Path | None = None) -> Path:
    """Return the folder of the package's files: `directory`, or where it is installed."""
    if directory is not None:
        return Path(directory)
    spec = find_spec("musicnn")
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError("musicnn is not here: pip install --no-deps musicnn==0.1.0")
    return Path(spec.submodule_search_locations[0])


def load(directory: str | Path | None = None, *, name: str = "MTT_musicnn") -> Musicnn:
    """Load a published model, frozen and in evaluation mode.

    Parameters
    ----------
    directory : str or Path, optional
        The unpacked package: the folder that holds ``MTT_musicnn/``. By default the installed
        package, which is found and not imported.
    name : {"MTT_musicnn", "MSD_musicnn"}
        Which weights.

    Returns
    -------
    Musicnn
        792,079 stored values, none of which requires a gradient.

    Raises
    ------
    FileNotFoundError
        If the package or one of the checkpoint's files is missing.
    ValueError
        If `name` is unknown or the checkpoint is corrupt or of another architecture.
    """
    if name not in TAGS:
        raise ValueError(f"name is {name!r}; expected one of {sorted(TAGS)}")
    model = Musicnn(TAGS[name])
    variables = tensor_bundle.read(f"{find(directory) / name}/", skip=("Adam", "_power"))
    model.load_state_dict(state_dict(model, variables))
    return model.eval().requires_grad_(False)


def log_mel(audio: np.ndarray, *, sample_rate: int) -> np.ndarray:
    """Compute the model's input, log10(1 + 10000 mel), in windows of three seconds.

    Parameters
    ----------
    audio : ndarray, shape (n,)
        One clip, mono. Shorter than a window, it is repeated until it fills one.
    sample_rate : int
        In hertz; the clip is resampled to 16 kHz.

    Returns
    -------
    ndarray of float32, shape (n_windows, 187, 96)

    Raises
    ------
    TypeError, ValueError
        If `check_audio` refuses the audio.
    """
    import librosa

    audio = check_audio(audio, sample_rate=sample_rate)
    audio = librosa.resample(audio, orig_sr=sample_rate, target_sr=SAMPLE_RATE)
    if audio.size < WINDOW_SAMPLES:
        audio = np.resize(audio, WINDOW_SAMPLES)  # repeats
    mel = librosa.feature.melspectrogram(
        y=audio, sr=SAMPLE_RATE, n_fft=N_FFT, hop_length=HOP, n_mels=N_MELS, pad_mode="reflect"
    ).T  # (T, 96)
    n_windows = len(mel) // WINDOW_FRAMES
    windows = mel[: n_windows * WINDOW_FRAMES].reshape(n_windows, WINDOW_FRAMES, N_MELS)
    return np.log10(10000 * windows + 1)


def features(audio: np.ndarray, *, sample_rate: int, model: Musicnn) -> dict[str, np.ndarray]:
    """Return the activations of one clip, named and shaped as the package's extractor does.

    Parameters
    ----------
    audio : ndarray, shape (n,)
        One clip, mono.
    sample_rate : int
        In hertz.
    model : Musicnn
        As `load` returns.

    Returns
    -------
    dict of str to ndarray
        ``timbral`` (187 n_windows, 408), ``temporal`` (187 n_windows, 153), ``cnn1``, ``cnn2``
        and ``cnn3`` (187 n_windows, 64), ``mean_pool`` and ``max_pool`` (n_windows, 753),
        ``penultimate`` (n_windows, 200), ``taggram`` (n_windows, 50).
    """
    with torch.inference_mode():
        out = model(torch.from_numpy(log_mel(audio, sample_rate=sample_rate)))
    return {k: (v.flatten(0, 1) if v.ndim == 3 else v).numpy() for k, v in out.items()}


def tags(
    audio: np.ndarray, *, sample_rate: int, model: Musicnn, top: int = 3
) -> list[tuple[str, float]]:
    """Return the `top` likeliest tags of one clip and their mean probability over windows."""
    mean = features(audio, sample_rate=sample_rate, model=model)["taggram"].mean(axis=0)
    return [(model.tags[i], float(mean[i])) for i in np.argsort(-mean)[:top]]
