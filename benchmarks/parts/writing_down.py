"""Audio to notes: the shipped network beside basic-pitch, and what an hour of audio takes."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from mircourse import scores, synth, weights
from mircourse.experiments.benchmark import Timing
from mircourse.experiments.peers import basic_pitch
from mircourse.rnn import transcribe
from parts.beside import ratio_of, seconds

CLAIM = "The course's transcriber takes less of a processor than basic-pitch, and than real time"
RATE = 16000
# A process of its own, so that the peak is that of one who transcribes a file and nothing else.
ALONE = """
import json, resource, sys, time
from mircourse.audio import read_audio
from mircourse.rnn import transcribe
began = time.process_time()
audio, rate = read_audio(sys.argv[1], sample_rate=16000)
notes = transcribe(audio, sample_rate=rate)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps([time.process_time() - began, peak, len(notes)]))
"""


def rows(*, fast: bool) -> list[Timing]:
    length = 3 if fast else 60
    audio = music(length)
    parameters = sum(p.numel() for p in weights.load("transcription-piano").model.parameters())

    def ours() -> None:
        transcribe(audio, sample_rate=RATE)

    ours()  # what is loaded once is not counted; the peer does the same
    times = []
    for _ in range(1 if fast else 5):
        mine = seconds(ours)
        _, (theirs,) = basic_pitch.PEER.transcribe_all([audio], sample_rate=RATE)
        times.append([mine, theirs])
    beside_peer = ratio_of(np.array(times))
    taken, megabytes, length_alone = alone(audio, times=2 if fast else 60)
    whole = ratio_of(np.array([[taken, length_alone]]))
    peak = "" if megabytes is None else f"; peak memory of the process {megabytes:.0f} MB"
    name = f"{length_alone:.0f} s" if fast else "1 hour"
    return [
        Timing(
            "MusicTranscriptionRNN against basic-pitch",
            beside_peer,
            f"{length} s of piano",
            parameters,
            note=f"{beside_peer.seconds_a:.2f} s against {beside_peer.seconds_b:.2f} s; "
            "basic-pitch 0.4.0 with onnxruntime, in a process of its own",
        ),
        Timing(
            "MusicTranscriptionRNN against real time",
            replace(whole, seconds_b=0.0),  # nobody waited for it: it is not part of the run
            f"a file of {name}",
            parameters,
            note=f"seconds of audio for each second of processor time, measured once{peak}",
        ),
    ]


def music(length: int) -> NDArray[np.float32]:
    """Return so many seconds of chorales on a piano."""
    pieces = scores.load("bach", split="valid")[:4]
    played = np.concatenate(synth.render(list(pieces), tempo=90, sample_rate=RATE))
    return np.resize(played, length * RATE)


def alone(audio: NDArray[np.float32], *, times: int) -> tuple[float, float | None, float]:
    """Return processor time and peak memory (MB; on Linux) of a file of so many repetitions."""
    with tempfile.TemporaryDirectory(prefix="mircourse-bench-") as folder:
        file = Path(folder, "long.flac")
        with soundfile.SoundFile(file, "w", RATE, 1) as target:
            for _ in range(times):
                target.write(audio)
        command = [sys.executable, "-c", ALONE, str(file)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    taken, peak, _ = json.loads(done.stdout)
    memory = peak / 1024 if sys.platform.startswith("linux") else None
    return taken, memory, times * len(audio) / RATE
