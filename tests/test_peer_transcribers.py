"""How peers that live in another Python are called; the peers themselves where they are there."""

import os

import numpy as np
import pytest

from mircourse.experiments.peers import basic_pitch, madmom
from mircourse.experiments.peers.interpreter import Peer, PeerMissing
from mircourse.notescores import note_scores
from mircourse.performed import perform, to_beats
from mircourse.scores import load
from mircourse.synth import render

# Writes one note a clip: as long as the clip, at the pitch and velocity that its rate says.
SCRIPT = """
import sys, numpy as np
with np.load(sys.argv[1] + "/clips.npz") as given:
    rate = int(given["rate"])
    notes = {
        f"notes{i}": [[0.0, len(given[f"clip{i}"]) / rate, rate // 1000, 300.0]]
        for i in range(len(given.files) - 1)
    }
np.savez(sys.argv[1] + "/notes.npz", seconds=np.arange(len(notes)), **notes)
"""


def peer(tmp_path, text=SCRIPT, **changes):
    script = tmp_path / "script.py"
    script.write_text(text)
    settings = {"name": "toy", "module": "json", "variable": "MIRCOURSE_TOY_PYTHON"}
    return Peer(**settings | {"script": str(script), "install": "pip install toy"} | changes)


def test_clips_go_there_and_notes_come_back_in_order(tmp_path):
    clips = [np.zeros(16000, np.float32), np.zeros(8000, np.float32)]
    notes, seconds = peer(tmp_path).transcribe_all(clips, sample_rate=16000)
    assert [n["duration_sec"].tolist() for n in notes] == [[1.0], [0.5]]
    assert notes[0]["velocity"].tolist() == [127]
    assert seconds == [0.0, 1.0]


def test_clips_are_resampled_to_the_rate_of_the_peer(tmp_path):
    clip = np.zeros(16000, np.float32)
    ((notes,), _) = peer(tmp_path, sample_rate=44100).transcribe_all([clip], sample_rate=16000)
    assert notes["pitch"].tolist() == [44]
    assert notes["duration_sec"][0] == pytest.approx(1.0, abs=1e-3)


def test_a_peer_that_is_not_installed_says_how_to_install_it(tmp_path):
    clip = np.zeros(100, np.float32)
    absent = peer(tmp_path, module="no_such_module")
    with pytest.raises(PeerMissing, match=r"pip install toy.*MIRCOURSE_TOY_PYTHON"):
        absent.transcribe_all([clip], sample_rate=8000)


def test_an_interpreter_that_does_not_exist_says_the_same(tmp_path, monkeypatch):
    monkeypatch.setenv("MIRCOURSE_TOY_PYTHON", str(tmp_path / "nowhere"))
    with pytest.raises(PeerMissing, match="nowhere has no toy"):
        peer(tmp_path).check()


def test_what_a_failing_peer_said_is_told(tmp_path):
    broken = peer(tmp_path, text="raise SystemExit('out of reeds')")
    with pytest.raises(RuntimeError, match="toy failed: out of reeds"):
        broken.transcribe_all([np.zeros(100, np.float32)], sample_rate=8000)


def test_bad_audio_is_refused_before_the_peer_is_asked(tmp_path):
    with pytest.raises(ValueError, match="no samples"):
        peer(tmp_path, module="no_such_module").transcribe_all(
            [np.zeros(0, np.float32)], sample_rate=8000
        )


@pytest.mark.parametrize("module", [basic_pitch, madmom], ids=["basic-pitch", "madmom"])
def test_the_peers_transcribe_a_rendered_chorale(module):
    if not os.environ.get(module.PEER.variable):
        pytest.skip(f"{module.PEER.variable} is not set")
    notes = perform(load("bach")["bwv66.6"].excerpt(0, 16), tempo=80)
    audio = render(to_beats(notes), sample_rate=44100)
    assert note_scores(notes, module.transcribe(audio, sample_rate=44100)).f > 0.6
