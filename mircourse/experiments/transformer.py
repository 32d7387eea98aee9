"""The experiments of the Transformer chapter: what each table ran, and the verdict on each claim.

Chorales on a grid of 16th notes, what the three heads are worth, what the generator writes, and
what the bidirectional model has learnt.
"""

from __future__ import annotations
