"""Tokens a second: remembering, reading all again, and Hugging Face's GPT-2, on one thread.

Run ``python benchmarks/generation.py``; it writes ``data/results/bench-generation.json``. GPT-2 is
no part of the course: have it where you run this, ``pip install "transformers<5"``. ``--fast`` runs
everything once for a few tokens, which shows that it works and says nothing of speed: its file goes
to a temporary folder.
"""

from parts import command

if __name__ == "__main__":
    command.main(__doc__, {"generation": "writing"})
