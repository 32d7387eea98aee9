"""``mircourse generate``: the four kinds of file, the bars asked for, and what is refused."""

import numpy as np
import pytest
import soundfile
import torch

from mircourse import cli, generating, registry, styles, weights
from mircourse.musictransformer import MusicTransformer
from mircourse.scores import from_midi


@pytest.fixture
def musician(monkeypatch):
    """Plays a real piece of the style for as long as is asked for; remembers what was asked."""
    asked = []

    def generate(model, *, style, until, **settings):
        asked.append({"style": style, **settings})
        tokens = styles.tokens(styles.pieces(styles.STYLES[style], split="test")[settings["seed"]])
        for n in range(2, len(tokens)):
            if until(tokens[:n]):
                return tokens[:n]
        return tokens[:-1]

    model = weights.Trained(MusicTransformer(8, 2, 1, max_seq_len=8), (), "")
    monkeypatch.setattr(weights, "load", lambda name: model)
    monkeypatch.setattr(generating, "generate", generate)
    return asked


def run(*arguments):
    return cli.main(["generate", *map(str, arguments)])


def test_midi_of_so_many_bars(tmp_path, musician, capsys):
    assert run("--style", "reel", "--bars", 8, "-o", tmp_path / "tune.mid") == 0
    piece = styles.pieces("reel", split="test")[0]
    notes = from_midi(tmp_path / "tune.mid")
    end = piece.pickup_beats + 8 * piece.bar_beats
    wanted = piece.excerpt(0, end).notes
    np.testing.assert_allclose(notes["onset_beat"], wanted["onset_beat"], atol=1e-3)
    np.testing.assert_array_equal(notes["pitch"], wanted["pitch"])
    np.testing.assert_allclose(notes["duration_beat"], wanted["duration_beat"], atol=1e-3)
    assert f"tune.mid: 8 bars, {len(notes)} notes" in capsys.readouterr().out


def test_all_kinds_at_once_hold_the_same_music(tmp_path, musician):
    outputs = [
        x for suffix in ("mid", "abc", "wav", "svg") for x in ("-o", tmp_path / f"a.{suffix}")
    ]
    assert run("--style", "slip-jig", "--bars", 4, *outputs) == 0
    assert len(musician) == 1 and musician[0]["style"] == 9
    assert "M:9/8" in (tmp_path / "a.abc").read_text()
    assert "<svg" in (tmp_path / "a.svg").read_text()[:400]
    audio, rate = soundfile.read(tmp_path / "a.wav")
    notes = from_midi(tmp_path / "a.mid")
    seconds = (notes["onset_beat"] + notes["duration_beat"]).max() * 60 / styles.TEMPO
    assert len(audio) / rate == pytest.approx(seconds + 1, abs=0.1)
    assert np.abs(audio).max() == pytest.approx(0.9, abs=1e-3)


def test_a_chorale_is_drawn_on_two_staves(tmp_path, musician):
    assert run("--style", "chorale", "--bars", 2, "-o", tmp_path / "a.svg") == 0
    assert (tmp_path / "a.svg").read_text().count('class="staff') >= 4


def test_settings_are_passed_on(tmp_path, musician):
    options = ["--seed", 3, "--temperature", 0.8, "--top-k", 20, "--top-p", 0.9]
    assert run("--style", "jig", "-o", tmp_path / "a.mid", *options) == 0
    (asked,) = musician
    assert (asked["seed"], asked["temperature"], asked["top_k"], asked["top_p"]) == (
        3,
        0.8,
        20,
        0.9,
    )


def test_fewer_bars_than_asked_for_are_told(tmp_path, musician, capsys):
    assert run("--style", "reel", "--bars", 500, "-o", tmp_path / "a.mid") == 0
    assert "of 500 bars" in capsys.readouterr().err


def test_a_real_model_writes_something(tmp_path):
    torch.manual_seed(0)
    arguments = {"d_model": 16, "n_heads": 2, "n_layers": 1, "max_seq_len": 64}
    file = tmp_path / "own.safetensors"
    weights.save(MusicTransformer(**arguments), file, arguments=arguments, about="untrained")
    target = tmp_path / "deep" / "a.mid"
    options = ["--weights", file, "--bars", 1, "-o", target]
    assert run("--style", "haydn-and-mozart", *options) == 0
    first = target.read_bytes()
    assert len(from_midi(first))
    assert run("--style", "haydn-and-mozart", "--overwrite", *options) == 0
    assert target.read_bytes() == first


def test_what_is_there_is_kept(tmp_path, musician, capsys):
    (tmp_path / "a.mid").write_bytes(b"mine")
    assert run("--style", "reel", "-o", tmp_path / "a.mid") == 1
    assert (tmp_path / "a.mid").read_bytes() == b"mine"
    assert "--overwrite replaces it" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--style", "rell", "-o", "a.mid"], "no style 'rell'; choose from chorale"),
        (["--style", "reel", "-o", "a.ogg"], "a.ogg must end with one of .mid, .abc, .wav, .svg"),
        (["--style", "reel", "-o", "tune"], "tune must end with"),
        (["--style", "chorale", "-o", "a.abc"], "several: choose .mid or .svg"),
        (["--style", "reel", "-o", "a.mid", "--bars", "0"], "--bars must be 1 or more"),
        (["--style", "reel", "-o", "a.mid", "--seed", "-1"], "--seed 0 or more"),
        (["--style", "reel", "-o", "a.mid", "--weights", "no.safetensors"], "no.safetensors"),
    ],
)
def test_what_cannot_be_is_told_before_anything_is_written(
    tmp_path, monkeypatch, capsys, arguments, message
):
    monkeypatch.chdir(tmp_path)
    assert run(*arguments) == 1
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_missing_weights_are_named(tmp_path, monkeypatch, capsys):
    known = {k: v for k, v in registry.entries().items() if "musictransformer" not in k}
    monkeypatch.setattr(registry, "entries", lambda: known)
    assert run("--style", "reel", "-o", tmp_path / "a.mid") == 1
    assert "no weights 'musictransformer-styles'" in capsys.readouterr().err


def test_weights_of_another_model_are_refused(tmp_path, capsys):
    other = registry.path("weights/melodylstm-tunes.safetensors")
    assert run("--style", "reel", "--weights", other, "-o", tmp_path / "a.mid") == 1
    assert "expected a MusicTransformer" in capsys.readouterr().err
