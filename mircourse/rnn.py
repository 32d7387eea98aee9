"""Recurrent networks: the models of the RNN chapter.

`LSTM` is written from its equations. `MelodyLSTM` writes tunes. `MusicTranscriptionRNN` writes down
piano music: `transcribe` turns a recording into notes. `RealTimeMusicRNN` says which pitch classes
sound while the music is played; `StreamingChroma` feeds it with audio in blocks of any size.

Lessons: book/rnn/lstm, book/rnn/transcription, book/rnn/streaming
"""

from __future__ import annotations

from mircourse.causal import CausalSpectrogram
from mircourse.lstm import LSTM, LSTMCell
from mircourse.melodylstm import MelodyLSTM
from mircourse.pianoroll import notes_of, piano_roll
from mircourse.semitones import SemitoneSpectrogram
from mircourse.streaming import (
    Chroma,
    MicrophoneError,
    RealTimeMusicRNN,
    StreamingChroma,
    StreamState,
    export_onnx,
    stream_file,
    stream_microphone,
)
from mircourse.transcribing import transcribe
from mircourse.transcription import MusicTranscriptionRNN
from mircourse.transcriptionloss import TranscriptionLoss

__all__ = [
    "LSTM",
    "CausalSpectrogram",
    "Chroma",
    "LSTMCell",
    "MelodyLSTM",
    "MicrophoneError",
    "MusicTranscriptionRNN",
    "RealTimeMusicRNN",
    "SemitoneSpectrogram",
    "StreamState",
    "StreamingChroma",
    "TranscriptionLoss",
    "export_onnx",
    "notes_of",
    "piano_roll",
    "stream_file",
    "stream_microphone",
    "transcribe",
]
