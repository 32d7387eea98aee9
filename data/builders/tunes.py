"""Read the headers of ABC tunes: what they are, who transcribed them, and in which key.

The notes are music21's to parse; the header fields are read here, since music21 keeps only some.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

TUNE_TYPES = {
    "reel": "reel",
    "hornpipe": "hornpipe",
    "jig": "jig",
    "double jig": "jig",
    "slip jig": "slip jig",
    "slipjig": "slip jig",
    "strathspey": "strathspey",
    "clog": "clog",
    "highland fling": "fling",
    "fling": "fling",
    "walkaround": "walkaround",
    "slide": "slide",
    "air": "air",
    "waltz": "waltz",
    "march": "march",
    "gavotte": "gavotte",
}
MODES = {
    "": "major",
    "maj": "major",
    "ion": "major",
    "M": "major",
    "m": "minor",
    "min": "minor",
    "aeo": "minor",
    "dor": "dorian",
    "phr": "phrygian",
    "lyd": "lydian",
    "mix": "mixolydian",
    "loc": "locrian",
}
# As the transcribers sign themselves in the Z fields, and the name that we credit.
ENCODERS = {
    "Jack Campin": "Jack Campin",
    "Ray Davies": "Ray Davies",
    "Bob Puckette": "Bob Puckette",
    "John Chambers": "John Chambers",
    "John B. Walsh": "John B. Walsh",
    "J.B. Walsh": "John B. Walsh",
    "J. B. Walsh": "John B. Walsh",
    "John Walsh": "John B. Walsh",
    "walsh@math": "John B. Walsh",
    "Ivan Bradley": "Ivan Bradley",
    "Bob Safranek": "Bob Safranek",
    "henrik.norbeck": "Henrik Norbeck",
    "Henrik Norbeck": "Henrik Norbeck",
    "Trish O'Nei": "Trish O'Neil",
    "Trish sO'Nei": "Trish O'Neil",
    "Paul de Grae": "Paul de Grae",
    "Dan G. Petersen": "Dan G. Petersen",
    "Michael Hogan": "Michael Hogan",
    "Stephen Foy": "Stephen Foy",
    "Tom Keays": "Tom Keays",
    "Chris Falt": "Chris Falt",
    "Dave Wooldridge": "Dave Wooldridge",
    "Norbert Paap": "Norbert Paap",
    "Robert Thorpe": "Robert Thorpe",
    "LEE WORMAN": "A. Lee Worman",
    "Nick Terhorst": "Nick Terhorst",
    "Michael D. Long": "Michael D. Long",
    "Ted Hastings": "Ted Hastings",
    "mvhplank": "mvhplank",
    "Frank Nordberg": "Frank Nordberg",
}


def split_tunes(text: str) -> Iterator[str]:
    """Yield each tune of an ABC file, from its X field to the next one's."""
    yield from re.split(r"(?m)^(?=X:)", text)[1:]


def header(tune: str) -> dict[str, list[str]]:
    """Return the information fields up to and including the key, by letter, without comments."""
    fields: dict[str, list[str]] = {}
    for line in tune.splitlines():
        match = re.match(r"([A-Za-z]):[ \t]*(.*)", line)
        if not match:
            continue
        letter, value = match.groups()
        fields.setdefault(letter, []).append(re.sub(r"\s*(?<!\\)%.*", "", value).strip().strip('"'))
        if letter == "K":
            break
    return fields


def tune_type(fields: dict[str, list[str]]) -> str | None:
    """Return the type that the transcriber wrote in an R field, in our vocabulary, or None.

    Titles are not consulted: "The Liverpool Hornpipe" without an R field has no type.
    """
    known = (TUNE_TYPES.get(value.lower()) for value in fields.get("R", []))
    return next((kind for kind in known if kind), None)


def key_and_mode(fields: dict[str, list[str]]) -> tuple[str | None, str | None]:
    """Return tonic and mode as the K field states them, or a pair of None."""
    value = fields.get("K", [""])[0]
    match = re.match(r"([A-G][#b]?)\s*([A-Za-z]*)", value)
    if not match or value.startswith("Hp"):
        return None, None
    tonic, word = match.groups()
    mode = MODES.get(word if len(word) < 2 else word[:3].lower())
    return (tonic, mode) if mode else (None, None)


def encoder(fields: dict[str, list[str]]) -> str | None:
    """Return the transcribers named in the Z and S fields, joined by commas, or None."""
    text = " ".join(fields.get("Z", []) + fields.get("S", []))
    found = {name: None for sign, name in ENCODERS.items() if sign.lower() in text.lower()}
    return ", ".join(found) or None


def title(fields: dict[str, list[str]]) -> str:
    """Return the first title."""
    return next((re.sub(r"\s+", " ", value) for value in fields.get("T", []) if value), "untitled")


def number(fields: dict[str, list[str]]) -> int:
    """Return the reference number of the X field."""
    return int(re.match(r"\d+", fields["X"][0]).group())
