from pathlib import Path

import pytest

from lsu.runtime import InputError
from lsu.training.config import Config

TEXT = """
output = "runs/x"
[[data]]
dataset = "worlds/a"
[fit]
steps = 7
"""


def load(folder: Path, text: str = TEXT, *overrides: str) -> Config:
    path = folder / "fit.toml"
    path.write_text(text)
    return Config.load(path, overrides)


def test_relative_paths_start_at_the_file(tmp_path) -> None:
    config = load(tmp_path)
    assert config.output == str(tmp_path / "runs/x")
    assert config.data[0].dataset == str(tmp_path / "worlds/a")
    more = load(tmp_path, TEXT, "start=runs/s", 'distillation={teachers=["t", "/u"], losses=[{name="cwd"}]}')
    assert more.start == str(tmp_path / "runs/s")
    assert more.distillation.teachers == (str(tmp_path / "t"), "/u")
    assert load(tmp_path, TEXT.replace("worlds/a", "camvid11")).data[0].dataset == "camvid11"
    assert load(tmp_path, TEXT, "data.0.root=there").data[0].root == str(tmp_path / "there")


def test_a_configuration_means_the_same_from_any_folder(tmp_path, monkeypatch) -> None:
    here = load(tmp_path, TEXT)
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    assert Config.load(Path("../fit.toml")) == here


def test_overrides_change_single_values(tmp_path) -> None:
    config = load(
        tmp_path, TEXT, "fit.steps=9", "fit.crop=[64, 96]", "data.0.weight=2", "fit.precision=bf16-mixed"
    )
    assert (config.fit.steps, config.fit.crop, config.data[0].weight) == (9, (64, 96), 2.0)
    assert config.fit.precision == "bf16-mixed"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["fit.stepz=9"], r"unknown key 'fit.stepz'; did you mean 'steps'"),
        (["netwrok.encoder=x"], r"unknown key 'netwrok'; did you mean 'network'"),
        (["data.0.spilt=x"], r"unknown key 'data.0.spilt'; did you mean 'split'"),
        (["fit.steps"], "is not key=value, such as fit.steps=500"),
        (["data.7.split=x"], "there is no '7'"),
        (["output.x=1"], "there is no|is not a table"),
        (["fit.steps=0"], r"fit.steps: .*greater than or equal to 1 \(got 0\)"),
        (["fit.steps=many"], r"fit.steps: .*valid integer"),
        (["fit.crop=[100, 96]"], r"crop \[100, 96\] must be multiples of 32"),
        (["fit.scale=[2.0, 1.0]"], r"scale \[2.0, 1.0\] must rise"),
        (["fit.scale=[0.5, inf]"], "finite number"),
        (["fit.seed=99999999999999999999"], "fit.seed"),
        (["fit.devices=0"], r"fit.devices: .*greater than or equal to 1 \(got 0\)"),
        (["fit.crop=[64, 64, 2026-01-01]"], r"fit.crop: .*at most 2 items.*2026-01-01"),
        (["fit.threads=100000"], "fit.threads"),
        (["network.mean=[123.7, 116.3, 103.5]"], "network.mean.0: .*less than or equal to 1"),
        (["data.0.weight=0"], "data.0.weight: .*greater than or equal to 0.01"),
        (["network.architecture=unet"], "network.architecture: Input should be"),
        (["data.0.per_batch=3"], "per_batch adds up to 3, fit.batch_size is 8: make them equal"),
        (["data.0.per_batch=8", "fit.centroids=0.5"], "per_batch goes with neither"),
        (["data.0.per_batch=8", "data.0.weight=2"], "neither weight nor until has an effect"),
        (["data.0.scale=0"], "data.0.scale: .*greater than or equal to 0.01"),
        (['data=[{dataset="a", per_batch=8}, {dataset="b"}]'], "per_batch is for all entries or for none"),
    ],
)
def test_a_wrong_value_is_named_in_one_line(tmp_path, overrides, message) -> None:
    with pytest.raises(InputError, match=message) as caught:
        load(tmp_path, TEXT, *overrides)
    assert "\n" not in str(caught.value)


def test_an_unknown_key_in_the_file_is_an_error(tmp_path) -> None:
    with pytest.raises(
        InputError, match=r"fit.toml: unknown key 'fit.learnig_rate'; did you mean 'learning_rate'"
    ):
        load(tmp_path, TEXT + "learnig_rate = 1e-3\n")


def test_a_configuration_needs_data(tmp_path) -> None:
    with pytest.raises(InputError, match="the key 'data' is missing"):
        load(tmp_path, 'output = "x"\n')
