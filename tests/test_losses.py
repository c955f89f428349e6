import numpy as np
import pytest
import torch

from lsu.runtime import VOID
from lsu.training.losses import class_weights, cross_entropy


def test_the_loss_is_the_mean_over_pixels_with_a_class() -> None:
    scores = torch.zeros(1, 2, 2, 2)
    scores[0, 1, 0, 0] = 2.0
    labels = torch.tensor([[[1, 0], [VOID, VOID]]])
    by_hand = (torch.log(1 + torch.exp(torch.tensor(-2.0))) + torch.log(torch.tensor(2.0))) / 2
    assert cross_entropy(scores, labels).item() == pytest.approx(by_hand.item())


def test_void_pixels_give_no_gradient() -> None:
    scores = torch.randn(1, 3, 4, 4, generator=torch.Generator().manual_seed(0), requires_grad=True)
    labels = torch.full((1, 4, 4), VOID)
    labels[0, 0, 0] = 1
    cross_entropy(scores, labels).backward()
    touched = scores.grad.abs().sum(1)[0] > 0
    assert touched.nonzero().tolist() == [[0, 0]]


def test_a_batch_of_void_has_loss_zero_and_no_nan() -> None:
    scores = torch.randn(2, 3, 4, 4, requires_grad=True)
    loss = cross_entropy(scores, torch.full((2, 8, 8), VOID))
    loss.backward()
    assert loss.item() == 0.0
    assert not scores.grad.abs().sum()


def test_low_resolution_scores_are_compared_at_the_labels_size() -> None:
    scores = torch.zeros(1, 2, 1, 1)
    scores[0, 1] = 3.0
    labels = torch.ones(1, 4, 4, dtype=torch.long)
    expected = torch.log(1 + torch.exp(torch.tensor(-3.0))).item()
    assert cross_entropy(scores, labels).item() == pytest.approx(expected)


def test_rare_classes_are_lifted_to_the_median() -> None:
    pixels = np.array([100, 25, 400, 0])
    assert class_weights(pixels, 1.0).tolist() == [1.0, 4.0, 0.25, 1.0]
    assert class_weights(pixels, 0.5).tolist() == [1.0, 2.0, 0.5, 1.0]
    assert class_weights(pixels, 0.0).tolist() == [1.0] * 4


def test_the_weighted_loss_is_the_weighted_mean() -> None:
    scores = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    labels = torch.tensor([0, 1, 2, VOID]).repeat(8).view(2, 4, 4)
    weights = torch.tensor([1.0, 4.0, 0.5])
    known = labels != VOID
    each = torch.nn.functional.cross_entropy(scores, labels.where(known, 0), reduction="none")
    w = weights[labels.where(known, 0)] * known
    expected = ((each * w).sum() / w.sum()).item()
    assert cross_entropy(scores, labels, weights=weights).item() == pytest.approx(expected)
