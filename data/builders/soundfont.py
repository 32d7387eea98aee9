"""Build data/soundfont: some programs of FluidR3 GM, in mono and dry.

    python data/build.py soundfont                        # the font as Debian installs it
    python data/build.py soundfont --source FluidR3.sf2

The font is Debian's ``fluid-soundfont-gm``. Cutting is done by ``soundfont.mjs`` in Node.js, with
the npm package ``spessasynth_core``, which this script installs in a temporary folder.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
from pathlib import Path

DEBIAN = Path("/usr/share/sounds/sf2/FluidR3_GM.sf2")
SHA256 = "74594e8f4250680adf590507a306655a299935343583256f3b722c48a1bc1cb0"
EDITOR = "spessasynth_core@4.3.22"
NAME = "FluidR3 GM subset"
# General MIDI programs, counted from 0. What is left out is large: cello 2.4 MB, French horn 1.5,
# church organ 3.1, steel-string guitar 2.1.
PROGRAMS = (0, 6, 8, 11, 16, 20, 24, 27, 40, 43, 46, 56, 57, 58, 65, 68, 70, 71, 73, 74)

LICENCE = """\
fluid-subset.sf2 is made from FluidR3 GM, a soundfont by Frank Wen: 20 of its programs, in mono.

Copyright (c) 2000-2002, 2008 Frank Wen <getfrank@gmail.com>

Frank Wen thanks, for samples and help: Suren M. Seron, Scott Hanan, Steve Aupperle, Chris
Gillman, Alex Taubr, Chris Prola, Andrew Klenk, Winfried Hubbe, Dylan, Tim, Gort, Uros Katic,
Ethan Winer.

Permission is hereby granted, free of charge, to any person obtaining a copy of this software and
associated documentation files (the "Software"), to deal in the Software without restriction,
including without limitation the rights to use, copy, modify, merge, publish, distribute,
sublicense, and/or sell copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or
substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT
NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND
NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM,
DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT
OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
"""


def build(out: Path, source: Path | None = None) -> None:
    """Write ``fluid-subset.sf2`` and ``LICENCE.txt`` in ``out/soundfont``."""
    source = source or DEBIAN
    if hashlib.sha256(source.read_bytes()).hexdigest() != SHA256:
        raise SystemExit(f"{source} is not FluidR3_GM.sf2 of Debian's fluid-soundfont-gm 3.1")
    target = out / "soundfont"
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        subprocess.run(["npm", "install", "--silent", "--prefix", scratch, EDITOR], check=True)
        # Node looks for packages from the script's folder upwards.
        script = shutil.copy(Path(__file__).with_suffix(".mjs"), scratch)
        command = ["node", script, str(source.resolve()), str(target / "fluid-subset.sf2"), NAME]
        subprocess.run([*command, *map(str, PROGRAMS)], check=True)
    (target / "LICENCE.txt").write_text(LICENCE, encoding="utf-8")
