"""Two decoders that write a melody from a latent vector: bar by bar under a conductor, or at once.

Both write symbol after symbol, each knowing the one before, with an LSTM that is told something at
every step. The flat decoder is told the latent vector and runs through the whole melody. The
hierarchical one (Roberts et al., 2018) has two levels: a *conductor*, an LSTM that makes one step a
bar, turns the latent vector into an embedding of each bar, and a bar decoder that begins anew in
every bar is told this embedding and nothing of the bar before. What the bars have in common has
to come through the latent vector.

Lesson: book/index
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn

from mircourse.melodybars import N_SYMBOLS

START = N_SYMBOLS  # stands for the symbol before the first
State = tuple[Tensor, Tensor]
Choose = Callable[[Tensor], Tensor]


class SymbolLSTM(nn.Module):
    """An LSTM that writes symbols, told the same vector before it begins and at every step.

    Lesson: book/index

    Parameters
    ----------
    told : int
        Numbers in that vector.
    hidden_dim : int
        Of the LSTM.
    embedding : int
        Numbers that stand for a symbol.
    forget : float
        Share of the symbols read that training replaces by `START` (Bowman et al., 2016): a
        decoder that does not always see what it wrote has to heed what it is told.
    """

    def __init__(self, told: int, hidden_dim: int, *, embedding: int, forget: float) -> None:
        super().__init__()
        self.forget = forget
        self.symbol = nn.Embedding(N_SYMBOLS + 1, embedding)
        self.initial = nn.Linear(told, 2 * hidden_dim)
        self.recurrent = nn.LSTM(embedding + told, hidden_dim, batch_first=True)
        self.output = nn.Linear(hidden_dim, N_SYMBOLS)
        begin_at_size_one(self.initial)
        remember_more(self.recurrent)

    def forward(self, told: Tensor, x: Tensor) -> Tensor:
        """Return logits of every symbol, each after the right ones before it.

        Parameters
        ----------
        told : Tensor, (B, told)
        x : Tensor of int, (B, T)

        Returns
        -------
        Tensor, (B, T, N_SYMBOLS)
        """
        before = torch.cat([torch.full_like(x[:, :1], START), x[:, :-1]], dim=1)
        if self.training and self.forget:
            lost = torch.rand(before.shape, device=before.device) < self.forget
            before = before.masked_fill(lost, START)
        h, _ = self.recurrent(self._read(told, before), self.begin(told))  # -> (B, T, H)
        return self.output(h)

    def begin(self, told: Tensor) -> State:
        """Return the state before the first symbol, 2 x (1, B, H)."""
        h, c = torch.tanh(self.initial(told)).chunk(2, dim=-1)  # (B, told) -> 2 x (B, H)
        return h[None].contiguous(), c[None].contiguous()

    def write(self, told: Tensor, *, length: int, choose: Choose) -> Tensor:
        """Write symbols, each after those that it wrote before: (B, told) -> (B, length).

        Parameters
        ----------
        told : Tensor, (B, told)
        length : int
        choose : callable
            Turns logits (B, N_SYMBOLS) into symbols (B,).
        """
        last = torch.full((len(told),), START, device=told.device)
        state, written = self.begin(told), []
        for _ in range(length):
            h, state = self.recurrent(self._read(told, last[:, None]), state)  # -> (B, 1, H)
            last = choose(self.output(h[:, 0]))
            written.append(last)
        return torch.stack(written, dim=1)

    def _read(self, told: Tensor, symbols: Tensor) -> Tensor:
        # (B, told) -> (B, T, told)
        always = told[:, None].expand(-1, symbols.shape[1], -1)
        return torch.cat([self.symbol(symbols), always], dim=-1)  # -> (B, T, E + told)


class FlatDecoder(nn.Module):
    """One LSTM through all bars, told the latent vector at every step.

    Lesson: book/index

    Parameters
    ----------
    latent_dim, hidden_dim : int
        Numbers in a latent vector, and in the state.
    bars, steps : int
        Of a melody, and of a bar.
    embedding, forget
        As in `SymbolLSTM`.
    """

    def __init__(
        self,
        latent_dim: int,
        hidden_dim: int,
        *,
        bars: int,
        steps: int,
        embedding: int,
        forget: float,
    ) -> None:
        super().__init__()
        self.length = bars * steps
        self.writer = SymbolLSTM(latent_dim, hidden_dim, embedding=embedding, forget=forget)

    def forward(self, z: Tensor, x: Tensor) -> Tensor:
        """Return logits, each after the right symbols before: (B, D), (B, T) -> (B, T, K)."""
        return self.writer(z, x)

    def write(self, z: Tensor, choose: Choose) -> Tensor:
        """Write melodies: (B, D) -> (B, T)."""
        return self.writer.write(z, length=self.length, choose=choose)


class HierarchicalDecoder(nn.Module):
    """A conductor that makes an embedding of each bar, and a bar decoder that begins anew in each.

    Lesson: book/index

    Parameters
    ----------
    latent_dim, hidden_dim : int
        Numbers in a latent vector, and in the state of the bar decoder.
    conductor_dim : int
        Numbers in the state of the conductor.
    bar_dim : int
        Numbers in the embedding of a bar.
    bars, steps : int
        Of a melody, and of a bar.
    embedding, forget
        As in `SymbolLSTM`.
    """

    def __init__(
        self,
        latent_dim: int,
        hidden_dim: int,
        *,
        conductor_dim: int,
        bar_dim: int,
        bars: int,
        steps: int,
        embedding: int,
        forget: float,
    ) -> None:
        super().__init__()
        self.bars, self.steps = bars, steps
        self.initial = nn.Linear(latent_dim, 2 * conductor_dim)
        self.share = nn.Linear(latent_dim, bars * bar_dim)
        self.conductor = nn.LSTM(bar_dim, conductor_dim, batch_first=True)
        self.norm = nn.LayerNorm(conductor_dim)
        self.to_bar = nn.Linear(conductor_dim, bar_dim)
        self.writer = SymbolLSTM(bar_dim, hidden_dim, embedding=embedding, forget=forget)
        begin_at_size_one(self.initial, self.to_bar)
        begin_bar_by_bar(self.share, bars=bars)
        remember_more(self.conductor)

    def conduct(self, z: Tensor) -> Tensor:
        """Return the embedding of each bar: (B, latent_dim) -> (B, bars, bar_dim)."""
        h, c = torch.tanh(self.initial(z)).chunk(2, dim=-1)  # 2 x (B, C)
        state = h[None].contiguous(), c[None].contiguous()
        shares = self.share(z).view(len(z), self.bars, -1)  # (B, D) -> (B, bars, E)
        h, _ = self.conductor(shares, state)  # -> (B, bars, C)
        return torch.tanh(self.to_bar(self.norm(h)))

    def forward(self, z: Tensor, x: Tensor) -> Tensor:
        """Return logits, each after the right ones before in its bar: (B, D), (B, T) -> (B, T, K).

        All bars at once: none needs another.
        """
        told = self.conduct(z).flatten(0, 1)  # (B, bars, E) -> (B * bars, E)
        logits = self.writer(told, x.reshape(-1, self.steps))  # (B * bars, steps, K)
        return logits.view(len(x), -1, N_SYMBOLS)

    def write(self, z: Tensor, choose: Choose) -> Tensor:
        """Write melodies: (B, D) -> (B, T)."""
        told = self.conduct(z).flatten(0, 1)
        rows = self.writer.write(told, length=self.steps, choose=choose)  # (B * bars, steps)
        return rows.view(len(z), -1)


@torch.no_grad()
def begin_at_size_one(*layers: nn.Linear) -> None:
    """Begin so that inputs of size 1 give outputs of size 1, or z fades on its long way."""
    for layer in layers:
        layer.weight.normal_(std=layer.in_features**-0.5)
        layer.bias.zero_()


@torch.no_grad()
def begin_bar_by_bar(layer: nn.Linear, *, bars: int, gain: float = 1.0) -> None:
    """Begin so that each bar has its own share of z, and what it says is heard in this bar alone.

    The layer's inputs and outputs are divided into as many parts as there are bars; the block of
    part and part is orthogonal, all others are 0. Learning so begins with bars, which is easy,
    and may mix them later. Where z has fewer numbers than there are bars, see
    `begin_at_size_one`.

    Parameters
    ----------
    layer : nn.Linear
        From the bars to z, or from z to the bars.
    bars : int
    gain : float
        Size of what comes out where what goes in has size 1.
    """
    rows, columns = layer.out_features // bars, layer.in_features // bars
    begin_at_size_one(layer)
    if not rows or not columns:
        return
    layer.weight.zero_()
    for bar in range(bars):
        block = layer.weight[bar * rows : (bar + 1) * rows, bar * columns : (bar + 1) * columns]
        nn.init.orthogonal_(block, gain=gain * max(1.0, rows / columns) ** 0.5)


@torch.no_grad()
def remember_more(lstm: nn.LSTM) -> None:
    """Raise the biases of the forget gates by 1 (Jozefowicz et al., 2015)."""
    for name, bias in lstm.named_parameters():
        if name.startswith("bias_ih"):
            bias[lstm.hidden_size : 2 * lstm.hidden_size] += 1  # the second quarter


def likeliest(logits: Tensor) -> Tensor:
    """Choose the most likely symbol: (B, K) -> (B,)."""
    return logits.argmax(dim=-1)


def drawing(*, temperature: float, seed: int) -> Choose:
    """Return a function that draws a symbol from each row of logits, (B, K) -> (B,).

    Parameters
    ----------
    temperature : float
        More than 0; 1 draws from what the model says.
    seed : int
        The same seed gives the same symbols.

    Raises
    ------
    ValueError
        If the temperature is not a number above 0.
    """
    if not 0 < temperature < float("inf"):
        raise ValueError(f"temperature must be a number above 0, got {temperature}")
    generator = torch.Generator().manual_seed(seed)

    def choose(logits: Tensor) -> Tensor:
        p = (logits.double() / temperature).softmax(dim=-1).cpu()
        return cast(Tensor, p.multinomial(1, generator=generator))[:, 0].to(logits.device)

    return choose
