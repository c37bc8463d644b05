"""Published checkpoints against the formulas of the specs, computed on their own tensors."""

import pytest
import timm
import torch
import torch.nn.functional as F
from published_checkpoint import CLASSES, KEEP, SWIN, WIDTH, checkpoint

from venation.bundles.checkpoint_formats import infer_plugin_config, load_published_weights
from venation.errors import UsageError, UserError
from venation.models.build import build_network
from venation.models.network_config import EncoderConfig, NetworkConfig


class Formulas:
    """The formulas of PIM 3 to 6 and HERBS 1 to 3 and 7 for one image, by published key names."""

    def __init__(self, tensors, system):
        self.t, self.system = tensors, system

    def linear(self, name, x):
        weight = self.t[f"{name}.weight"]
        return x @ weight.reshape(weight.shape[:2]).T + self.t[f"{name}.bias"]

    def norm(self, name, x_SD):
        mean, var, weight, bias = (self.t[f"{name}.{k}"] for k in ("running_mean", "running_var", "weight", "bias"))
        return (x_SD - mean) / (var + 1e-5).sqrt() * weight + bias

    def mlp(self, name, x):
        return self.linear(f"{name}.2", self.linear(f"{name}.0", x).relu())

    def mix(self, name, z_RD):
        return self.linear(name, z_RD.T).T if f"{name}.weight" in self.t else z_RD

    def head(self, name, z_SD):
        return self.linear(f"{name}.3", self.norm(f"{name}.1", self.linear(f"{name}.0", z_SD)).relu())

    def probability(self, taps):
        down = "fpn" if self.system == "pim" else "fpn_down"
        z = {i: self.mlp(f"{down}.Proj_layer{i}", x) for i, x in enumerate(taps, 1)}
        for i in (3, 2, 1):
            z[i] = z[i] + self.mix(f"{down}.Up_layer{i + 1}", z[i + 1])
        heads, prefix = [], "fpn_classifier_layer"
        if self.system == "herbs":
            heads = [self.head(f"fpn_classifier_down_layer{i}", z[i]).mean(0) for i in z]
            z, prefix = {i: self.mlp(f"fpn_up.Proj_layer{i}", z[i]) for i in z}, "fpn_classifier_up_layer"
            for i in (1, 2, 3):
                z[i + 1] = z[i + 1] + self.mix(f"fpn_up.Down_layer{i}", z[i])
        logits = {i: self.head(f"{prefix}{i}", z[i]) for i in z}
        heads += [logits[i].mean(0) for i in z]
        kept = torch.cat([self.select(logits[i], z[i], count) for i, count in zip(z, KEEP, strict=True)])
        heads.append(self.combine(kept))
        return torch.stack([F.softmax(head, dim=0) for head in heads]).mean(0)

    def select(self, logits_SN, z_SD, count):
        p_SN = logits_SN.softmax(1)
        score_S = p_SN.amax(1) if self.system == "pim" else p_SN[:, logits_SN.mean(0).argmax()]
        return z_SD[score_S.argsort(descending=True)[:count]]

    def combine(self, x_KD):
        x_JD = self.linear("combiner.param_pool0", x_KD.T).T
        q, k = self.linear("combiner.conv_q1", x_JD).mean(1), self.linear("combiner.conv_k1", x_JD).mean(1)
        edges = self.t["combiner.adj1"] + self.t["combiner.alpha1"] * torch.tanh(q[:, None] - k[None, :])
        mixed_JD = (self.linear("combiner.conv1", x_JD).T @ edges).T
        pooled_D = self.linear("combiner.param_pool1", self.norm("combiner.batch_norm1", mixed_JD).T)[:, 0]
        return self.linear("combiner.classifier", pooled_D)


def imported(system, tensors):
    plugin, classes = infer_plugin_config(tensors, system, keep=KEEP, source="it")
    encoder = EncoderConfig(name=SWIN, taps="merged")
    config = NetworkConfig(encoder=encoder, gate="none", plugin=plugin, num_classes=classes, size=(96, 96))
    network = build_network(config).eval()
    load_published_weights(network, tensors, system, encoder=SWIN, source="it")
    return network


@pytest.fixture(scope="module")
def swin():
    torch.manual_seed(0)
    return timm.create_model(SWIN, num_classes=21).eval()


