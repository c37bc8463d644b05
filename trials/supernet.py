"""Train and score a supernet: one wide decoder whose subnets are narrower decoders.

A step adds up the gradients of the widest subnet, the narrowest and two random ones, which bound
and sample the range (the sandwich rule, Yu and Huang, arXiv 1903.05134). Computations that no width
changes, and every branch at its full width, run once for all subnets.

Shapes: B batch, H W the image's size.
"""

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ..data.dataset import Batch
from ..data.loader import Loader
from ..errors import DataError
from ..models.network import MultitaskNetwork, NetworkOutput
from ..models.network_config import DecoderConfig
from ..models.shared_maps import SharedMaps, capture_shared_maps
from ..models.subnets import DecoderSubnet
from .device import to_device
from .epochs import run_epochs
from .fit_state import EpochResult, FitState, fit_identity
from .losses import segment_loss
from .mask_counts import MaskCounter
from .micro_batch import split_batch
from .optimise import build_optimizer, precision_dtype
from .recalibrate import average_statistics
from .task_fields import check_task_fields
from .trial_config import TrainConfig

_RANDOM_SUBNETS = 2


@dataclass(frozen=True)
class SubnetScore:
    """The validation metrics of a subnet, and the parameters of a decoder of its config."""

    config: DecoderConfig
    parameters: int
    metrics: dict[str, float]


class Supernet:
    """A network whose decoder is the first and widest of ``configs``; the others are subnets of it.

    Put the network on its device first. Raises ValueError for a decoder without widths and for a
    config that is no subnet of it.
    """

    def __init__(self, network: MultitaskNetwork, configs: Sequence[DecoderConfig]) -> None:
        if network.decoder is None:
            raise ValueError("the network has no decoder to slice")
        self.network = network
        self.configs = tuple(configs)
        self.decoder: nn.Module = network.decoder
        self._subnets = [DecoderSubnet(self.decoder, config, reuse_maps=True) for config in self.configs]
        self._narrowest = min(self._subnets, key=lambda each: each.parameters)

    def add_gradients(self, batch: Batch, config: TrainConfig, *, group: int, size: int = 0) -> dict[str, Tensor]:
        """Add the mean gradient of four subnets, divided by ``group``, to the decoder's weights.

        Returns the detached loss parts and ``total``, means over the subnets. The network must be
        in training mode. The random subnets come from torch's global generator. At most ``size``
        images go through at once, 0 for all. All chunks use the same subnets and are weighted by
        their images with a mask.
        """
        random = torch.randint(len(self._subnets), (_RANDOM_SUBNETS,)).tolist()
        narrower = [self._narrowest, *(self._subnets[number] for number in random)]
        sums: dict[str, Tensor] = {}
        for chunk in split_batch(batch, size):
            weight: Tensor | float = 1 / group
            if len(chunk.label_B) < len(batch.label_B):
                weight = chunk.has_mask_B.sum() / batch.has_mask_B.sum().clamp(min=1) / group
            for name, value in self._add_mean_gradient(chunk, narrower, config, weight).items():
                sums[name] = sums.get(name, 0) + value * group
        return sums

    def _add_mean_gradient(
        self, batch: Batch, narrower: Sequence[DecoderSubnet], config: TrainConfig, weight: Tensor | float
    ) -> dict[str, Tensor]:
        """Add ``weight`` times the subnets' mean gradient; return the losses times ``weight``."""
        device_type, dtype = batch.image_BCHW.device.type, precision_dtype(config, batch.image_BCHW.device)
        share = weight / (1 + len(narrower))
        sums: dict[str, Tensor] = {}

        def backward(output: NetworkOutput) -> None:
            loss = segment_loss(output, batch, config)
            torch.autograd.backward(loss.total * share)
            for name, value in (loss.parts | {"total": loss.total}).items():
                sums[name] = sums.get(name, 0) + value.detach() * share

        with (
            torch.autocast(device_type, dtype=dtype, enabled=dtype is not None),
            capture_shared_maps(self.decoder) as shared,
        ):
            widest = self.network(batch.image_BCHW)
        backward(widest)
        for each in narrower:
            each.module.train()
            with torch.autocast(device_type, dtype=dtype, enabled=dtype is not None):
                output = self._forward_subnet(each, each.buffers(), batch, shared, widest)
            backward(output)
        shared.backward()
        return sums

    @torch.no_grad()
    def score(
        self,
        recalibration: Iterable[Batch],
        validation: Iterable[Batch],
        *,
        device: torch.device,
        between_batches: Callable[[], None] = lambda: None,
    ) -> list[SubnetScore]:
        """Return the validation metrics of every subnet in fp32, with recalibrated BatchNorm.

        Each batch goes through all subnets before the next one: maps are computed once per batch,
        and only the statistics of a subnet are kept. Without batches to recalibrate on, every
        subnet has the statistics of the widest. The network's state is restored.
        ``between_batches`` may raise to stop.
        """
        was_training, before = self.network.training, {n: b.clone() for n, b in self.decoder.named_buffers()}
        buffers = [each.buffers() for each in self._subnets]
        counters = [MaskCounter(boundaries=False, classes=self.network.mask_classes) for _ in self._subnets]
        modules = (self.decoder, *(each.module for each in self._subnets))
        self.network.eval()
        for module in modules:
            module.eval()
        try:
            with _recalibrating([part for module in modules for part in module.modules()]) as averaging:
                for batch in averaging(recalibration):
                    self._pass(to_device(batch, device), buffers, None)
                    between_batches()
            for batch in validation:
                if bool(batch.has_mask_B.any()):
                    self._pass(to_device(batch, device), buffers, counters)
                    between_batches()
        finally:
            self.network.train(was_training)
            for name, buffer in self.decoder.named_buffers():
                buffer.copy_(before[name])
        return [
            SubnetScore(config, each.parameters, _metrics(counter))
            for config, each, counter in zip(self.configs, self._subnets, counters, strict=True)
        ]

    def _pass(self, batch: Batch, buffers: list[dict[str, Tensor]], counters: list[MaskCounter] | None) -> None:
        with capture_shared_maps(self.decoder) as shared:
            widest = self.network(batch.image_BCHW)
        for number, each in enumerate(self._subnets):
            mask_logits_B1HW = self._forward_subnet(each, buffers[number], batch, shared, widest).mask_logits_B1HW
            if counters is not None:
                assert mask_logits_B1HW is not None
                counters[number].add(mask_logits_B1HW, batch)

    def _forward_subnet(
        self, each: DecoderSubnet, buffers: dict[str, Tensor], batch: Batch, shared: SharedMaps, widest: NetworkOutput
    ) -> NetworkOutput:
        """Return the network's output with this subnet as its decoder."""
        logits_B1hw, *sides = each(each.weights() | buffers, [batch.image_BCHW], batch.image_BCHW, shared)
        assert widest.mask_logits_B1HW is not None
        size = widest.mask_logits_B1HW.shape[-2:]
        if logits_B1hw.shape[-2:] != size:
            logits_B1hw = F.interpolate(logits_B1hw, size, mode="bilinear")
        return widest._replace(mask_logits_B1HW=logits_B1hw, side_logits=tuple(sides))


