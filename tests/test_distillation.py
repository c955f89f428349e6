"""Losses of a student against its teacher, each against a case that was computed by hand."""

import numpy as np
import pytest
import torch
from torch import Tensor

from lsu.training.distillation import channel_wise, correlation, soft_cross_entropy, transfer

# Two pixels, two classes.
STUDENT, TEACHER = np.array([[0.75, 0.25], [0.5, 0.5]]), np.array([[0.9, 0.1], [0.2, 0.8]])
BOTH, FIRST = torch.tensor([[[True, True]]]), torch.tensor([[[True, False]]])
LOSSES = (soft_cross_entropy, channel_wise, correlation, transfer)


def logits(probabilities: np.ndarray, shift: float = 0.0) -> Tensor:
    """Pixels x classes to logits [1, C, 1, P]."""
    return torch.tensor(np.log(probabilities) + shift, dtype=torch.float32).T[None, :, None, :]


def test_soft_cross_entropy_by_hand() -> None:
    by_hand = -(0.9 * np.log(0.75) + 0.1 * np.log(0.25)), -np.log(0.5)
    loss = soft_cross_entropy(logits(STUDENT, 3), logits(TEACHER, -2), BOTH)
    assert loss.item() == pytest.approx(np.mean(by_hand), rel=1e-5)
    assert soft_cross_entropy(logits(STUDENT), logits(TEACHER), FIRST).item() == pytest.approx(
        by_hand[0], rel=1e-5
    )


def test_a_temperature_softens_both_and_multiplies_by_its_square() -> None:
    soft = [np.sqrt(p) / np.sqrt(p).sum(1, keepdims=True) for p in (STUDENT, TEACHER)]
    by_hand = 4 * -(soft[1] * np.log(soft[0])).sum(1).mean()
    loss = soft_cross_entropy(logits(STUDENT), logits(TEACHER), BOTH, temperature=2.0)
    assert loss.item() == pytest.approx(by_hand, rel=1e-5)


def test_channel_wise_by_hand() -> None:
    ours, theirs = (
        np.array([[1.0, 0.0], [0.0, 2.0]]),
        np.array([[0.0, 3.0], [1.0, 1.0]]),
    )  # logits, class x pixel
    spread = [np.exp(m / 4) / np.exp(m / 4).sum(1, keepdims=True) for m in (ours, theirs)]
    by_hand = 16 / 2 * (spread[1] * np.log(spread[1] / spread[0])).sum()
    student, teacher = (torch.tensor(m, dtype=torch.float32)[None, :, None, :] for m in (ours, theirs))
    assert channel_wise(student, teacher, BOTH).item() == pytest.approx(by_hand, rel=1e-5)
    two = [torch.cat([t, t]) for t in (student, teacher)]
    assert channel_wise(*two, torch.cat([BOTH, BOTH])).item() == pytest.approx(by_hand, rel=1e-5)
    with_more = [torch.cat([t, torch.full((1, 2, 1, 1), 9.0)], 3) for t in (student, teacher)]
    outside = torch.tensor([[[True, True, False]]])
    assert channel_wise(*with_more, outside).item() == pytest.approx(by_hand, rel=1e-5)


def test_correlation_by_hand() -> None:
    # Over two classes a pixel's correlation is 1 or -1; the student's second pixel is constant: 0.
    between = 1 - (1 + 0) / 2
    # Over two pixels a class's correlation is 1 or -1: both fall for the first class and rise for the other.
    loss = correlation(logits(STUDENT), logits(TEACHER), BOTH)
    assert loss.item() == pytest.approx(between + 0, abs=1e-5)
    turned = correlation(logits(STUDENT[::-1].copy()), logits(TEACHER), BOTH)
    assert turned.item() == pytest.approx((1 - (0 - 1) / 2) + 2, abs=1e-5)


def test_the_transfer_losses_by_hand() -> None:
    floor = np.log(STUDENT + 1e-4)
    soft = -(TEACHER * floor).sum(1)
    weights = torch.tensor([1.0, 5.0])
    assert transfer(logits(STUDENT), logits(TEACHER), BOTH).item() == pytest.approx(soft.mean(), rel=1e-5)
    weighted = transfer(logits(STUDENT), logits(TEACHER), BOTH, weights=weights).item()
    assert weighted == pytest.approx((soft[0] + 5 * soft[1]) / 2, rel=1e-5)
    hard = transfer(logits(STUDENT), logits(TEACHER), BOTH, hard=True, weights=weights).item()
    assert hard == pytest.approx(-(floor[0, 0] + 5 * floor[1, 1]) / 2, rel=1e-5)


@pytest.mark.parametrize("loss", LOSSES)
def test_pixels_outside_an_image_teach_nothing(loss) -> None:
    generator = torch.Generator().manual_seed(0)
    student, teacher = (torch.randn(2, 3, 4, 5, generator=generator) for _ in range(2))
    student.requires_grad_()
    inside = torch.ones(2, 4, 5, dtype=torch.bool)
    inside[0, :, 3:] = False
    inside[1] = False
    loss(student, teacher, inside).backward()
    assert torch.isfinite(student.grad).all()
    assert not student.grad.permute(0, 2, 3, 1)[~inside].any()
    assert student.grad.permute(0, 2, 3, 1)[inside].any()
    nothing = loss(student, teacher, torch.zeros_like(inside))
    assert nothing.item() == 0
    nothing.backward()


@pytest.mark.parametrize("loss", [soft_cross_entropy, correlation, channel_wise])
def test_no_student_is_better_than_the_teacher_itself(loss) -> None:
    generator = torch.Generator().manual_seed(1)
    teacher = torch.randn(2, 4, 3, 3, generator=generator)
    inside = torch.ones(2, 3, 3, dtype=torch.bool)
    best = loss(teacher, teacher, inside)
    for _ in range(5):
        other = teacher + 0.5 * torch.randn(teacher.shape, generator=generator)
        assert loss(other, teacher, inside) > best
