"""What teachers say of a batch's images."""

import numpy as np
import pytest
import torch
from fixed_engine import Fixed, scores, softmax
from pictures import FOREIGN

from lsu.runtime import InputError, ModelSpec
from lsu.training.frames import Batch
from lsu.training.guide import Guide

IMAGES = np.zeros((1, 16, 24, 3), np.uint8)


def test_an_ensemble_is_the_mean_of_probabilities_without_void() -> None:
    with_void = scores(4, seed=7)
    members = [Fixed(scores()), Fixed(with_void, void_channel=3)]
    found = Guide(members, ["a", "b"]).answers(IMAGES, (4, 6)).scores[0].exp().numpy()
    expected = (softmax(scores()) + softmax(with_void[:3])) / 2
    assert np.allclose(found, expected, atol=1e-6)
    probabilities = Fixed(2 * softmax(scores(seed=8)), scores="probabilities")
    found = Guide([probabilities], ["a"]).answers(IMAGES, (4, 6)).scores[0].exp().numpy()
    assert np.allclose(found, softmax(scores(seed=8)), atol=1e-6)
    assert np.allclose(Guide(members[:1], ["a"]).answers(IMAGES, (4, 6)).scores[0], scores(), atol=1e-5)


def test_scores_are_taken_at_the_middles_of_the_students_cells() -> None:
    ramp = np.broadcast_to(np.arange(6, dtype=np.float32), (3, 4, 6))  # cells of 4x4 pixels, 22 of 24 used
    found = Guide([Fixed(ramp)], ["a"]).answers(np.zeros((1, 16, 22, 3), np.uint8), (2, 11)).scores[0]
    middles = np.arange(11) * 2 + 1.0
    assert np.allclose(found[0, 0], np.clip(middles / 4 - 0.5, 0, 5), atol=1e-5)
    assert torch.equal(found[0, 0], found[2, 1])


def test_teachers_must_speak_one_label_space() -> None:
    other = Fixed(scores())
    other.spec = ModelSpec(type(FOREIGN)("else", FOREIGN.classes[:2]), fit="pad", multiple=4)
    with pytest.raises(InputError, match="label spaces differ: a speaks"):
        Guide([Fixed(scores()), other], ["a", "b"])


def test_what_a_teacher_would_call_void_is_not_known() -> None:
    values = np.zeros((4, 4, 6))
    values[3, :2] = 1  # void's logit is the highest in the upper half
    values[1, 1] = 2  # but a class is above it in the second row
    guide = Guide([Fixed(values, void_channel=3)], ["a"])
    expected = np.ones((4, 6), bool)
    expected[0] = False
    assert np.array_equal(guide.answers(IMAGES, (4, 6)).known[0], expected)
    powers = Fixed(np.exp(values), void_channel=3, scores="probabilities")
    assert np.array_equal(Guide([powers], ["a"]).answers(IMAGES, (4, 6)).known[0], expected)


def test_all_is_known_without_a_channel_for_void() -> None:
    for kind in ("logits", "probabilities"):
        alike = Fixed(np.full((3, 4, 6), 0.1), scores=kind)
        assert Guide([alike], ["a"]).answers(IMAGES, (4, 6)).known.all()


def test_void_of_an_ensemble_is_the_mean_share_against_the_best_class() -> None:
    def of(*shares: float) -> Fixed:
        values = np.broadcast_to(np.array(shares)[:, None, None], (len(shares), 4, 6))
        return Fixed(values, scores="probabilities", void_channel=3 if len(shares) == 4 else None)

    sure, void = of(0.8, 0.1, 0.1), of(0.2, 0.1, 0.1, 0.6)
    assert Guide([sure, void], ["a", "b"]).answers(IMAGES, (4, 6)).known.all()  # 0.7 x 0.65 against 0.3
    unsure, rest = of(0.4, 0.3, 0.3), of(0.05, 0.0, 0.0, 0.95)
    assert not Guide([unsure, rest], ["a", "b"]).answers(IMAGES, (4, 6)).known.any()  # 0.525 x 0.7, 0.475


def test_classes_are_counted_where_there_is_an_image_and_no_void() -> None:
    best = np.zeros((4, 4, 6))
    best[1, :, :2] = 1
    best[2, 2:, 2:] = 2
    best[0, :2, 2:] = 3
    best[3, 3] = 4
    inside = torch.ones(2, 16, 24, dtype=torch.bool)
    inside[1, :, 9:] = False  # the third column's cells have their middles outside
    batch = Batch(torch.zeros(2, 16, 24, 3, dtype=torch.uint8), torch.zeros(2, 16, 24), inside)
    found = Guide([Fixed(best, void_channel=3)], ["t"]).cells_per_class([batch, batch])
    assert found.tolist() == [2 * 8, 2 * (6 + 6), 2 * 4]


def test_probabilities_of_nothing_but_void_do_not_poison_the_loss() -> None:
    nothing = Fixed(
        np.stack([np.zeros((4, 6))] * 3 + [np.ones((4, 6))]), void_channel=3, scores="probabilities"
    )
    guide = Guide([nothing], ["t"])
    assert guide.answers(IMAGES, (4, 6)).scores.isfinite().all()
