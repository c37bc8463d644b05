"""The model card of a bundle."""

from venation.bundles.card import model_card
from venation.bundles.load_network import LoadedBundle


def test_the_card_names_height_and_width(rectangular: LoadedBundle) -> None:
    assert "with `test_resnet` at 32 x 80 pixels (height x width)." in model_card(rectangular.record)
