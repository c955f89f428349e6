"""A batch that several processes share teaches what it teaches one process."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from pictures import write_dataset
from shared_fit import shared_fit
from small_fits import config, weights

from lsu.runtime import VOID, InputError
from lsu.training import fit as fit_module
from lsu.training import learner as learner_module
from lsu.training import objective as objective_module
from lsu.training.config import FitConfig
from lsu.training.devices import launched, with_synced_norms
from lsu.training.fit import FINISHED, fit

SCRIPT = Path(__file__).parent / "shared_fit.py"
TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
BALANCED = "fit.class_balance=0.5"


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("data"), frames=6, size=(48, 64)).parent


def losses(folder: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (folder / "log.jsonl").read_text().splitlines()]


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if k not in ("RANK", "LOCAL_RANK", "WORLD_SIZE")}
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=clean, timeout=280)


@pytest.fixture(scope="module")
def alone(data, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("alone") / "run"
    kept = learner_module.build_network, fit_module._LOG_EVERY
    try:
        shared_fit(str(data), str(folder), BALANCED)
    finally:
        learner_module.build_network, fit_module._LOG_EVERY = kept
    return folder


@pytest.mark.parametrize("start", [[*TORCHRUN, SCRIPT], [SCRIPT]], ids=["torchrun", "fabric"])
def test_two_processes_learn_what_one_learns(data, alone, tmp_path, start) -> None:
    devices = ["fit.devices=2"] if start == [SCRIPT] else []
    done = run(*start, data, tmp_path / "run", BALANCED, *devices)
    assert done.returncode == 0, done.stderr
    assert len(losses(alone)) == 6
    assert losses(tmp_path / "run") == pytest.approx(losses(alone), rel=1e-5)
    ours, theirs = weights(tmp_path / "run" / FINISHED), weights(alone / FINISHED)
    assert all(torch.allclose(ours[name], theirs[name], rtol=1e-3, atol=1e-5) for name in theirs)


def test_the_processes_parts_have_different_shares_of_void(data, tmp_path, monkeypatch) -> None:
    """Else the test above would not see a mean of means."""
    known = []
    real = objective_module.cross_entropy

    def watched(scores, labels, **options):
        known.extend((labels != VOID).flatten(1).sum(1).tolist())
        return real(scores, labels, **options)

    monkeypatch.setattr(objective_module, "cross_entropy", watched)
    fit(config(data, tmp_path / "run", steps=1, batch_size=4))
    assert known[0] + known[2] != known[1] + known[3]


def test_a_network_with_its_own_loss_learns_on_two_processes(data, tmp_path) -> None:
    done = run(*TORCHRUN, SCRIPT, data, tmp_path / "run", "own_loss")
    assert done.returncode == 0, done.stderr
    assert losses(tmp_path / "run")[-1] < losses(tmp_path / "run")[0]


def test_two_processes_learn_from_teachers_what_one_learns(data, alone, tmp_path, monkeypatch) -> None:
    teacher = fit(config(data, tmp_path / "teacher", steps=3)).checkpoint
    losses_of = '[{name="soft-ce"}, {name="tk-l", class_weights="median"}, {name="cwd"}]'
    table = f'distillation={{teachers=["{teacher}"], labels=0.5, losses={losses_of}}}'
    monkeypatch.setattr(learner_module, "build_network", learner_module.build_network)
    monkeypatch.setattr(fit_module, "_LOG_EVERY", 10)
    shared_fit(str(data), str(tmp_path / "one"), table)
    done = run(*TORCHRUN, SCRIPT, data, tmp_path / "two", table)
    assert done.returncode == 0, done.stderr
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), rel=1e-5)
    assert losses(tmp_path / "two") != pytest.approx(losses(alone), rel=1e-2)


def test_torchrun_says_how_many_devices_there_are(monkeypatch) -> None:
    for name, value in {"TORCHELASTIC_RUN_ID": "x", "LOCAL_WORLD_SIZE": "2", "WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match="fit.devices is 4, but torchrun started 2 processes: leave"):
        launched(FitConfig(devices=4, accelerator="cpu"))


def test_what_cannot_be_is_said_once_before_other_processes_start(monkeypatch) -> None:
    monkeypatch.setattr("lsu.training.devices.Fabric", None)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1, 2})
    with pytest.raises(InputError, match="fit.batch_size 4 cannot be shared by 3 devices: choose a multiple"):
        launched(FitConfig(devices=3, batch_size=4, accelerator="cpu"))
    with pytest.raises(InputError, match="fit.devices 4: without a GPU at most 3 processes run here"):
        launched(FitConfig(devices=4, batch_size=4, accelerator="cpu"))
    with pytest.raises(InputError, match="fit.precision 16-mixed needs a GPU; on a CPU use bf16-mixed or 32"):
        launched(FitConfig(precision="16-mixed", accelerator="cpu"))


def test_synced_batch_norms_keep_their_names_and_are_refused_on_cpus() -> None:
    def devices(kind: str, count: int) -> SimpleNamespace:
        return SimpleNamespace(world_size=count, device=torch.device(kind))

    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1), torch.nn.BatchNorm2d(4))
    names = list(network.state_dict())
    assert with_synced_norms(network, devices("cpu", 1)) is network
    with pytest.raises(InputError, match="fit.sync_batch_norm needs GPUs: torch has none for CPUs, set it"):
        with_synced_norms(network, devices("cpu", 2))
    synced = with_synced_norms(network, devices("cuda", 2))
    assert isinstance(synced[1], torch.nn.SyncBatchNorm)
    assert list(synced.state_dict()) == names
