"""How loud audio sounds: programme loudness of ITU-R BS.1770-4, for mono.

Two filters stand for the head and for the ear's lack of interest in low frequencies
(K-weighting); the power is then averaged over the blocks of 400 ms that are not much softer than
the rest. The unit is LUFS; 1 LU is 1 dB.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SILENCE_LUFS = -70.0  # absolute gate: softer blocks count as silence
_BLOCK_SECONDS = 0.4


def loudness(audio: NDArray[np.floating], *, sample_rate: float) -> float:
    """Return the loudness of mono audio in LUFS; minus infinity for silence.

    Parameters
    ----------
    audio : ndarray, shape (n,)
        Samples in [-1, 1]. Audio shorter than 400 ms is one block.
    sample_rate : float
        In Hz.

    Notes
    -----
    Equations 1 to 7 of ITU-R BS.1770-4 (2015). A sine of 997 Hz at full scale is -3.01 LUFS.
    """
    power = _block_power(_k_weighted(np.asarray(audio, dtype=np.float64), sample_rate), sample_rate)
    for below in (0.0, 10.0):
        # The first gate is absolute, the second 10 LU below what passed the first.
        gate = SILENCE_LUFS if below == 0 else _lufs(float(power.mean())) - below
        power = power[[_lufs(p) > gate for p in power]]
        if not len(power):
            return -np.inf
    return _lufs(float(power.mean()))


def _lufs(power: float) -> float:
    return -0.691 + 10 * float(np.log10(power)) if power > 0 else -np.inf


def _block_power(weighted: NDArray[np.float64], sample_rate: float) -> NDArray[np.float64]:
    size = min(round(_BLOCK_SECONDS * sample_rate), len(weighted))
    hop = max(1, size // 4)
    total = np.concatenate([[0.0], np.cumsum(weighted**2)])  # (n + 1,)
    start = np.arange(0, len(weighted) - size + 1, hop)
    return (total[start + size] - total[start]) / size  # (blocks,)


def _k_weighted(audio: NDArray[np.float64], sample_rate: float) -> NDArray[np.float64]:
    from scipy.signal import lfilter

    # The standard lists coefficients for 48 kHz; these are the analogue filters behind them
    # (De Man, 2014), bilinearly transformed for any rate.
    shelf_gain, q = 10 ** (3.999843853973347 / 20), 0.7071752369554196
    k = np.tan(np.pi * 1681.974450955533 / sample_rate)
    band = shelf_gain**0.4996667741545416
    shelf = [shelf_gain + band * k / q + k**2, 2 * (k**2 - shelf_gain)]
    shelf.append(shelf_gain - band * k / q + k**2)
    audio = lfilter(shelf, [1 + k / q + k**2, 2 * (k**2 - 1), 1 - k / q + k**2], audio)
    q = 0.5003270373238773
    k = np.tan(np.pi * 38.13547087602444 / sample_rate)
    norm = 1 + k / q + k**2
    return lfilter([1, -2, 1], [1, 2 * (k**2 - 1) / norm, (1 - k / q + k**2) / norm], audio)
