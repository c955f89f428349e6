"""Learning from labels that allow several classes: NLL+ and the numbering of sets."""

from pathlib import Path

import numpy as np
import pytest
import torch
from pictures import FOREIGN, SOURCE, write_dataset, write_png

from lsu.runtime import VOID, Dataset, InputError, LabelClass, LabelSpace, Relation
from lsu.runtime.image import grey_from_bytes
from lsu.runtime.segmenter import Segmenter
from lsu.training.checkpoint import Checkpoint
from lsu.training.config import Config
from lsu.training.fit import fit
from lsu.training.frames import AugmentedFrames, pixels_per_class
from lsu.training.losses import cross_entropy, partial_cross_entropy
from lsu.training.partial_labels import LabelSets
from lsu.training.sampling import SamplePlan
from lsu.training.torch_engine import TorchEngine
from lsu.training.transforms import Augmentation

MEMBERS = torch.zeros(257, 3, dtype=torch.bool)
MEMBERS[:3] = torch.eye(3, dtype=torch.bool)
MEMBERS[3] = torch.tensor([True, True, False])
MEMBERS[256] = True


def test_the_loss_of_a_set_is_minus_the_log_of_its_probability() -> None:
    scores = torch.log(torch.tensor([0.5, 0.3, 0.2])).reshape(1, 3, 1, 1) + 7.0
    label = torch.full((1, 1, 1), 3)
    loss = partial_cross_entropy(scores, label, MEMBERS)
    assert loss.item() == pytest.approx(-np.log(0.8), rel=1e-6)
    everything = torch.full((1, 1, 1), 256)
    assert partial_cross_entropy(scores, everything, MEMBERS).item() == pytest.approx(0.0, abs=1e-6)


def test_the_log_is_taken_per_pixel_and_then_averaged_over_known_pixels() -> None:
    probabilities = torch.tensor([[[0.5, 0.9, 0.1]], [[0.3, 0.05, 0.1]], [[0.2, 0.05, 0.8]]])[None]
    labels = torch.tensor([[[3, 3, VOID]]])
    loss = partial_cross_entropy(probabilities.log(), labels, MEMBERS)
    assert loss.item() == pytest.approx(-(np.log(0.8) + np.log(0.95)) / 2, rel=1e-6)


def test_labels_of_one_class_give_the_cross_entropy() -> None:
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(2, 3, 4, 5, generator=generator)
    labels = torch.randint(0, 3, (2, 8, 10), generator=generator)
    labels[0, :2] = VOID
    weights = torch.tensor([0.5, 2.0, 1.0])
    for options in ({}, {"weights": weights}, {"label_smoothing": 0.1}):
        expected = cross_entropy(scores, labels, **options)
        assert partial_cross_entropy(scores, labels, MEMBERS, **options).item() == pytest.approx(
            expected.item(), rel=1e-6
        )


def test_a_set_counts_as_much_as_the_mean_of_its_classes() -> None:
    scores = torch.zeros(1, 3, 1, 2)
    labels = torch.tensor([[[3, 2]]])
    weights = torch.tensor([1.0, 3.0, 6.0])
    expected = (2 * np.log(3 / 2) + 6 * np.log(3)) / (2 + 6)
    assert partial_cross_entropy(scores, labels, MEMBERS, weights=weights).item() == pytest.approx(expected)


def test_the_gradient_of_a_set_lifts_its_classes_together() -> None:
    scores = torch.zeros(1, 3, 1, 1, requires_grad=True)
    partial_cross_entropy(scores, torch.full((1, 1, 1), 3), MEMBERS).backward()
    down = scores.grad[0, :, 0, 0]
    assert down[:2].tolist() == pytest.approx([1 / 3 - 1 / 2] * 2)
    assert down[2].item() == pytest.approx(1 / 3)


def test_a_batch_of_void_has_loss_zero_and_no_nan() -> None:
    scores = torch.randn(1, 3, 2, 2, requires_grad=True)
    loss = partial_cross_entropy(scores, torch.full((1, 4, 4), VOID), MEMBERS)
    loss.backward()
    assert loss.item() == 0
    assert torch.isfinite(scores.grad).all()


