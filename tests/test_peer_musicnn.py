"""The peer musicnn: its checkpoint reader, its architecture and its front end.

No downloaded weights: a checkpoint written by TensorFlow 2.15 is held here as text, larger ones
are written in the same format, and the architecture is compared with one written in NumPy in
TensorFlow's layout.
"""

import base64
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.lib.stride_tricks import sliding_window_view

from mircourse.experiments.peers import musicnn, tensor_bundle
from mircourse.experiments.peers.musicnn_network import Musicnn, state_dict

# Written by tf.compat.v1.train.Saver (TensorFlow 2.15.1) from the four variables in `GOLDEN`.
GOLDEN_INDEX = (
    "000IE0U81b0RRdQWMyu1WiMiBVRHxp5(E+g2m&YwHB?u^ECvP@Yh`k7Wo!rm5(p9k2m=xV2m&AoC>S-s+dUTr2N7Q}"
    "FJft7a|i(v1QG%W0U#hK1U1FNBc}ia4Rds5a0m$!03akN2sM8-ywm^y000310000%=$fzq0000100000!1AH6009DY"
    "0D1rb000310002mNP5kG2#f&^000000000000000000000000000000000000000000012`+$oibw}F"
)
GOLDEN_DATA = "0000#0002M00000004kL0000$002Nh004kM005vsB_yf?%LMyz9{~UW"
GOLDEN = {
    "dense/bias": np.array([0.5, -2], np.float32),
    "dense/kernel": np.arange(6, dtype=np.float32).reshape(3, 2),
    "dense_1/bias": np.array([1e-36], np.float32),
    "step": np.array(1234567890123, np.int64),
}


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def block(pairs: list[tuple[bytes, bytes]], restart_every: int) -> bytes:
    """A LevelDB block with its restart points and trailer."""
    out, restarts, last = bytearray(), [], b""
    for i, (key, value) in enumerate(pairs):
        shared = 0
        if i % restart_every == 0:
            restarts.append(len(out))
        else:
            while shared < min(len(key), len(last)) and key[shared] == last[shared]:
                shared += 1
        out += varint(shared) + varint(len(key) - shared) + varint(len(value))
        out += key[shared:] + value
        last = key
    for number in [*(restarts or [0]), max(len(restarts), 1)]:
        out += number.to_bytes(4, "little")
    out.append(0)
    return bytes(out) + tensor_bundle.masked_crc32c(bytes(out)).to_bytes(4, "little")


def write(prefix: str, variables: dict[str, np.ndarray], *, per_block: int = 7) -> None:
    """Write a checkpoint as TensorFlow lays it out, in blocks of `per_block` entries."""
    entries, data = [(b"", b"\x08\x01\x1a\x02\x08\x01")], b""
    codes = {dtype: code for code, dtype in tensor_bundle.DTYPES.items()}
    for name in sorted(variables, key=str.encode):
        array = variables[name]
        stored = array.tobytes()
        sizes = [b"\x08" + varint(n) if n else b"" for n in array.shape]
        shape = b"".join(b"\x12" + varint(len(size)) + size for size in sizes)
        entry = b"\x08" + varint(codes[array.dtype]) + b"\x12" + varint(len(shape)) + shape
        entry += b"\x20" + varint(len(data)) if data else b""
        entry += b"\x28" + varint(len(stored)) if stored else b""
        entry += b"\x35" + tensor_bundle.masked_crc32c(stored).to_bytes(4, "little")
        entries.append((name.encode(), entry))
        data += stored
    index, handles = b"", []
    for start in range(0, len(entries), per_block):
        part = entries[start : start + per_block]
        written = block(part, restart_every=3)
        handles.append((part[-1][0], varint(len(index)) + varint(len(written) - 5)))
        index += written
    places = b""
    for pairs in ([], handles):
        written = block(pairs, restart_every=1)
        places += varint(len(index)) + varint(len(written) - 5)
        index += written
    index += places.ljust(40, b"\0") + 0xDB4775248B80FB57.to_bytes(8, "little")
    Path(f"{prefix}.index").write_bytes(index)
    Path(f"{prefix}.data-00000-of-00001").write_bytes(data)


