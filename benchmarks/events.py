"""Notes to events and back, beside miditok's MIDI-Like tokeniser, in the same run on one thread.

Run ``python benchmarks/events.py``; it writes ``data/results/bench-events.json``. miditok is no
part of the course: have it where you run this, ``pip install miditok==3.1.0``. ``--fast`` runs
everything once on two pieces, which shows that it works and says nothing of speed: its file goes
to a temporary folder.
"""

from parts import command

if __name__ == "__main__":
    command.main(__doc__, {"events": "tokens"})
