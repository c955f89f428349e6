import numpy as np
import pytest

from lsu.runtime import InputError
from lsu.training.centroids import Centroids
from lsu.training.sampling import BatchPlan, ClassShare, SamplePlan


def drawn(plan: SamplePlan, numbers: range) -> list[tuple[int, int]]:
    return [(d.entry, d.frame) for d in map(plan.draw, numbers)]


def test_without_weights_an_epoch_is_each_frame_once_in_shuffled_order() -> None:
    plan = SamplePlan(frames=(5, 3), weights=(1, 1), seed=1)
    everything = [(0, k) for k in range(5)] + [(1, k) for k in range(3)]
    first, second = drawn(plan, range(8)), drawn(plan, range(8, 16))
    assert sorted(first) == sorted(second) == everything
    assert first != second
    assert first != everything


def test_weights_share_an_epoch_out() -> None:
    plan = SamplePlan(frames=(90, 10), weights=(1, 9), seed=0)
    assert plan.quotas() == (50, 50)
    epoch = drawn(plan, range(100))
    assert sum(entry == 0 for entry, _ in epoch) == 50
    assert {n for k in range(10) for n in [epoch.count((1, k))]} == {5}  # whole passes over the small one


def test_a_sample_does_not_depend_on_the_samples_before_it() -> None:
    plan = SamplePlan(frames=(7, 4), weights=(1, 3), seed=5)
    straight = [(d.entry, d.frame, d.generator.random()) for d in map(plan.draw, range(40))]
    jumping = {n: plan.draw(n) for n in (39, 3, 17, 0)}
    for n, d in jumping.items():
        assert (d.entry, d.frame, d.generator.random()) == straight[n]


def test_seeds_differ_and_so_do_the_generators_of_samples() -> None:
    plans = [SamplePlan(frames=(50,), weights=(1,), seed=s) for s in (0, 1)]
    assert drawn(plans[0], range(50)) != drawn(plans[1], range(50))
    assert len({plans[0].draw(n).generator.random() for n in range(50)}) == 50


def test_an_entry_that_would_never_be_drawn_is_refused() -> None:
    with pytest.raises(InputError, match="data.1.weight 0.01 is .* never drawn"):
        SamplePlan(frames=(1000, 2), weights=(1, 0.01), seed=0)


def test_a_plan_without_frames_is_refused() -> None:
    for frames, weights in (((), ()), ((0,), (1.0,)), ((3,), (1.0, 1.0))):
        with pytest.raises(InputError, match="needs frames and a weight for each entry"):
            SamplePlan(frames=frames, weights=weights, seed=0)


def test_an_entry_that_ended_leaves_its_samples_to_the_others() -> None:
    plan = SamplePlan(frames=(4, 6), weights=(1, 1), seed=3, ends=(None, 15))
    entries = [d.entry for d in map(plan.draw, range(40))]
    assert entries[:10].count(1) == 6
    assert 1 in entries[10:15]
    assert set(entries[15:]) == {0}
    for end in range(10, 20):
        ending = SamplePlan(frames=(4, 60), weights=(1, 1), seed=3, ends=(None, end))
        assert {d.entry for d in map(ending.draw, range(end, 64))} == {0}
    later = drawn(plan, range(20, 30))
    assert all(later.count((0, k)) >= 2 for k in range(4))  # two whole passes and a part


# Entry 0 has class 0 in both frames; entry 1 has classes 0 and 1 in its first frame; class 2 is nowhere.
CENTROIDS = Centroids(
    np.array([(0, 0, 0), (0, 1, 0), (1, 0, 0), (1, 0, 1)]),
    np.array([(1, 2), (3, 4), (5, 6), (7.5, 8)], np.float32),
)


def by_class(share: float = 0.5, boosts: tuple[float, ...] = (1, 1, 1)) -> ClassShare:
    return ClassShare(CENTROIDS, share, boosts)


