"""Transcribe clips with basic-pitch, in the Python that has it; see `interpreter`."""

import os
import sys
import time
from typing import Any

import numpy as np
import soundfile


def main(folder):
    """Read the clips in the folder and leave their notes there."""
    from basic_pitch import FilenameSuffix, build_icassp_2022_model_path
    from basic_pitch.inference import Model, predict

    model = Model(build_icassp_2022_model_path(FilenameSuffix.onnx))
    with np.load(os.path.join(folder, "clips.npz")) as given:
        rate = int(given["rate"])
        clips = [given[f"clip{i}"] for i in range(len(given.files) - 1)]
    kept: dict[str, Any] = {}
    seconds = []
    # Once for nothing: the first call also imports and compiles.
    for i, clip in [(-1, clips[0][:rate])] * bool(clips) + list(enumerate(clips)):
        file = os.path.join(folder, "clip.wav")
        soundfile.write(file, clip, rate, subtype="FLOAT")
        began = time.process_time()
        _, _, events = predict(file, model)
        if i < 0:
            continue
        seconds.append(time.process_time() - began)
        rows = [(a, b - a, pitch, round(127 * level)) for a, b, pitch, level, _ in events]
        kept[f"notes{i}"] = np.array(rows, dtype=float).reshape(-1, 4)
    np.savez(os.path.join(folder, "notes.npz"), seconds=seconds, **kept)


if __name__ == "__main__":
    main(sys.argv[1])
