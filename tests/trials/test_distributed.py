"""Which process this one is, and BatchNorm over all of them."""

import torch
from timm.layers.norm_act import BatchNormAct2d, SyncBatchNormAct
from torch import nn

from venation.trials.distributed import ALONE, Ranks, synchronise_batch_norm

CPU = torch.device("cpu")


def test_a_process_alone_agrees_with_itself() -> None:
    assert ALONE.main and not Ranks(1, 2).main
    assert [ALONE.agree(value, CPU) for value in (True, False)] == [True, False]


def test_layers_that_train_share_their_statistics_and_keep_their_weights() -> None:
    network = nn.Sequential(nn.BatchNorm2d(3), nn.Sequential(BatchNormAct2d(4)), nn.BatchNorm2d(5), nn.Conv2d(5, 5, 1))
    network[2].eval()
    weights = [*network.parameters()]
    names = [*network.state_dict()]
    synchronise_batch_norm(network)
    assert type(network[0]) is nn.SyncBatchNorm and type(network[1][0]) is SyncBatchNormAct  # type: ignore[index]
    assert type(network[2]) is nn.BatchNorm2d, "its statistics are frozen"
    assert [*network.state_dict()] == names
    assert all(one is other for one, other in zip(network.parameters(), weights, strict=True))
