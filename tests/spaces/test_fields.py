"""Config fields by dotted name: get, set, and errors for wrong names and values."""

import pytest

from venation.errors import UsageError
from venation.spaces.fields import check_name, field_names, get_field, set_fields
from venation.trials.trial_config import TrialConfig


def test_every_name_can_be_read_and_set_to_its_value() -> None:
    config = TrialConfig()
    names = field_names()
    assert {"encoder.name", "gate", "decoder.widths.meanmax", "data.size", "train.lr", "boost.eta"} <= set(names)
    assert set_fields(config, {name: get_field(config, name) for name in names}) == config


def test_strings_of_the_command_line_become_numbers_and_booleans() -> None:
    config = set_fields(
        TrialConfig(),
        {"train.epochs": "3", "train.lr": "2e-2", "decoder.full_size": "true", "encoder.name": "test_resnet"},
    )
    assert (config.train.epochs, config.train.lr, config.decoder.full_size) == (3, 0.02, True)
    assert config.encoder.name == "test_resnet"


def test_a_size_is_pixels_or_height_and_width() -> None:
    for given, size, network in (("96", 96, (96, 96)), ("96x128", "96x128", (96, 128)), ("64x64", 64, (64, 64))):
        config = set_fields(TrialConfig(), {"data.size": given})
        assert (config.data.size, config.network(2).size) == (size, network)


def test_other_fields_stay_and_the_given_config_is_not_changed() -> None:
    config = set_fields(TrialConfig(), {"train.epochs": 7})
    changed = set_fields(config, {"decoder.widths.deform3": 0.25})
    assert (changed.train.epochs, changed.decoder.widths.deform3, changed.decoder.widths.deform5) == (7, 0.25, 0.125)
    assert config.decoder.widths.deform3 == 0.125


@pytest.mark.parametrize(
    ("name", "neighbour"),
    [("train.epoch", "train.epochs"), ("trian.lr", "train.lr"), ("decoder.widths.deform4", "decoder.widths.deform5")],
)
def test_an_unknown_name_suggests_similar_fields(name: str, neighbour: str) -> None:
    with pytest.raises(UsageError, match=f"`{name}` is not a config field; similar fields are: .*{neighbour}"):
        check_name(name)


def test_a_dissimilar_name_lists_all_fields_of_its_group() -> None:
    with pytest.raises(UsageError, match=r"similar fields are: boost\.booster, .*boost\.seed\.$"):
        check_name("boost.xyzzyxyzzy")


@pytest.mark.parametrize("name", ["train", "decoder.widths", "", "train.lr.low"])
def test_a_group_is_not_a_field(name: str) -> None:
    with pytest.raises(UsageError, match="is not a config field"):
        set_fields(TrialConfig(), {name: 1})


@pytest.mark.parametrize(
    ("name", "value", "range_"),
    [
        ("train.epochs", "0", "greater than or equal to 1"),
        ("train.lr", "-1", "greater than 0"),
        ("train.lr", "fast", "valid number"),
        ("decoder.widths.atrous2", "2", "less than or equal to 1"),
        ("gate", "max", "'none', 'mean' or 'meanmax'"),
        ("data.size", "8", "from 16 to 4096"),
        ("data.size", "96x", "HEIGHTxWIDTH"),
        ("train.epochs", "1.5", "valid integer"),
    ],
)
def test_a_value_out_of_range_states_the_range(name: str, value: str, range_: str) -> None:
    with pytest.raises(UsageError) as caught:
        set_fields(TrialConfig(), {name: value})
    message = str(caught.value)
    assert message.startswith(f"`{name}` = '{value}': ") and range_ in message and "\n" not in message


def test_a_rule_between_fields_is_reported_without_the_whole_config() -> None:
    with pytest.raises(UsageError) as caught:
        set_fields(TrialConfig(), {"plugin.width": 8, "train.plugin.refine": 1})
    assert str(caught.value) == (
        "train.plugin.refine trains the first pyramid on the second: set plugin.bottom_up=true."
    )


@pytest.mark.parametrize("text", ["0.9,0.5,4", "[0.9, 0.5, 4]", "(0.9,0.5,4)"])
def test_a_list_may_be_written_with_commas(text: str) -> None:
    assert set_fields(TrialConfig(), {"plugin.keep": text}).plugin.keep == (0.9, 0.5, 4)
    with pytest.raises(UsageError, match=r"`plugin.keep.1` = ' x': input should be a valid number"):
        set_fields(TrialConfig(), {"plugin.keep": "0.9, x"})
