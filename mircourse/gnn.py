"""Graph neural networks: the models of the GNN chapter.

`MessagePassing` is written from its equation. `build_chord_graph` makes a graph of a chord
progression, `build_note_graph` one of notes. `ChordProgressionGNN` reads them with three graph
convolutions; `HarmonyGNN` finds keys and scale degrees with it, in twelve transpositions at once.

Lesson: book/gnn/messagepassing
"""

from __future__ import annotations

from mircourse.chordgnn import ChordProgressionGNN
from mircourse.chordgraph import EDGE_TYPES, build_chord_graph
from mircourse.chordsymbols import Chord, parse
from mircourse.harmony import HarmonyGNN, HarmonyHeads
from mircourse.keychain import KeyChain
from mircourse.messagepassing import MessagePassing, dirichlet_energy, graph_convolution
from mircourse.notegraph import NOTE_EDGE_TYPES, build_note_graph

__all__ = [
    "EDGE_TYPES",
    "NOTE_EDGE_TYPES",
    "Chord",
    "ChordProgressionGNN",
    "HarmonyGNN",
    "HarmonyHeads",
    "KeyChain",
    "MessagePassing",
    "build_chord_graph",
    "build_note_graph",
    "dirichlet_energy",
    "graph_convolution",
    "parse",
]
