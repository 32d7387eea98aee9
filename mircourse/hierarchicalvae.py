"""A variational autoencoder of melodies of several bars, with a hierarchical or a flat decoder.

A bidirectional LSTM reads the symbols of `mircourse.melodybars`, a quarter of a bar at a time, and
gives mean and variance of the latent vector. One of the two decoders of `mircourse.melodydecoders`
writes the melody again. The idea, and the comparison of the two, are those of Roberts et al.
(2018), whose networks have hundreds of times as many weights and end their encoder otherwise: they
take the LSTM's last states, here the states at all bar lines count.

Lesson: book/index
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from mircourse import latent
from mircourse.latent import Path
from mircourse.melodybars import FIRST_NOTE, N_SYMBOLS
from mircourse.melodydecoders import (
    FlatDecoder,
    HierarchicalDecoder,
    begin_at_size_one,
    begin_bar_by_bar,
    drawing,
    likeliest,
    remember_more,
)

Decoder = Literal["hierarchical", "flat"]
DECODERS = ("hierarchical", "flat")
PATCH = 4  # steps that the encoder reads at once
# At first z says more about x than chance does: its noise is an eighth of its size.
FIRST_LOGVAR, FIRST_SIZE = -2.0, 3.0


class MelodyEncoder(nn.Module):
    """A BiLSTM over a melody, and from its states at the bar lines mean and log variance.

    Lesson: book/index

    Parameters
    ----------
    latent_dim, hidden_dim : int
        Numbers in a latent vector, and in each direction's state.
    bars, steps : int
        Of a melody, and of a bar; a multiple of 4.
    embedding : int
        Numbers that stand for a symbol.
    bar_dim : int
        Numbers that are kept of each bar.
    """

    def __init__(
        self,
        latent_dim: int,
        hidden_dim: int,
        *,
        bars: int,
        steps: int,
        embedding: int,
        bar_dim: int,
    ) -> None:
        super().__init__()
        self.bars = bars
        self.symbol = nn.Embedding(N_SYMBOLS, embedding)
        self.recurrent = nn.LSTM(
            PATCH * embedding, hidden_dim, batch_first=True, bidirectional=True
        )
        self.norm = nn.LayerNorm(2 * hidden_dim)
        self.to_bar = nn.Linear(2 * hidden_dim, bar_dim)
        self.fc_mu = nn.Linear(bars * bar_dim, latent_dim)
        self.fc_logvar = nn.Linear(bars * bar_dim, latent_dim)
        begin_at_size_one(self.to_bar)
        begin_bar_by_bar(self.fc_mu, bars=bars, gain=FIRST_SIZE)
        remember_more(self.recurrent)
        nn.init.constant_(self.fc_logvar.bias, FIRST_LOGVAR)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log variance: (B, T) -> 2 x (B, latent_dim)."""
        B, T = x.shape
        patches = self.symbol(x).view(B, T // PATCH, -1)  # (B, T, E) -> (B, T/4, 4 E)
        h, _ = self.recurrent(patches)  # -> (B, T/4, 2 H)
        h = h.view(B, self.bars, -1, h.shape[-1])  # -> (B, bars, steps/4, 2 H)
        forward, backward = h.chunk(2, dim=-1)
        # Each direction where it has just read the bar.
        lines = torch.cat([forward[:, :, -1], backward[:, :, 0]], dim=-1)  # (B, bars, 2 H)
        kept = torch.tanh(self.to_bar(self.norm(lines))).flatten(1)  # -> (B, bars * bar_dim)
        return self.fc_mu(kept), self.fc_logvar(kept)


class MelodyVAE(nn.Module):
    """Variational autoencoder of melodies (after Roberts et al., 2018).

    Lesson: book/index

    Parameters
    ----------
    bars : int
        In a melody.
    latent_dim : int
        Numbers in a latent vector.
    hidden_dim : int
        Numbers in the state of the decoder that writes the symbols.
    decoder : {"hierarchical", "flat"}
        With a conductor, or one LSTM through all bars.
    steps : int
        In a bar: 16, or 12 for 6/8; a multiple of 4. See `mircourse.melodybars`.
    conductor_dim, bar_dim : int
        Numbers in the conductor's state and in the embedding of a bar; hierarchical only.
    encoder_dim : int
        Numbers in the state of each direction of the encoder.
    embedding : int
        Numbers that stand for a symbol.
    forget : float
        Share of the symbols before that training hides from the decoder, in [0, 1).

    Raises
    ------
    ValueError
        If a size is below 1, `steps` no multiple of 4, or the decoder unknown.

    Examples
    --------
    >>> from mircourse import melodybars
    >>> tune = melodybars.tunes("test")[0]
    >>> x = torch.from_numpy(melodybars.windows(tune, bars=2)[0].symbols)[None]
    >>> model = MelodyVAE(2, 8, 32, conductor_dim=16, encoder_dim=16).eval()
    >>> mu, logvar = model.encode(x)
    >>> model.write(mu).shape, model.log_likelihood(x, mu).shape
    (torch.Size([1, 32]), torch.Size([1]))
    """

    def __init__(
        self,
        bars: int = 16,
        latent_dim: int = 128,
        hidden_dim: int = 160,
        *,
        decoder: Decoder = "hierarchical",
        steps: int = 16,
        conductor_dim: int = 128,
        bar_dim: int = 64,
        encoder_dim: int = 128,
        embedding: int = 24,
        forget: float = 0.0,
    ) -> None:
        super().__init__()
        sizes = (bars, latent_dim, hidden_dim, conductor_dim, bar_dim, encoder_dim, embedding)
        if min(sizes) < 1 or steps < PATCH or steps % PATCH:
            raise ValueError(
                f"sizes must be at least 1 and steps a multiple of {PATCH}, got {sizes}, {steps}"
            )
        if decoder not in DECODERS:
            raise ValueError(f"decoder must be one of {DECODERS}, got {decoder!r}")
        if not 0 <= forget < 1:
            raise ValueError(f"forget must be in [0, 1), got {forget}")
        self.bars, self.steps, self.latent_dim = bars, steps, latent_dim
        shape = {"bars": bars, "steps": steps, "embedding": embedding}
        self.encoder = MelodyEncoder(latent_dim, encoder_dim, bar_dim=bar_dim, **shape)
        self.decoder: FlatDecoder | HierarchicalDecoder
        if decoder == "flat":
            self.decoder = FlatDecoder(latent_dim, hidden_dim, forget=forget, **shape)
        else:
            self.decoder = HierarchicalDecoder(
                latent_dim,
                hidden_dim,
                conductor_dim=conductor_dim,
                bar_dim=bar_dim,
                forget=forget,
                **shape,
            )

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log variance of q(z | x).

        Parameters
        ----------
        x : Tensor of int, (B, bars * steps)
            Symbols.

        Returns
        -------
        mu, logvar : Tensor, (B, latent_dim)

        Raises
        ------
        ValueError
            If the shape does not fit, or a symbol is out of range.
        TypeError
            If the symbols are not whole numbers.
        """
        return self.encoder(self._checked(x))

    def reparameterize(self, mu: Tensor, logvar: Tensor) -> Tensor:
        """Draw z from q(z | x) so that gradients pass; see `mircourse.latent.reparameterize`."""
        return latent.reparameterize(mu, logvar)

    def logits(self, z: Tensor, x: Tensor) -> Tensor:
        """Return what is said of every symbol where those before it are right (teacher forcing).

        Parameters
        ----------
        z : Tensor, (B, latent_dim)
        x : Tensor of int, (B, bars * steps)

        Returns
        -------
        Tensor, (B, bars * steps, N_SYMBOLS)
        """
        return self.decoder(z, self._checked(x))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return ``recon``, the logits (B, T, N_SYMBOLS), ``mu`` and ``logvar``; z is drawn."""
        mu, logvar = self.encode(x)
        return self.decoder(self.reparameterize(mu, logvar), x), mu, logvar

    def nats(self, recon: Tensor, x: Tensor) -> Tensor:
        """Return minus log p(x | z) of each melody from logits (B, T, N_SYMBOLS): (B,)."""
        # (B, T, K) -> (B T, K)
        cost = functional.cross_entropy(recon.flatten(0, 1), x.flatten(), reduction="none")
        return cost.view(x.shape).sum(dim=-1)  # (B T,) -> (B,)

    def log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        """Return log p(x | z) in nats: (B, T), (B, latent_dim) -> (B,)."""
        return -self.nats(self.logits(z, x), x)

    def matches(self, recon: Tensor, x: Tensor) -> Tensor:
        """Return how many notes are right, said and there, summed over the batch: (3,).

        A note is right if it begins in the right step with the right pitch.
        """
        return note_matches(recon.argmax(dim=-1), x).sum(dim=0)

    @torch.no_grad()
    def write(self, z: Tensor, *, temperature: float = 0.0, seed: int = 0) -> Tensor:
        """Write melodies, each symbol after those that were written before.

        Parameters
        ----------
        z : Tensor, (B, latent_dim)
        temperature : float
            0 takes the most likely symbol each time; 1 draws from what the model says.
        seed : int
            Of the draws.

        Returns
        -------
        Tensor of int, (B, bars * steps)

        Raises
        ------
        ValueError
            If the shape does not fit, or the temperature is below 0.
        """
        if z.ndim != 2 or z.shape[-1] != self.latent_dim:
            raise ValueError(f"expected (B, {self.latent_dim}), got {tuple(z.shape)}")
        choose = likeliest if temperature == 0 else drawing(temperature=temperature, seed=seed)
        return self.decoder.write(z, choose)

    def interpolate(
        self, x1: Tensor, x2: Tensor, steps: int = 10, *, path: Path = "spherical"
    ) -> Tensor:
        """Go from one melody to another through the latent space.

        Parameters
        ----------
        x1, x2 : Tensor of int, (B, bars * steps)
        steps : int
            2 or more; the first is the reconstruction of `x1`, the last that of `x2`.
        path : {"linear", "spherical"}
            See `mircourse.latent.between`.

        Returns
        -------
        Tensor of int, (steps, B, bars * steps)
        """
        with torch.no_grad():
            ends = [self.encode(x)[0] for x in (x1, x2)]
            points = latent.between(*ends, steps=steps, path=path)  # (steps, B, D)
        return self.write(points.flatten(0, 1)).view(steps, *x1.shape)

    def _checked(self, x: Tensor) -> Tensor:
        if x.is_floating_point() or x.dtype == torch.bool:
            raise TypeError(f"symbols must be whole numbers, got {x.dtype}")
        if x.ndim != 2 or x.shape[-1] != self.bars * self.steps:
            raise ValueError(
                f"expected {self.bars} bars of {self.steps} steps, (B, {self.bars * self.steps}), "
                f"got {tuple(x.shape)}"
            )
        if x.numel() and (x.min() < 0 or x.max() >= N_SYMBOLS):
            raise ValueError(f"symbols go from 0 to {N_SYMBOLS - 1}")
        return x


def note_matches(found: Tensor, x: Tensor) -> Tensor:
    """Return how many notes are right, said and there in each melody: (B, T), (B, T) -> (B, 3).

    A note is right if one begins in the same step with the same pitch.
    """
    said, there = found >= FIRST_NOTE, x >= FIRST_NOTE
    both = said & (found == x)
    return torch.stack([part.sum(dim=-1) for part in (both, said, there)], dim=-1)
