"""Variational autoencoders: the models of the VAE chapter.

`MusicVAE` codes piano rolls, frames or bars. `MelodyVAE` codes melodies of several bars; its
decoder is flat or hierarchical, with a conductor. `bounds` says what
held-out music costs, `active_units` whether the code is used; `between` walks from one piece to
another, `transfer` from one style to another.
"""

from __future__ import annotations

from mircourse.hierarchicalvae import MelodyEncoder, MelodyVAE, note_matches
from mircourse.latent import (
    active_units,
    between,
    bounds,
    kl_divergence,
    reparameterize,
    slerp,
)
from mircourse.melodydecoders import FlatDecoder, HierarchicalDecoder, SymbolLSTM
from mircourse.musicvae import MusicVAE
from mircourse.styletransfer import AttributeVectors, attribute_vector, change, transfer

__all__ = [
    "AttributeVectors",
    "FlatDecoder",
    "HierarchicalDecoder",
    "MelodyEncoder",
    "MelodyVAE",
    "MusicVAE",
    "SymbolLSTM",
    "active_units",
    "attribute_vector",
    "between",
    "bounds",
    "change",
    "kl_divergence",
    "note_matches",
    "reparameterize",
    "slerp",
    "transfer",
]
