"""What the published section on contrastive learning leaves open, and what goes wrong there.

The page `book/reference/errata_contrastive.md` names these tests; the last test keeps the two
together.
"""

import math
import re
from pathlib import Path

import pytest
import torch
from torch.nn.functional import normalize

from mircourse import contrastive
from mircourse.cnn import MusicCNN
from mircourse.contrastive import SimCLR, alignment, nt_xent, uniformity

PAGE = Path(__file__).parents[1] / "book" / "reference" / "errata_contrastive.md"
N, D, TAU = 6, 5, 0.1


def views(noise, seed=0):
    """Two views of N clips: one direction each, more or less disturbed."""
    draw = torch.Generator().manual_seed(seed)
    z = torch.randn(N, D, generator=draw)
    return [z + noise * torch.randn(N, D, generator=draw) for _ in range(2)]


def pairs(z1, z2, *, cosine=True):
    """Similarities of 2N vectors, which is whose partner, and which are themselves."""
    z = torch.cat([z1, z2])
    z = normalize(z, dim=1) if cosine else z
    partner = torch.arange(len(z)).roll(len(z1))
    return z @ z.T, partner, torch.eye(len(z), dtype=torch.bool)


def as_printed(z1, z2, tau=TAU, *, cosine=True):
    """The loss of every ordered pair, (2N,), exponential by exponential."""
    sim, partner, itself = pairs(z1, z2, cosine=cosine)
    each = (sim / tau).exp()
    below = each.masked_fill(itself, 0).sum(dim=1)
    return -(each[torch.arange(len(each)), partner] / below).log()


def test_what_the_section_only_names_is_there_to_be_run():
    model = SimCLR(MusicCNN(width=0.05, n_mels=32), 8)
    loss = nt_xent(*(model(torch.randn(3, 32, 20)) for _ in range(2)), TAU)
    loss.backward()
    assert torch.isfinite(loss)
    assert {"Views", "linear_probe", "knn_probe"} <= set(contrastive.__all__)
    alike, apart = views(0.1), views(3.0)
    torch.testing.assert_close(nt_xent(*alike, TAU), as_printed(*alike).mean())
    assert nt_xent(*alike, TAU) < nt_xent(*apart, TAU)


def test_read_as_text_the_equation_prefers_views_that_disagree():
    """log exp(sim) times the sum: small where partners are unlike."""

    def as_text(z1, z2):
        sim, partner, itself = pairs(z1, z2)
        each = (sim / TAU).exp().masked_fill(itself, 0)
        return ((sim / TAU)[torch.arange(len(sim)), partner] * each.sum(dim=1)).mean()

    z1, _ = views(0.0)
    assert as_text(z1, -z1) < as_text(z1, z1)
    assert nt_xent(z1, -z1, TAU) > nt_xent(z1, z1, TAU)


def test_the_loss_of_one_direction_depends_on_which_view_is_first():
    z1, z2 = views(1.0)
    first, turned = (as_printed(*both)[:N].mean() for both in ((z1, z2), (z2, z1)))
    assert abs(first - turned) > 1e-3
    torch.testing.assert_close(nt_xent(z1, z2, TAU), nt_xent(z2, z1, TAU))
    torch.testing.assert_close(nt_xent(z1, z2, TAU), (first + turned) / 2)


def test_with_dot_products_longer_vectors_are_enough():
    z1, z2 = (normalize(z, dim=1) for z in views(0.1))
    losses = [as_printed(s * z1, s * z2, 1.0, cosine=False).mean() for s in (1.0, 2.0, 4.0)]
    assert losses[0] > losses[1] > losses[2]
    torch.testing.assert_close(nt_xent(4 * z1, 4 * z2, TAU), nt_xent(z1, z2, TAU))


def test_one_clip_has_no_negatives_and_a_loss_of_zero():
    z1, z2 = (z[:1].requires_grad_() for z in views(1.0))
    loss = as_printed(z1, z2).sum()
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-5) and z1.grad.abs().max() < 1e-5
    with pytest.raises(ValueError, match="one clip has no negatives"):
        nt_xent(z1, z2, TAU)


def test_in_half_precision_the_exponentials_overflow():
    z1, z2 = (z.half() for z in views(0.0))
    assert torch.finfo(torch.float16).max < math.exp(1 / 0.09)
    assert not torch.isfinite(as_printed(z1, z2, 0.01)).all()
    assert torch.isfinite(nt_xent(z1, z2, 0.01))


def test_agreement_alone_is_best_where_all_clips_are_one():
    same = torch.ones(N, D)
    apart = views(0.3)
    assert alignment(same, same) == 0 < alignment(*apart)
    assert nt_xent(same, same, TAU) == pytest.approx(math.log(2 * N - 1), abs=1e-5)
    assert uniformity(same) > uniformity(apart[0])


def test_the_page_and_these_tests_name_each_other():
    named = set(re.findall(r"`(test_\w+)`", PAGE.read_text(encoding="utf-8")))
    here = {name for name in globals() if name.startswith("test_")}
    assert named == here - {"test_the_page_and_these_tests_name_each_other"}
