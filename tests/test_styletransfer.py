"""Attribute vectors by hand, what is moved and what comes back, and how likeness is measured."""

import numpy as np
import pytest
import torch

from mircourse import likeness, melodybars, styletransfer
from mircourse.hierarchicalvae import MelodyVAE
from mircourse.melodybars import FIRST_NOTE, HOLD, REST
from mircourse.notearray import note_array
from mircourse.styletransfer import STYLES, AttributeVectors


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    options = {"conductor_dim": 8, "bar_dim": 8, "encoder_dim": 8, "embedding": 4}
    return MelodyVAE(2, 6, 12, **options).eval()


@pytest.fixture(scope="module")
def vectors(model):
    return styletransfer.learn(model, most=25)


@pytest.fixture
def reel():
    return styletransfer.tunes_of("reel", split="test")[0]


def test_an_attribute_vector_is_a_difference_of_means():
    """eq:vae-attribute: what is in the brackets."""
    z = torch.tensor([[1.0, 0.0], [3.0, 2.0], [0.0, 5.0], [0.0, 7.0]])
    found = styletransfer.attribute_vector(z, [True, True, False, False])
    assert found.tolist() == [2.0, -5.0]
    for has in ([True] * 4, [False] * 4, [True, False]):
        with pytest.raises(ValueError, match="some have to"):
            styletransfer.attribute_vector(z, has)


def test_means_are_of_the_same_keys():
    """Two reels in G and one in D, a hornpipe in each, and two in B flat, where no reel is."""
    kinds = ["reel", "reel", "reel", "hornpipe", "hornpipe", "hornpipe", "hornpipe"]
    keys = ["G", "G", "D", "G", "D", "Bb", "Bb"]
    z = torch.tensor([0.0, 2.0, 10.0, 5.0, 7.0, 90.0, 99.0])[:, None]
    means = styletransfer.mean_codes(z, kinds, within=keys)
    assert means["reel"].item() == pytest.approx((1 + 10) / 2)
    assert means["hornpipe"].item() == pytest.approx((5 + 7) / 2)
    assert styletransfer.mean_codes(z, kinds)["reel"].item() == pytest.approx(4)
    apart = styletransfer.mean_codes(z, kinds, within=["G"] * 3 + ["D"] * 4)
    assert apart["hornpipe"].item() == pytest.approx(201 / 4)
    # Codes that tell the key and nothing else have no direction.
    of_keys = torch.tensor([{"G": 1.0, "D": 2.0, "Bb": 3.0}[key] for key in keys])[:, None]
    is_reel = [kind == "reel" for kind in kinds]
    assert styletransfer.attribute_vector(of_keys, is_reel, within=keys).item() == 0
    assert styletransfer.attribute_vector(of_keys, is_reel).item() != 0


def test_directions_go_there_and_back(vectors):
    there, back = vectors.between("reel", "air"), vectors.between("air", "reel")
    torch.testing.assert_close(there, -back)
    around = vectors.between("reel", "hornpipe") + vectors.between("hornpipe", "air")
    torch.testing.assert_close(around, there)
    assert set(vectors.styles) == set(STYLES)
    assert set(vectors.attributes) == set(styletransfer.ATTRIBUTES)
    with pytest.raises(ValueError, match="no style 'waltz'; choose from reel"):
        vectors.between("reel", "waltz")
    with pytest.raises(ValueError, match="no attribute 'joy'"):
        vectors.direction("joy")


def test_styles_are_told_in_duple_time_and_from_the_train_split(vectors):
    assert {p.meter for s in STYLES for p in styletransfer.tunes_of(s, split="test")} <= set(
        melodybars.DUPLE
    )
    families = [
        {p.family for s in STYLES for p in styletransfer.tunes_of(s, split=split)}
        for split in ("train", "test")
    ]
    assert not families[0] & families[1]