@pytest.mark.parametrize("system", ["pim", "herbs"])
def test_a_checkpoint_predicts_like_the_formulas_of_the_specs(system, swin):
    tensors = checkpoint(system, swin)
    network = imported(system, tensors)
    images = torch.randn(3, 3, 96, 96, generator=torch.Generator().manual_seed(2))
    taps = []
    for module in (*(stage.downsample for stage in swin.layers[1:]), swin.layers[3]):
        module.register_forward_hook(lambda _, __, output: taps.append(output.flatten(1, 2)))
    with torch.no_grad():
        swin.forward_features(images)
        formulas = Formulas(tensors, system)
        wanted = torch.stack([formulas.probability([tap[i] for tap in taps[:4]]) for i in range(3)])
        found = network(images).logits_BN.softmax(dim=1)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
    assert wanted.std(dim=0).min() > 1e-5  # the images differ


@pytest.mark.parametrize(
    ("system", "kept", "keep", "joint"),
    [
        ("pim", 2720, (2048, 512, 128, 32), 32),
        ("pim", 480, (256, 128, 64, 32), 32),
        ("herbs", 480, (256, 128, 64, 32), 64),
    ],
)
def test_published_selections_are_inferred_from_their_sum(system, kept, keep, joint, swin):
    tensors = checkpoint(system, swin) | {"combiner.param_pool0.weight": torch.zeros(kept // joint, kept)}
    plugin, classes = infer_plugin_config(tensors, system, keep=None, source="it")
    assert (plugin.keep, plugin.joint, plugin.width, classes) == (keep, joint, WIDTH, CLASSES)
    assert (plugin.bottom_up, plugin.rule) == ((True, "image") if system == "herbs" else (False, "own"))
    assert (plugin.positions, plugin.pass_equal, plugin.ranks) == ("learned", system == "pim", "learned")


def test_other_selections_need_the_option(swin):
    tensors = checkpoint("pim", swin)
    with pytest.raises(UsageError, match=r"selects 106 positions in all.*--keep A,B,C,D"):
        infer_plugin_config(tensors, "pim", keep=None, source="it")
    with pytest.raises(UsageError, match=r"sums up to 107, but it selects 106"):
        infer_plugin_config(tensors, "pim", keep=(81, 20, 4, 2), source="it")


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        ({"fpn.Up_layer2.weight": torch.zeros(9, 36, 1)}, r"`fpn\.Up_layer2\.weight` .*\(9, 36, 1\).*\(144, 36\)"),
        ({"fpn.Proj_layer1.0.bias": None}, r"it lacks `fpn\.Proj_layer1\.0\.bias` of shape \(16,\)"),
        ({"combiner.adj1": None}, r"it lacks `combiner\.adj1` of shape \(3, 3\)"),
        ({"fpn.Up_layer4.weight": torch.zeros(9, 9, 1)}, r"has `fpn\.Up_layer4\.weight`, which a pim"),
        ({"extra.weight": torch.zeros(1)}, r"has `extra\.weight`"),
        (
            {"combiner.classifier.weight": None},
            r"lacks `combiner\.classifier\.weight`, so it is not a checkpoint of pim",
        ),
        ({"combiner.param_pool0.weight": torch.zeros(3)}, r"`combiner\.param_pool0\.weight` has shape \(3,\)"),
        (
            {"backbone.layers.0.downsample.reduction.weight": torch.zeros(2, 2)},
            r"backbone\) does not fit: layers_1\.downsample\.reduction\.weight needs \(16, 32\), .* has \(2, 2\)",
        ),
    ],
)
def test_an_invalid_key_is_named(edit, says, swin):
    tensors = checkpoint("pim", swin) | edit
    with pytest.raises(UserError, match=says) as info:
        imported("pim", {key: value for key, value in tensors.items() if value is not None})
    assert "\n" not in str(info.value)


def test_the_number_of_published_keys_equals_that_of_the_reference(swin):
    # PIM section 12: projections, mixing, heads and combiner at D=1536, N=200, and HERBS section 8.
    with torch.device("meta"):
        for system, total in (("pim", 223_338_209), ("herbs", 254_127_437)):
            down = "fpn" if system == "pim" else "fpn_down"
            given = {
                f"{down}.Proj_layer1.2.weight": torch.empty(1536, 384),
                f"{down}.Up_layer2.weight": torch.empty(2304, 576, 1),
                "combiner.classifier.weight": torch.empty(200, 1536),
                "combiner.param_pool0.weight": torch.empty(1, 2720 if system == "pim" else 480),
            }
            plugin, classes = infer_plugin_config(given, system, keep=None, source="it")
            encoder = EncoderConfig(name="swin_large_patch4_window12_384", taps="merged")
            network = build_network(
                NetworkConfig(encoder=encoder, gate="none", plugin=plugin, num_classes=classes, size=(384, 384))
            )
            assert sum(p.numel() for p in network.parameters()) == total
