import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mircourse.choralegrid import REST
from mircourse.choralengram import PITCH_COLUMNS, STEP_COLUMNS, ChoraleNGram, _Cells

cells = st.one_of(st.integers(57, 62), st.just(REST))
grids = st.integers(1, 12).flatmap(lambda n: arrays(np.int16, (n, 4), elements=cells))


def one_grid(seed=0, n=40):
    rng = np.random.default_rng(seed)
    walk = np.cumsum(rng.integers(-2, 3, (n, 4)) * (rng.random((n, 4)) < 0.4), axis=0)
    return (walk + np.array([72, 67, 60, 50])).astype(np.int16)


def by_hand(grid, t, v):
    """The columns of one cell, from their description."""
    last = int(grid[t - 1, v]) if t else -1
    began = t - 1
    while began > 0 and grid[began - 1, v] == last:
        began -= 1
    values = {
        "voice": v,
        "last": last,
        "place 4": t % 4,
        "moved": sum(2**u for u in range(v) if t == 0 or grid[t, u] != grid[t - 1, u]),
        "held": min(t - began if t else 0, 16),
        "before": int(grid[began - 1, v]) if t and began > 0 else -1,
    }
    for k in (1, 2, 3):
        values[f"above {k}"] = int(grid[t, v - k]) if v >= k else -1
        values[f"below {k}"] = int(grid[t - 1, v + k]) if t and v + k < 4 else -1
    for name in [name for name in values if name.split()[0] in ("above", "below", "before")]:
        kind, _, k = name.partition(" ")
        known = 0 <= values[name] < REST and 0 <= last < REST
        values[f"{kind}-step {k}".strip()] = values[name] - last + 128 if known else 257
    return values


@given(grids)
def test_columns_are_as_described(grid):
    found = _Cells(grid)
    for names in (STEP_COLUMNS, PITCH_COLUMNS):
        columns = found.columns(names)
        for at, row in enumerate(columns.tolist()):
            values = by_hand(grid, at // 4, at % 4)
            assert row == [values[name] for name in names]


@given(grids)
@settings(max_examples=20)
def test_probabilities_sum_to_one_and_give_the_cost(grid):
    model = ChoraleNGram().fit([one_grid()])
    p = model.probabilities(grid)
    assert p.shape == (grid.size, 129) and (p > 0).all()
    np.testing.assert_allclose(p.sum(1), 1)
    expected = -sum(np.log(p[at, symbol]) for at, symbol in enumerate(grid.ravel()))
    assert model.nats(grid) == pytest.approx(expected)


@given(grids, st.data())
@settings(max_examples=20)
def test_a_cell_does_not_know_what_comes(grid, data):
    at = data.draw(st.integers(0, grid.size - 1))
    other = grid.copy().ravel()
    other[at:] = 40
    model = ChoraleNGram().fit([one_grid()])
    p, q = (model.probabilities(g)[: at + 1] for g in (grid, other.reshape(grid.shape)))
    np.testing.assert_allclose(p, q)


def test_steps_know_no_key():
    model = ChoraleNGram(steps=1.0).fit([one_grid()])
    grid = one_grid(1)
    here, there = (model.probabilities(g)[4:] for g in (grid, grid + 5))
    # From the second row on each voice has a last pitch to step from. What leads out of 0 to 127
    # is shared out, so that the two differ by next to nothing.
    np.testing.assert_allclose(there[:, 10:120], here[:, 5:115], rtol=1e-3)
    assert model.nats(one_grid()) < model.nats(grid)


def test_it_is_the_mean_of_its_parts():
    learn, grid = [one_grid(seed) for seed in range(3)], one_grid(9)
    parts = [ChoraleNGram(steps=share).fit(learn).probabilities(grid) for share in (0.0, 1.0, 0.3)]
    np.testing.assert_allclose(parts[2], 0.7 * parts[0] + 0.3 * parts[1])


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="steps must be"):
        ChoraleNGram(steps=1.5)
    with pytest.raises(ValueError, match="no chorales"):
        ChoraleNGram().fit([])
    with pytest.raises(ValueError, match=r"shape \(T, 4\)"):
        ChoraleNGram().fit([np.zeros((3, 5), int)])
