"""The architecture of musicnn in PyTorch, and how its TensorFlow variables map onto it.

Pons and Serra (2019), "musicnn: pre-trained convolutional neural networks for music audio
tagging", late-breaking demo at ISMIR; the architecture is that of Pons et al. (2018), ISMIR. The
order within a layer is convolution, ReLU, batch normalisation: the reverse of the usual last two.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

N_MELS = 96
BATCH_NORM_EPS = 1e-3  # TensorFlow's default; many stored variances are smaller than this
N_TIMBRAL, N_TEMPORAL, N_MIDEND, N_DENSE = 204, 51, 64, 200
TIMBRAL_HEIGHTS = (int(0.4 * N_MELS), int(0.7 * N_MELS))
TEMPORAL_LENGTHS = (128, 64, 32)
WEIGHT_PARTS = {"kernel": "weight", "bias": "bias"}
NORM_PARTS = {
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}


class FrontEndBranch(nn.Module):
    """Convolution, ReLU, batch normalisation, then the maximum over frequency."""

    def __init__(self, channels: int, frames: int, bands: int) -> None:
        super().__init__()
        before = (frames - 1) // 2  # TensorFlow's "same": the odd zero goes at the end
        self.pad = nn.ZeroPad2d((0, 0, before, frames - 1 - before))
        self.conv = nn.Conv2d(1, channels, (frames, bands))
        self.norm = nn.BatchNorm2d(channels, eps=BATCH_NORM_EPS)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 1, T, 96) -> (B, channels, T)."""
        # Not `amax`: its gradient looks for every place that is as large, this one's knows one.
        return self.norm(self.conv(self.pad(x)).relu()).max(dim=3).values


class MidEndLayer(nn.Module):
    """Convolution over seven frames, ReLU, batch normalisation."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(channels, N_MIDEND, 7, padding=3)
        self.norm = nn.BatchNorm1d(N_MIDEND, eps=BATCH_NORM_EPS)

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, T) -> (B, 64, T)."""
        return self.norm(self.conv(x).relu())


class Musicnn(nn.Module):
    """The musicnn architecture: log-mel windows in, named activations out.

    Parameters
    ----------
    tags : sequence of str
        The names of the outputs, in order.
    """

    def __init__(self, tags: Sequence[str]) -> None:
        super().__init__()
        self.tags = tuple(tags)
        self.input_norm = nn.BatchNorm2d(1, eps=BATCH_NORM_EPS)
        self.timbral = nn.ModuleList(FrontEndBranch(N_TIMBRAL, 7, h) for h in TIMBRAL_HEIGHTS)
        self.temporal = nn.ModuleList(FrontEndBranch(N_TEMPORAL, n, 1) for n in TEMPORAL_LENGTHS)
        n_front = N_TIMBRAL * len(TIMBRAL_HEIGHTS) + N_TEMPORAL * len(TEMPORAL_LENGTHS)
        self.midend = nn.ModuleList(MidEndLayer(n) for n in (n_front, N_MIDEND, N_MIDEND))
        n_pooled = 2 * (n_front + 3 * N_MIDEND)
        self.pool_norm = nn.BatchNorm1d(n_pooled, eps=BATCH_NORM_EPS)
        self.dense = nn.Linear(n_pooled, N_DENSE)
        self.dense_norm = nn.BatchNorm1d(N_DENSE, eps=BATCH_NORM_EPS)
        self.output = nn.Linear(N_DENSE, len(self.tags))

    def forward(self, log_mel: Tensor) -> dict[str, Tensor]:
        """Compute every activation the package names, and the tags' probabilities.

        Parameters
        ----------
        log_mel : Tensor, shape (B, T, 96)
            As `log_mel` returns.

        Returns
        -------
        dict of str to Tensor
            ``timbral`` (B, T, 408), ``temporal`` (B, T, 153), ``cnn1``, ``cnn2``, ``cnn3``
            (B, T, 64), ``mean_pool``, ``max_pool`` (B, 753), ``penultimate`` (B, 200) and
            ``taggram`` (B, 50) in 0..1.
        """
        x = self.input_norm(log_mel.unsqueeze(1))  # (B, 1, T, 96)
        timbral = torch.cat([branch(x) for branch in self.timbral], dim=1)  # (B, 408, T)
        temporal = torch.cat([branch(x) for branch in self.temporal], dim=1)  # (B, 153, T)
        front = torch.cat([timbral, temporal], dim=1)  # (B, 561, T)
        cnn1 = self.midend[0](front)  # (B, 64, T)
        cnn2 = self.midend[1](cnn1) + cnn1
        cnn3 = self.midend[2](cnn2) + cnn2
        every = torch.cat([front, cnn1, cnn2, cnn3], dim=1)  # (B, 753, T)
        max_pool, mean_pool = every.amax(dim=2), every.mean(dim=2)  # (B, 753)
        pooled = torch.stack([max_pool, mean_pool], dim=2).flatten(1)  # (B, 1506), interleaved
        penultimate = self.dense_norm(self.dense(self.pool_norm(pooled)).relu())  # (B, 200)
        over_time = {
            "timbral": timbral,
            "temporal": temporal,
            "cnn1": cnn1,
            "cnn2": cnn2,
            "cnn3": cnn3,
        }
        return {name: value.transpose(1, 2) for name, value in over_time.items()} | {
            "mean_pool": mean_pool,
            "max_pool": max_pool,
            "penultimate": penultimate,
            "taggram": self.output(penultimate).sigmoid(),
        }


