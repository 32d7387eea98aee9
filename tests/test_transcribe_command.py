"""``mircourse transcribe``: what it writes, what it keeps, and what it does about bad files."""

import os

import numpy as np
import pytest
import soundfile

from mircourse import cli, transcribing
from mircourse.performed import performed_notes
from mircourse.scores import from_midi


@pytest.fixture(autouse=True)
def listener(monkeypatch):
    """Hear one note for each second, as loud as there are seconds; remember what was asked."""
    asked = []

    def transcribe(audio, *, sample_rate, **thresholds):
        asked.append((len(audio) / sample_rate, thresholds))
        onset = np.arange(int(len(audio) / sample_rate))
        return performed_notes(onset, np.full(len(onset), 0.5), 60 + onset, velocity=100 + onset)

    monkeypatch.setattr(transcribing, "transcribe", transcribe)
    return asked


def record(file, seconds=2, rate=8000, channels=1):
    file.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(0).normal(0, 0.1, (round(seconds * rate), channels))
    soundfile.write(file, noise, rate)
    return file


def transcribe(*arguments):
    return cli.main(["transcribe", *map(str, arguments)])


def test_notes_and_velocities_are_written(tmp_path, capsys):
    song = record(tmp_path / "song.wav")
    assert transcribe(song, "-o", tmp_path / "out.mid") == 0
    notes = from_midi(tmp_path / "out.mid")
    assert notes["pitch"].tolist() == [60, 61]
    assert notes["velocity"].tolist() == [100, 101]
    # 120 beats a minute: a second is two beats.
    np.testing.assert_allclose(notes["onset_beat"], [0, 2], atol=1e-3)
    assert "out.mid: 2 notes in 2.0 s" in capsys.readouterr().out


def test_without_an_output_the_midi_file_lies_beside_the_recording(tmp_path):
    assert transcribe(record(tmp_path / "song.flac")) == 0
    assert (tmp_path / "song.mid").exists()


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
@pytest.mark.parametrize(("rate", "channels"), [(8000, 1), (44100, 2), (48000, 1)])
def test_formats_rates_and_channels(tmp_path, listener, suffix, rate, channels):
    song = record(tmp_path / f"song.{suffix}", rate=rate, channels=channels)
    assert transcribe(song) == 0
    ((seconds, _),) = listener
    assert seconds == pytest.approx(2, abs=0.2)


def test_a_folder_keeps_its_tree_and_the_bad_files_do_not_stop_the_others(tmp_path, capsys):
    record(tmp_path / "in" / "a.wav")
    record(tmp_path / "in" / "deep" / "b.MP3".lower())
    (tmp_path / "in" / "bad.wav").write_bytes(b"not audio" * 99)
    (tmp_path / "in" / "empty.ogg").write_bytes(b"")
    (tmp_path / "in" / "notes.txt").write_text("not asked for")
    assert transcribe(tmp_path / "in", "-o", tmp_path / "out") == 1
    written = sorted(p.relative_to(tmp_path / "out") for p in (tmp_path / "out").rglob("*.*"))
    assert [p.as_posix() for p in written] == ["a.mid", "deep/b.mid"]
    streams = capsys.readouterr()
    assert "bad.wav cannot be read as audio" in streams.err
    assert "empty.ogg is empty" in streams.err
    assert "2 of 4 done" in streams.out


def test_what_exists_is_kept_unless_it_shall_be_replaced(tmp_path, capsys):
    song = record(tmp_path / "song.wav")
    target = tmp_path / "song.mid"
    target.write_bytes(b"precious")
    assert transcribe(song) == 0
    assert target.read_bytes() == b"precious"
    assert "kept" in capsys.readouterr().out
    assert transcribe(song, "--overwrite") == 0
    assert len(from_midi(target)) == 2


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, capsys):
    song = record(tmp_path / "song.wav")
    (tmp_path / "song.mid").write_bytes(b"precious")

    def full(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "replace", full)
    assert transcribe(song, "--overwrite") == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["song.mid", "song.wav"]
    assert (tmp_path / "song.mid").read_bytes() == b"precious"
    assert "no space left" in capsys.readouterr().err


def test_two_recordings_do_not_share_a_midi_file(tmp_path, capsys):
    record(tmp_path / "in" / "song.wav", seconds=1)
    record(tmp_path / "in" / "song.flac", seconds=3)
    assert transcribe(tmp_path / "in") == 1
    assert "song.wav would go into" in capsys.readouterr().err
    assert len(from_midi(tmp_path / "in" / "song.mid")) == 3


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["absent.wav"], "there is no file absent.wav"),
        (["empty"], "empty holds no audio files"),
        (["a.wav", "b.wav", "-o", "both.mid"], "both.mid is one file; give a folder"),
        (["a.wav", "-o", "b.wav"], "b.wav is neither a folder nor a MIDI file"),
        (["a.wav", "--onset-threshold", "1.5"], "onset_threshold is 1.5"),
    ],
)
def test_a_wrong_request_is_told_and_ends_with_status_1(
    tmp_path, monkeypatch, capsys, arguments, words
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    record(tmp_path / "a.wav")
    record(tmp_path / "b.wav")
    assert transcribe(*arguments) == 1
    assert words in capsys.readouterr().err
    assert not list(tmp_path.glob("*.mid"))


def test_thresholds_are_passed_on(tmp_path, listener):
    assert transcribe(record(tmp_path / "song.wav"), "--onset-threshold", "0.3") == 0
    assert listener[0][1] == {"onset_threshold": 0.3, "pitch_threshold": None}


def test_an_interruption_ends_with_status_130_and_half_of_nothing(tmp_path, monkeypatch, capsys):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(transcribing, "transcribe", interrupted)
    assert transcribe(record(tmp_path / "song.wav")) == 130
    assert [p.name for p in tmp_path.iterdir()] == ["song.wav"]
