"""What an import loads, each asked in an interpreter of its own."""

import json
import pkgutil
import subprocess
import sys

import pytest

import mircourse

HEAVY = {
    "torch",
    "torchaudio",
    "lightning",
    "librosa",
    "sklearn",
    "scipy",
    "matplotlib",
    "mir_eval",
    "pretty_midi",
    "verovio",
    "pandas",
    "soundfile",
    "music21",
    "mirdata",
    "IPython",
    "numba",
    "torch_geometric",
    "pychord",
}
# These modules are about what they load.
ABOUT_LIGHTNING = {
    "mircourse.contrastivetraining",
    "mircourse.finetuning",
    "mircourse.harmonytraining",
    "mircourse.keeper",
    "mircourse.melodytraining",
    "mircourse.pretraining",
    "mircourse.tasks",
    "mircourse.training",
    "mircourse.transformertraining",
    "mircourse.vaetraining",
}
# PyG itself loads pandas, SciPy and Numba.
ABOUT_GRAPHS = {"mircourse.relationalconv"}


def loaded_by(statement: str) -> set[str]:
    code = f"import json, sys; {statement}; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return {name.split(".")[0] for name in json.loads(done.stdout.splitlines()[-1])}


def test_the_package_alone_loads_nothing_heavy():
    assert not loaded_by("import mircourse") & (HEAVY | {"numpy"})


def test_the_command_line_loads_nothing_heavy():
    statement = "from mircourse import cli; cli.build_parser()"
    assert not loaded_by(statement) & (HEAVY | {"numpy"})


@pytest.mark.parametrize("name", ["MusicCNN", "HarmonicCNN"])
def test_a_model_loads_torch_and_nothing_heavier(name):
    loaded = loaded_by(f"from mircourse.cnn import {name}")
    assert loaded & HEAVY == {"torch"}


def test_every_module_loads_at_most_torch():
    names = {m.name for m in pkgutil.iter_modules(mircourse.__path__, "mircourse.")}
    # One interpreter for all: what a module loads is what is new after it.
    code = (
        "import importlib, json, sys\n"
        f"heavy = set({sorted(HEAVY - {'torch'})})\n"
        "seen, found = set(), {}\n"
        f"for name in {sorted(names - ABOUT_LIGHTNING - ABOUT_GRAPHS)}:\n"
        "    importlib.import_module(name)\n"
        "    new = (heavy & set(sys.modules)) - seen\n"
        "    seen |= new\n"
        "    found.update({name: sorted(new)} if new else {})\n"
        "print(json.dumps(found))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == {}
