"""A fit of a tiny network on several processes, for torchrun and for Fabric: DATASET OUTPUT KEY=VALUE..."""

import sys
from pathlib import Path

import torch
from small_fits import Tiny, TinyWithLoss

from lsu.training import fit as fit_module
from lsu.training import learner as learner_module
from lsu.training.config import Config


def shared_fit(dataset: str, output: str, *changes: str) -> None:
    """Fit with every step logged; the change `own_loss` takes a network that brings its loss."""
    network = TinyWithLoss if "own_loss" in changes else Tiny
    learner_module.build_network = lambda _, classes: network(classes)
    fit_module._LOG_EVERY = 1
    table = Path(output).with_suffix(".toml")
    if not table.exists():
        table.write_text(f'output = "{output}"\n[[data]]\ndataset = "{dataset}"\n')
    settings = ["fit.steps=6", "fit.batch_size=4", "fit.crop=[32, 32]", "fit.threads=1"]
    settings += ["fit.accelerator=cpu", "fit.warmup_steps=0", "fit.learning_rate=0.01"]
    changed = [change for change in changes if change != "own_loss"]
    fit_module.fit(Config.load(table, [*settings, *changed]))


if __name__ == "__main__":
    shared_fit(*sys.argv[1:])
    assert (
        not torch.distributed.is_initialized()
    )  # its threads would abort the end of the process now and then
