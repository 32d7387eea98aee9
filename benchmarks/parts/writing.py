"""Tokens a second of `mircourse.generating`, beside GPT-2 of Hugging Face and of the same size."""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Callable
from typing import Any

import torch

from mircourse.events import BOS, N_TOKENS, PAD
from mircourse.experiments.benchmark import Timing
from mircourse.generating import generate_batch
from mircourse.musictransformer import MusicTransformer
from parts.beside import beside

CLAIM = "With its memory a Music Transformer writes at least as fast as GPT-2 of the same size"
LENGTH = 1024
# Width, heads, layers: those of what the course ships, and the defaults.
SIZES = {"128 wide, 3 layers": (128, 4, 3), "512 wide, 6 layers": (512, 8, 6)}


def rows(*, fast: bool) -> list[Timing]:
    torch.manual_seed(0)
    made = []
    sizes = {"16 wide, 1 layer": (16, 2, 1)} if fast else SIZES
    for size, (width, heads, layers) in sizes.items():
        n = 8 if fast else 192
        model = MusicTransformer(width, heads, layers, LENGTH).eval()
        gpt2 = hugging_face(width, heads, layers)
        for batch in (1,) if fast or layers > 3 else (1, 8):
            task = f"{size}, {n} tokens{'' if batch == 1 else f' of {batch} pieces'}"
            made.append(
                timing(
                    "generate against GPT-2's generate",
                    writer(model, n, batch),
                    their_writer(gpt2, n, batch),
                    n * batch,
                    task,
                    model,
                    note=f"ours with the grammar; {version()}, {parameters(gpt2):,} parameters",
                    repeats=1 if fast else 5,
                )
            )
            made.append(
                timing(
                    "a step against a step of GPT-2",
                    stepper(model, n, batch),
                    their_stepper(gpt2, n, batch),
                    n * batch,
                    task,
                    model,
                    note=f"the networks alone, nothing drawn; {version()}",
                    repeats=1 if fast else 5,
                )
            )
        made.append(
            timing(
                "remembering against reading all again",
                writer(model, n, 1),
                writer(model, n, 1, cache=False),
                n,
                f"{size}, {n} tokens",
                model,
                note="the same tokens",
                repeats=1 if fast else 3,
            )
        )
    return made


def timing(
    name: str,
    ours: Callable[[], Any],
    other: Callable[[], Any],
    tokens: int,
    task: str,
    model: MusicTransformer,
    *,
    note: str,
    repeats: int,
) -> Timing:
    found, memory = beside(ours, other, repeats=repeats)
    speeds = (
        f"{tokens / found.seconds_a:.0f} against {tokens / found.seconds_b:.0f} tokens a second"
    )
    return Timing(name, found, task, parameters(model), note=f"{speeds}; {note}{memory}")


def writer(model: MusicTransformer, n: int, batch: int, *, cache: bool = True) -> Callable[[], Any]:
    """Return a function that writes n tokens in each of some pieces."""

    def write() -> None:
        made = generate_batch(
            model, [[]] * batch, max_tokens=n, until=lambda tokens: False, seed=1, cache=cache
        )
        assert all(len(tokens) == n + 1 for tokens in made)

    return write


@torch.no_grad()
def _steps(step: Callable[[torch.Tensor], torch.Tensor], n: int, batch: int) -> None:
    token = torch.full((batch, 1), BOS)
    for _ in range(n):
        logits = step(token)
        token = logits.argmax(-1, keepdim=True)


def stepper(model: MusicTransformer, n: int, batch: int) -> Callable[[], Any]:
    """Return a function in which the network reads n tokens, each when it has given the last."""

    def run() -> None:
        cache = model.new_cache(batch)
        _steps(lambda token: model.step(token, cache), n, batch)

    return run


def hugging_face(width: int, heads: int, layers: int) -> Any:
    """Return GPT-2 of this size for the same tokens, with random weights."""
    try:
        from transformers import GPT2Config, GPT2LMHeadModel
    except ImportError:
        sys.exit(
            "this benchmark needs transformers, which the course does not: "
            'pip install "transformers<5"'
        )
    config = GPT2Config(
        vocab_size=N_TOKENS,
        n_positions=LENGTH,
        n_embd=width,
        n_head=heads,
        n_layer=layers,
        bos_token_id=BOS,
        eos_token_id=None,
    )
    return GPT2LMHeadModel(config).eval()


def their_writer(gpt2: Any, n: int, batch: int) -> Callable[[], Any]:
    prompt = torch.full((batch, 1), BOS)
    arguments = {"do_sample": True, "top_k": 0, "max_new_tokens": n, "pad_token_id": PAD}

    def write() -> None:
        made = gpt2.generate(prompt, attention_mask=torch.ones_like(prompt), **arguments)
        assert made.shape == (batch, n + 1)

    return write


def their_stepper(gpt2: Any, n: int, batch: int) -> Callable[[], Any]:
    def run() -> None:
        past = None

        def step(token: torch.Tensor) -> torch.Tensor:
            nonlocal past
            out = gpt2(token, past_key_values=past, use_cache=True)
            past = out.past_key_values
            return out.logits[:, -1]

        _steps(step, n, batch)

    return run


def parameters(model: torch.nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def version() -> str:
    return f"transformers {importlib.metadata.version('transformers')}"