def relation(**allow: list[str]) -> Relation:
    rows = {"ground": ["road"], "object": ["car", "person"], "above": ["sky", "void"], **allow}
    return Relation.from_names("r", SOURCE, FOREIGN, allow=rows)


@pytest.fixture
def split(tmp_path):
    return Dataset.load(write_dataset(tmp_path / "data")).split("train")


def test_single_classes_keep_their_index_and_sets_get_new_numbers(split) -> None:
    sets = LabelSets.of([split], [relation()])
    assert sets.space.identity == SOURCE.identity
    assert sets.numbers[0][:3].tolist() == [0, 4, 3]  # void beside sky has no effect
    assert sets.numbers[0][VOID] == VOID
    assert sets.members[4].tolist() == [False, True, True, False]
    assert not sets.members[VOID].any()
    assert sets.partial


def test_void_alone_is_void_and_equal_sets_share_a_number(split) -> None:
    sets = LabelSets.of([split], [relation(ground=["void"], above=["person", "car"])])
    assert sets.numbers[0][:3].tolist() == [VOID, 4, 4]


def test_void_pixels_teach_where_the_relation_says_something_of_them(split) -> None:
    sets = LabelSets.of([split], [relation(ego=["road", "sky"])])
    assert sets.members[sets.numbers[0][VOID]].tolist() == [True, False, False, True]


def test_labels_of_the_classes_themselves_need_no_sets(split) -> None:
    sets = LabelSets.of([split], [None])
    assert sets.numbers[0][:4].tolist() == [0, 1, 2, VOID]
    assert not sets.partial


def test_255_is_never_a_sets_number() -> None:
    source = LabelSpace("many", tuple(LabelClass(f"c{k}") for k in range(254)))
    foreign = LabelSpace("pairs", tuple(LabelClass(f"p{k}") for k in range(5)))
    rows = tuple(frozenset({k, k + 1}) for k in range(5))

    class Pairs:
        label_space, dataset = foreign, "pairs"

    sets = LabelSets.of([Pairs()], [Relation("r", source, foreign, rows)])
    assert sets.numbers[0][:5].tolist() == [254, 256, 257, 258, 259]
    assert not sets.members[VOID].any()
    assert sets.members[256, [1, 2]].all()


def test_only_labels_of_one_class_are_counted_for_the_balance(split) -> None:
    everything = pixels_per_class([split], LabelSets.of([split], [None]))
    through = pixels_per_class([split], LabelSets.of([split], [relation()]))
    assert through.tolist() == [everything[0], 0, 0, everything[2]]


def test_labels_of_one_class_add_up_in_the_balance(split) -> None:
    everything = pixels_per_class([split], LabelSets.of([split], [None]))
    through = pixels_per_class([split], LabelSets.of([split], [relation(object=["road"])]))
    assert through[0] == everything[0] + everything[1]


def test_each_entry_has_its_own_numbers(split) -> None:
    relations = [relation(), relation(ground=["sky"])]
    sets = LabelSets.of([split, split], relations)
    plan = SamplePlan(frames=(5, 5), weights=(1.0, 1.0), seed=0)
    augmentation = Augmentation(crop=(24, 40), scale=(1.0, 1.0), colour_jitter=0.0, fill=(0, 0, 0))
    frames = AugmentedFrames([split, split], sets.numbers, plan, [augmentation], cache_bytes=0)
    for number in range(10):
        labels = frames[number, 0].labels
        found = set(labels.unique().tolist())
        assert found <= ({0, 3, 4, VOID} if plan.draw(number).entry == 0 else {3, 4, VOID})
    assert any(0 in frames[number, 0].labels for number in range(10))


def test_what_lies_outside_the_image_teaches_nothing_whatever_void_pixels_teach(split) -> None:
    sets = LabelSets.of([split], [relation(ego=["road", "sky"])])
    unlabelled = sets.numbers[0][VOID]
    plan = SamplePlan(frames=(5,), weights=(1.0,), seed=0)
    augmentation = Augmentation(crop=(24, 80), scale=(1.0, 1.0), colour_jitter=0.0, fill=(0, 0, 0))
    frames = AugmentedFrames([split], sets.numbers, plan, [augmentation], cache_bytes=1 << 20)
    for number in range(10):  # all from the cache in the second five
        labels, inside = frames[number, 0].labels, frames[number, 0].inside
        void = split.read(split.frames[plan.draw(number).frame]).labels == VOID
        assert void.any()
        assert int((labels == unlabelled).sum()) == void.sum()
        assert int((labels == VOID).sum()) == int((~inside).sum()) == 24 * 40


