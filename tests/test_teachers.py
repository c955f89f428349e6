"""Teachers: a network with views, stored scores, and the mean of several."""

from pathlib import Path

import numpy as np
import pytest
from pictures import FOREIGN, SOURCE, BrightnessEngine
from relabelling import request
from test_score_store import rewritten

from lsu.runtime import Frame, InputError, LabelSpace, ModelSpec, Segmenter, Split
from lsu.runtime.relabel.score_grid import softmax
from lsu.runtime.relabel.score_writer import ScoreWriter
from lsu.runtime.relabel.teachers import Ensemble, Network, StoredScores, Teacher
from lsu.runtime.relabel.views import merged_scores, views_from_text
from lsu.runtime.segmenter import Scores

FRAME = Frame("f0", Path("f0.png"), None)
IMAGE = np.random.default_rng(1).integers(0, 200, (24, 40, 3), np.uint8)


class Given:
    """A teacher that always answers the same."""

    def __init__(self, values: np.ndarray, canvas=(24, 40), kind="logits", space=SOURCE) -> None:
        self.label_space: LabelSpace = space
        self.void_channel = None if len(values) == len(space) else len(space)
        self.kind = kind
        self._scores = Scores(values.astype(np.float32), canvas)

    def facts(self) -> dict[str, object]:
        return {"given": float(self._scores.values.sum())}

    def check(self, split: Split) -> None:
        if split.name != "train":
            raise InputError("train only")

    def scores(self, _: Frame, __: np.ndarray) -> Scores:
        return self._scores


