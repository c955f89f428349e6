"""Views: which there are, and how their scores are merged on the base view's grid."""

from collections.abc import Iterator

import numpy as np
import pytest
from pictures import SOURCE, BrightnessEngine

from lsu.runtime import InputError, ModelSpec
from lsu.runtime.relabel import views
from lsu.runtime.relabel.score_grid import resampled, softmax
from lsu.runtime.relabel.teachers import Network
from lsu.runtime.segmenter import Scores, Segmenter


def test_views_are_the_unscaled_one_and_all_that_the_list_asks_for() -> None:
    assert [str(v) for v in views.views_from_text("flip,0.75")] == ["1", "1 flipped", "0.75", "0.75 flipped"]
    assert views.views_from_text("") == (views.BASE,)
    for wrong in ("flop", "0", "nan", "1.5,-2"):
        with pytest.raises(InputError, match="neither 'flip' nor a scale"):
            views.views_from_text(wrong)


@pytest.fixture
def picture() -> Iterator[np.ndarray]:
    yield np.random.default_rng(3).integers(0, 200, (22, 37, 3), np.uint8)


def test_the_base_view_alone_gives_the_networks_own_scores(picture) -> None:
    segmenter = Segmenter(BrightnessEngine())
    merged = views.merged_scores(segmenter, picture)
    assert np.array_equal(merged.values, segmenter.scores(picture).values)


def test_the_flipped_view_of_a_mirror_blind_network_changes_nothing_where_grids_meet(picture) -> None:
    whole = np.ascontiguousarray(picture[:20, :36])  # no padding: cells of both views meet
    segmenter = Segmenter(BrightnessEngine())
    merged = views.merged_scores(segmenter, whole, views.views_from_text("flip"))
    expected = softmax(segmenter.scores(whole).values)
    assert np.allclose(merged.values, expected, atol=1e-6)
    assert merged.canvas == (20, 36)


def test_a_padded_flipped_view_lies_on_the_pixels_that_it_saw() -> None:
    # Left half dark, right half bright; the width is no multiple of 4, so the mirrored grid is shifted.
    image = np.zeros((8, 22, 3), np.uint8)
    image[:, 11:] = 170
    segmenter = Segmenter(BrightnessEngine())
    flipped = views._seen(image, views.View(flip=True))
    base = segmenter.scores(image)
    moved = resampled(
        segmenter.scores(flipped), base, seen=flipped.shape[:2], image=image.shape[:2], flip=True
    )
    # Cell middles in pixels are 2, 6, 10, 14, ...: at 2 and 6 the dark class wins, at 14 the bright one.
    assert moved[:, 0, :].argmax(0)[[0, 1, 3]].tolist() == [0, 0, 3]


def test_scaled_views_of_a_smooth_image_agree_with_the_base_view() -> None:
    ramp = (
        np.linspace(0, 190, 64, dtype=np.float32)[None, :, None].repeat(48, 0).repeat(3, 2).astype(np.uint8)
    )
    segmenter = Segmenter(BrightnessEngine())
    base = softmax(segmenter.scores(ramp).values)
    for text in ("0.5", "1.25", "2"):
        view = views.views_from_text(text)[1]
        seen = views._seen(ramp, view)
        moved = resampled(
            segmenter.scores(seen), segmenter.scores(ramp), seen=seen.shape[:2], image=ramp.shape[:2]
        )
        difference = np.abs(softmax(moved) - base)[:, 1:-1, 2:-2]
        assert difference.max() < 0.25, text
        assert difference.mean() < 0.03, text


def test_merged_scores_are_the_mean_of_the_views_softmax(picture) -> None:
    segmenter = Segmenter(BrightnessEngine())
    merged = views.merged_scores(segmenter, picture, views.views_from_text("flip,1.5"))
    assert np.allclose(merged.values.sum(0), 1, atol=1e-5)


def test_scales_need_an_input_of_free_size() -> None:
    fixed = ModelSpec(SOURCE, fit="resize", size=(32, 32))
    views.check_views(views.views_from_text("flip"), fixed)
    with pytest.raises(InputError, match="view 0.5 needs a bundle that takes any size, this one takes 32x32"):
        views.check_views(views.views_from_text("0.5"), fixed)


def test_the_first_view_must_be_the_unscaled_one() -> None:
    with pytest.raises(InputError, match="the first view must be the unscaled one"):
        Network(BrightnessEngine(), (views.View(0.5),))


def test_scales_need_a_fit_that_takes_them() -> None:
    exact = ModelSpec(SOURCE, fit="exact", multiple=8)
    with pytest.raises(InputError, match="this one takes exact multiples only"):
        views.check_views(views.views_from_text("0.5"), exact)


def test_large_scores_do_not_overflow_when_views_are_merged() -> None:
    assert softmax(np.array([[[1000.0]], [[0.0]]], np.float32)).ravel().tolist() == [1.0, 0.0]


def test_probabilities_are_not_softmaxed_again() -> None:
    class Probable(BrightnessEngine):
        spec = ModelSpec(SOURCE, fit="pad", multiple=4, scores="probabilities")

        def infer(self, images: np.ndarray) -> np.ndarray:
            return softmax(super().infer(images).swapaxes(0, 1)).swapaxes(0, 1)

    image = np.full((8, 8, 3), 70, np.uint8)
    merged = views.merged_scores(Segmenter(Probable()), image, views.views_from_text("flip"))
    assert isinstance(merged, Scores)
    assert np.allclose(merged.values, Probable().infer(image[None])[0], atol=1e-6)
