"""Players: what the MP3 decodes to, how loud it is, what the page says, what is refused."""

import base64
import html.parser
import io

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from mircourse import listen, recordings
from mircourse.loudness import _k_weighted, loudness
from mircourse.notearray import note_array
from mircourse.scores import Piece


def decode(player):
    return soundfile.read(io.BytesIO(player.mp3))


class Page(html.parser.HTMLParser):
    """The tags of a player with their attributes, and the text between them."""

    def __init__(self, source):
        super().__init__()
        self.tags, self.text, self.open = [], "", []
        self.feed(source)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


# Loudness, against what ITU-R BS.1770-4 and EBU Tech 3341 say of test signals


def sine(level, seconds, rate, hz=997):
    return 10 ** (level / 20) * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)


@pytest.mark.parametrize("rate", [22050, 44100, 48000])
def test_full_scale_sine_is_minus_3_lufs(rate):
    assert abs(loudness(sine(0, 2, rate), sample_rate=rate) + 3.01) < 0.06
    assert abs(loudness(sine(-20, 2, rate), sample_rate=rate) + 23.01) < 0.06


def test_gates_leave_out_what_is_soft():
    rate = 48000
    loud = sine(-20, 10, rate)
    quiet = sine(-50, 10, rate)
    silence = np.zeros(10 * rate)
    alone = loudness(loud, sample_rate=rate)
    for other in (quiet, silence):
        assert abs(loudness(np.concatenate([other, loud, other]), sample_rate=rate) - alone) < 0.2


def test_low_frequencies_count_less_and_high_ones_more():
    rate = 48000
    low, middle, high = (
        loudness(sine(-20, 2, rate, hz), sample_rate=rate) for hz in (30, 997, 8000)
    )
    assert low < middle - 3 and middle + 2.5 < high < middle + 4


def test_filters_are_those_of_the_standard():
    # Tables 1 and 2 of ITU-R BS.1770-4, at 48 kHz.
    from scipy.signal import lfilter

    impulse = np.zeros(4800)
    impulse[0] = 1
    shelf = lfilter(
        [1.53512485958697, -2.69169618940638, 1.19839281085285],
        [1, -1.69065929318241, 0.73248077421585],
        impulse,
    )
    expected = lfilter([1, -2, 1], [1, -1.99004745483398, 0.99007225036621], shelf)
    np.testing.assert_allclose(_k_weighted(impulse, 48000), expected, atol=1e-8)


def test_loudness_of_silence_and_of_very_little():
    assert loudness(np.zeros(22050), sample_rate=22050) == -np.inf
    assert np.isfinite(loudness(np.array([0.5]), sample_rate=22050))


# The sound


@settings(max_examples=12, deadline=None)
@given(
    n=st.integers(1, 40_000),
    rate=st.sampled_from([8000, 16000, 22050, 44100, 48000]),
    level=st.floats(3e-3, 1),
    seed=st.integers(0, 99),
)
def test_mp3_decodes_to_the_same_duration_and_one_loudness(n, rate, level, seed):
    noise = np.random.default_rng(seed).uniform(-level, level, n).astype(np.float32)
    made = listen.player(noise, sample_rate=rate, caption="noise")
    decoded, found = decode(made)
    assert decoded.ndim == 1 and found == 22050
    assert made.seconds == n / rate
    assert abs(len(decoded) / found - n / rate) <= 1.5 / found
    assert np.abs(decoded).max() <= 1
    if n > rate:  # below the 400 ms of a block, the encoder's own edges weigh in
        assert abs(loudness(decoded, sample_rate=found) - listen.TARGET_LUFS) < 1.5


def test_recordings_are_equally_loud_unless_a_peak_forbids():
    notes = recordings.load()
    for name in ("flute", "cello", "organ", "trumpet", "xylophone", "guitar-nylon"):
        note = next(r for r in notes if r.instrument == name)
        decoded, rate = decode(listen.player(note))
        assert abs(len(decoded) - len(note.audio)) <= 1
        peak, found = np.abs(decoded).max(), loudness(decoded, sample_rate=rate)
        assert peak < 1
        assert abs(found - listen.TARGET_LUFS) < 0.5 or (found < listen.TARGET_LUFS and peak > 0.75)
        # The same sound: the encoder moves neither time nor pitch.
        alike = np.corrcoef(decoded[:11025], note.audio[:11025])[0, 1]
        assert alike > 0.98


def test_silence_stays_silence():
    decoded, _ = decode(listen.player(np.zeros(22050), sample_rate=22050, caption="silence"))
    assert np.abs(decoded).max() < 1e-4


