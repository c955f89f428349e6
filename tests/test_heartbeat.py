"""Signs of life of a long task, where stderr is no terminal."""

import json
import queue
import threading
import time

import pytest

from lsu.export.engines.heartbeat import Heartbeat


def test_a_silent_library_gives_signs_of_life(capsys: pytest.CaptureFixture[str]) -> None:
    events: queue.Queue[str] = queue.Queue()
    with Heartbeat("build", seconds=0.05) as heart:
        heart.stage("building: Timing tactics")
        beats = heart.beats(events)
        begun = time.monotonic()

        def put_later() -> None:
            time.sleep(0.18)
            events.put("done")

        threading.Thread(target=put_later).start()
        assert next(beats) == "done"
        assert time.monotonic() - begun < 1
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert 2 <= len(lines) <= 4
    assert {(line["task"], line["stage"]) for line in lines} == {("build", "building: Timing tactics")}
    assert lines[0]["seconds"] < lines[-1]["seconds"]


def test_a_library_that_never_stops_talking_is_heard_all_the_same(
    capsys: pytest.CaptureFixture[str],
) -> None:
    events: queue.Queue[int] = queue.Queue()
    with Heartbeat("build", seconds=0.05) as heart:
        beats = heart.beats(events)
        for k in range(20):
            events.put(k)
            assert next(beats) == k
            time.sleep(0.01)
    assert len(capsys.readouterr().err.splitlines()) >= 2
