import numpy as np
import pytest
import torch

from lsu.runtime import VOID
from lsu.training.losses import class_weights, cross_entropy, label_weight, partial_cross_entropy


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


@pytest.mark.parametrize("kind", ["plain", "weighted", "partial", "weighted partial"])
def test_means_of_parts_weighted_by_their_labels_are_the_mean_of_the_whole(kind) -> None:
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(4, 3, 4, 4, generator=generator)
    labels = torch.randint(0, 4, (4, 8, 8), generator=generator)
    members = torch.zeros(256, 3, dtype=torch.bool)
    members[[0, 1, 2, 3, 3], [0, 1, 2, 0, 1]] = True
    labels[labels == 3] = 3 if "partial" in kind else VOID
    labels[0, 2:] = VOID
    options = {"weights": torch.tensor([1.0, 5.0, 0.2])} if "weighted" in kind else {}
    sets = {"members": members} if "partial" in kind else {}
    loss = partial_cross_entropy if sets else cross_entropy
    means = torch.stack(
        [loss(scores[k : k + 2], labels[k : k + 2], *sets.values(), **options) for k in (0, 2)]
    )
    counts = torch.stack([label_weight(labels[k : k + 2], **sets, **options) for k in (0, 2)])
    whole = loss(scores, labels, *sets.values(), **options)
    assert counts[0] != counts[1]
    assert (means * counts).sum() / counts.sum() == pytest.approx(whole.item())