def random_variables(seed: int = 0) -> dict[str, np.ndarray]:
    """Variables named and shaped as in MTT_musicnn, well scaled."""
    rng = np.random.default_rng(seed)
    fronts = [(7, 38, 204), (7, 67, 204), (128, 1, 51), (64, 1, 51), (32, 1, 51)]
    kernels = [(t, f, 1, n) for t, f, n in fronts] + [(7, n, 1, 64) for n in (561, 64, 64)]
    variables = {}
    for kind, shapes in {"conv2d": kernels, "dense": [(1506, 200), (200, 50)]}.items():
        for i, shape in enumerate(shapes):
            name = f"{kind}_{i}" if i else kind
            scale = (0.1 if kind == "dense" else 1.4) / np.sqrt(np.prod(shape[:-1]))
            variables[f"{name}/kernel"] = rng.normal(size=shape) * scale
            variables[f"{name}/bias"] = rng.normal(size=shape[-1]) * 0.1
    for i, n in enumerate([1, *(shape[-1] for shape in kernels), 1506, 200]):
        name = f"batch_normalization_{i}" if i else "batch_normalization"
        variables[f"{name}/gamma"] = rng.uniform(-1, 1, n)  # a negative one turns max into min
        variables[f"{name}/beta"] = rng.normal(size=n) * 0.1
        variables[f"{name}/moving_mean"] = rng.normal(size=n) * 0.1
        variables[f"{name}/moving_variance"] = 10.0 ** rng.uniform(-2, 0.5, n)
    return {name: value.astype(np.float32) for name, value in variables.items()}


@pytest.fixture(scope="module")
def variables():
    return random_variables()


@pytest.fixture(scope="module")
def model(variables):
    network = Musicnn(musicnn.MTT_TAGS)
    network.load_state_dict(state_dict(network, variables))
    return network.eval()


@pytest.fixture
def golden(tmp_path):
    prefix = tmp_path / "model"
    Path(f"{prefix}.index").write_bytes(base64.b85decode(GOLDEN_INDEX))
    Path(f"{prefix}.data-00000-of-00001").write_bytes(base64.b85decode(GOLDEN_DATA))
    return prefix


def test_the_checksum_is_crc32c_masked_as_leveldb_does():
    # RFC 3720, B.4, and the customary check value.
    for data, crc in {
        b"123456789": 0xE3069283,
        bytes(32): 0x8A9136AA,
        bytes(range(32)): 0x46DD794E,
    }.items():
        rotated = (crc >> 15) | ((crc << 17) & 0xFFFFFFFF)
        assert tensor_bundle.masked_crc32c(data) == (rotated + 0xA282EAD8) % 2**32


def test_it_reads_what_tensorflow_wrote(golden):
    read = tensor_bundle.read(golden)
    assert list(read) == list(GOLDEN)
    for name, value in GOLDEN.items():
        assert read[name].dtype == value.dtype
        np.testing.assert_array_equal(read[name], value)


def test_skipped_variables_are_left_out(golden):
    assert list(tensor_bundle.read(golden, skip=("kernel", "_1"))) == ["dense/bias", "step"]


arrays = hnp.arrays(
    st.sampled_from(list(tensor_bundle.DTYPES.values())),
    hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5),
)


@settings(max_examples=30, deadline=None)
@given(
    variables=st.dictionaries(st.text("ab/_1é", min_size=1), arrays, max_size=12),
    per_block=st.integers(1, 13),
)
def test_any_variables_come_back(tmp_path_factory, variables, per_block):
    prefix = str(tmp_path_factory.mktemp("bundle") / "model")
    write(prefix, variables, per_block=per_block)
    read = tensor_bundle.read(prefix)
    assert list(read) == sorted(variables, key=str.encode)
    for name, value in variables.items():
        assert read[name].dtype == value.dtype
        np.testing.assert_array_equal(read[name], value)


@pytest.mark.parametrize("suffix", [".index", ".data-00000-of-00001"])
def test_no_changed_byte_goes_unnoticed(golden, suffix):
    path = Path(f"{golden}{suffix}")
    whole = path.read_bytes()
    n_checked = 0
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1 :])
        try:
            read = tensor_bundle.read(golden)
        except ValueError:
            n_checked += 1
        else:  # the padding and the unread block of statistics hold no variables
            for name, value in GOLDEN.items():
                np.testing.assert_array_equal(read[name], value)
    # Unread: the statistics' block (8 bytes and its trailer) and handle, the footer's padding.
    assert n_checked >= len(whole) - (13 + 40 if suffix == ".index" else 0)


