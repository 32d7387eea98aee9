"""Augmentations of audio on tones of known pitch and onset: the labels are where the sound is."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mircourse import recordings
from mircourse.augment import (
    Clips,
    Crop,
    Gain,
    MixUp,
    Noise,
    Pipeline,
    PitchShift,
    Room,
    SpecAugment,
    Speed,
    Sum,
    TimeStretch,
)
from mircourse.soundchanges import pitch_shifted, resampled, reverberated, stretched

RATE = 16000
SECONDS = 1.0
SMEARED = 0.025  # seconds, by the vocoder's window of 64 ms at this rate


def tones(*notes, seconds=SECONDS):
    """Return a clip for each list of (onset, offset, pitch), its notes as faded sines."""
    n = round(seconds * RATE)
    time = torch.arange(n, dtype=torch.float64) / RATE
    width = max(map(len, notes))
    audio = torch.zeros(len(notes), n, dtype=torch.float64)
    table = torch.full((len(notes), width, 3), torch.nan)
    for b, some in enumerate(notes):
        for k, (onset, offset, pitch) in enumerate(some):
            edges = ((time - onset) / 0.005).clamp(0, 1) * ((offset - time) / 0.005).clamp(0, 1)
            hertz = 440 * 2 ** ((pitch - 69) / 12)
            audio[b] += 0.3 * edges * torch.sin(2 * math.pi * hertz * time)
            table[b, k] = torch.tensor([onset, offset, pitch])
    return Clips(audio.float(), RATE, notes=table)


def heard_pitch(audio):
    """Return the MIDI pitch of the loudest partial, to a hundredth of a semitone."""
    x = audio.double().numpy()
    spectrum = np.abs(np.fft.rfft(x * np.hanning(len(x)), n=1 << 19))
    return 69 + 12 * np.log2(spectrum.argmax() * RATE / (1 << 19) / 440)


def heard_onset(audio):
    """Return the time at which the sound has come halfway to its loudest."""
    x = audio.double().numpy()
    level = np.sqrt(np.convolve(x**2, np.ones(80) / 80, mode="same"))
    return np.argmax(level > 0.5 * level.max()) / RATE


def sounding(clips, b=0, k=0):
    onset, offset = (clips.notes[b, k, :2] * RATE).round().int().tolist()
    return clips.audio[b, onset + 400 : offset - 400]


# ------------------------------------------------------------------------------ pitch and time


@settings(deadline=None, max_examples=8)
@given(pitch=st.integers(50, 84), onset=st.floats(0.05, 0.4), up=st.integers(-5, 5))
@pytest.mark.parametrize("kind", [PitchShift, Speed])
def test_a_pitch_shifted_tone_has_the_pitch_and_onset_of_its_label(kind, pitch, onset, up):
    """eq:practice-augment: what T does to the sound, T' does to its labels."""
    clips = tones([(onset, 0.65, pitch)])
    moved = kind(semitones=(up, up))(clips)
    assert moved.audio.shape == clips.audio.shape
    assert moved.notes[0, 0, 2] == pitch + up
    assert heard_pitch(sounding(moved)) == pytest.approx(pitch + up, abs=0.06)
    assert heard_onset(moved.audio[0]) == pytest.approx(moved.notes[0, 0, 0].item(), abs=SMEARED)
    if kind is PitchShift:
        torch.testing.assert_close(moved.notes[0, 0, :2], clips.notes[0, 0, :2])
    else:
        assert moved.notes[0, 0, 0].item() == pytest.approx(onset / 2 ** (up / 12), abs=1e-6)


@settings(deadline=None, max_examples=8)
@given(pitch=st.integers(50, 84), onset=st.floats(0.05, 0.4), rate=st.floats(0.75, 1.4))
def test_a_stretched_tone_keeps_its_pitch_and_its_onset_moves(pitch, onset, rate):
    clips = tones([(onset, 0.7, pitch)])
    moved = TimeStretch(rate=(rate, rate))(clips)
    assert moved.audio.shape == clips.audio.shape
    assert moved.notes[0, 0, 0].item() == pytest.approx(onset / rate, abs=1e-4)
    assert heard_onset(moved.audio[0]) == pytest.approx(onset / rate, abs=SMEARED)
    assert heard_pitch(sounding(moved)) == pytest.approx(pitch, abs=0.06)


def test_rates_are_drawn_between_the_bounds_for_each_clip():
    torch.manual_seed(0)
    clips = tones(*[[(0.4, 0.6, 69)]] * 64)
    moved = TimeStretch(rate=(0.8, 1.25))(clips)
    rates = 0.4 / moved.notes[:, 0, 0]
    assert 6 <= len(rates.unique()) <= 8
    assert rates.min().item() == pytest.approx(0.8) and rates.max().item() == pytest.approx(1.25)
    late = [heard_onset(x) for x in moved.audio]
    np.testing.assert_allclose(late, moved.notes[:, 0, 0], atol=SMEARED)


