"""Where a network starts from: speech, music tagging, rendered notes, or chance.

An *origin* is a network and what it learned before: Resemblyzer's, which tells voices apart;
musicnn's, which tags music; and a `MusicCNN` that has named the instruments of rendered notes.
Each is used *frozen*, read by a linear probe, or *fine-tuned*, all of it trained on; and each is
also there with the weights that it would begin with, so that what it knows is told from what it is.

Domains, shares and what is held out are those of `mircourse.experiments.fewlabels`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import joblib
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mircourse import recordings
from mircourse.experiments import dances, fewlabels, frontends, instruments, readouts
from mircourse.experiments import selfsupervised as heard_by
from mircourse.experiments.cnn import RECIPE, music
from mircourse.experiments.peers import musicnn, resemblyzer
from mircourse.experiments.peers.musicnn_network import Musicnn
from mircourse.experiments.runner import cache_dir

ORIGINS = ("speech", "tagging", "rendered")
VERSION = 2  # of what is read off the networks
FRAMES = 79  # of musicnn's input: the 1.25 s that the others hear
# Of fine-tuning, and of training the same network from chance.
TUNING: dict[str, dict[str, Any]] = {
    "speech": {"epochs": 10, "lr": 1e-3, "chance lr": 3e-3},
    "tagging": {"epochs": 8, "lr": 5e-4, "chance lr": 2e-3},
    "rendered": {"epochs": 30, "lr": 2e-3, "chance lr": 5e-3},
}
BATCH = 32


class Start(nn.Module):
    """A network and a linear layer on what it says of a clip, all of which is trained.

    Parameters
    ----------
    origin : str
        One of `ORIGINS`.
    body : nn.Module
        As `body_of` returns.
    scale : (Tensor, Tensor)
        Mean and deviation, (D,) each, of the vectors before training: the layer reads them
        standardised.
    known : bool
        The body has learned before: its batch normalisation keeps its statistics, which those of
        a few clips would be no match for.
    """

    def __init__(
        self, origin: str, body: nn.Module, *, scale: tuple[Tensor, Tensor], known: bool
    ) -> None:
        super().__init__()
        self.origin, self.body, self.known = origin, body, known
        self.mean: Tensor
        self.deviation: Tensor
        self.register_buffer("mean", scale[0])
        self.register_buffer("deviation", scale[1])
        self.output = nn.Linear(len(scale[0]), 19)
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (B, 19) of what `inputs` gives."""
        if self.known:
            # Here and not in `train`: whoever trains looks for layers that were left in this mode.
            for module in self.body.modules():
                if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                    module.eval()
        return self.output((vectors(self.origin, self.body, x) - self.mean) / self.deviation)


def vectors(origin: str, body: nn.Module, x: Tensor) -> Tensor:
    """Return what a network says of each clip, (B, D).

    Of speech's the mean of the states of each layer and its embedding, 1,024 numbers; of
    tagging's the mean and the largest of its activations, 1,506; of the other's its embedding.
    """
    if origin == "speech":
        out = body(x)
        states = [out[f"layer {k}"].mean(dim=1) for k in range(1, resemblyzer.LAYERS + 1)]
        return torch.cat([*states, out["embedding"]], dim=1)
    if origin == "tagging":
        out = body(x)
        return torch.cat([out["mean_pool"], out["max_pool"]], dim=1)
    return body.extract_features(x)["embedding"]  # type: ignore[operator]


def body_of(origin: str, *, known: bool, held_out: str, seed: int, fast: bool) -> nn.Module:
    """Return an origin's network: with what it learned, or as it would begin.

    Raises
    ------
    ValueError
        If the origin is unknown.
    """
    from mircourse import training
    from mircourse.cnn import MusicCNN

    if origin not in ORIGINS:
        raise ValueError(f"an origin is one of {ORIGINS}, got {origin!r}")
    training.seed_everything(seed)
    if origin == "rendered":
        if known:
            settings = RECIPE | music() | {"learn_from": "rendered"}
            task = fewlabels.task_of("instruments", held_out)
            heard, _ = frontends.network(settings, task=task, seed=seed, fast=fast)
        else:
            heard = MusicCNN(n_classes=19, hop_length=instruments.HOP, **music()["arguments"])
        # The faster layout for these sizes on a CPU; the arithmetic is the same.
        return heard.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if origin == "speech":
        return resemblyzer.load() if known else resemblyzer.VoiceEncoder()
    body = (musicnn.load() if known else Musicnn(musicnn.MTT_TAGS)).requires_grad_(True)
    # Two numbers, which scale what the first filters scale as well; but without their gradients
    # a step takes little more than half the time.
    body.input_norm.requires_grad_(False)
    return body


def probe(
    settings: Mapping[str, Any],
    *,
    domain: str,
    fraction: float,
    seed: int,
    fast: bool,
    held_out: str = "test",
) -> dict[str, Any]:
    """Read labels off a frozen network, or off MFCC; as `readouts.probe` returns it.

    Parameters
    ----------
    settings : mapping
        ``origin``, and ``known`` if it has learned; the origin "mfcc" needs no more.
    domain, fraction, seed, fast, held_out
        As in `readouts.probe`.
    """
    share: dict[str, Any] = {"domain": domain, "held_out": held_out, "fraction": fraction}
    began = time.perf_counter()
    if settings["origin"] == "mfcc":
        return readouts.probe("mfcc", **share, seed=seed, fast=fast)
    if settings["origin"] == "tagging" and settings["known"] and domain == "dances":
        # The same numbers, of which the probes of contrastive learning read.
        return readouts.probe("musicnn", **share, seed=seed, fast=fast)
    rows = _rows(dict(settings), domain=domain, held_out=held_out, seed=seed, fast=fast)
    known = dict(zip(fewlabels.ids(domain, fast=fast), rows, strict=True))
    return readouts.scored(known, time.perf_counter() - began, **share, seed=seed, fast=fast)


