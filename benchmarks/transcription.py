"""Transcription beside basic-pitch in the same run, and an hour of audio, on one thread.

Run ``python benchmarks/transcription.py``; it writes ``data/results/bench-transcription.json``.
basic-pitch is no part of the course: `mircourse.experiments.peers.basic_pitch` tells how to have
it. ``--fast`` runs everything once on a few seconds, which shows that it works and says nothing of
speed: its file goes to a temporary folder.
"""

from parts import command

if __name__ == "__main__":
    # onnxruntime heeds no variable that tells how many threads to take.
    command.main(__doc__, {"transcription": "writing_down"}, one_core=True)
