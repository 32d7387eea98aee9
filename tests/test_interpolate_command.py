"""``mircourse generate --from a.mid --to b.mid``: the ends, the steps, and what is refused."""

import numpy as np
import pytest
import torch

from mircourse import cli, interpolate_command, melodybars, weights
from mircourse.hierarchicalvae import MelodyVAE
from mircourse.musicvae import MusicVAE
from mircourse.notearray import note_array
from mircourse.scores import from_midi, load, to_midi

ARGUMENTS = {
    "bars": 2,
    "latent_dim": 6,
    "hidden_dim": 12,
    "conductor_dim": 8,
    "bar_dim": 8,
    "encoder_dim": 8,
    "embedding": 4,
}


@pytest.fixture
def folder(tmp_path):
    torch.manual_seed(0)
    model = MelodyVAE(**ARGUMENTS)
    weights.save(model, tmp_path / "own.safetensors", arguments=ARGUMENTS, about="untrained")
    reels = load("ryan", split="test").filter(lambda p: p.meter == "2/4" and not p.pickup_beats)
    for name, piece in zip("ab", reels[:2], strict=True):
        to_midi(piece, tmp_path / f"{name}.mid")
    return tmp_path


def run(folder, *arguments, weights="own.safetensors"):
    return cli.main(["generate", "--weights", str(folder / weights), *map(str, arguments)])


def test_the_way_has_its_steps_and_begins_with_the_reconstruction(folder, capsys):
    ends = ["--from", folder / "a.mid", "--to", folder / "b.mid"]
    assert run(folder, *ends, "--steps", 5, "-o", folder / "way.mid", "-o", folder / "way.abc") == 0
    assert "5 melodies of 2 bars" in capsys.readouterr().out
    assert "M:2/4" in (folder / "way.abc").read_text()
    model = weights.read(folder / "own.safetensors").model
    x = [
        torch.from_numpy(interpolate_command.read(folder / f"{n}.mid", bars=2, steps=16))[None]
        for n in "ab"
    ]
    symbols = melodybars.canonical(model.interpolate(*x, 5)[:, 0].numpy()).ravel()
    heard = from_midi(folder / "way.mid")
    wanted = melodybars.decode(symbols, meter="2/4")
    np.testing.assert_allclose(heard["onset_beat"], wanted["onset_beat"], atol=1e-3)
    np.testing.assert_array_equal(heard["pitch"], wanted["pitch"])
    first = melodybars.canonical(model.write(model.encode(x[0])[0])[0].numpy())
    np.testing.assert_array_equal(symbols[:32], first)


def test_a_file_is_read_as_the_notes_it_was_written_from(folder):
    notes = note_array([0, 1, 2], [1, 1, 1], [62, 66, 69])
    to_midi(notes, folder / "c.mid")
    assert interpolate_command.meter_of(folder / "c.mid") == "4/4"
    found = interpolate_command.read(folder / "c.mid", bars=2, steps=16)
    expected = np.tile(melodybars.encode(notes), 2)
    np.testing.assert_array_equal(found, expected)  # played again
    assert interpolate_command.meter_of(folder / "a.mid") == "2/4"


def test_what_cannot_be_is_told_before_anything_is_written(folder, capsys):
    a, b, out = folder / "a.mid", folder / "b.mid", folder / "out.mid"
    jig = load("oneill", split="test").filter(lambda p: p.meter == "6/8")[0]
    to_midi(jig, folder / "jig.mid")
    to_midi(note_array([], [], []), folder / "silence.mid")
    (folder / "text.mid").write_text("no MIDI")
    weights.save(
        MusicVAE(latent_dim=2, hidden_dim=4),
        folder / "other.safetensors",
        arguments={"latent_dim": 2, "hidden_dim": 4},
        about="x",
    )
    cases = [
        (["--from", a, "-o", out], "--from and --to go together"),
        (["--to", a, "-o", out], "--from and --to go together"),
        (["--from", a, "--to", b, "--style", "reel", "-o", out], "does not go with"),
        (["--from", a, "--to", b, "--steps", 1, "-o", out], "--steps must be 2"),
        (["--from", a, "--to", b, "-o", folder / "out.txt"], "must end with"),
        (["--from", a, "--to", b, "-o", a], "is there already"),
        (["--from", a, "--to", folder / "jig.mid", "-o", out], "is in 6/8"),
        (["--from", a, "--to", folder / "silence.mid", "-o", out], "has no notes"),
        (["--from", a, "--to", folder / "text.mid", "-o", out], "cannot be read as MIDI"),
        (["--from", a, "--to", folder / "nowhere.mid", "-o", out], "nowhere.mid"),
        (["-o", out], "say which --style"),
    ]
    for arguments, message in cases:
        assert run(folder, *arguments) == 1, message
        assert message in capsys.readouterr().err
        assert not out.exists()
    ends = ["--from", a, "--to", b, "-o", out]
    assert run(folder, *ends, weights="other.safetensors") == 1
    assert "expected a MelodyVAE" in capsys.readouterr().err