def tuned(
    settings: Mapping[str, Any], *, fraction: float, seed: int, fast: bool, held_out: str = "test"
) -> dict[str, Any]:
    """Train all of an origin's network on a share of the recorded notes, and score it.

    Parameters
    ----------
    settings : mapping
        ``origin``; ``known``, or the same network from chance; and what differs from `TUNING`.
    fraction, seed, fast, held_out
        As in `readouts.probe`.
    """
    from mircourse import training

    origin, known = settings["origin"], settings["known"]
    recipe = TUNING[origin] | dict(settings)
    body = body_of(origin, known=known, held_out=held_out, seed=seed, fast=fast)
    share: dict[str, Any] = {"held_out": held_out, "seed": seed, "fast": fast}
    learn, score = fewlabels.labelled("instruments", fraction=fraction, **share)
    seen, _ = fewlabels.labelled("instruments", fraction=1.0, **share)
    x = inputs(origin)
    before = _predicted(origin, body, x[_places(seen)])
    scale = (before.mean(dim=0), before.std(dim=0).clamp(min=1e-3))
    model = Start(origin, body, scale=scale, known=known)
    began = time.perf_counter()
    training.fit(
        training.ClassificationTask(
            model, lr=recipe["lr" if known else "chance lr"], label_smoothing=0.1
        ),
        (x[_places(learn)], learn.labels),
        epochs=1 if fast else round(recipe["epochs"] / fraction**0.5),
        batch_size=BATCH,
        seed=seed,
        gradient_clip=1.0,
    )
    seconds = time.perf_counter() - began
    logits = training.predict(model, x[_places(score)], batch_size=16)
    return {
        "scores": (logits.argmax(axis=1) == score.labels).astype(float).tolist(),
        "groups": fewlabels.groups("instruments", score),
        "parameters": sum(p.numel() for p in model.parameters()),
        "seconds": seconds,
    }


def inputs(origin: str) -> NDArray[np.float32]:
    """Return all recorded notes, the first 1.25 s of them, as an origin's network takes them."""
    if origin == "rendered":
        return heard_by.heard("instruments", fast=False)
    memory = joblib.Memory(cache_dir() / "starts", verbose=0)
    return memory.cache(_heard)(origin, version=VERSION)


def _heard(origin: str, *, version: int) -> NDArray[np.float32]:
    clips = recordings.load().audio(heard_by.HEARD)
    if origin == "speech":
        made = [resemblyzer.mel(clip, sample_rate=heard_by.RATE)[0] for clip in clips]
    else:
        # A short clip is repeated until it fills musicnn's window; it is heard once.
        made = [musicnn.log_mel(clip, sample_rate=heard_by.RATE)[0, :FRAMES] for clip in clips]
    return np.stack(made).astype(np.float32)  # (N, T, F)


def _rows(
    settings: dict[str, Any], *, domain: str, held_out: str, seed: int, fast: bool
) -> NDArray[np.float32]:
    """Return the vectors of all items of a domain, (N, D), from the cache where they are."""
    origin, known = settings["origin"], settings["known"]
    # What a published network says depends on neither seed nor split.
    fixed = known and origin != "rendered"
    memory = joblib.Memory(cache_dir() / "starts", verbose=0)
    return memory.cache(_read)(
        origin,
        known=known,
        domain=domain,
        held_out="" if fixed else held_out,
        seed=0 if fixed else seed,
        # All notes are few, and a small version of the tunes is another list of them.
        fast=fast and (domain == "dances" or not fixed),
        version=VERSION,
    )


def _read(
    origin: str,
    *,
    known: bool,
    domain: str,
    held_out: str,
    seed: int,
    fast: bool,
    version: int,
) -> NDArray[np.float32]:
    body = body_of(origin, known=known, held_out=held_out or "test", seed=seed, fast=fast)
    if domain == "instruments":
        return _predicted(origin, body, inputs(origin)).numpy()
    if origin == "rendered":
        raise ValueError("the network that learned from rendered notes hears notes, not tunes")
    front_end = resemblyzer.mel if origin == "speech" else musicnn.log_mel
    tunes, rows = fewlabels.tune_audio(fast=fast), []
    for first in range(0, len(tunes), 16):
        audio = tunes[first : first + 16].astype(np.float32)
        heard = [front_end(clip, sample_rate=dances.SAMPLE_RATE) for clip in audio]
        found = _predicted(origin, body, np.concatenate(heard))  # (tunes * windows, D)
        rows.append(found.unflatten(0, (len(heard), -1)).mean(dim=1))
    return torch.cat(rows).numpy()


def _predicted(origin: str, body: nn.Module, x: NDArray[np.float32]) -> Tensor:
    body.eval()
    with torch.no_grad():
        # The states of an LSTM are small, and many sequences take little longer than few.
        clips = torch.from_numpy(x).split(64 if origin == "speech" else 16)
        parts = [vectors(origin, body, part) for part in clips]
    return torch.cat(parts)


def _places(items: Any) -> list[int]:
    every = fewlabels.ids("instruments", fast=False)
    return [every.index(item.id) for item in items]