def test_each_class_gets_its_part_of_an_epoch_and_the_rest_is_drawn_alike() -> None:
    plan = SamplePlan(frames=(20, 10), weights=(1, 1), seed=0, by_class=by_class())
    for epoch in range(3):
        draws = [plan.draw(n) for n in range(30 * epoch, 30 * epoch + 30)]
        focused = [d for d in draws if d.focus is not None]
        assert len(focused) == 10  # int(0.5 * 30 / 3) for each of the two classes that there are
        assert sum(d.focus == (7.5, 8) for d in focused) == 5
        assert {(d.entry, d.frame) for d in focused if d.focus == (3, 4)} <= {(0, 1)}
        assert sum(d.focus is None for d in draws) == 20


def test_the_centroids_of_a_class_take_turns() -> None:
    plan = SamplePlan(frames=(20, 16), weights=(1, 1), seed=0, by_class=by_class())
    found = [d.focus for d in map(plan.draw, range(36)) if d.focus is not None and d.focus != (7.5, 8)]
    assert sorted(found) == [(1, 2)] * 2 + [(3, 4)] * 2 + [(5, 6)] * 2


def test_weights_share_a_class_out() -> None:
    plan = SamplePlan(frames=(20, 16), weights=(1, 4), seed=0, by_class=by_class())
    found = [d.focus for d in map(plan.draw, range(36)) if d.focus is not None]
    assert found.count((5, 6)) == 4  # 1 centroid with weight 4 against 2 with weight 1


def test_a_boost_multiplies_the_part_of_a_class() -> None:
    plan = SamplePlan(frames=(20, 10), weights=(1, 1), seed=0, by_class=by_class(boosts=(1, 3, 1)))
    found = [d.focus for d in map(plan.draw, range(30)) if d.focus is not None]
    assert (found.count((7.5, 8)), len(found)) == (15, 20)


def test_centroids_of_an_entry_that_ended_are_drawn_no_more() -> None:
    plan = SamplePlan(frames=(20, 10), weights=(1, 1), seed=0, ends=(None, 30), by_class=by_class())
    draws = [plan.draw(n) for n in range(30, 60)]
    assert {d.entry for d in draws} == {0}
    assert sum(d.focus is not None for d in draws) == 5


@pytest.mark.parametrize(
    ("frames", "asked", "message"),
    [
        ((3, 2), by_class(), "fit.centroids 0.5 of an epoch of 5 images is not one for each of 3 classes"),
        ((20, 10), by_class(boosts=(1, 9, 1)), "fit.centroid_boost asks for 55 of an epoch's 30 samples"),
    ],
)
def test_parts_that_cannot_be_are_refused(frames: tuple[int, int], asked: ClassShare, message: str) -> None:
    with pytest.raises(InputError, match=message):
        SamplePlan(frames=frames, weights=(1, 1), seed=0, by_class=asked)


def test_each_batch_has_its_counts_and_no_frame_twice_before_all_were_drawn() -> None:
    plan = BatchPlan(frames=(12, 6, 5), counts=(4, 2, 1), seed=3)
    draws = [plan.draw(number) for number in range(7 * 15)]
    for batch in range(15):
        entries = [draw.entry for draw in draws[7 * batch : 7 * batch + 7]]
        assert entries == [0] * 4 + [1] * 2 + [2]
    for entry, frames in enumerate(plan.frames):
        drawn = [draw.frame for draw in draws if draw.entry == entry]
        passes = [drawn[k : k + frames] for k in range(0, len(drawn) - frames + 1, frames)]
        assert len(passes) > 1
        assert all(sorted(one) == list(range(frames)) for one in passes)
        assert passes[0] != passes[1]
    again = plan.draw(50)
    assert (again.entry, again.frame) == (draws[50].entry, draws[50].frame)
    assert again.generator.random() == draws[50].generator.random()
    other = BatchPlan(plan.frames, plan.counts, seed=4)
    assert [other.draw(k).frame for k in range(40)] != [d.frame for d in draws[:40]]
