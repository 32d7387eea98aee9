"""RomanText and the corpus When in Rome: by hand, beside music21's reading, and what is skipped."""

import re
import zipfile
from pathlib import Path

import music21
import numpy as np
import pytest

from mircourse import chords, romantext, wheninrome
from mircourse.registry import DataError

CORPUS = Path(music21.__file__).parent / "corpus"
COPYING = "monteverdi/madrigal.3.1.rntxt"  # its measures are in part copies of others
EXAMPLE = """Composer: N. N.
Title: By hand
Analyst: Somebody

Time Signature: 3/4
m0 b3 C: V
m1 I b2.5 vi6
m2 = m1
Note: a measure without a line passes
m4 G: V7 b3 NC
Time Signature: 6/8
m5 b2 I ||
m6var1 ii
m6 ii6/5 b1.66 V
"""


def test_by_hand():
    fields, rows = romantext.read(EXAMPLE)
    assert fields == {"Composer": "N. N.", "Title": "By hand", "Analyst": "Somebody"}
    # The pickup counts from the begin of its measure, two quarters before it.
    assert rows["figure"].tolist() == ["V", "I", "vi6", "I", "vi6", "V7", "I", "ii6/5", "V"]
    assert (rows["onset_beat"] - rows["onset_beat"][1]).tolist()[:6] == [-1, 0, 1.5, 3, 4.5, 9]
    assert rows["duration_beat"].tolist()[:6] == [1, 1.5, 1.5, 1.5, 4.5, 2]
    assert rows["root"].tolist() == [7, 0, 9, 0, 9, 2, 7, 9, 2]
    assert rows["inversion"].tolist() == [0, 0, 1, 0, 1, 0, 0, 1, 0]
    assert rows["key_tonic"].tolist() == [0] * 5 + [7] * 4
    # In 6/8 a beat is a dotted quarter.
    last = rows["onset_beat"][-3:] - rows["onset_beat"][-3] + 1.5
    np.testing.assert_allclose(last, [1.5, 3, 3 + 2 / 3 * 1.5])
    np.testing.assert_allclose(rows["duration_beat"][-1], 3 - 2 / 3 * 1.5)


def test_analyses_are_read_as_music21_read_them():
    shipped = {piece.id: piece.chords for piece in chords.load()}
    compared = 0
    for file in [*CORPUS.glob("bach/choraleAnalyses/*.rntxt"), *CORPUS.glob(COPYING)]:
        text = file.read_text(encoding="utf-8")
        number = re.search(r"(?m)^BWV: *(\S+)", text)
        name = f"bwv{number[1].rstrip('s')}" if number else f"monteverdi-{file.stem[-3:]}"
        if name not in shipped:  # bwv248, whose parts are named otherwise
            continue
        rows, theirs = romantext.read(text).chords, shipped[name]
        for field in ("root", "bass", "degree", "inversion", "key_tonic", "key_mode"):
            np.testing.assert_array_equal(rows[field], theirs[field], err_msg=f"{file} {field}")
        np.testing.assert_array_equal(np.char.replace(rows["figure"], "/o", "ø"), theirs["figure"])
        since = rows["onset_beat"] - rows["onset_beat"][0]
        np.testing.assert_allclose(since, theirs["onset_beat"] - theirs["onset_beat"][0], atol=0.02)
        # music21 takes the pickup off the last measure.
        np.testing.assert_allclose(
            rows["duration_beat"][:-1], theirs["duration_beat"][:-1], atol=0.02
        )
        compared += 1
    assert compared == 20


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "there are no chords"),
        ("m1 I", "measure 1: no key has been named before 'I'"),
        ("m1 C: I b5 V", "measure 1: has no beat 5"),
        ("m1 C: I b2 foo", "measure 1: unknown Roman numeral 'foo'"),
        ("m2 C: I\nm1 V", "measure 1: comes after measure 2"),
        ("m1 C: I\nm2 = m7", "measure 2: there are no measures 7 to 7"),
        ("Time Signature: 4\nm1 C: I", "expected a time signature"),
        ("m1: C: I", "cannot read the line 'm1: C: I'"),
        ("m1 C: I\nm2-4 = m1", "measure 2: 1 measures cannot become 3"),
    ],
)
def test_errors_name_the_measure(text, message):
    with pytest.raises(ValueError, match=message):
        romantext.read(text)


@pytest.fixture
def corpus(tmp_path):
    """Two pieces that can be read and one that cannot, as a clone lays them out."""
    home = tmp_path / "When-in-Rome"
    for folder, text in [
        ("Songs/Who,_A/Op1/1", "Title: One\nm1 C: I b2 V b3 I"),
        ("Songs/Who,_A/Op1/2", "m1 a: i b2 iv b3 V"),
        ("Songs/Who,_A/Op2/1", "m1 C: I b2 strange"),
    ]:
        path = home / "Corpus" / folder / "analysis.txt"
        path.parent.mkdir(parents=True)
        path.write_text(text, encoding="utf-8")
    return home


@pytest.mark.parametrize("kind", ["clone", "corpus", "zip"])
def test_a_piece_that_cannot_be_read_is_named_and_left_out(corpus, tmp_path, kind):
    home = {"clone": corpus, "corpus": corpus / "Corpus"}.get(kind, tmp_path / "w.zip")
    if kind == "zip":
        with zipfile.ZipFile(home, "w") as archive:
            for file in corpus.rglob("*.txt"):
                archive.write(file, file.relative_to(tmp_path).as_posix())
    message = "1 piece of 3 skipped: Songs/Who,_A/Op2/1: measure 1: unknown .* 'strange'"
    with pytest.warns(wheninrome.SkippedPieces, match=message):
        found = chords.load(full=True, data_home=home)
    assert [piece.id for piece in found] == ["Songs/Who,_A/Op1/1", "Songs/Who,_A/Op1/2"]
    assert [piece.title for piece in found] == ["One", "2"]
    assert found[1].chords["key_mode"].tolist() == ["minor"] * 3
    assert found[0].split == found[1].split  # one opus
    with pytest.raises(ValueError, match="read-only"):
        found[0].chords["root"] = 0


def test_a_split_of_the_corpus(corpus):
    with pytest.warns(wheninrome.SkippedPieces):
        whole = chords.load(full=True, data_home=corpus)
    split = whole[0].split
    with pytest.warns(wheninrome.SkippedPieces):
        assert len(chords.load(split=split, full=True, data_home=corpus)) == 2
    other = next(name for name in chords.SPLITS if name != split)
    with pytest.warns(wheninrome.SkippedPieces):
        assert chords.load(split=other, full=True, data_home=corpus) == []


def test_a_copy_has_to_be_named(tmp_path):
    with pytest.raises(ValueError, match="full=True and data_home"):
        chords.load(full=True)
    with pytest.raises(ValueError, match="full=True and data_home"):
        chords.load(data_home=tmp_path)
    with pytest.raises(DataError, match=r"holds no analysis\.txt"):
        chords.load(full=True, data_home=tmp_path)
    with pytest.raises(DataError, match="neither a folder nor a zip"):
        chords.load(full=True, data_home=tmp_path / "none.zip")
