"""Let a causal Transformer write music, token by token.

Each token is drawn from what the model says of the next (`mircourse.sampling.nucleus`), of the
tokens that the grammar allows (`mircourse.grammar`). The model remembers keys and values of what it
has read, so that a step costs one token and not all of them again.

Lesson: book/transformer/musictransformer
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from numpy.typing import NDArray

from mircourse.events import BOS, EOS, N_EVENTS, N_TOKENS
from mircourse.grammar import Grammar
from mircourse.musictransformer import NO_STYLE, MusicTransformer
from mircourse.sampling import draw, nucleus
from mircourse.transformerlayers import Cache

Until = Callable[[NDArray[np.int64]], bool]


def generate(
    model: MusicTransformer,
    prompt: npt.ArrayLike | None = None,
    *,
    style: int | None = None,
    max_tokens: int = 512,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float = 1.0,
    grammar: bool = True,
    seed: int = 0,
    until: Until | None = None,
    cache: bool = True,
    vocab_size: int = N_EVENTS,
) -> NDArray[np.int64]:
    """Write one piece; `generate_batch` writes several at a time and explains the parameters.

    Lesson: book/transformer/musictransformer

    Parameters
    ----------
    model : MusicTransformer
    prompt : array_like of int, (n,), optional
        What the piece begins with.
    style : int, optional
        As the model numbers them: the place in `mircourse.styles.STYLES`.
    max_tokens, temperature, top_k, top_p, grammar, until, cache, vocab_size
        As in `generate_batch`.
    seed : int
        The same seed gives the same piece.

    Returns
    -------
    ndarray of int64, (n,)
        Prompt and continuation.

    Raises
    ------
    ValueError, TypeError
        As `generate_batch`.

    Examples
    --------
    >>> model = MusicTransformer(16, 2, 1, max_seq_len=64)
    >>> tokens = generate(model, style=5, max_tokens=20, seed=1)
    >>> tokens[0] == BOS, len(tokens) <= 21
    (np.True_, True)
    """
    return generate_batch(
        model,
        [[] if prompt is None else prompt],
        styles=None if style is None else [style],
        max_tokens=max_tokens,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        grammar=grammar,
        seed=[seed],
        until=until,
        cache=cache,
        vocab_size=vocab_size,
    )[0]


def generate_batch(
    model: MusicTransformer,
    prompts: Sequence[npt.ArrayLike],
    *,
    styles: Sequence[int] | None = None,
    max_tokens: int = 512,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float = 1.0,
    grammar: bool = True,
    seed: int | Sequence[int] = 0,
    until: Until | None = None,
    cache: bool = True,
    vocab_size: int = N_EVENTS,
) -> list[NDArray[np.int64]]:
    """Write several pieces at a time, each until it ends.

    A piece that grows longer than the model reads goes on from the last half of what the model can
    read, and so does one whose prompt is longer.

    Lesson: book/transformer/musictransformer

    Parameters
    ----------
    model : MusicTransformer
        Causal. It runs where its weights are, in evaluation mode; the mode it had is restored.
    prompts : sequence of array_like of int, each (n,)
        What the pieces begin with, of any lengths; an empty one begins with ``BOS``. A prompt that
        ends with ``EOS`` comes back as it is.
    styles : sequence of int, optional
        One for each prompt, `mircourse.musictransformer.NO_STYLE` (-1) for none.
    max_tokens : int
        Most tokens to add to each, 0 or more.
    temperature, top_k, top_p : float, int, float
        As in `mircourse.sampling.nucleus`.
    grammar : bool
        Draw only what `mircourse.grammar` allows. Without it any event may come, and ``EOS``.
    seed : int or sequence of int
        One for all, or one for each prompt. Each piece draws from a stream of its own: what it
        becomes does not depend on its neighbours.
    until : callable, optional
        Given prompt and continuation, says whether that is enough. ``EOS`` does not come before.
    cache : bool
        Remember what has been read. Without it each step reads everything again; the tokens are
        the same.
    vocab_size : int
        Tokens of music; the special ones follow in the order of `mircourse.events`. For other
        vocabularies than that (`mircourse.choralegrid`) `grammar` has to be False.

    Returns
    -------
    list of ndarray of int64
        Prompts and continuations; the last token is ``EOS`` if the model came to an end.

    Raises
    ------
    ValueError
        If there are no prompts, a token, a style or a number is out of range, numbers of prompts,
        styles and seeds differ, the model is not causal or does not know the vocabulary, or there
        is a grammar for another vocabulary.
    TypeError
        If a prompt is not of whole numbers.
    """
    _check(model, prompts, max_tokens, grammar, vocab_size)
    nucleus([1.0], temperature=temperature, top_k=top_k, top_p=top_p)  # refuses what is no setting
    seeds = [[seed, i] for i in range(len(prompts))] if isinstance(seed, int) else list(seed)
    given = [NO_STYLE] * len(prompts) if styles is None else list(styles)
    for name, values in (("seeds", seeds), ("styles", given)):
        if len(values) != len(prompts):
            raise ValueError(f"{len(values)} {name} for {len(prompts)} prompts")
    begin, end = (vocab_size + special - N_EVENTS for special in (BOS, EOS))
    made = [_begun(prompt, begin, model.n_tokens) for prompt in prompts]
    never = np.ones(model.n_tokens, bool)
    never[:vocab_size] = False
    never[end] = until is not None
    rngs = [np.random.default_rng(one) for one in seeds]
    reader = _Reader(model, torch.tensor(given), cache=cache)
    rules = Grammar(len(made))
    if grammar:
        rules.read(made)
    kept = [i for i, tokens in enumerate(made) if tokens[-1] != end]
    going = list(range(len(made)))  # the pieces that are still being written
    training = model.training
    model.eval()
    try:
        for _ in range(max_tokens):
            if not kept:
                break
            if len(kept) < len(going):
                going = [going[k] for k in kept]
                reader.select(kept)
                rules = rules.select(kept)
            logits = reader.logits([made[i] for i in going])  # (B, n_tokens)
            logits[:, never] = -np.inf
            if grammar:
                logits[~rules.allowed()] = -np.inf
            p = nucleus(_softmax(logits), temperature=temperature, top_k=top_k, top_p=top_p)
            tokens = draw(p, [rngs[i] for i in going])
            if grammar:
                rules.append(tokens)
            for i, token in zip(going, tokens.tolist(), strict=True):
                made[i].append(token)
            kept = [
                k
                for k, i in enumerate(going)
                if made[i][-1] != end and not (until is not None and until(np.array(made[i])))
            ]
    finally:
        model.train(training)
    return [np.array(tokens, dtype=np.int64) for tokens in made]


class _Reader:
    """Asks a model what comes next in each of several pieces."""

    def __init__(self, model: MusicTransformer, styles: torch.Tensor, *, cache: bool) -> None:
        self.model, self.remembers = model, cache
        self.device = next(model.parameters()).device
        self.styles = styles.to(self.device)
        self.memory: Cache | None = None
        self.starts: list[int] = []  # where in each piece the model began to read

    @torch.inference_mode()
    def logits(self, pieces: Sequence[list[int]]) -> NDArray[np.float64]:
        """Return the logits of the next token of each piece, (B, n_tokens).

        With a memory, each piece may have at most one token more than at the last call.
        """
        longest = self.model.max_seq_len
        starts = [_start(len(piece), longest) for piece in pieces]
        memory = self.memory
        if memory is None or starts != self.starts or memory.length == longest:
            self.starts = starts
            rows = [piece[start:] for piece, start in zip(pieces, starts, strict=True)]
            tokens, padding = (part.to(self.device) for part in _in_front(rows))
            padded = padding if padding.any() else None
            if not self.remembers:
                out = self.model(tokens, self.styles, padding=padded)["logits"][:, -1]
                return out.double().cpu().numpy()
            self.memory = memory = self.model.new_cache(len(rows), style=self.styles)
            out = self.model.step(tokens, memory, padding=padded)
        else:
            last = torch.tensor([[piece[-1]] for piece in pieces], device=self.device)
            out = self.model.step(last, memory)
        return out.double().cpu().numpy()

    def select(self, rows: list[int]) -> None:
        """Go on with some of the pieces."""
        index = torch.tensor(rows, dtype=torch.long, device=self.device)
        self.styles = self.styles[index]
        self.starts = [self.starts[k] for k in rows] if self.starts else []
        if self.memory is not None:
            self.memory.select(index)


def _start(length: int, longest: int) -> int:
    """Return where the model begins to read a piece so that what it reads is not too long.

    It begins anew from the last half when it can read no more, and not at each token: then
    nothing that it remembers would hold.
    """
    if length <= longest:
        return 0
    step = longest - longest // 2
    return -(-(length - longest) // step) * step


def _in_front(rows: Sequence[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return rows padded in front, (B, T), and where they are padded."""
    T = max(len(row) for row in rows)
    tokens = torch.zeros(len(rows), T, dtype=torch.long)
    padding = torch.ones(len(rows), T, dtype=torch.bool)
    for i, row in enumerate(rows):
        tokens[i, T - len(row) :] = torch.tensor(row)
        padding[i, T - len(row) :] = False
    return tokens, padding


