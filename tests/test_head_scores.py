"""The scores that the head's benchmark measures on: tiled, added to, with a given share of mixed cells."""

import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "tools"))

import head_scores

from lsu.runtime import InputError

RNG = np.random.default_rng
FRAMES = head_scores.middle_first(head_scores.made_up_frames(6, RNG(0)))


def test_a_row_is_continued_by_its_mirror_images_without_repeating_its_ends() -> None:
    places = head_scores.mirrored(np.arange(9, dtype=np.float64), 3)
    assert places.tolist() == [0, 1, 2, 1, 0, 1, 2, 1, 0]
    between = head_scores.mirrored(np.array([-0.25, 2.25, 3.5]), 3)
    assert between.tolist() == [0.25, 1.75, 0.5]
    assert head_scores.mirrored(np.arange(3, dtype=np.float64), 1).tolist() == [0, 0, 0]


def test_tiling_keeps_every_value_and_invents_none() -> None:
    scores = np.arange(2 * 3 * 4, dtype=np.float32).reshape(2, 3, 4)
    tiled = head_scores.mirror_tiled(scores, (5, 7))
    assert tiled[0, :, 0].tolist() == [0, 4, 8, 4, 0]
    assert tiled[1, 0].tolist() == [12, 13, 14, 15, 14, 13, 12]
    assert set(tiled.ravel()) == set(scores.ravel())
    assert np.array_equal(head_scores.mirror_tiled(scores, (3, 4)), scores)
    assert head_scores.mirror_tiled(scores, (2, 2), (1, 3))[0].tolist() == [[7, 6], [11, 10]]


def test_whole_mirror_images_have_the_share_of_the_map() -> None:
    scores = FRAMES[0].scores
    height, width = scores.shape[1:]
    tiled = head_scores.mirror_tiled(scores, (2 * height - 1, 3 * width - 2))
    assert head_scores.mixed_share(tiled) == pytest.approx(head_scores.mixed_share(scores), abs=1e-12)


def test_the_mixed_share_is_that_of_cells_with_two_best_classes() -> None:
    first = np.array([[1, 1, 0], [1, 1, 0]], np.float32)
    assert head_scores.mixed_share(np.stack([first, 0.5 + 0 * first])) == 0.5
    assert head_scores.mixed_share(np.stack([first, first - 1])) == 0.0


def test_labels_follow_the_scores_through_every_mirror() -> None:
    frame = FRAMES[0]
    enlarged = head_scores.StudentFrame("k", frame.scores, np.kron(frame.scores.argmax(0), np.ones((4, 4))))
    frame = replace(enlarged, labels=enlarged.labels.astype(np.uint8))
    for shift in ((0, 0), (7, 21)):
        scores = head_scores.mirror_tiled(frame.scores, (100, 150), shift)
        labels = head_scores.tiled_labels(frame, (800, 1200), 8, shift)
        inner = labels.reshape(100, 8, 150, 8)[:, 3:5, :, 3:5]  # the pixels nearest to each sample
        assert (inner == scores.argmax(0)[:, None, :, None]).all()


def test_labels_of_one_label_per_sample_and_pixel_are_the_labels() -> None:
    frame = head_scores.StudentFrame(
        "k", np.zeros((1, 3, 4), np.float32), np.arange(12, dtype=np.uint8).reshape(3, 4)
    )
    assert np.array_equal(head_scores.tiled_labels(frame, (3, 4), 1), frame.labels)


def test_the_shift_brings_the_share_nearest() -> None:
    frame = FRAMES[0]
    shift = head_scores.nearest_shift(frame.scores, (64, 128), frame.mixed_share)
    tiled = head_scores.mirror_tiled(frame.scores, (64, 128), shift)
    plain = head_scores.mirror_tiled(frame.scores, (64, 128))
    wanted = frame.mixed_share
    assert abs(head_scores.mixed_share(tiled) - wanted) <= abs(head_scores.mixed_share(plain) - wanted)
    assert head_scores.refuse_share(tiled, wanted, "tiled") == head_scores.mixed_share(tiled)


@pytest.mark.parametrize("classes", [11, 19, 65])
def test_added_classes_are_other_frames_maps_lowered(classes) -> None:
    scores = head_scores.with_classes(FRAMES, classes)
    assert scores.shape == (classes, 48, 64)
    assert np.array_equal(scores[:11], FRAMES[0].scores)
    assert head_scores.mixed_share(scores) == pytest.approx(FRAMES[0].mixed_share, abs=0.01)
    for k in range(11, classes):
        lowering = FRAMES[k // 11].scores[k % 11] - scores[k]
        assert np.ptp(lowering) < 1e-3
        assert lowering.mean() >= 0


def test_more_classes_than_frames_give_are_refused() -> None:
    with pytest.raises(InputError, match="23 classes need 3 frames, the split has 2"):
        head_scores.with_classes(FRAMES[:2], 23)


@pytest.mark.parametrize("share", [0.05, 0.1, 0.35, 1.0])
def test_a_share_that_is_asked_for_is_met_within_a_point(share) -> None:
    scores = head_scores.mirror_tiled(head_scores.with_classes(FRAMES, 19), (64, 128))
    made = head_scores.with_share(scores, share, RNG(1))
    assert share - 0.01 <= head_scores.mixed_share(made) <= share


def test_a_share_that_is_far_off_is_refused() -> None:
    with pytest.raises(InputError, match="noise: 100.0% mixed cells where 20.0%"):
        head_scores.refuse_share(RNG(0).normal(size=(19, 20, 20)).astype(np.float32), 0.2, "noise")


def test_the_measured_frame_has_the_median_share() -> None:
    shares = sorted(frame.mixed_share for frame in FRAMES)
    assert FRAMES[0].mixed_share == shares[2]


def test_a_real_student_keeps_its_share_when_it_is_tiled() -> None:
    data, bundle = os.environ.get("LSU_DATA"), os.environ.get("LSU_STUDENT")
    if data is None or bundle is None:
        pytest.skip("LSU_DATA, the folder of real data sets, or LSU_STUDENT, a student's bundle, is not set")
    frames = head_scores.middle_first(
        head_scores.student_frames(Path(bundle), Path(data) / "camvid11", "val")
    )
    wanted = frames[0].mixed_share
    for classes in (11, 19, 65):
        untiled = head_scores.with_classes(frames, classes)
        for sides in ((256, 512), (128, 256), (64, 128)):
            tiled = head_scores.mirror_tiled(
                untiled, sides, head_scores.nearest_shift(untiled, sides, wanted)
            )
            head_scores.refuse_share(tiled, wanted, f"{classes} classes, {sides}")
