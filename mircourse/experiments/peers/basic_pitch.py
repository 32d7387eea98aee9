"""Spotify's basic-pitch, as a peer: one small convolutional network for every instrument.

Bittner et al. (2022, ICASSP); Apache licence 2.0, weights included. It asks for TensorFlow, but
runs on onnxruntime without, so have it in an environment of its own ::

    python -m venv peers
    peers/bin/pip install --no-deps basic-pitch==0.4.0
    peers/bin/pip install onnxruntime librosa resampy mir_eval pretty_midi "setuptools<70"
    export MIRCOURSE_BASIC_PITCH_PYTHON=$PWD/peers/bin/python

Settings are its own: onsets from 0.5, frames from 0.3, no note shorter than 128 ms. A note's
velocity is 127 times the mean of its frames' activations, as in the MIDI files that it writes.
"""

from __future__ import annotations

from collections.abc import Sequence

from numpy.typing import ArrayLike, NDArray

from mircourse.experiments.peers.interpreter import Peer

PEER = Peer(
    name="basic-pitch",
    module="basic_pitch",
    script="run_basic_pitch.py",
    variable="MIRCOURSE_BASIC_PITCH_PYTHON",
    install="pip install --no-deps basic-pitch==0.4.0; "
    'pip install onnxruntime librosa resampy mir_eval pretty_midi "setuptools<70"',
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
        In hertz; basic-pitch resamples by itself.

    Returns
    -------
    list of performed arrays

    Raises
    ------
    PeerMissing
        If basic-pitch is not installed where ``MIRCOURSE_BASIC_PITCH_PYTHON`` says.
    """
    return PEER.transcribe_all(clips, sample_rate=sample_rate)[0]