def test_what_is_stretched_out_of_the_clip_is_no_note_of_it():
    clips = tones([(0.1, 0.3, 60), (0.7, 0.95, 72)])
    moved = TimeStretch(rate=(0.5, 0.5))(clips)
    torch.testing.assert_close(moved.notes[0, 0], torch.tensor([0.2, 0.6, 60.0]))
    assert moved.notes[0, 1].isnan().all()
    moved = TimeStretch(rate=(0.8, 0.8))(clips)
    torch.testing.assert_close(moved.notes[0, 1], torch.tensor([0.875, 1.0, 72.0]))


def test_resampling_a_periodic_signal_is_exact():
    time = torch.arange(1000, dtype=torch.float64) / 1000
    x = (torch.sin(2 * math.pi * 40 * time) * torch.hann_window(1000, dtype=torch.float64))[None]
    for n in (500, 777, 1333):
        y = resampled(x, n=n)
        wanted_time = torch.arange(n, dtype=torch.float64) / n
        wanted = torch.sin(2 * math.pi * 40 * wanted_time) * torch.sin(math.pi * wanted_time) ** 2
        most = slice(0, round(0.9 * n))  # the very end is faded
        torch.testing.assert_close(y[0, most], wanted[most], atol=2e-3, rtol=0)
    assert resampled(x, n=1000) is x
    with pytest.raises(ValueError, match="n must be 1 or more, got 0"):
        resampled(x, n=0)


def test_a_stretch_by_one_or_a_shift_by_zero_changes_nothing():
    x = torch.from_numpy(recordings.load()[:2].audio(0.5))
    assert stretched(x, rate=1.0) is x and pitch_shifted(x, semitones=0) is x
    # And the vocoder's way in and out is true where it changes next to nothing.
    near = stretched(x, rate=1 + 1e-9)
    torch.testing.assert_close(near, x, atol=2e-4, rtol=1e-3)


@pytest.mark.parametrize("n", [1, 50, 1023])
def test_clips_shorter_than_a_window_keep_their_length(n):
    clips = Clips(torch.randn(3, n) * 0.1, RATE)
    for step in (PitchShift(semitones=(3, 3)), TimeStretch(rate=(0.8, 0.8)), Room(), Noise()):
        assert step(clips).audio.shape == (3, n)
        assert step(clips).audio.isfinite().all()


# --------------------------------------------------------------------- what moves no label


def test_gain_is_in_decibels():
    clips = tones([(0.1, 0.9, 69)])
    torch.testing.assert_close(Gain(decibels=(-6, -6))(clips).audio, clips.audio * 10**-0.3)


def test_noise_has_the_power_asked_for_and_silence_stays_silent():
    """eq:practice-snr."""
    torch.manual_seed(0)
    clips = tones([(0.0, 1.0, 69)], [(0.0, 1.0, 80)])
    noise = Noise(snr=(20, 20))(clips).audio - clips.audio
    ratio = clips.audio.square().mean(1) / noise.square().mean(1)
    torch.testing.assert_close(10 * ratio.log10(), torch.full((2,), 20.0), atol=0.2, rtol=0)
    silence = Clips(torch.zeros(2, 500), RATE)
    assert not Noise()(silence).audio.any()


def test_a_room_decays_as_asked_and_leaves_the_direct_sound():
    torch.manual_seed(0)
    click = torch.zeros(2, RATE)
    click[:, 800] = 1
    asked = {"seconds": torch.tensor([0.2, 0.6]), "wet": torch.tensor([0.1, 0.1])}
    heard = reverberated(click, **asked, sample_rate=RATE)
    assert heard[:, :800].abs().max() < 1e-5
    torch.testing.assert_close(heard[:, 800], torch.ones(2), atol=1e-4, rtol=0)
    tail = heard[:, 801:].square()
    torch.testing.assert_close(tail.sum(1), torch.full((2,), 0.1), atol=1e-3, rtol=0)
    # After half the reverberation time the energy that is left has fallen by 30 dB.
    for row, seconds in zip(tail, (0.2, 0.6), strict=True):
        left = row[round(seconds / 2 * RATE) :].sum() / row.sum()
        assert 10 * left.log10().item() == pytest.approx(-30, abs=2)


@pytest.mark.parametrize("step", [Gain(), Noise(), Room()])
def test_notes_and_classes_stay(step):
    clips = tones([(0.1, 0.4, 60), (0.5, 0.9, 72)])
    clips = Clips(clips.audio, RATE, notes=clips.notes, classes=torch.tensor([[1.0, 0]]))
    changed = step(clips)
    torch.testing.assert_close(changed.notes, clips.notes)
    torch.testing.assert_close(changed.classes, clips.classes)
    assert not torch.equal(changed.audio, clips.audio)