def test_a_relation_of_other_labels_is_refused(split) -> None:
    other = LabelSpace("other", (LabelClass("a"), LabelClass("b")))
    wrong = Relation("w", SOURCE, other, (frozenset({0}), frozenset({1})))
    with pytest.raises(InputError, match="the foreign side of relation 'w' speaks 'other'"):
        LabelSets.of([split], [wrong])


def config(folder: Path, **changes) -> Config:
    (folder / "source.toml").write_text(SOURCE.to_toml())
    (folder / "r.toml").write_text(
        'name = "r"\nsource = "source.toml"\nforeign = "data/foreign.toml"\n[allow]\n'
        'ground = ["road", "car"]\nobject = ["car", "person"]\nabove = ["sky"]\n'
    )
    table = {
        "output": str(folder / "run"),
        "network": {
            "encoder": "tu-mobilenetv3_small_050",
            "decoder_channels": 32,
            "architecture": "segformer",
        },
        "data": [{"dataset": str(folder / "data"), "relation": str(folder / "r.toml")}],
        "fit": {"steps": 60, "batch_size": 6, "crop": [64, 64], "learning_rate": 4e-3, "threads": 1},
        **changes,
    }
    return Config.from_dict(table, "test")


def test_fitting_on_foreign_labels_learns_to_stay_within_what_they_allow(tmp_path) -> None:
    split = Dataset.load(write_dataset(tmp_path / "data", frames=6, size=(48, 64))).split("train")
    known = Relation.load(config(tmp_path).data[0].relation)
    checkpoint = Checkpoint.load(fit(config(tmp_path)).checkpoint)
    assert checkpoint.label_space.identity == SOURCE.identity
    segmenter = Segmenter(TorchEngine.from_checkpoint(checkpoint))
    inside = []
    for frame in split.frames:
        sample = split.read(frame)
        answers = segmenter.segment(sample.image).classes
        for label, allowed in enumerate(known.allowed):
            inside.append(np.isin(answers[sample.labels == label], sorted(allowed)))
    assert np.concatenate(inside).mean() > 0.8  # 0.42 is chance


def test_a_class_that_only_another_set_tells_apart_is_learned_from_it(tmp_path) -> None:
    wide = write_dataset(tmp_path / "data", frames=6, size=(48, 64)).parent
    few = write_dataset(tmp_path / "few", frames=2, size=(48, 64), seed=9).parent
    person_of = np.full(256, VOID, np.uint8)
    person_of[[7, 20, 33]] = [SOURCE.index(name) for name in ("road", "person", "sky")]
    split = Dataset.load(few).split("train")
    for frame in split.frames:
        write_png(frame.label, person_of[grey_from_bytes(frame.label.read_bytes(), frame.label)])
    (few / "foreign.toml").write_text(SOURCE.to_toml())
    entries = [
        {"dataset": str(wide), "relation": str(tmp_path / "r.toml")},
        {"dataset": str(few), "weight": 3},
    ]
    trained = fit(config(tmp_path, data=entries)).checkpoint
    segmenter = Segmenter(TorchEngine.from_checkpoint(Checkpoint.load(trained)))
    objects = Dataset.load(wide).split("train")
    answers = [
        segmenter.segment(sample.image).classes[sample.labels == 1]
        for sample in map(objects.read, objects.frames)
    ]
    assert (np.concatenate(answers) == SOURCE.index("person")).mean() > 0.6  # the relation allows car as well


def test_validation_cannot_go_through_a_relation(tmp_path) -> None:
    write_dataset(tmp_path / "data")
    data = {"dataset": str(tmp_path / "data"), "relation": str(tmp_path / "r.toml")}
    with pytest.raises(InputError, match="validation.relation: a score needs labels of the classes"):
        fit(config(tmp_path, validation=data))
    assert not (tmp_path / "run").exists()
