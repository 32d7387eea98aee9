"""Train the networks that ship in ``data/weights``, with seed 0 of the chapter's experiments.

``source`` is not used: the data is what ships. It takes about an hour on two cores.
"""

from __future__ import annotations

from pathlib import Path

from mircourse import recordings, weights
from mircourse.experiments import (
    bert,
    chroma,
    cnn,
    dances,
    instruments,
    melodies,
    melodyvaes,
    onsets,
    rnn,
    transcribers,
    writers,
)

SEED = 0


def build(out: Path, source: Path | None = None) -> None:
    """Write ``<out>/weights/*.safetensors``."""
    settings = cnn.RECIPE | cnn.BEST
    model, _ = instruments.trained(settings, task=cnn.INSTRUMENTS, seed=SEED, fast=False)
    weights.save(
        model,
        out / "weights" / "musiccnn-instruments.safetensors",
        arguments={"n_classes": 19, "hop_length": instruments.HOP, **settings["arguments"]},
        classes=recordings.load().instruments,
        about=(
            "Row MusicCNN of cnn-instruments, seed 0: the train and valid recordings, 1.25 s each"
        ),
    )
    found, threshold, _ = onsets.trained(cnn.ONSETS, seed=SEED, fast=False)
    weights.save(
        found,
        out / "weights" / "onsetcnn-rendered.safetensors",
        arguments={"sample_rate": onsets.SAMPLE_RATE, **cnn.ONSETS["arguments"]},
        about=f"Row OnsetCNN of cnn-onsets, seed 0; its threshold is {threshold}",
    )
    arguments = cnn.DANCE["arguments"]
    dancer, _ = dances.trained(arguments, seed=SEED, fast=False, task=cnn.DANCES)
    weights.save(
        dancer,
        out / "weights" / "musiccnn-dances.safetensors",
        arguments={
            "n_classes": len(dances.TYPES),
            "sample_rate": dances.SAMPLE_RATE,
            **dances.FRONT_END,
            **arguments,
        },
        classes=dances.TYPES,
        about="Row MusicCNN of cnn-dances, seed 0: rendered tunes of the train and valid splits",
    )
    live, threshold, _ = chroma.trained(rnn.LIVE, seed=SEED, fast=False)
    weights.save(
        live,
        out / "weights" / "realtime-chroma.safetensors",
        arguments=rnn.LIVE["arguments"],
        about=f"Row look-ahead 4 of rnn-streaming, seed 0; its threshold is {threshold}",
    )
    writer, _ = melodies.trained(rnn.WRITER, seed=SEED, fast=False)
    weights.save(
        # Half precision: half the size, and bits per note that differ in the fifth digit.
        writer.half(),
        out / "weights" / "melodylstm-tunes.safetensors",
        arguments={**melodies.NETWORKS[rnn.WRITER["model"]], "place": rnn.WRITER["place"]},
        about=(
            "Row LSTM of rnn-melody, told the place in the bar, seed 0: tunes of Ryan and O'Neill, "
            "train split; half precision"
        ),
    )
    pianist, _ = transcribers.trained(transcribers.FULL, seed=SEED, fast=False)
    thresholds = {
        "onset_threshold": pianist.onset_threshold,
        "pitch_threshold": pianist.pitch_threshold,
    }
    weights.save(
        pianist,
        out / "weights" / "transcription-piano.safetensors",
        arguments=transcribers.FULL["arguments"] | thresholds,
        about="Row MusicTranscriptionRNN of rnn-transcription, seed 0: rendered piano music",
    )
    composer, _ = writers.trained(writers.SHIPPED, seed=SEED, fast=False)
    weights.save(
        composer.half(),
        out / "weights" / "musictransformer-styles.safetensors",
        arguments=writers.arguments(writers.SHIPPED),
        about=(
            "Music in ten styles, train split, as events; rows of 512, moved by up to three "
            "semitones, seed 0; half precision"
        ),
    )
    reader = bert.pretrained("tunes", seed=SEED, fast=False)
    weights.save(
        reader.half(),  # half the size; nothing that a lesson prints changes
        out / "weights" / "musicbert-tunes.safetensors",
        arguments=bert.NETWORK,
        about=(
            "Pretraining of tf-bert-tunes, seed 0: four-bar phrases of Ryan, O'Neill and Aird, "
            "train split, whole notes hidden; half precision"
        ),
    )
    coder, _ = melodyvaes.trained(melodyvaes.SHIPPED, seed=SEED, fast=False)
    weights.save(
        coder.half(),
        out / "weights" / "melodyvae-16.safetensors",
        arguments=melodyvaes.SHIPPED["arguments"],
        about=(
            "Row hierarchical of vae-hierarchy, 16 bars, seed 0: duple tunes of Ryan, O'Neill and "
            "Aird, train split; half precision"
        ),
    )
