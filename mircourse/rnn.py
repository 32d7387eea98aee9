"""Recurrent networks: the models of the RNN chapter.

`LSTM` is written from its equations. `MusicTranscriptionRNN` writes down piano music:
`transcribe` turns a recording into notes.

Lessons: book/rnn/lstm, book/rnn/transcription, book/rnn/streaming
"""

from __future__ import annotations

from mircourse.lstm import LSTM, LSTMCell
from mircourse.pianoroll import notes_of, piano_roll
from mircourse.semitones import SemitoneSpectrogram
from mircourse.transcribing import transcribe
from mircourse.transcription import MusicTranscriptionRNN, TranscriptionLoss

__all__ = [
    "LSTM",
    "LSTMCell",
    "MusicTranscriptionRNN",
    "SemitoneSpectrogram",
    "TranscriptionLoss",
    "notes_of",
    "piano_roll",
    "transcribe",
]
