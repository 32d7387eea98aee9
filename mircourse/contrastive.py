"""Contrastive learning: the model of the SimCLR chapter, its loss and what it is judged by.

`nt_xent` is the loss, `SimCLR` puts a projector behind any encoder of the course, `Views` makes
two views of a recording. `linear_probe` and `knn_probe` ask what was learned; `alignment` and
`uniformity` ask without labels. `mircourse.contrastivetraining` trains.

Lesson: book/index
"""

from __future__ import annotations

from mircourse.ntxent import nt_xent
from mircourse.probing import (
    alignment,
    best_strength,
    embeddings,
    knn_probe,
    linear_probe,
    uniformity,
)
from mircourse.simclr import SimCLR
from mircourse.views import Views

__all__ = [
    "SimCLR",
    "Views",
    "alignment",
    "best_strength",
    "embeddings",
    "knn_probe",
    "linear_probe",
    "nt_xent",
    "uniformity",
]
