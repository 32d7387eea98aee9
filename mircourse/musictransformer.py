"""A Transformer that reads and writes music as tokens.

Tokens become vectors, each layer lets the vectors look at each other (`mircourse.attention`) and
then changes each by itself, and linear layers read off what comes next. Causal, it is the Music
Transformer of Huang et al. (2019) and generates; in both directions it is the body of
`mircourse.musicbert.MusicBERT`.

Lesson: book/transformer/musictransformer
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mircourse.attention import PositionalEncoding
from mircourse.transformerlayers import Cache, Layer
from mircourse.visibility import Places, check_masks, places_of

N_PITCHES = 128
N_DURATIONS = 32
N_DYNAMICS = 8
NO_STYLE = -1  # in a tensor of styles
OUTPUTS = ("logits", "pitches", "durations", "dynamics")


class MusicTransformer(nn.Module):
    r"""Transformer over music tokens with relative attention (Huang et al., 2019).

    Lesson: book/transformer/musictransformer

    Parameters
    ----------
    d_model : int
        Numbers in the vector of a token.
    n_heads : int
        Attention heads; divides `d_model`.
    n_layers : int
        Layers.
    max_seq_len : int
        Most tokens.
    vocab_size : int
        Tokens of music, numbered from 0: the 388 of `mircourse.events`.
    n_special : int
        Tokens numbered after those, such as beginning and end.
    n_styles : int
        Styles that a piece may be told to have; one more is learned for none.
    causal : bool
        Each token sees only those before: for generation. Otherwise all.
    relative : bool
        Attention knows distances.
    absolute : bool
        Waves tell each token its position (`mircourse.attention.PositionalEncoding`).
    dropout : float
        Share of the embeddings and of what each half of a layer adds that training drops.
    max_distance : int, optional
        Greater distances share a vector. By default each has its own, up to `max_seq_len`.
    outputs : sequence of str
        Which of `OUTPUTS` the network has layers for, next to its hidden states.

    Raises
    ------
    ValueError
        If a size is out of range or `n_heads` does not divide `d_model`.

    Notes
    -----
    *Initialisation.* A linear layer has weights of standard deviation :math:`1/\sqrt{n}` for n
    inputs and biases of 0, so that inputs of size 1 give outputs of size 1. What the two halves of
    N layers add is :math:`\sqrt{2N}` times smaller, so that the sum does not grow with depth
    (Radford et al., 2019). Token embeddings, times :math:`\sqrt{d}`, begin with size 1, as the
    waves have. The output layers begin a tenth of that size: all tokens are about equally likely,
    and the loss is the logarithm of their number.

    Examples
    --------
    >>> model = MusicTransformer(32, 4, 2, max_seq_len=64)
    >>> out = model(torch.tensor([[60, 256, 188]]), style=torch.tensor([5]))
    >>> out["logits"].shape, out["hidden_states"].shape
    (torch.Size([1, 3, 394]), torch.Size([1, 3, 32]))
    """

    def __init__(
        self,
        d_model: int = 512,
        n_heads: int = 8,
        n_layers: int = 6,
        max_seq_len: int = 2048,
        vocab_size: int = 388,
        *,
        n_special: int = 6,
        n_styles: int = 10,
        causal: bool = True,
        relative: bool = True,
        absolute: bool = True,
        dropout: float = 0.1,
        max_distance: int | None = None,
        outputs: Sequence[str] = OUTPUTS,
    ) -> None:
        super().__init__()
        if min(n_layers, max_seq_len, vocab_size) < 1 or min(n_special, n_styles) < 0:
            raise ValueError(
                "n_layers, max_seq_len and vocab_size must be at least 1, n_special and n_styles "
                f"0 or more, got {n_layers}, {max_seq_len}, {vocab_size}, {n_special}, {n_styles}"
            )
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout must be in [0, 1), got {dropout}")
        if not set(outputs) <= set(OUTPUTS):
            raise ValueError(f"outputs are of {OUTPUTS}, got {tuple(outputs)}")
        self.d_model = d_model
        self.max_seq_len = max_seq_len
        self.n_tokens = vocab_size + n_special
        self.n_styles = n_styles
        self.causal = causal
        self.token_embedding = nn.Embedding(self.n_tokens, d_model)
        self.style_embedding = nn.Embedding(n_styles + 1, d_model)  # the last is no style
        self.positions = PositionalEncoding(d_model, max_seq_len) if absolute else None
        self.dropout = nn.Dropout(dropout)
        self.layers = nn.ModuleList(
            Layer(
                d_model,
                n_heads,
                causal=causal,
                relative=relative,
                max_len=max_seq_len,
                max_distance=max_distance,
                dropout=dropout,
            )
            for _ in range(n_layers)
        )
        self.norm = nn.LayerNorm(d_model)
        sizes = dict(zip(OUTPUTS, (self.n_tokens, N_PITCHES, N_DURATIONS, N_DYNAMICS), strict=True))
        self.outputs = nn.ModuleDict(
            {name: nn.Linear(d_model, sizes[name]) for name in OUTPUTS if name in outputs}
        )
        self._initialise()

    def forward(
        self,
        x: Tensor,
        style: Tensor | int | None = None,
        mask: Tensor | None = None,
        *,
        padding: Tensor | None = None,
        segments: Tensor | None = None,
        cache: Cache | None = None,
    ) -> dict[str, Tensor]:
        """Return what the network makes of each token.

        Parameters
        ----------
        x : Tensor of int, (B, T)
            Tokens, 0 to ``vocab_size + n_special - 1``; at least one.
        style : Tensor of int, (B,), or int, optional
            Style of each sequence, 0 to ``n_styles - 1``; `NO_STYLE` or None for none.
        mask : Tensor of bool, (T, T) or (B, T, T), optional
            True where a token (row) may look. A causal model sees nothing later in any case.
        padding : Tensor of bool, (B, T), optional
            True where there is no token, at either end of a sequence. A sequence gives what it
            gives alone. Hidden states are 0 there.
        segments : Tensor of int, (B, T), optional
            Which piece each token belongs to, for several pieces in a row: a token sees only its
            own piece, and positions begin anew in each.
        cache : Cache, optional
            Tokens read before, which are seen as well; it takes those of `x`. No gradient flows.

        Returns
        -------
        dict of Tensor
            ``hidden_states`` (B, T, d_model); ``logits`` (B, T, vocab_size + n_special) of the
            next token (of the token itself if the model is not causal); ``pitches`` (B, T, 128),
            ``durations`` (B, T, 32) and ``dynamics`` (B, T, 8), logits of the next note's, with
            the targets of `mircourse.events.note_targets`. What is not among `outputs` is left out.

        Raises
        ------
        TypeError
            If `x` is not of whole numbers, or a mask is not of bools.
        ValueError
            If there is no token or an unknown one, a style is out of range, a sequence is too
            long, a shape does not fit, or the model is not causal and there is a cache.
        """
        self._check(x, mask, padding, segments, cache)
        rows = self._style_rows(style, len(x), x.device)
        if cache is None:
            hidden = self._hidden(x, rows, mask, padding, segments, None)
        else:
            with torch.no_grad():
                hidden = self._hidden(x, rows, mask, padding, segments, cache)
        outputs = {name: output(hidden) for name, output in self.outputs.items()}
        return {"hidden_states": hidden, **outputs}

    def new_cache(self, batch_size: int = 1, *, style: Tensor | int | None = None) -> Cache:
        """Return an empty cache for so many sequences; `step` reads with its styles.

        Raises
        ------
        ValueError
            If the model is not causal or has no ``logits``, `batch_size` is below 1, or a style is
            out of range.
        """
        if not self.causal:
            raise ValueError("a model that sees later tokens cannot go on from earlier ones")
        if "logits" not in self.outputs:
            raise ValueError("a model without the output 'logits' cannot say what comes next")
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        device = self.norm.weight.device
        rows = self._style_rows(style, batch_size, device)
        return Cache(len(self.layers), batch_size, rows)

    @torch.no_grad()
    def step(self, tokens: Tensor, cache: Cache, *, padding: Tensor | None = None) -> Tensor:
        """Read tokens and return logits of the one that comes next.

        Whatever the steps, the logits are those of `forward` for all tokens at once. Call
        ``model.eval()`` first, or dropout is at work.

        Parameters
        ----------
        tokens : Tensor of int, (B, t)
            A prompt, or the one token that was drawn.
        cache : Cache
            Of `new_cache`; it takes the tokens.
        padding : Tensor of bool, (B, t), optional
            True where there is no token. Prompts of unequal length are padded in front, so that
            each ends where the next token follows.

        Returns
        -------
        Tensor, (B, vocab_size + n_special)
        """
        self._check(tokens, None, padding, None, cache)
        hidden = self._hidden(tokens, cache.style_rows, None, padding, None, cache)
        return self.outputs["logits"](hidden[:, -1])  # (B, t, d_model) -> (B, n_tokens)

    def attention_weights(self, x: Tensor, style: Tensor | int | None = None) -> Tensor:
        """Return where the heads of all layers look, (n_layers, B, n_heads, T, T).

        Parameters
        ----------
        x, style
            As in `forward`.

        Returns
        -------
        Tensor
            Row i of a matrix is where token i looks; it sums to 1.
        """
        self._check(x, None, None, None, None)
        rows = self._style_rows(style, len(x), x.device)
        h, places = self._embed(x, rows, None, None, None, None)
        found = []
        for layer in self.layers:
            assert isinstance(layer, Layer)
            found.append(layer.attention.weights(layer.norm_attention(h), mask=places.mask))
            h = layer(h, mask=places.mask)
        return torch.stack(found)

    def _hidden(
        self,
        x: Tensor,
        style_rows: Tensor,
        mask: Tensor | None,
        padding: Tensor | None,
        segments: Tensor | None,
        cache: Cache | None,
    ) -> Tensor:
        h, places = self._embed(x, style_rows, mask, padding, segments, cache)
        for index, layer in enumerate(self.layers):
            h = layer(h, mask=places.mask, cache=None if cache is None else cache.layers[index])
        h = self.norm(h)
        return h if padding is None else h.masked_fill(padding[..., None], 0)

    def _embed(
        self,
        x: Tensor,
        style_rows: Tensor,
        mask: Tensor | None,
        padding: Tensor | None,
        segments: Tensor | None,
        cache: Cache | None,
    ) -> tuple[Tensor, Places]:
        places = places_of(x, mask, padding, segments, cache)
        h = self.token_embedding(x) * math.sqrt(self.d_model)  # (B, T) -> (B, T, d_model)
        if self.positions is not None:
            h = self.positions(h, places.positions)
        h = h + self.style_embedding(style_rows)[:, None]  # (B,) -> (B, 1, d_model)
        return self.dropout(h), places

    def _style_rows(self, style: Tensor | int | None, B: int, device: torch.device) -> Tensor:
        """Return which row of the style embedding each sequence has, (B,)."""
        if style is None:
            return torch.full((B,), self.n_styles, device=device)
        index = torch.as_tensor(style, device=device)
        if index.is_floating_point() or index.dtype == torch.bool:
            raise TypeError(f"style must be whole numbers, got {index.dtype}")
        if index.ndim == 0:
            index = index.expand(B)
        if index.shape != (B,):
            raise ValueError(
                f"expected a style for each of {B} sequences, got {tuple(index.shape)}"
            )
        if not torch.compiler.is_compiling():
            wrong = index[(index < NO_STYLE) | (index >= self.n_styles)]
            if len(wrong):
                raise ValueError(
                    f"styles go from 0 to {self.n_styles - 1}, with {NO_STYLE} for none, "
                    f"got {wrong[0].item()}"
                )
        return torch.where(index == NO_STYLE, self.n_styles, index)

    def _check(
        self,
        x: Tensor,
        mask: Tensor | None,
        padding: Tensor | None,
        segments: Tensor | None,
        cache: Cache | None,
    ) -> None:
        if x.is_floating_point() or x.dtype == torch.bool:
            raise TypeError(f"tokens must be whole numbers, got {x.dtype}")
        if x.ndim != 2 or not x.numel():
            raise ValueError(
                f"expected tokens (B, T), at least one of them, got {tuple(x.shape)}; "
                "a piece from nothing begins with the token for the beginning"
            )
        B, T = x.shape
        before = 0 if cache is None else cache.length
        if before + T > self.max_seq_len:
            raise ValueError(
                f"at most max_seq_len = {self.max_seq_len} tokens, "
                f"got {T}{f' after {before}' if before else ''}"
            )
        if not torch.compiler.is_compiling():
            low, high = (int(end) for end in x.aminmax())
            if low < 0 or high >= self.n_tokens:
                raise ValueError(
                    f"tokens go from 0 to {self.n_tokens - 1}, got {low if low < 0 else high}"
                )
        check_masks(B, T, before, mask=mask, padding=padding, segments=segments)
        if cache is not None:
            if not self.causal:
                raise ValueError("a model that sees later tokens cannot go on from earlier ones")
            if segments is not None:
                raise ValueError("segments and a cache do not go together")
            if cache.batch_size != B:
                raise ValueError(f"the cache is of {cache.batch_size} sequences, got {B}")

    @torch.no_grad()
    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Linear):
                module.weight.normal_(std=module.in_features**-0.5)
                assert module.bias is not None
                module.bias.zero_()
        self.token_embedding.weight.normal_(std=self.d_model**-0.5)
        self.style_embedding.weight.normal_(std=0.1)
        for layer in self.layers:
            assert isinstance(layer, Layer)
            for last in (layer.attention.to_out, layer.narrow):
                last.weight.div_(math.sqrt(2 * len(self.layers)))
        for output in self.outputs.values():
            assert isinstance(output, nn.Linear)
            output.weight.div_(10)
