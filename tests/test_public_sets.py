"""The public sets, read by mirdata from tiny files written in each set's layout."""

import json
import sys
from collections import Counter
from pathlib import Path

import mirdata
import mirdata.core
import numpy as np
import pytest
import soundfile

from mircourse import public_sets, recordings
from mircourse.registry import DataError


def write_wav(path, *, rate, channels=1):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.full((rate // 2, channels), 0.25), rate)


@pytest.fixture
def index(tmp_path, monkeypatch):
    """Return a function that writes the index of a set, where mirdata is made to look for it."""
    folder = tmp_path / "indexes"
    folder.mkdir()
    monkeypatch.setattr(mirdata.core.Index, "get_path", lambda self: str(folder / self.filename))

    def write(name, tracks):
        content = {"version": "1.0", "tracks": tracks}
        Path(mirdata.initialize(name).index_path).write_text(json.dumps(content))

    return write


@pytest.fixture
def tinysol(tmp_path, index):
    rows = [
        "Path,Fold,Family,Instrument (abbr.),Instrument (in full),Technique (abbr.),Technique (in "
        "full),Pitch,Pitch ID,Dynamics,Dynamics ID,Instance ID,String ID (if applicable),Resampled"
    ]
    tracks = {}
    for fold, (short, full, note, pitch) in enumerate(
        [
            ("Vn", "Violin", "A4", 69),
            ("Fl", "Flute", "C4", 60),
            ("Vn", "Violin", "G3", 55),
            ("Fl", "Flute", "E5", 76),
            ("Vn", "Violin", "E5", 76),
        ]
    ):
        key = f"{short}-ord-{note}-mf-N-N"
        path = f"{full}/ordinario/{key}.wav"
        rows.append(f"{path},{fold},F,{short},{full},ord,ordinario,{note},{pitch},mf,2,0,,FALSE")
        tracks[key] = {"audio": [f"audio/TinySOL/{path}", "0"]}
        write_wav(tmp_path / "audio" / "TinySOL" / path, rate=44100)
    (tmp_path / "annotation").mkdir()
    (tmp_path / "annotation" / "TinySOL_metadata.csv").write_text("\n".join(rows) + "\n")
    index("tinysol", tracks)
    return tmp_path


@pytest.fixture
def gtzan(tmp_path, index):
    from torchaudio.datasets import gtzan as lists

    kept = [lists.filtered_train[0], lists.filtered_valid[0], lists.filtered_test[0]]
    listed = {*lists.filtered_train, *lists.filtered_valid, *lists.filtered_test}
    faulty = next(f"pop.{k:05d}" for k in range(100) if f"pop.{k:05d}" not in listed)
    hiphop = next(key for key in lists.filtered_train if key.startswith("hiphop"))
    tracks = {}
    for key in [*kept, faulty, hiphop]:
        path = f"gtzan_genre/genres/{key.split('.')[0]}/{key}.wav"
        tracks[key] = {"audio": [path, "0"], "beats": [None, None], "tempo": [None, None]}
        write_wav(tmp_path / path, rate=22050)
    index("gtzan_genre", tracks)
    return tmp_path, kept


def test_tinysol(tinysol, capsys):
    found = recordings.load("tinysol", full=True, data_home=tinysol)
    assert "CC-BY-4.0" in capsys.readouterr().out
    assert found.instruments == ["Flute", "Violin"]
    assert [(r.id.split("-")[2], r.pitch, r.split) for r in found] == [
        ("A4", 69, "test"),
        ("C4", 60, "valid"),
        ("G3", 55, "train"),
        ("E5", 76, "train"),
        ("E5", 76, "train"),
    ]
    rows = found.audio(0.5)
    assert rows.shape == (5, 11025)  # resampled from 44.1 kHz
    np.testing.assert_allclose(rows[:, 1000:10000], 0.25, atol=1e-3)


def test_tinysol_tests_on_each_fold_once(tinysol):
    tested = []
    for fold in range(5):
        found = recordings.load("tinysol", full=True, data_home=tinysol, fold=fold)
        assert Counter(r.split for r in found) == {"train": 3, "valid": 1, "test": 1}
        tested += [r.id for r in found.split("test")]
    assert len(set(tested)) == 5


def test_medley_solos_db(tmp_path, index):
    rows, tracks = ["subset,instrument,instrument_id,song_id,uuid4"], {}
    for k, subset in enumerate(["training", "validation", "test"]):
        name = f"Medley-solos-DB_{subset}-{k}_0000000{k}.wav.wav"
        rows.append(f"{subset},{'flute' if k else 'piano'},{k},{k},0000000{k}")
        tracks[f"0000000{k}"] = {"audio": [f"audio/{name}", "0"]}
        write_wav(tmp_path / "audio" / name, rate=44100, channels=2)
    (tmp_path / "annotation").mkdir()
    (tmp_path / "annotation" / "Medley-solos-DB_metadata.csv").write_text("\n".join(rows) + "\n")
    index("medley_solos_db", tracks)
    found = recordings.load("medley_solos_db", full=True, data_home=tmp_path)
    assert [r.split for r in found] == ["train", "valid", "test"]
    assert [r.instrument for r in found] == ["piano", "flute", "flute"]
    assert [r.pitch for r in found] == [None] * 3 and (found.pitches == -1).all()
    assert found[0].audio.shape == (11025,)  # stereo is averaged
    valid = recordings.load("medley_solos_db", full=True, data_home=tmp_path, split="valid")
    assert [r.id for r in valid] == ["00000001"] and valid.labels.tolist() == [0]


def test_gtzan_is_filtered(gtzan):
    home, kept = gtzan
    found = recordings.load("gtzan_genre", full=True, data_home=home)
    splits = {r.id: r.split for r in found}
    assert len(splits) == 4 and [splits[key] for key in kept] == ["train", "valid", "test"]
    assert found.instruments == ["blues", "hip-hop"]
    assert repr(found[0]) == f"<Recording {found[0].id}: blues, 22050 Hz, {found[0].split}>"


def test_gtzan_lists_are_of_the_sizes_that_the_paper_gives():
    assert Counter(public_sets.gtzan_filtered().values()) == {
        "train": 443,
        "valid": 197,
        "test": 290,
    }


def test_a_set_that_is_not_there_says_how_to_get_it(tmp_path, index, gtzan):
    nowhere = tmp_path / "none"
    with pytest.raises(DataError, match=r"mirdata\.initialize\('tinysol'.*download\(\)"):
        recordings.load("tinysol", full=True, data_home=nowhere)
    index("medley_solos_db", {"a": {"audio": ["audio/a.wav", "0"]}})
    with pytest.raises(DataError, match="Metadata not found"):
        recordings.load("medley_solos_db", full=True, data_home=nowhere)
    home, kept = gtzan
    (home / "gtzan_genre" / "genres" / "blues" / f"{kept[0]}.wav").unlink()
    with pytest.raises(DataError, match=rf"{kept[0]}\.wav is missing.*another copy in"):
        recordings.load("gtzan_genre", full=True, data_home=home)


def test_a_corrupt_file_is_named(gtzan):
    home, kept = gtzan
    (home / "gtzan_genre" / "genres" / "blues" / f"{kept[0]}.wav").write_bytes(b"nothing")
    found = recordings.load("gtzan_genre", full=True, data_home=home)
    with pytest.raises(DataError, match=rf"{kept[0]}\.wav cannot be read as audio"):
        found[kept[0]].audio


def test_without_mirdata(monkeypatch):
    monkeypatch.setitem(sys.modules, "mirdata", None)
    with pytest.raises(ImportError, match=r'pip install "mircourse\[full\]"'):
        recordings.load("tinysol", full=True)


def test_unknown_source_and_fold():
    with pytest.raises(ValueError, match="gtzan_genre, medley_solos_db, tinysol, got 'notes'"):
        recordings.load("notes", full=True)
    with pytest.raises(ValueError, match="fold must be 0 to 4, got 5"):
        recordings.load("tinysol", full=True, fold=5)
