"""Gradients of a batch that several processes share, by DistributedDataParallel.

Every process computes the loss of its share, weighted so that the sum over all processes is the
loss of the whole batch (S. Li et al., PyTorch Distributed, VLDB 2020). Shapes: B batch.
"""

import math
from contextlib import nullcontext

import torch
from torch import Tensor, distributed
from torch.nn.parallel import DistributedDataParallel

from ..data.dataset import Batch
from ..data.loader import Loader
from ..data.shares import is_idle, share_of
from ..models.network import NetworkOutput
from .fit_state import FitState
from .micro_batch import chunk_loss, covered, forward
from .mixing import BatchMixer
from .optimise import seed_epoch


class SharedGradients:
    """The gradients of a fit whose batches are shared by the processes of ``state.ranks``.

    An instance is called with each batch in turn, as ``run_epochs`` does. Gradients and losses are
    those of one process with the whole batch, to rounding, except where a share alone matters:
    BatchNorm without SyncBatchNorm, dropout, and the Dice loss, which becomes the mean over shares.
    Mixup and CutMix need the whole batch: then every process decodes all of it.
    """

    def __init__(self, state: FitState, loader: Loader, mix: BatchMixer, class_weight_N: Tensor | None) -> None:
        self._state, self._loader, self._mix, self._weight_N = state, loader, mix, class_weight_N
        ranks = state.ranks
        loader.share = (0, 1) if mix.active else (ranks.rank, ranks.world)
        devices = [state.device] if state.device.type == "cuda" else None
        # A trial trains a part of the network: classify leaves the decoder out.
        self._network = DistributedDataParallel(state.network, device_ids=devices, find_unused_parameters=True)
        self._epoch = -1
        self._step = 0
        self._mix_state = torch.get_rng_state()

    def __call__(self, batch: Batch, group: int, size: int) -> dict[str, Tensor]:
        """Add the gradients of the whole batch, divided by ``group``; return its loss parts."""
        state, ranks = self._state, self._state.ranks
        self._begin_epoch()
        number = self._loader.sizes[self._step]
        self._step += 1
        share = self._share(batch)
        whole_3 = covered(share) * (not is_idle(number, ranks.rank))
        distributed.all_reduce(whole_3)
        passes = math.ceil(math.ceil(number / ranks.world) / size) if size else 1
        sums: dict[str, Tensor] = {}
        for turn in range(passes):
            places = share_of(range(len(share.label_B)), turn, passes)
            idle = is_idle(number, ranks.rank) or is_idle(len(share.label_B), turn)
            chunk = Batch(*(part[places.start : places.stop] for part in share))
            # Gradients are exchanged once, in the last pass.
            with nullcontext() if turn == passes - 1 else self._network.no_sync():
                output = forward(self._network, chunk, state.config, state.task)
                loss = chunk_loss(
                    output,
                    chunk,
                    state.config,
                    task=state.task,
                    epoch=self._epoch,
                    counts=(covered(chunk) * (not idle), whole_3),
                    class_weight_N=self._weight_N,
                )
                # DistributedDataParallel averages over the processes; the shares add up.
                total = loss.total * ranks.world / group + _nothing_of(output)
                torch.autograd.backward(total)
            for name, value in (loss.parts | {"total": loss.total}).items():
                sums[name] = sums[name] + value.detach() if name in sums else value.detach()
        values = torch.stack([*sums.values()])
        distributed.all_reduce(values)
        return dict(zip(sums, values, strict=True))

    def _begin_epoch(self) -> None:
        """Keep the state of a new epoch for the mixing, and give each process its own dropout."""
        if self._epoch == len(self._state.results):
            return
        self._epoch, self._step = len(self._state.results), 0
        self._mix_state = torch.get_rng_state()
        seed_epoch(self._state.config.seed + 1 + self._state.ranks.rank, self._epoch)

    def _share(self, batch: Batch) -> Batch:
        """Return this process's share of a mixed batch; others are shared by the loader."""
        if not self._mix.active:
            return batch
        # All processes must draw the same, whatever their dropout has drawn.
        own = torch.get_rng_state()
        torch.set_rng_state(self._mix_state)
        batch = self._mix(batch)
        self._mix_state = torch.get_rng_state()
        torch.set_rng_state(own)
        places = share_of(range(len(batch.label_B)), self._state.ranks.rank, self._state.ranks.world)
        return Batch(*(part[places.start : places.stop] for part in batch))


def _nothing_of(output: NetworkOutput) -> Tensor | float:
    """Return zero times every output, for DistributedDataParallel waits for all their gradients.

    A loss may leave some out, such as side outputs without a weight.
    """
    values = [value for value in (output.mask_logits_B1HW, *output.side_logits) if value is not None]
    return sum((0.0 * value.float().sum() for value in values if value.requires_grad), start=0.0)
