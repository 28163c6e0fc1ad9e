"""Data-parallel training in several processes, as torchrun starts them; a run in one process is the ordinary case.

Every process holds the network and takes its share of each batch. After the backward pass the gradients are averaged
over all images of the batch and the BatchNorm statistics over the processes, so that all networks stay equal. One
exchange per step costs little, compared with the many passes of an adversarial attack.
"""

import os
import time
from collections.abc import Iterable, Sequence
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn

# How long a process waits for the others before it fails. PyTorch's 10 minutes are too short: the others wait while the
# first one tracks (PGD on thousands of images of a large network), and while it waits for GPUs that other jobs have. If
# a process dies, torchrun still notices at once.
PATIENCE = timedelta(hours=6)


class Processes:
    """The processes of this run. rank: 0..count - 1; rank 0 measures, reports and saves."""

    def __init__(self, device: torch.device):
        self.count, self.rank = int(os.environ.get("WORLD_SIZE", 1)), int(os.environ.get("RANK", 0))
        self.device = device
        if self.count > 1 and not dist.is_initialized():
            dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=PATIENCE)
            self.wait()  # only now does the first process hold the GPUs of all

    @property
    def first(self) -> bool:
        return self.rank == 0

    def share(self, where: Tensor) -> Tensor:
        """This process's part of the positions (B,) of a batch."""
        return where[self.rank :: self.count]

    def mean(self, values: Tensor) -> Tensor:
        """The mean of numbers (B,) over the whole batch, of which each process has a part."""
        if self.count == 1:
            return values.mean()
        total, number = self.sum(torch.stack([values.sum(), values.new_tensor(len(values))]))
        return total / number

    def average_gradients(self, module: nn.Module) -> None:
        """Parameters that have a gradient in one process have one in all afterwards."""
        if self.count == 1:
            return
        parameters = list(module.parameters())
        reached = torch.tensor([float(p.grad is not None) for p in parameters], device=self.device)
        dist.all_reduce(reached, op=dist.ReduceOp.MAX)
        for parameter, anywhere in zip(parameters, reached.tolist(), strict=True):
            if anywhere and parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        self._average(p.grad for p in parameters if p.grad is not None)

    def averaged(self, gradients: Sequence[Tensor | None], of: Sequence[Tensor]) -> list[Tensor | None]:
        """The gradients of these tensors over the whole batch; None where no process has one."""
        if self.count == 1:
            return list(gradients)
        reached = torch.tensor([float(g is not None) for g in gradients], device=self.device)
        dist.all_reduce(reached, op=dist.ReduceOp.MAX)
        pairs = zip(gradients, of, reached.tolist(), strict=True)
        found = [(torch.zeros_like(t) if g is None else g.clone()) if anywhere else None for g, t, anywhere in pairs]
        self._average(g for g in found if g is not None)
        return found

    def average_statistics(self, module: nn.Module) -> None:
        """Of BatchNorm. A mean of equal numbers may be rounded, so none is taken of what is not trained."""
        if not any(parameter.requires_grad for parameter in module.parameters()):
            return
        norms = [part for part in module.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm)]
        self._average(b for norm in norms for b in (norm.running_mean, norm.running_var) if b is not None)

    def take_from_first(self, module: nn.Module) -> None:
        """Give all parameters and buffers the first process's values."""
        for tensor in module.state_dict().values() if self.count > 1 else ():
            of_first = tensor.contiguous()
            dist.broadcast(of_first, src=0)
            tensor.copy_(of_first)

    def any(self, flag: bool) -> bool:
        """Whether it is true in any process. Synchronises."""
        if self.count == 1:
            return flag
        votes = torch.tensor(float(flag), device=self.device)
        dist.all_reduce(votes, op=dist.ReduceOp.MAX)
        return bool(votes)

    def of_first(self, number: int) -> int:
        """The number that the first process has, in all of them. Synchronises."""
        if self.count == 1:
            return number
        shared = torch.tensor(number, device=self.device)
        dist.broadcast(shared, src=0)
        return int(shared)

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


class Questions:
    """When the processes ask each other something, about every `seconds`: after the same step in all of them, because
    only the first one's clock decides how many steps lie between. A single process asks itself after every step."""

    def __init__(self, processes: Processes, seconds: float):
        self.processes, self.seconds = processes, seconds
        self.steps, self.next, self.asked_at = 0, 1, time.monotonic()

    def due(self) -> bool:
        """Called after every step, in every process."""
        if self.processes.count == 1:
            return True
        self.steps += 1
        if self.steps < self.next:
            return False
        now = time.monotonic()
        a_step = max(now - self.asked_at, 1e-9) / self.steps
        self.next = self.processes.of_first(max(1, int(self.seconds / a_step)))
        self.steps, self.asked_at = 0, now
        return True
