"""A process group that trains one network: which of its processes this one is."""

from dataclasses import dataclass

import torch
from torch import distributed, nn


@dataclass(frozen=True)
class Ranks:
    """This process's number ``rank`` among the ``world`` processes of a group.

    ``limit`` is the most images that it may put through the network at once, 0 for the config's.
    """

    rank: int = 0
    world: int = 1
    limit: int = 0

    @property
    def main(self) -> bool:
        """Whether this process validates and writes for the group."""
        return self.rank == 0

    def agree(self, value: bool, device: torch.device) -> bool:
        """Return the value of rank 0."""
        if self.world == 1:
            return value
        flag = torch.tensor(float(value), device=device)
        distributed.broadcast(flag, src=0)
        return bool(flag)


ALONE = Ranks()


def synchronise_batch_norm(module: nn.Module) -> None:
    """Let every BatchNorm that trains take its statistics over the batches of all processes.

    In place; frozen layers, in eval mode, keep their class. Only CUDA has the kernels
    (torch.nn.SyncBatchNorm).
    """
    from timm.layers.norm_act import convert_sync_batchnorm

    for name, child in module.named_children():
        if isinstance(child, nn.modules.batchnorm._BatchNorm):
            if child.training:
                # timm's: torch's loses the activation that timm fuses with the layer.
                setattr(module, name, convert_sync_batchnorm(child))  # type: ignore[no-untyped-call]
        else:
            synchronise_batch_norm(child)