def test_with_no_strength_the_reconstruction_is_left(model, vectors, reel):
    found = styletransfer.transfer(reel, "reel", "air", 0.0, model=model, vectors=vectors)
    same = styletransfer.transfer(reel, "reel", "reel", 5.0, model=model, vectors=vectors)
    np.testing.assert_array_equal(found, same)
    symbols = melodybars.encode(reel)
    rows = styletransfer.parts_of(symbols, length=32)
    written = model.write(model.encode(torch.from_numpy(rows))[0]).numpy()
    whole = melodybars.canonical(written).ravel()[: len(symbols)]
    expected = melodybars.decode(whole, meter=reel.meter)
    np.testing.assert_array_equal(found, expected)


def test_what_is_moved_is_the_code(model, vectors, reel):
    """eq:vae-attribute."""
    row = melodybars.windows(reel, bars=2)[0].symbols[None]
    direction = vectors.between("reel", "air")
    found = styletransfer.moved(model, row, direction, strength=3.0)
    z = model.encode(torch.from_numpy(row))[0] + 3 * direction
    np.testing.assert_array_equal(found, melodybars.canonical(model.write(z).numpy()))
    with pytest.raises(ValueError, match="finite"):
        styletransfer.moved(model, row, direction, strength=np.nan)


def test_an_attribute_turns_back_with_a_negative_strength(model, vectors, reel):
    for name in styletransfer.ATTRIBUTES:
        turned = AttributeVectors(vectors.styles, {name: -vectors.direction(name)})
        one = styletransfer.change(reel, name, 2.0, model=model, vectors=vectors)
        other = styletransfer.change(reel, name, -2.0, model=model, vectors=turned)
        np.testing.assert_array_equal(one, other)


def test_a_melody_is_played_again_until_the_last_part_is_full():
    symbols = np.array([FIRST_NOTE, HOLD, REST, HOLD, FIRST_NOTE + 1, HOLD])
    rows = styletransfer.parts_of(symbols, length=4)
    assert rows.tolist() == [
        [FIRST_NOTE, HOLD, REST, HOLD],
        [FIRST_NOTE + 1, HOLD, FIRST_NOTE, HOLD],
    ]
    with pytest.raises(ValueError, match="without notes"):
        styletransfer.parts_of(np.zeros(0, int), length=4)


def test_bars_that_do_not_fit_are_refused(model, vectors):
    notes = note_array([0], [1], [60])
    for meter, message in (("6/8", "bars of 16 steps"), ("9/8", "'9/8'")):
        with pytest.raises(ValueError, match=message):
            styletransfer.transfer(notes, "reel", "air", model=model, vectors=vectors, meter=meter)
    with pytest.raises(ValueError, match="without notes"):
        styletransfer.transfer(notes[:0], "reel", "air", model=model, vectors=vectors)
    with pytest.raises(ValueError, match="no style"):
        styletransfer.transfer(notes, "reel", "waltz", model=model, vectors=vectors)


def test_likeness_by_hand():
    n = FIRST_NOTE
    up, down = np.array([n, n + 2, n + 4, n + 5]), np.array([n + 5, n + 4, n + 2, n])
    assert likeness.contour(up, up + 7) == pytest.approx(1)
    assert likeness.contour(up, down) == pytest.approx(-1, abs=0.05)
    assert likeness.contour(up, np.full(4, n)) == 0
    assert likeness.contour(up, np.array([REST, HOLD, HOLD, HOLD])) == 0
    assert likeness.overlap(up, down) == 1
    assert likeness.overlap(up, up + 12) == 1
    assert likeness.overlap(up, up + 1) == pytest.approx(0.25)  # F alone is in both
    assert likeness.overlap(up, np.array([REST, HOLD, HOLD, HOLD])) == 0
    # Only what both sound counts for the contour.
    gap = np.array([n, REST, n + 4, n + 5])
    assert likeness.contour(up, gap) == pytest.approx(1)
    with pytest.raises(ValueError, match="one length"):
        likeness.contour(up, up[:3])
