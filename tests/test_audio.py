"""Audio files of every kind, rate and state."""

import numpy as np
import pytest
import soundfile

from mircourse.audio import read_audio
from mircourse.scores import load
from mircourse.synth import render


@pytest.fixture(scope="module")
def music():
    return render(load("bach")["bwv66.6"].excerpt(0, 4), sample_rate=44100, seconds=2.0)


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
@pytest.mark.parametrize("channels", [1, 2])
def test_formats_and_channels(tmp_path, music, suffix, channels):
    file = tmp_path / f"song.{suffix}"
    soundfile.write(file, np.stack([music] * channels, axis=1), 44100)
    audio, rate = read_audio(file)
    assert rate == 44100 and audio.dtype == np.float32 and audio.ndim == 1
    assert abs(len(audio) - len(music)) <= 1152  # an MP3 ends with its frame
    n = min(len(audio), len(music))
    assert np.corrcoef(audio[:n], music[:n])[0, 1] > 0.95


def test_stereo_is_averaged(tmp_path):
    file = tmp_path / "song.wav"
    soundfile.write(file, np.array([[0.5, 0.0], [0.25, -0.25]]), 8000, subtype="FLOAT")
    np.testing.assert_array_equal(read_audio(file)[0], np.array([0.25, 0.0], np.float32))


@pytest.mark.parametrize("rate", [8000, 44100, 48000, 96000])
def test_resampling_in_blocks_is_resampling_at_once(tmp_path, rate):
    import soxr

    noise = np.random.default_rng(0).normal(0, 0.1, 3 * rate).astype(np.float32)
    file = tmp_path / "noise.wav"
    soundfile.write(file, noise, rate, subtype="FLOAT")
    audio, got = read_audio(file, sample_rate=16000)
    assert got == 16000
    expected = soxr.resample(noise, rate, 16000)
    assert abs(len(audio) - len(expected)) <= 1
    n = min(len(audio), len(expected))
    np.testing.assert_allclose(audio[:n], expected[:n], atol=1e-4)


def test_one_sample_stays_at_least_one(tmp_path):
    file = tmp_path / "click.wav"
    soundfile.write(file, np.ones(1), 96000, subtype="FLOAT")
    assert len(read_audio(file)[0]) == 1
    assert len(read_audio(file, sample_rate=16000)[0]) >= 1


def no_samples(file):
    soundfile.write(file, np.zeros(0), 8000)


def not_finite(file):
    soundfile.write(file, np.array([0.0, np.nan]), 8000, subtype="FLOAT")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda file: file.write_bytes(b""), "is empty: it has 0 bytes"),
        (lambda file: file.write_bytes(b"this is not music" * 99), "cannot be read as audio"),
        (no_samples, "holds no audio"),
        (not_finite, "NaN or infinite"),
        (lambda file: file.mkdir(), "is not a file"),
    ],
    ids=["empty", "text", "no samples", "NaN", "folder"],
)
def test_what_cannot_be_read_is_named_with_what_is_wrong(tmp_path, make, words):
    file = tmp_path / "broken.wav"
    make(file)
    with pytest.raises(ValueError, match=rf"broken\.wav {words}|broken\.wav.*{words}"):
        read_audio(file)


def test_a_flac_that_breaks_off_is_an_error(tmp_path, music):
    file = tmp_path / "broken.flac"
    soundfile.write(file, music, 44100)
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2] + b"\0" * (len(whole) // 2))
    with pytest.raises(ValueError, match=r"broken\.flac"):
        read_audio(file)


def test_a_missing_file_is_missing(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no file .*absent\.wav"):
        read_audio(tmp_path / "absent.wav")


@pytest.mark.parametrize("rate", [0, -1, float("nan")])
def test_the_rate_is_positive(tmp_path, rate):
    with pytest.raises(ValueError, match="positive number of Hz"):
        read_audio(tmp_path / "song.wav", sample_rate=rate)