def test_what_is_too_long_is_cut_and_the_caption_says_so():
    audio = np.random.default_rng(0).normal(size=22050 * 20).astype(np.float32) * 0.1
    made = listen.player(audio, sample_rate=22050, caption="noise")
    assert made.caption == "noise (the first 8 s of 20 s)"
    decoded, rate = decode(made)
    assert len(decoded) == 8 * rate and made.seconds == 8
    # Faded out, not broken off.
    assert np.abs(decoded[-100:]).max() < 0.1 * np.abs(decoded).max()
    shorter = listen.player(audio, sample_rate=22050, caption="noise", max_seconds=2.5)
    assert shorter.caption == "noise (the first 2.5 s of 20 s)" and shorter.seconds == 2.5
    whole = listen.player(audio[: 8 * 22050], sample_rate=22050, caption="noise")
    assert whole.caption == "noise"


def test_twelve_players_fit_in_a_page_of_1_mb():
    audio = np.random.default_rng(0).normal(size=8 * 22050) * 0.1
    assert 12 * len(listen.player(audio, sample_rate=22050, caption="x")._repr_html_()) < 1e6


# Pieces


def piece(beats):
    notes = note_array(np.arange(beats), np.ones(beats), 60 + np.arange(beats) % 12)
    return Piece(id="t-1", title="The <Test> & Co", collection="t", composer="nobody", notes=notes)


def test_a_piece_plays():
    made = listen.player(piece(6), program=73)
    assert made.caption == "The <Test> & Co (t-1)" and made.seconds == 4
    decoded, rate = decode(made)
    onsets = np.abs(decoded).reshape(-1, rate // 10).max(axis=1)
    assert onsets[:30].min() > 0.05 and onsets[-5:].max() < 0.02
    slow = listen.player(piece(6), program=73, tempo=60, caption="slow")
    assert slow.caption == "slow" and slow.seconds == 7


def test_a_long_piece_is_cut():
    made = listen.player(piece(60))
    assert made.caption == "The <Test> & Co (t-1) (the first 8 s of 31 s)" and made.seconds == 8
    # Only the silence after the last note is lost here, so that nothing is said.
    assert listen.player(piece(15)).caption == "The <Test> & Co (t-1)"


def test_a_note_array_plays():
    notes = note_array([0], [1], [60])
    assert listen.player(notes, caption="C").seconds == 1.5
    assert listen.player(notes[:0], caption="nothing").seconds == 1


# The page


@given(caption=st.text(min_size=1).filter(str.strip))
@settings(max_examples=40, deadline=None)
def test_captions_are_escaped(caption):
    made = listen.Player(caption=caption, mp3=b"\xff\xfb", seconds=1.0)
    page = Page(made._repr_html_())
    assert [tag for tag, _ in page.tags] == ["figure", "figcaption", "audio"]
    expected = caption.replace("\r\n", "\n").replace("\r", "\n")
    assert page.text.replace("\r\n", "\n").replace("\r", "\n") == expected
    audio = page.tags[2][1]
    assert audio["aria-label"].strip() and "controls" in audio
    assert base64.b64decode(audio["src"].removeprefix("data:audio/mpeg;base64,")) == b"\xff\xfb"


def test_repr_and_save(tmp_path):
    made = listen.player(recordings.load()["flute-060-1"])
    assert repr(made) == "<Player 'flute, MIDI pitch 60 (flute-060-1)', 2.50 s>"
    made.save(tmp_path / "flute.mp3")
    assert soundfile.info(tmp_path / "flute.mp3").samplerate == 22050


def test_the_same_sound_gives_the_same_page():
    audio = np.random.default_rng(0).normal(size=9000)
    pages = [listen.player(audio, sample_rate=22050, caption="x")._repr_html_() for _ in range(2)]
    assert pages[0] == pages[1]


@pytest.mark.parametrize(
    ("audio", "arguments", "error", "message"),
    [
        (np.zeros(0), {}, ValueError, r"n > 0, got \(0,\)"),
        (np.zeros((2, 100)), {}, ValueError, r"must be mono.*got \(2, 100\)"),
        (np.zeros(100, dtype=np.int16), {}, TypeError, "floating point in .*, got dtype int16"),
        (np.array([0, np.nan, np.inf]), {}, ValueError, "audio has 2 NaN or infinite"),
        (np.zeros(100), {"caption": " "}, ValueError, "needs a caption that says what is heard"),
        (np.zeros(100), {"caption": None}, ValueError, "an array needs a caption"),
        (np.zeros(100), {"sample_rate": None}, ValueError, "needs a sample_rate in Hz.*got None"),
        (np.zeros(100), {"sample_rate": -1}, ValueError, "got -1"),
        (np.zeros(100), {"max_seconds": 0}, ValueError, "above 0 and at most 60, got 0"),
        (np.zeros(100), {"max_seconds": 1000}, ValueError, "got 1000"),
    ],
)
def test_refused(audio, arguments, error, message):
    with pytest.raises(error, match=message):
        listen.player(audio, **({"sample_rate": 22050, "caption": "x"} | arguments))


def test_parser_of_this_test_sees_unclosed_tags():
    with pytest.raises(AssertionError):
        Page("<figure><audio></figure>")