def _softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    return p / p.sum(axis=1, keepdims=True)


def _begun(prompt: npt.ArrayLike, begin: int, n_tokens: int) -> list[int]:
    given = np.asarray(prompt)
    if given.ndim != 1:
        raise ValueError(f"a prompt has shape (n,), got {given.shape}")
    if not given.size:
        return [begin]
    if given.dtype.kind not in "iu":
        raise TypeError(f"a prompt must be whole numbers, got an array of {given.dtype}")
    if given.min() < 0 or given.max() >= n_tokens:
        raise ValueError(
            f"tokens go from 0 to {n_tokens - 1}, got {given.min()} to {given.max()} in a prompt"
        )
    return given.tolist()


def _check(
    model: MusicTransformer,
    prompts: Sequence[npt.ArrayLike],
    max_tokens: int,
    grammar: bool,
    vocab_size: int,
) -> None:
    if not model.causal:
        raise ValueError("a model that sees later tokens cannot write: it must be causal")
    if not len(prompts) or max_tokens < 0:
        raise ValueError(
            f"expected prompts and max_tokens of 0 or more, got {len(prompts)} and {max_tokens}"
        )
    if model.n_tokens <= vocab_size + EOS - N_EVENTS:
        raise ValueError(
            f"a model of {model.n_tokens} tokens has no end after {vocab_size} tokens of music"
        )
    if grammar and (vocab_size, model.n_tokens) != (N_EVENTS, N_TOKENS):
        raise ValueError(
            f"the grammar is that of the {N_TOKENS} tokens of mircourse.events, but the model has "
            f"{model.n_tokens}: pass grammar=False"
        )
