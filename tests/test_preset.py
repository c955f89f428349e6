import sys
from pathlib import Path

import pytest

from lsu.runtime import InputError
from lsu.training.config import Config, FitConfig
from lsu.training.network_config import NetworkConfig
from lsu.training.preset import preset_names, preset_table, with_preset

sys.path.insert(0, str(Path(__file__).parent.parent / "tools"))
import trials


def load(folder: Path, text: str, *overrides: str) -> Config:
    path = folder / "fit.toml"
    path.write_text(f'output = "x"\n{text}\n[[data]]\ndataset = "x"\n')
    return Config.load(path, overrides)


def test_every_preset_completes_a_configuration(tmp_path) -> None:
    assert preset_names() == ["backhaus2025", "small"]
    for name in preset_names():
        config = load(tmp_path, f'preset = "{name}"')
        assert config.network != load(tmp_path, "").network
        assert config.fit != load(tmp_path, "").fit
        assert set(preset_table(name)) == {"network", "fit"}


def test_what_the_configuration_says_wins_key_by_key(tmp_path) -> None:
    config = load(tmp_path, 'preset = "small"\n[fit]\nsteps = 7\ncrop = [64, 64]', "fit.batch_size=2")
    assert (config.fit.steps, config.fit.crop, config.fit.batch_size) == (7, (64, 64), 2)
    assert (config.fit.learning_rate, config.network.encoder) == (4e-3, "tu-regnetx_002")
    assert load(tmp_path, "", "preset=small").fit.steps == 450


def test_an_unknown_preset_is_named_in_one_line(tmp_path) -> None:
    with pytest.raises(
        InputError, match=r"fit.toml: unknown preset 'smal'; did you mean 'small'\?"
    ) as caught:
        load(tmp_path, 'preset = "smal"')
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match=r"unknown preset '../config'; known: backhaus2025, small"):
        load(tmp_path, 'preset = "../config"')
    with pytest.raises(InputError, match=r"unknown preset '3'"):
        load(tmp_path, "preset = 3")
    with pytest.raises(InputError, match=r"unknown key 'presett'; did you mean 'preset'"):
        load(tmp_path, 'presett = "small"')


def test_a_table_keeps_what_is_no_table_whole() -> None:
    table = {"preset": "small", "fit": 3, "data": [{"dataset": "x"}]}
    assert with_preset(table, "x") == {
        "network": preset_table("small")["network"],
        "fit": 3,
        "data": [{"dataset": "x"}],
    }
    assert table["preset"] == "small"


def test_a_preset_is_still_strict(tmp_path) -> None:
    with pytest.raises(InputError, match=r"unknown key 'fit.stepz'"):
        load(tmp_path, 'preset = "small"\n[fit]\nstepz = 7')


def test_an_empty_text_undoes_the_weights_of_a_preset(tmp_path) -> None:
    assert load(tmp_path, 'preset = "backhaus2025"').network.pretrained is not None
    config = load(tmp_path, 'preset = "backhaus2025"\n[network]\npretrained = ""')
    assert (config.network.pretrained, config.network.architecture) == (None, "mask2former")


def test_small_is_what_the_trials_use() -> None:
    preset = preset_table("small")
    fitting = trials.Fitting(450, (192, 256))
    assert NetworkConfig(**preset["network"]) == NetworkConfig(**fitting.network)
    ours = {key: value for key, value in fitting.fit.items() if key in preset["fit"]}
    assert FitConfig(**preset["fit"]) == FitConfig(**ours)
    assert {"learning_rate", "scale", "class_balance"} <= preset["fit"].keys()


def test_the_papers_preset_has_the_published_rates(tmp_path) -> None:
    fit = load(tmp_path, 'preset = "backhaus2025"').fit
    assert fit.learning_rate == 1e-4
    assert fit.learning_rate * fit.encoder_rate == pytest.approx(1e-5)
    assert (fit.weight_decay, fit.clip_norm, fit.class_balance, fit.label_smoothing) == (0.05, 1.0, 0, 0)
    assert fit.steps == 100 * (2975 // fit.batch_size)
    assert fit.warmup_steps == 2975 // fit.batch_size


@pytest.mark.parametrize("preset", ["small", "backhaus2025"])
def test_a_network_without_choices_goes_with_a_preset(tmp_path, preset) -> None:
    text = f'preset = "{preset}"\noutput = "o"\ndata = [{{dataset = "d"}}]\nnetwork.architecture = "t-net"\n'
    (tmp_path / "fit.toml").write_text(text)
    assert Config.load(tmp_path / "fit.toml").network.architecture == "t-net"
