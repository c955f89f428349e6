"""Samples pasted over each other: what is pasted, and that image, label and inside stay together."""

import torch

from lsu.training.frames import Batch
from lsu.training.mixing import mixed


def coloured(labels: torch.Tensor, inside: torch.Tensor | None = None) -> Batch:
    """A batch whose pixel shows its sample's number and its label."""
    number = torch.arange(len(labels))[:, None, None].expand_as(labels)
    images = torch.stack([number, labels, labels], -1).to(torch.uint8)
    return Batch(images, labels, torch.ones_like(labels, dtype=torch.bool) if inside is None else inside)


def consistent(batch: Batch) -> bool:
    return torch.equal(batch.images[..., 1].long(), batch.labels)


def test_nothing_is_mixed_unless_asked() -> None:
    batch = coloured(torch.randint(0, 4, (3, 8, 8)))
    assert mixed(batch, "none") is batch


def test_classmix_pastes_half_of_the_classes_of_the_next_sample() -> None:
    labels = torch.arange(4).repeat(3, 8, 2)  # each sample has four classes
    labels[0, :, 0] = 255
    torch.manual_seed(0)
    result = mixed(coloured(labels), "classmix")
    assert consistent(result)
    for k in range(3):
        pasted = result.images[k, ..., 0] == (k + 1) % 3
        assert len(labels[(k + 1) % 3][pasted].unique()) == 2
        assert 255 not in labels[(k + 1) % 3][pasted]
        kept = result.images[k][~pasted]
        assert torch.equal(kept, coloured(labels).images[k][~pasted])


def test_of_three_classes_one_is_pasted_and_of_none_or_one_nothing() -> None:
    labels = torch.stack([torch.arange(3).repeat(6, 2), torch.full((6, 6), 255)])
    result = mixed(coloured(labels), "classmix")
    assert torch.equal(result.labels[0], labels[0])  # the next one is void
    assert len(result.labels[1].unique()) == 2  # void and one class
    one = coloured(torch.stack([torch.zeros(6, 6, dtype=torch.long), torch.ones(6, 6, dtype=torch.long)]))
    assert torch.equal(mixed(one, "classmix").labels, one.labels)


def test_cutmix_pastes_one_box_of_any_size() -> None:
    shares = []
    for seed in range(300):
        torch.manual_seed(seed)
        result = mixed(coloured(torch.randint(0, 4, (2, 20, 30))), "cutmix")
        assert consistent(result)
        pasted = result.images[0, ..., 0] == 1
        shares.append(pasted.float().mean().item())
        rows, columns = pasted.any(1), pasted.any(0)
        assert pasted.sum() == rows.sum() * columns.sum()
    assert 0.45 < sum(shares) / len(shares) < 0.55
    assert min(shares) < 0.05
    assert max(shares) > 0.95


def test_what_lies_outside_of_an_image_is_not_pasted() -> None:
    inside = torch.ones(2, 8, 8, dtype=torch.bool)
    inside[1, :, 4:] = False
    labels = torch.where(inside, torch.zeros(2, 8, 8, dtype=torch.long), 255)
    for kind in ("classmix", "cutmix"):
        for seed in range(5):
            torch.manual_seed(seed)
            result = mixed(coloured(labels, inside), kind)
            assert not (result.images[0, :, 4:, 0] == 1).any()
            assert torch.equal(result.inside, result.labels != 255)


def test_the_generator_decides() -> None:
    batch = coloured(torch.randint(0, 9, (4, 16, 16)))
    results = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        results.append(mixed(batch, "classmix").labels)
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])