def random_values(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(scale=2, size=shape).astype(np.float32)


def stored(folder: Path, split: Split, kind="logits") -> Path:
    writer = ScoreWriter(folder, SOURCE, kind=kind)
    for k, frame in enumerate(split.frames):
        writer.write(split.name, frame.key, random_values(4, 6, 10, seed=k), (24, 40))
    return folder


def test_a_network_gives_its_own_scores_and_with_views_their_mean() -> None:
    plain, flipped = Network(BrightnessEngine()), Network(BrightnessEngine(), views_from_text("flip"))
    segmenter = Segmenter(BrightnessEngine())
    assert (plain.kind, flipped.kind) == ("logits", "probabilities")
    assert np.array_equal(plain.scores(FRAME, IMAGE).values, segmenter.scores(IMAGE).values)
    merged = merged_scores(segmenter, IMAGE, views_from_text("flip"))
    assert np.array_equal(flipped.scores(FRAME, IMAGE).values, merged.values)
    facts = {"network": "brightness", "label_space": SOURCE.identity, "views": ["1", "1 flipped"]}
    assert flipped.facts() == facts


def test_a_network_that_cannot_take_its_views_serves_no_split(tmp_path) -> None:
    class Fixed(BrightnessEngine):
        spec = ModelSpec(SOURCE, fit="resize", size=(24, 40))

    with pytest.raises(InputError, match="view 0.5 needs a bundle that takes any size"):
        Network(Fixed(), views_from_text("0.5")).check(request(tmp_path).split)


def test_an_ensemble_of_one_grid_is_the_mean_of_the_softmax() -> None:
    first, second = random_values(4, 6, 10), softmax(random_values(4, 6, 10, seed=1))
    teachers: list[Teacher] = [Given(first), Given(second, kind="probabilities")]
    for shares, expected in ((None, (0.5, 0.5)), ((3, 1), (0.75, 0.25))):
        scores = Ensemble(teachers, shares).scores(FRAME, IMAGE)
        powers = np.exp(first.astype(np.float64))
        mean = expected[0] * powers / powers.sum(0) + expected[1] * second
        assert np.allclose(scores.values, mean, atol=1e-6)
        assert scores.values.dtype == np.float32
        assert scores.canvas == (24, 40)


def by_hand(values: np.ndarray, canvas: tuple[int, int], y: float, x: float) -> np.ndarray:
    """Probabilities [C] at a place of the image in pixels, bilinear between the middles of cells."""
    powers = np.exp(values.astype(np.float64))
    probabilities = powers / powers.sum(0)
    height, width = values.shape[1:]
    row = min(max(y * height / canvas[0] - 0.5, 0), height - 1)
    column = min(max(x * width / canvas[1] - 0.5, 0), width - 1)
    top, left = int(row), int(column)
    bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
    a, b = row - top, column - left
    upper = (1 - b) * probabilities[:, top, left] + b * probabilities[:, top, right]
    lower = (1 - b) * probabilities[:, bottom, left] + b * probabilities[:, bottom, right]
    return (1 - a) * upper + a * lower


def test_an_ensemble_of_several_grids_lies_on_the_first_members() -> None:
    first, second, third = (
        random_values(4, 6, 10),
        random_values(4, 5, 7, seed=1),
        random_values(4, 16, 24, seed=2),
    )
    members = [Given(first), Given(second), Given(third, (32, 48))]  # the third saw a padded image
    scores = Ensemble(members, (1, 2, 1)).scores(FRAME, IMAGE)
    assert scores.values.shape == (4, 6, 10)
    for i, j in np.ndindex(6, 10):
        y, x = (i + 0.5) * 4, (j + 0.5) * 4
        mean = (
            by_hand(first, (24, 40), y, x)
            + 2 * by_hand(second, (24, 40), y, x)
            + by_hand(third, (32, 48), y, x)
        ) / 4
        assert np.allclose(scores.values[:, i, j], mean, atol=1e-5)


def test_the_void_channel_is_averaged_as_the_others() -> None:
    teachers = [Given(random_values(5, 6, 10, seed=k)) for k in range(2)]
    ensemble = Ensemble(teachers)
    assert ensemble.void_channel == 4
    assert np.allclose(ensemble.scores(FRAME, IMAGE).values.sum(0), 1, atol=1e-5)


def test_an_ensemble_tells_its_members_and_asks_each(tmp_path) -> None:
    split = request(tmp_path).split
    ensemble = Ensemble([Network(BrightnessEngine()), Given(random_values(4, 6, 10))], (3, 1))
    facts = ensemble.facts()
    assert facts["shares"] == [0.75, 0.25]
    assert [*facts["ensemble"][0]] == ["network", "label_space", "views"]
    ensemble.check(split)
    with pytest.raises(InputError, match="train only"):
        ensemble.check(Split(split.dataset, "val", split.decoder, split.frames, split.image_glob))


@pytest.mark.parametrize(
    ("others", "shares", "message"),
    [
        (
            [Given(random_values(3, 6, 10), space=FOREIGN)],
            None,
            "label spaces differ: teacher 2 speaks 'foreign'",
        ),
        ([Given(random_values(5, 6, 10))], None, "of teacher 1 and teacher 2 only one has a void channel"),
        ([], (1, 2), "2 shares for 1 teachers: give one to each"),
        ([], (1e308,), "shares are 1e\\+308; numbers above 0 are needed"),
        ([Given(random_values(4, 6, 10))], (1, 0), "shares are 1, 0; numbers above 0 are needed"),
        ([Given(random_values(4, 6, 10))], (1, float("nan")), "numbers above 0 are needed"),
    ],
)
def test_members_that_do_not_belong_together_are_refused(others, shares, message) -> None:
    with pytest.raises(InputError, match=message):
        Ensemble([Given(random_values(4, 6, 10)), *others], shares)


def test_stored_scores_are_those_of_the_frame(tmp_path) -> None:
    split = request(tmp_path).split
    teacher = StoredScores(stored(tmp_path / "s", split), split)
    teacher.check(split)
    for k, frame in enumerate(split.frames):
        scores = teacher.scores(frame, IMAGE)
        assert np.allclose(scores.values, random_values(4, 6, 10, seed=k), atol=1e-2)
    with pytest.raises(InputError, match="the scores are of an image of 40x24; it is 40x23"):
        teacher.scores(split.frames[0], IMAGE[:23])


def test_stored_scores_that_lack_frames_do_not_serve_the_split(tmp_path) -> None:
    split = request(tmp_path).split
    folder = stored(tmp_path / "s", split)
    for key in ("f1", "f3"):
        (folder / f"train/{key}.npz").unlink()
    with pytest.raises(InputError, match=r"2 of 5 frames have no stored scores, the first is .*train/f1.npz"):
        StoredScores(folder, split).check(split)
    other = Split("other", split.name, split.decoder, split.frames, split.image_glob)
    with pytest.raises(InputError, match="opened for split 'train'"):
        StoredScores(folder, split).check(other)


def test_the_facts_of_stored_scores_tell_any_change_of_a_used_file(tmp_path) -> None:
    split = request(tmp_path).split
    folder = stored(tmp_path / "s", split)
    facts = StoredScores(folder, split).facts()
    assert set(facts) == {"scores", "label_space"}
    ScoreWriter(folder, SOURCE, kind="logits").write("val", "f0", random_values(4, 6, 10), (24, 40))
    assert StoredScores(folder, split).facts() == facts
    rewritten(canvas=np.array([32, 48], np.int32))(folder / "train/f4.npz")
    assert StoredScores(folder, split).facts() != facts