# ------------------------------------------------------------------------------ crop and mixing


def test_a_crop_takes_its_notes_along():
    torch.manual_seed(1)
    clips = tones(*[[(0.3, 0.5, 69), (0.8, 0.9, 72)]] * 16)
    cut = Crop(seconds=0.5)(clips)
    assert cut.audio.shape == (16, 8000)
    first = 0.3 - cut.notes[:, 0, 0]
    kept = cut.notes[:, 0, 0] > 0
    assert kept.any() and len(first[kept].unique()) > 3
    for x, note in zip(cut.audio[kept], cut.notes[kept, 0], strict=True):
        end = min(8000, round((note[1] * RATE).item()))
        assert heard_onset(x[:end]) == pytest.approx(note[0].item(), abs=0.01)
    assert cut.notes[:, 1].isnan().any() and (cut.notes[..., 1] <= 0.5 + 1e-6)[kept, 0].all()


def test_a_crop_may_have_to_be_early_and_pads_what_is_too_short():
    clips = Clips(torch.arange(100.0).repeat(50, 1), 100)
    starts = Crop(seconds=0.5, latest=0.1)(clips).audio[:, 0]
    assert set(starts.tolist()) <= set(range(11)) and len(starts.unique()) > 5
    longer = Crop(seconds=1.5)(clips).audio
    assert longer.shape == (50, 150) and not longer[:, 100:].any()


def test_mixup_weighs_sound_and_classes_alike():
    """eq:practice-mixup."""
    torch.manual_seed(0)
    x = torch.eye(4).repeat_interleave(5, dim=1)
    mixed = MixUp(alpha=1.0)(Clips(x, 10, classes=torch.eye(4)))
    torch.testing.assert_close(mixed.audio, mixed.classes.repeat_interleave(5, dim=1))
    torch.testing.assert_close(mixed.classes.sum(1), torch.ones(4))
    with pytest.raises(ValueError, match="use Sum"):
        MixUp()(tones([(0.1, 0.4, 60)]))


def test_a_sum_has_the_notes_and_classes_of_both():
    torch.manual_seed(3)
    one = tones([(0.1, 0.4, 60)], [(0.3, 0.9, 72)])
    clips = Clips(one.audio, RATE, notes=one.notes, classes=torch.eye(2))
    both = Sum(decibels=(0, 0))(clips)
    other = clips.take(torch.tensor([1, 0]))
    if torch.equal(both.classes, torch.eye(2)):  # each was added to itself
        other = clips
    scale = (clips.audio.square().mean(1) / other.audio.square().mean(1)).sqrt()[:, None]
    torch.testing.assert_close(both.audio, clips.audio + scale * other.audio)
    torch.testing.assert_close(both.notes, torch.cat([clips.notes, other.notes], dim=1))
    torch.testing.assert_close(both.classes, torch.maximum(clips.classes, other.classes))


def test_sums_stay_within_full_scale_and_silence_adds_nothing():
    loud = Clips(torch.ones(8, 100), 100)
    assert Sum(decibels=(6, 6))(loud).audio.abs().max() == 1
    silent = Clips(torch.zeros(8, 100), 100)
    assert not Sum()(silent).audio.any()


# -------------------------------------------------------------------------------------- pipeline


def test_probability_is_each_clip_s_own():
    torch.manual_seed(0)
    clips = Clips(torch.ones(2000, 10), 100, notes=torch.zeros(2000, 1, 3))
    louder = Gain(decibels=(6, 6), p=0.3)(clips)
    share = (louder.audio[:, 0] > 1).float().mean().item()
    assert share == pytest.approx(0.3, abs=0.05)
    assert Gain(p=0.0)(clips) is clips


def test_only_the_labels_of_changed_clips_change():
    torch.manual_seed(0)
    clips = tones(*[[(0.2, 0.6, 69)]] * 12)
    moved = PitchShift(semitones=(2, 2), p=0.5)(clips)
    for x, note in zip(moved.audio, moved.notes[:, 0], strict=True):
        assert heard_pitch(x[4000:9000]) == pytest.approx(note[2].item(), abs=0.06)
    assert set(moved.notes[:, 0, 2].tolist()) == {69.0, 71.0}


def test_sums_of_some_clips_widen_the_table_of_all():
    torch.manual_seed(0)
    clips = tones(*[[(0.2, 0.6, 60 + k)] for k in range(8)])
    mixed = Sum(p=0.5)(clips)
    assert mixed.notes.shape == (8, 2, 3)
    several = (~mixed.notes[..., 2].isnan()).sum(1)
    assert set(several.tolist()) == {1, 2}
    torch.testing.assert_close(mixed.notes[:, 0], clips.notes[:, 0])