@pytest.mark.parametrize("suffix", [".index", ".data-00000-of-00001"])
def test_truncated_files_are_refused(golden, suffix):
    path = Path(f"{golden}{suffix}")
    whole = path.read_bytes()
    for size in (0, 1, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(ValueError, match=r"model\.index"):
            tensor_bundle.read(golden)
    path.unlink()
    with pytest.raises(FileNotFoundError, match=suffix):
        tensor_bundle.read(golden)


def test_unread_parts_of_the_format_are_named(tmp_path, monkeypatch):
    prefix = str(tmp_path / "model")
    half = {**tensor_bundle.DTYPES, 19: np.dtype("<f2")}
    with monkeypatch.context() as patched:
        patched.setattr(tensor_bundle, "DTYPES", half)
        write(prefix, {"w": np.zeros(3, np.float16)})
    with pytest.raises(ValueError, match="w is of TensorFlow type 19"):
        tensor_bundle.read(prefix)


def reference(log_mel: np.ndarray, v: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Musicnn in NumPy, float64, in TensorFlow's layout (B, T, F, channels)."""

    def norm(x, i):
        p = f"batch_normalization_{i}/" if i else "batch_normalization/"
        spread = np.sqrt(v[p + "moving_variance"].astype(float) + 1e-3)
        return (x - v[p + "moving_mean"]) / spread * v[p + "gamma"] + v[p + "beta"]

    def conv(x, i):
        p = f"conv2d_{i}/" if i else "conv2d/"
        kernel = v[p + "kernel"].astype(float)
        total = kernel.shape[0] - 1
        padded = np.pad(x, [(0, 0), (total // 2, total - total // 2), (0, 0), (0, 0)])
        views = sliding_window_view(padded, kernel.shape[:2], axis=(1, 2))
        out = np.tensordot(views, kernel, axes=([4, 5, 3], [0, 1, 2]))
        return np.maximum(out + v[p + "bias"], 0)

    x = norm(log_mel[..., None].astype(float), 0)
    branches = [norm(conv(x, i), i + 1).max(axis=2) for i in range(5)]  # (B, T, channels)
    front = np.concatenate(branches, axis=2)
    cnn1 = norm(conv(front[..., None], 5), 6)[:, :, 0]
    cnn2 = norm(conv(cnn1[..., None], 6), 7)[:, :, 0] + cnn1
    cnn3 = norm(conv(cnn2[..., None], 7), 8)[:, :, 0] + cnn2
    every = np.concatenate([front, cnn1, cnn2, cnn3], axis=2)
    pooled = np.empty((len(every), 1506))
    pooled[:, 0::2], pooled[:, 1::2] = every.max(axis=1), every.mean(axis=1)
    dense = np.maximum(norm(pooled, 9) @ v["dense/kernel"] + v["dense/bias"], 0)
    penultimate = norm(dense, 10)
    return {
        "timbral": front[..., :408],
        "temporal": front[..., 408:],
        "cnn1": cnn1,
        "cnn2": cnn2,
        "cnn3": cnn3,
        "max_pool": every.max(axis=1),
        "mean_pool": every.mean(axis=1),
        "penultimate": penultimate,
        "taggram": 1 / (1 + np.exp(-(penultimate @ v["dense_1/kernel"] + v["dense_1/bias"]))),
    }


@pytest.mark.parametrize("n_frames", [1, 21])
def test_every_activation_is_that_of_the_published_graph(model, variables, n_frames):
    log_mel = np.random.default_rng(1).uniform(0, 4, (2, n_frames, 96)).astype(np.float32)
    with torch.inference_mode():
        got = model(torch.from_numpy(log_mel))
    expected = reference(log_mel, variables)
    assert set(got) == set(expected)
    assert expected["taggram"].std() > 0.02
    assert 0.001 < expected["taggram"].min() < expected["taggram"].max() < 0.999
    for name, value in expected.items():
        tolerance = 2e-5 * np.abs(value).max()
        np.testing.assert_allclose(got[name].numpy(), value, atol=tolerance, err_msg=name)


def test_every_variable_is_used_exactly_once(variables):
    network = Musicnn(musicnn.MTT_TAGS)
    state = state_dict(network, variables)
    learned = {name for name in state if not name.endswith("num_batches_tracked")}
    assert len(learned) == len(variables)
    assert sum(state[name].numel() for name in learned) == 792_079
    for name in variables:
        fewer = {key: value for key, value in variables.items() if key != name}
        with pytest.raises(ValueError, match=f"no variable {name}$"):
            state_dict(network, fewer)
    with pytest.raises(ValueError, match=r"has not: \['dense_2/bias'\]"):
        state_dict(network, variables | {"dense_2/bias": np.zeros(2, np.float32)})
    with pytest.raises(ValueError, match=r"dense_1/bias has shape \(51,\).*expected \(50,\)"):
        state_dict(network, variables | {"dense_1/bias": np.zeros(51, np.float32)})


def clip(seconds: float, sample_rate: int = 16000) -> np.ndarray:
    noise = np.random.default_rng(3).normal(size=int(seconds * sample_rate))
    return (0.1 * noise).astype(np.float32)


def test_the_front_end_is_the_formula_on_librosa_filters():
    import librosa

    audio = clip(3.5)
    padded = np.pad(audio.astype(float), 256, mode="reflect")
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(512) / 512)
    power = np.abs(np.fft.rfft(sliding_window_view(padded, 512)[::256] * hann)) ** 2
    mel = power @ librosa.filters.mel(sr=16000, n_fft=512, n_mels=96).T
    got = musicnn.log_mel(audio, sample_rate=16000)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got[0], np.log10(10000 * mel[:187] + 1), atol=1e-5)


@pytest.mark.parametrize(
    ("seconds", "sample_rate", "n_windows"),
    [(0.001, 16000, 1), (2.5, 22050, 1), (2.976, 16000, 1), (6, 44100, 2), (7, 8000, 2)],
)
def test_clips_are_cut_into_whole_windows(seconds, sample_rate, n_windows):
    got = musicnn.log_mel(clip(seconds, sample_rate), sample_rate=sample_rate)
    assert got.shape == (n_windows, 187, 96)
    assert np.isfinite(got).all()


def test_a_short_clip_is_repeated():
    audio = clip(1)
    twice = musicnn.log_mel(np.tile(audio, 3), sample_rate=16000)[0]
    # The last frame alone sees past the shortest clip that fills a window.
    np.testing.assert_allclose(
        musicnn.log_mel(audio, sample_rate=16000)[0, :-1], twice[:-1], atol=1e-5
    )


def test_silence_is_zero_and_bad_audio_is_refused():
    silence = musicnn.log_mel(np.zeros(100, np.float32), sample_rate=22050)
    np.testing.assert_array_equal(silence, np.zeros((1, 187, 96)))
    for bad in (np.zeros(0), np.zeros((2, 900)), np.array([0.0, np.nan])):
        with pytest.raises(ValueError):
            musicnn.log_mel(bad, sample_rate=16000)


def test_features_have_the_shapes_of_the_package_and_tags_come_in_order(model):
    audio = clip(6.5)
    got = musicnn.features(audio, sample_rate=16000, model=model)
    assert {name: value.shape for name, value in got.items()} == {
        "timbral": (374, 408),
        "temporal": (374, 153),
        "cnn1": (374, 64),
        "cnn2": (374, 64),
        "cnn3": (374, 64),
        "mean_pool": (2, 753),
        "max_pool": (2, 753),
        "penultimate": (2, 200),
        "taggram": (2, 50),
    }
    np.testing.assert_allclose(got["mean_pool"][1, :408], got["timbral"][187:].mean(0), atol=1e-5)
    ranked = musicnn.tags(audio, sample_rate=16000, model=model, top=50)
    assert sorted(name for name, _ in ranked) == sorted(musicnn.MTT_TAGS)
    mean = dict(zip(musicnn.MTT_TAGS, got["taggram"].mean(axis=0), strict=True))
    assert [p for _, p in ranked] == sorted((float(p) for p in mean.values()), reverse=True)
    assert all(mean[name] == p for name, p in ranked)


def test_the_installed_package_is_found_and_not_imported(tmp_path, monkeypatch, variables):
    package = tmp_path / "musicnn"
    (package / "MTT_musicnn").mkdir(parents=True)
    (package / "__init__.py").write_text("raise ImportError('this asks for TensorFlow')")
    monkeypatch.setattr(tensor_bundle, "masked_crc32c", zlib.crc32)  # quicker over 3 MB
    slots = {"dense/bias/Adam": np.zeros(2, np.float32), "beta1_power": np.float32([0.9])}
    write(f"{package / 'MTT_musicnn'}/", variables | slots)
    monkeypatch.syspath_prepend(tmp_path)
    network = musicnn.load()
    assert not network.training
    assert not any(p.requires_grad for p in network.parameters())
    np.testing.assert_array_equal(network.dense.weight.numpy(), variables["dense/kernel"].T)


def test_what_is_missing_is_named(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r"MTT_vgg.*MSD_musicnn"):
        musicnn.load(tmp_path, name="MTT_vgg")
    with pytest.raises(FileNotFoundError, match="MTT_musicnn"):
        musicnn.load(tmp_path)
    monkeypatch.setattr(musicnn, "find_spec", lambda name: None)
    with pytest.raises(FileNotFoundError, match="pip install --no-deps musicnn"):
        musicnn.load()
