"""The stages of an encoder, which a learning rate that falls from head to stem counts."""

from torch import nn


def parameter_stages(body: nn.Module) -> dict[str, int]:
    """Return the stage of every parameter of a timm feature network, from 0 at the stem.

    A stage ends where a level that the network returns ends, so that every timm network has as many
    stages as levels: a ResNet's are its stem and its four stages, a ViT's are quarters of its
    blocks. Parameters after the last level belong to the last stage.
    """
    names = [_key(name) for name in body.feature_info.module_name()]  # type: ignore[union-attr, operator]
    stage, level = 0, ""
    stages: dict[str, int] = {}
    for name, module in body.named_modules():
        key = _key(name)
        if level and not key.startswith(level):
            stage, level = min(names.index(level) + 1, len(names) - 1), ""
        if key in names:
            stage, level = names.index(key), key
        own = module.named_parameters(recurse=False)
        stages |= {f"{name}.{parameter}" if name else parameter: stage for parameter, _ in own}
    return stages


def _key(name: str) -> str:
    """Return a module's name in the form that is common to timm's feature networks.

    Some flatten their containers (``stages.0`` is the child ``stages_0``), some wrap the network as
    ``model``.
    """
    return name.removeprefix("model.").replace(".", "_") + "_"