def test_a_pipeline_is_its_steps_and_can_do_without_one():
    pipeline = Pipeline(PitchShift(semitones=(1, 1)), Gain(decibels=(-6, -6)))
    clips = tones([(0.2, 0.6, 69)])
    torch.testing.assert_close(
        pipeline(clips).audio, Gain(decibels=(-6, -6))(pipeline.steps[0](clips)).audio
    )
    assert repr(pipeline.without("PitchShift")) == "Pipeline(Gain(p=1.0, decibels=(-6, -6)))"
    with pytest.raises(ValueError, match="no step 'Room'; there are PitchShift, Gain"):
        pipeline.without("Room")
    with pytest.raises(TypeError, match="SpecAugment"):
        Pipeline(SpecAugment())


def test_the_seed_decides():
    clips = tones(*[[(0.2, 0.6, 69)]] * 6)
    pipeline = Pipeline(PitchShift(p=0.5), TimeStretch(), Room(), Noise(), Sum(p=0.5), Gain())
    found = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        found.append(pipeline(clips).audio)
    assert torch.equal(found[0], found[1]) and not torch.equal(found[0], found[2])


def test_targets_of_mixed_clips_are_shares():
    torch.manual_seed(0)
    x, y = torch.randn(6, 400), torch.arange(6) % 3
    change = Pipeline(MixUp(alpha=1.0)).batch_transform(sample_rate=RATE, n_classes=3)
    _, shares = change(x, y)
    assert shares.shape == (6, 3)
    torch.testing.assert_close(shares.sum(1), torch.ones(6))
    _, halves = Pipeline(Sum()).batch_transform(sample_rate=RATE, n_classes=3)(x, y)
    assert set(halves.flatten().tolist()) <= {0.0, 0.5, 1.0}
    plain = Pipeline(Gain()).batch_transform(sample_rate=RATE)
    assert plain(x, y)[1] is y


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Gain(p=1.5), r"p must be in \[0, 1\], got 1.5"),
        (lambda: Noise(snr=(40, 10)), r"Noise: snr must be two numbers, the lower one first"),
        (lambda: PitchShift(semitones=(0, math.nan)), "PitchShift: semitones must be two numbers"),
        (lambda: TimeStretch(rate=(0.0, 1.0)), "rate must be above 0"),
        (lambda: Crop(seconds=0), "seconds above 0"),
        (lambda: Crop(p=0.5), "Crop takes p=1"),
        (lambda: MixUp(alpha=0)(Clips(torch.ones(2, 9), 9)), "alpha must be above 0, got 0"),
        (lambda: Clips(torch.zeros(9), 9), r"audio must be \(B, n\), got \(9,\)"),
        (lambda: Clips(torch.full((2, 9), torch.nan), 9), "18 NaN or infinite"),
        (lambda: Clips(torch.ones(2, 9), 9, notes=torch.ones(1, 1, 3)), "each of the 2 clips"),
        (lambda: Clips(torch.ones(2, 9), 9, notes=torch.ones(2, 1, 4)), r"\(2, 1, 4\)"),
        (lambda: Clips(torch.ones(2, 9), 9, classes=torch.ones(2)), "classes must be"),
    ],
)
def test_what_is_out_of_range_is_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


# ----------------------------------------------------------------------------------- spectrograms


def test_specaugment_hides_bands_and_frames_behind_the_mean():
    torch.manual_seed(0)
    x = torch.rand(200, 40, 30)
    hidden = SpecAugment(bands=10, frames=6)(x)
    mean = x.mean(dim=(1, 2), keepdim=True)
    changed = hidden != x
    torch.testing.assert_close(hidden[changed], mean.expand_as(x)[changed])
    rows, frames = changed.all(dim=2).sum(1), changed.all(dim=1).sum(1)
    assert rows.max() == 10 and frames.max() == 6
    # Nothing else: a cell is hidden if its row or its frame is.
    either = changed.all(dim=2)[:, :, None] | changed.all(dim=1)[:, None]
    assert torch.equal(changed, either)


def test_specaugment_may_leave_a_spectrogram_as_it_is():
    torch.manual_seed(0)
    x = torch.rand(500, 8, 8)
    changed = (SpecAugment(p=0.5, bands=4, frames=4)(x) != x).flatten(1).any(1)
    # Of those that are chosen, 1 in 25 draws two widths of zero.
    assert changed.float().mean().item() == pytest.approx(0.48, abs=0.06)
    assert SpecAugment(bands=0, frames=0)(x).equal(SpecAugment(masks=0)(x))
    with pytest.raises(ValueError, match=r"expected spectrograms \(B, F, T\), got \(8, 8\)"):
        SpecAugment()(x[0])
    with pytest.raises(ValueError, match="numbers 0 or more"):
        SpecAugment(bands=-1)
