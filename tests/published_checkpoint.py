"""Checkpoints in the layouts of the published PIM and HERBS code, with a minimal Swin encoder."""

import re

import torch
from timm.models import register_model
from timm.models.swin_transformer import _create_swin_transformer

SIDES, KEEP, WIDTH, CLASSES = (12, 6, 3, 3), (80, 20, 4, 2), 8, 5
SWIN = "tiny_swin_for_tests"


@register_model
def tiny_swin_for_tests(pretrained=False, **kwargs):
    """Return a minimal Swin encoder."""
    sizes = {"patch_size": 4, "window_size": 3, "img_size": 96, "embed_dim": 8}
    options = {"depths": (1, 1, 1, 1), "num_heads": (1, 1, 2, 2), **sizes}
    return _create_swin_transformer("swin_tiny_patch4_window7_224", pretrained, **{**options, **kwargs})


def _linear(tensors, name, out, into, kernel=0):
    tensors[f"{name}.weight"] = torch.randn(out, into, *[1] * kernel) / into**0.5
    tensors[f"{name}.bias"] = torch.randn(out) * 0.1


def _norm(tensors, name):
    tensors[f"{name}.weight"], tensors[f"{name}.bias"] = torch.rand(WIDTH) + 0.5, torch.randn(WIDTH)
    tensors[f"{name}.running_mean"], tensors[f"{name}.running_var"] = torch.randn(WIDTH), torch.rand(WIDTH) + 0.5
    tensors[f"{name}.num_batches_tracked"] = torch.tensor(7)


def _heads(tensors, prefix):
    for level in (1, 2, 3, 4):
        _linear(tensors, f"{prefix}{level}.0", WIDTH, WIDTH, 1)
        _norm(tensors, f"{prefix}{level}.1")
        _linear(tensors, f"{prefix}{level}.3", CLASSES, WIDTH, 1)


def _backbone(swin):
    """Return Swin weights in the fork's layout.

    Patch merging is at the end of a stage, and there are an unused classifier and norm, and
    buffers.
    """
    tensors = {}
    for key, value in swin.state_dict().items():
        key = re.sub(r"layers\.(\d)\.downsample", lambda m: f"layers.{int(m[1]) - 1}.downsample", key)
        tensors[f"backbone.{key.replace('head.fc.', 'head.')}"] = value
    tensors["backbone.layers.0.blocks.0.attn.relative_position_index"] = torch.zeros(9, 9, dtype=torch.long)
    return tensors


def checkpoint(system, swin):
    """Return the tensors of a checkpoint (PIM section 13, HERBS section 8)."""
    torch.manual_seed(1)
    tensors = _backbone(swin)
    positions, channels = [side**2 for side in SIDES], (16, 32, 64, 64)
    down = "fpn" if system == "pim" else "fpn_down"
    for level, count in enumerate(channels, 1):
        _linear(tensors, f"{down}.Proj_layer{level}.0", count, count)
        _linear(tensors, f"{down}.Proj_layer{level}.2", WIDTH, count)
    for level in (2, 3) if system == "pim" else (2, 3, 4):
        _linear(tensors, f"{down}.Up_layer{level}", positions[level - 2], positions[level - 1], 1)
    if system == "pim":
        _heads(tensors, "fpn_classifier_layer")
    else:
        for level in (1, 2, 3, 4):
            _linear(tensors, f"fpn_up.Proj_layer{level}.0", WIDTH, WIDTH)
            _linear(tensors, f"fpn_up.Proj_layer{level}.2", WIDTH, WIDTH)
        for level in (1, 2, 3):
            _linear(tensors, f"fpn_up.Down_layer{level}", positions[level], positions[level - 1], 1)
        _heads(tensors, "fpn_classifier_down_layer")
        _heads(tensors, "fpn_classifier_up_layer")
    _combiner(tensors, sum(KEEP) // (32 if system == "pim" else 64))
    return tensors


def _combiner(tensors, nodes):
    _linear(tensors, "combiner.param_pool0", nodes, sum(KEEP))
    tensors["combiner.adj1"], tensors["combiner.alpha1"] = torch.randn(nodes, nodes), torch.tensor([0.7])
    _linear(tensors, "combiner.conv1", WIDTH, WIDTH, 1)
    _norm(tensors, "combiner.batch_norm1")
    _linear(tensors, "combiner.conv_q1", WIDTH // 4, WIDTH, 1)
    _linear(tensors, "combiner.conv_k1", WIDTH // 4, WIDTH, 1)
    _linear(tensors, "combiner.param_pool1", 1, nodes)
    _linear(tensors, "combiner.classifier", CLASSES, WIDTH)