def fit_supernet(
    supernet: Supernet,
    train_loader: Loader,
    val_loader: Loader,
    config: TrainConfig,
    *,
    device: torch.device,
    monitor: str,
    checkpoint: Path | None = None,
) -> Iterator[EpochResult]:
    """Train the subnets of a supernet together and yield a result after every epoch.

    Metrics are those of the widest subnet, the network itself; losses are means over the subnets of
    a step. At the end the network has the weights of the widest subnet's best epoch by ``monitor``;
    ties go to the lower ``bce``. Encoder, gate and head are frozen. With ``checkpoint`` a later
    call resumes after the last saved epoch, bit for bit on a CPU. An epoch that runs out of memory
    restarts with fewer images at once, as in ``fit``.

    Raises TrialFailed with cause ``nan`` or ``oom``; UsageError for an unknown ``monitor``, and for
    one image at a time if BatchNorm needs more; UserError for a checkpoint that does not fit;
    DataError for an empty split.
    """
    if len(train_loader) == 0:
        raise DataError("the training split has no images: add images or change the split")
    check_task_fields(config, "segment")
    state = _prepare(supernet, config, f"supernet {monitor} {len(train_loader)}", device)

    def gradients(batch: Batch, group: int, size: int) -> dict[str, Tensor]:
        return supernet.add_gradients(batch, config, group=group, size=size)

    yield from run_epochs(state, train_loader, val_loader, gradients, monitor=monitor, checkpoint=checkpoint)


def _prepare(supernet: Supernet, config: TrainConfig, rest: str, device: torch.device) -> FitState:
    network, decoder = supernet.network, supernet.decoder
    network.freeze_base()
    subnets = " ".join(each.model_dump_json() for each in supernet.configs)
    identity = fit_identity(network, config, f"{rest} {subnets}", trained=decoder)
    optimizer = build_optimizer(decoder, config, device)
    return FitState(network, decoder, optimizer, config, "segment", device, identity, config.micro_batch)


@contextmanager
def _recalibrating(modules: Sequence[nn.Module]) -> Iterator[Callable[[Iterable[Batch]], Iterator[Batch]]]:
    """Let every BatchNorm average the batches' statistics; restore its settings afterwards."""
    norms = [module for module in modules if isinstance(module, _BatchNorm)]
    momenta = [norm.momentum for norm in norms]

    for norm in norms:
        norm.train()
    try:
        yield functools.partial(average_statistics, norms)
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
            norm.eval()


def _metrics(counter: MaskCounter) -> dict[str, float]:
    outcomes = counter.outcomes()
    if outcomes is None:
        raise DataError("no image of this split has a mask, but segmentation needs some: add masks to the data")
    return {name: metric(outcomes) for name, metric in outcomes.metrics().items()}
