"""Data-parallel training in several processes, as torchrun starts them; a run in one process is the ordinary case.

Every process holds the network and takes its share of each batch. After the backward pass the gradients are averaged
over all images of the batch and the BatchNorm statistics over the processes, so that all networks stay equal. One
exchange a step is little beside the many passes of an adversarial attack.
"""

import os
from collections.abc import Iterable

import torch
import torch.distributed as dist
from torch import Tensor, nn


class Processes:
    """The processes of this run. rank: 0..count - 1; rank 0 measures, reports and saves."""

    def __init__(self, device: torch.device):
        self.count, self.rank = int(os.environ.get("WORLD_SIZE", 1)), int(os.environ.get("RANK", 0))
        self.device = device
        if self.count > 1 and not dist.is_initialized():
            dist.init_process_group("nccl" if device.type == "cuda" else "gloo")

    @property
    def first(self) -> bool:
        return self.rank == 0

    def share(self, where: Tensor) -> Tensor:
        """This process's part of the positions (B,) of a batch."""
        return where[self.rank :: self.count]

    def loss_weight(self, local: int, whole: int) -> float:
        """What a mean over `local` images is multiplied by so that the mean over processes is that over `whole`."""
        return local * self.count / whole

    def average_gradients(self, network: nn.Module) -> None:
        self._average(p.grad for p in network.parameters() if p.grad is not None)

    def average_statistics(self, network: nn.Module) -> None:
        self._average(b for b in network.buffers() if b.is_floating_point())

    def any(self, flag: bool) -> bool:
        """Whether it is true in any process. Synchronises."""
        if self.count == 1:
            return flag
        votes = torch.tensor(float(flag), device=self.device)
        dist.all_reduce(votes, op=dist.ReduceOp.MAX)
        return bool(votes)

    def sum(self, value: Tensor) -> Tensor:
        if self.count > 1:
            value = value.clone()
            dist.all_reduce(value)
        return value

    def wait(self) -> None:
        """Until every process has come here."""
        if self.count > 1:
            dist.barrier()

    def _average(self, tensors: Iterable[Tensor]) -> None:
        tensors = list(tensors)
        if self.count == 1 or not tensors:
            return
        flat = torch.cat([t.reshape(-1) for t in tensors])
        dist.all_reduce(flat)
        flat /= self.count
        for tensor, part in zip(tensors, flat.split([t.numel() for t in tensors]), strict=True):
            tensor.copy_(part.view_as(tensor))
