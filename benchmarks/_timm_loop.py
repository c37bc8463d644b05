"""A plain timm classifier trained in a straightforward loop, to compare the images per second."""

import time

import timm
import torch
import torch.nn.functional as F

from venation.data.loader import Loader
from venation.models.build import build_network
from venation.models.network_config import EncoderConfig, NetworkConfig
from venation.trials.optimise import precision_dtype
from venation.trials.train import fit
from venation.trials.trial_config import TrainConfig


def timm_rate(name: str, loader: Loader, config: TrainConfig, device: torch.device, classes: int) -> float:
    """Return the training images per second of the fastest epoch but the first."""
    torch.manual_seed(0)
    network = timm.create_model(name, num_classes=classes).to(device).train()
    optimizer = torch.optim.AdamW(network.parameters(), config.lr, fused=True)
    dtype = precision_dtype(config, device)
    rates = []
    for epoch in range(config.epochs):
        loader.set_epoch(epoch)
        started = time.perf_counter()
        for batch in loader:
            optimizer.zero_grad()
            with torch.autocast(device.type, dtype=dtype, enabled=dtype is not None):
                logits_BN = network(batch.image_BCHW.to(device))
            F.cross_entropy(logits_BN.float(), batch.label_B.to(device)).backward()
            optimizer.step()
        if device.type == "cuda":
            torch.cuda.synchronize()
        rates.append(len(loader.dataset) / (time.perf_counter() - started))
    return max(rates[1:])


def our_rate(
    name: str, loaders: tuple[Loader, Loader], config: TrainConfig, device: torch.device, classes: int
) -> float:
    """Return the same of `fit`, whose seconds include the validation of a second loader."""
    encoder = EncoderConfig(name=name)
    network = build_network(NetworkConfig(encoder=encoder, num_classes=classes, size=loaders[0].dataset.config.size_HW))
    options = {"task": "classify", "device": device, "monitor": "accuracy"}
    results = list(fit(network, *loaders, config, **options))  # type: ignore[arg-type]
    return max(len(loaders[0].dataset) / result.seconds for result in results[1:])
