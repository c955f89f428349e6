"""What `lsu fit` says, and what its page says of it."""

from pathlib import Path

import pytest
from small_fits import config, scored

from lsu.runtime import InputError
from lsu.training import run_folder
from lsu.training.cli import _note_of, _print
from lsu.training.config import FitConfig
from lsu.training.fit import FitResult, StepReport

PAGE = (Path(__file__).parent.parent / "docs/fit.md").read_text()


def test_the_progress_line_tells_of_waiting_and_patience() -> None:
    assert _note_of(StepReport(10, 0.5, 20.4, 0.034)) == "loss 0.500  20 img/s  waits 3 %"
    assert _note_of(StepReport(10, 0.5, 20.4, 0.5, 2)) == "loss 0.500  20 img/s  waits 50 %  patience 2"


@pytest.mark.parametrize(
    ("early", "best", "end"),
    [
        (True, 4, ", stopped early, the weights of step 4"),
        (False, 4, ", the weights of step 4"),
        (False, 8, ""),
    ],
)
def test_the_result_says_which_weights_were_kept(capsys, early, best, end) -> None:
    _print(FitResult(Path("x"), 8, 3.0, None, stopped_early=early, best_step=best), json=False)
    assert capsys.readouterr().out == f"x: 8 steps in 3 s{end}\n"


def test_patience_without_scores_is_refused(tmp_path) -> None:
    with pytest.raises(InputError, match="fit: patience counts scores: set score_every, or patience to 0"):
        scored(tmp_path, tmp_path / "run", patience=2)
    with pytest.raises(InputError, match="fit.patience needs scores: name a validation split, or set it to"):
        config(tmp_path, tmp_path / "run", patience=2, score_every=2)


@pytest.mark.parametrize("name", FitConfig.model_fields)
def test_the_page_of_fitting_names_every_setting(name) -> None:
    assert f"`{name}=" in PAGE or f"`{name}`" in PAGE


def test_the_page_of_fitting_names_every_file_of_the_run_folder() -> None:
    for name in ("FINISHED", "UNFINISHED", "LOG", "SCORE", "CURVES", "CONFUSION"):
        assert f"`{getattr(run_folder, name)}`" in PAGE