def _layers(model: Musicnn) -> dict[str, nn.Module]:
    """Return the layers under the names TensorFlow gave them: numbered in order of creation."""
    branches = [*model.timbral, *model.temporal, *model.midend]
    norms = [model.input_norm, *(b.norm for b in branches), model.pool_norm, model.dense_norm]
    kinds = {
        "conv2d": [branch.conv for branch in branches],
        "batch_normalization": norms,
        "dense": [model.dense, model.output],
    }
    return {
        f"{kind}_{number}" if number else kind: layer
        for kind, layers in kinds.items()
        for number, layer in enumerate(layers)
    }


def _kernel(layer: nn.Module, kernel: np.ndarray) -> np.ndarray:
    """Reorder a TensorFlow kernel, whose outputs are the last axis, as PyTorch's."""
    if isinstance(layer, nn.Conv2d):
        return kernel.transpose(3, 2, 0, 1)  # (T, F, 1, out) -> (out, 1, T, F)
    if isinstance(layer, nn.Conv1d):
        return kernel[:, :, 0].transpose(2, 1, 0)  # (T, in, 1, out) -> (out, in, T)
    return kernel.T  # (in, out) -> (out, in)


def state_dict(model: Musicnn, variables: dict[str, np.ndarray]) -> dict[str, Tensor]:
    """Turn the variables of a checkpoint into the state of `model`, each used exactly once.

    Parameters
    ----------
    model : Musicnn
        Gives the layers and their shapes; it is not changed.
    variables : dict of str to ndarray
        As `tensor_bundle.read` returns, without the optimiser's.

    Returns
    -------
    dict of str to Tensor
        For ``model.load_state_dict``.

    Raises
    ------
    ValueError
        If a variable is missing, left over or of another shape.
    """
    left, state = dict(variables), dict(model.state_dict())
    names = {layer: name for name, layer in model.named_modules()}
    for tf_name, layer in _layers(model).items():
        is_norm = isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d)
        for tf_part, part in (NORM_PARTS if is_norm else WEIGHT_PARTS).items():
            target = f"{names[layer]}.{part}"
            if (value := left.pop(f"{tf_name}/{tf_part}", None)) is None:
                raise ValueError(f"the checkpoint has no variable {tf_name}/{tf_part}")
            if tf_part == "kernel":
                value = _kernel(layer, value)
            if value.shape != tuple(state[target].shape):
                raise ValueError(
                    f"{tf_name}/{tf_part} has shape {value.shape} in PyTorch's order; "
                    f"expected {tuple(state[target].shape)}"
                )
            state[target] = torch.from_numpy(np.array(value))
    if left:
        raise ValueError(f"the checkpoint has variables the architecture has not: {sorted(left)}")
    return state
