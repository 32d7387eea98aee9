"""Trained models survive being written and read."""

import numpy as np
import pytest
import torch

from mircourse import weights
from mircourse.cnn import MusicCNN
from mircourse.registry import DataError

ARGUMENTS = {"n_classes": 3, "width": 0.0625, "n_mels": 32}


@pytest.fixture
def model() -> MusicCNN:
    torch.manual_seed(0)
    return MusicCNN(**ARGUMENTS).eval()


def test_a_model_read_back_gives_the_same_logits(tmp_path, model):
    file = tmp_path / "small.safetensors"
    weights.save(model, file, arguments=ARGUMENTS, classes=["a", "b", "c"], about="untrained")
    found = weights.read(file)
    x = torch.randn(2, 8000)
    np.testing.assert_array_equal(found.model(x).detach(), model(x).detach())
    assert found.classes == ("a", "b", "c")
    assert found.about == "untrained"
    assert not found.model.training


def test_channels_last_models_are_saved_alike(tmp_path, model):
    files = [tmp_path / "a.safetensors", tmp_path / "b.safetensors"]
    weights.save(model, files[0], arguments=ARGUMENTS, about="x")
    weights.save(
        model.to(memory_format=torch.channels_last), files[1], arguments=ARGUMENTS, about="x"
    )
    assert weights.read(files[0]).model.state_dict().keys() == model.state_dict().keys()
    for name, value in weights.read(files[1]).model.state_dict().items():
        torch.testing.assert_close(value, model.state_dict()[name], rtol=0, atol=0)


def test_damage_is_named(tmp_path, model):
    file = tmp_path / "small.safetensors"
    weights.save(model, file, arguments=ARGUMENTS, about="x")
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(DataError, match=r"small\.safetensors does not hold a trained model"):
        weights.read(file)


def test_weights_that_do_not_fit_are_named(tmp_path, model):
    file = tmp_path / "small.safetensors"
    weights.save(model, file, arguments=ARGUMENTS | {"n_classes": 4}, about="x")
    with pytest.raises(DataError, match="size mismatch"):
        weights.read(file)


def test_a_foreign_class_is_not_built(tmp_path):
    file = tmp_path / "foreign.safetensors"
    weights.save(torch.nn.Linear(1, 1), file, arguments={}, about="x")
    with pytest.raises(DataError, match="not one of the course's"):
        weights.read(file)


def test_an_unknown_name_lists_those_that_ship():
    with pytest.raises(ValueError, match=r"no weights 'nothing' ship; there are"):
        weights.load("nothing")


@pytest.mark.parametrize("name", weights.names())
def test_what_ships_can_be_built(name):
    found = weights.load(name)
    assert not found.model.training
    assert found.about
    for parameter in found.model.parameters():
        assert parameter.dtype == torch.float32 and torch.isfinite(parameter).all()
    if found.classes:  # what else a model takes and gives, the tests of its chapter know
        logits = found.model(torch.zeros(1, 22050))
        assert logits.shape == (1, len(found.classes))
        assert torch.isfinite(logits).all()
