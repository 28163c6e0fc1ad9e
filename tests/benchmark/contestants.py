"""What is compared: ways to do one adversarial training step (SAT) on the same network and the same images.

They run in worker processes; those of libraries have environments without most of ours, so robustlens is imported late.
"""

import contextlib
from pathlib import Path

import numpy as np
import torch
import torch._dynamo
import torch.nn.functional as F
from memory import resident
from torch import Tensor, nn

from robustlens.models.resnet import ResNet
from robustlens.seeds import derive

SEED, CLASSES = 0, 10
EPSILON, STEP_SIZE = 8 / 255, 2 / 255
BETA = 6.0  # of TRADES and WEAT
SGD = {"lr": 0.01, "momentum": 0.9, "weight_decay": 0.0005}
FORMATS = {"contiguous": torch.contiguous_format, "channels-last": torch.channels_last}


class Unavailable(Exception):
    """This machine can't run the contestant; the message says why."""


def network(width: int) -> nn.Module:
    """CIFAR ResNet-18 of that width (64: as published), the same in every process."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(SEED, "weights"))
        return ResNet(width=width).build(3, CLASSES)


def step_size(attack_steps: int) -> float:
    """One step is FGSM, of length epsilon."""
    return EPSILON if attack_steps == 1 else STEP_SIZE


class Reference:
    """The loop that much published code has: contiguous float32, and backward() in the attack, which computes the
    gradients of the weights too. Images come as they are needed: float32 on the device.

    folder: holds images.npy, uint8 (N, 3, 32, 32), and labels.npy.
    libraries: bytes of memory that the process had before it built anything.
    """

    def __init__(self, width: int, batch: int, folder: Path, device: torch.device):
        self.libraries = resident()
        self.model = network(width).to(device)
        self.weights = {name: t.clone() for name, t in self.model.state_dict().items()}
        images, labels = (torch.from_numpy(np.load(folder / f"{name}.npy")) for name in ("images", "labels"))
        self.x = (images.float() / 255).to(device).split(batch)
        self.y = labels.to(device).split(batch)

    def reset(self, attack_steps: int) -> None:
        """Back to the first weights, a fresh optimiser and the first batch."""
        self.attack_steps, self.done = attack_steps, 0
        self.model.load_state_dict(self.weights)
        self.optimizer = torch.optim.SGD(self.model.parameters(), **SGD)

    def step(self) -> None:
        """Leaves `x_adv` and `loss` of this step."""
        x, y = (parts[self.done % len(parts)] for parts in (self.x, self.y))
        torch.manual_seed(derive(SEED, "steps", self.done, 0))  # the random start that robustlens draws
        self.x_adv = self.attack(x, y)
        self.optimizer.zero_grad()
        self.loss = self.training_loss(self.x_adv, y)
        self.loss.backward()
        self.optimizer.step()
        self.done += 1

    def training_loss(self, x_adv: Tensor, y: Tensor) -> Tensor:
        self.model.train()
        return F.cross_entropy(self.model(x_adv), y)

    def attack(self, x: Tensor, y: Tensor) -> Tensor:
        self.model.eval()
        x_adv = (x + EPSILON * (2 * torch.rand_like(x) - 1)).clamp(0, 1)
        for _ in range(self.attack_steps):
            x_adv.requires_grad_(True)
            F.cross_entropy(self.model(x_adv), y).backward()
            x_adv = x_adv.detach() + step_size(self.attack_steps) * x_adv.grad.sign()
            x_adv = torch.min(torch.max(x_adv, x - EPSILON), x + EPSILON).clamp(0, 1)
        return x_adv


class UsualTrades(Reference):
    """TRADES by the loop of most published code: contiguous float32, and in every step of the attack the softmax of the
    natural images again, which never changes.

    everything: the attack's gradient by `backward()`, which computes those of the weights too.
    """

    def __init__(self, *arguments: object, everything: bool = False):
        super().__init__(*arguments)
        self.everything = everything

    def step(self) -> None:
        self.natural = self.x[self.done % len(self.x)]
        super().step()

    def attack(self, x: Tensor, y: Tensor) -> Tensor:
        self.model.eval()
        x_adv = x + 0.001 * torch.randn_like(x)
        for _ in range(self.attack_steps):
            x_adv.requires_grad_(True)
            kl = F.kl_div(F.log_softmax(self.model(x_adv), 1), F.softmax(self.model(x), 1), reduction="sum")
            if self.everything:
                kl.backward()
                gradient = x_adv.grad
            else:
                (gradient,) = torch.autograd.grad(kl, x_adv)
            x_adv = x_adv.detach() + step_size(self.attack_steps) * gradient.sign()
            x_adv = torch.min(torch.max(x_adv, x - EPSILON), x + EPSILON).clamp(0, 1)
        return x_adv

    def training_loss(self, x_adv: Tensor, y: Tensor) -> Tensor:
        self.model.train()
        natural, adversarial = self.model(self.natural), self.model(x_adv)
        kl = F.kl_div(F.log_softmax(adversarial, 1), F.softmax(natural, 1), reduction="batchmean")
        return F.cross_entropy(natural, y) + BETA * kl


class Ours:
    """`Classification.step` of robustlens, with the settings that its jobs have (`use_device`).

    augmented: with the crops and flips of CIFAR-10 training, as an epoch has them. The others have none. method: with
    its parameters. perturbed: with AWP.
    """

    def __init__(
        self,
        width: int,
        batch: int,
        folder: Path,
        device: torch.device,
        precision: str = "float32",
        memory_format: str = "auto",
        compile: bool = False,
        augmented: bool = False,
        method: str = "sat",
        parameters: dict | None = None,
        perturbed: bool = False,
        learning_rate: float = SGD["lr"],
    ):
        from robustlens.data.prepared import PreparedDataset, Split
        from robustlens.device import use_device
        from robustlens.errors import RobustlensError
        from robustlens.training.run import Training
        from robustlens.training.state import RunState

        spec = specification(width, batch, method, parameters or {})
        spec["training"] |= {
            "learning_rate": learning_rate,
            "precision": precision,
            "memory_format": memory_format,
            "compile": "on" if compile else "off",
            "augmentation": {"crop_padding": 4, "flip": True} if augmented else {"crop_padding": 0, "flip": False},
            "weight_perturbation": {"name": "awp", "gamma": 0.005, "start_epoch": 0} if perturbed else {"name": "none"},
        }
        self.libraries = resident()
        images, labels = (np.load(folder / f"{name}.npy") for name in ("images", "labels"))
        train = Split(images, labels, np.arange(len(labels)), levels=255)
        validation = Split(images[:1], labels[:1], np.arange(1), levels=255)
        sheet = {"classes": [str(label) for label in range(CLASSES)], "shape": [3, 32, 32]}
        data = PreparedDataset(sheet, {"train": train, "validation": validation})

        self.job = contextlib.ExitStack()
        device = self.job.enter_context(use_device(torch.get_num_threads(), "native"))
        try:
            self.training = Training(spec, data, RunState(folder / "state", "none"), device)
        except RobustlensError as error:
            raise Unavailable(str(error)) from error
        self.training.task.before_epoch(1)
        self.weights = {name: t.clone() for name, t in self.training.task.learner.state_dict().items()}
        self.batches = torch.arange(len(labels), device=device).split(batch)

    def reset(self, attack_steps: int) -> None:
        self.training.task.learner.load_state_dict(self.weights)
        self.training.task.descent.velocities.clear()
        self.training.loop.progress.step = 0
        attack = self.training.task.method.attack(attack_steps)

        def remembered(*arguments: object) -> Tensor:
            self.x_adv = attack(*arguments)
            return self.x_adv

        self.training.task.attack = remembered

    def step(self) -> None:
        done = self.training.loop.progress.step
        batch = self.batches[done % len(self.batches)]
        self.training.task.loss_sum.zero_()
        self.training.task.step(batch, epoch=1, number=done)
        self.loss = self.training.task.loss_sum / len(batch)
        self.training.loop.progress.step += 1


def specification(width: int, batch: int, method: str, parameters: dict) -> dict:
    """Of a training, as the workflow resolves it."""
    architecture = {"family": "resnet", "width": width}
    return {
        "seed": SEED,
        "architecture": architecture,
        "parts": {"teacher": architecture} if method == "lbgat" else {},
        "method": {"name": method, "parameters": parameters},
        "training": {
            "epochs": 1_000_000,
            "batch_size": batch,
            "momentum": SGD["momentum"],
            "nesterov": False,
            "weight_decay": SGD["weight_decay"],
            "schedule": {"name": "step", "milestones": [1_000_000], "factor": 0.1},
            "attack_steps": 10,
            "attack_batchnorm": "eval",
            "averaging": {"name": "none"},
            "selection": "auto",
            "checkpoints": [],
            "also_select": [],
        },
        "threat": {"norm": "linf", "epsilon": EPSILON, "step_size": STEP_SIZE},
        "tracking": {"every": 1, "train_samples": 1, "attack_steps": 1, "batch_size": 1, "energy_epochs": []},
    }


class Probe:
    """The 3x3 convolutions of the network by themselves, forward: the rate that the machine can reach.

    flops: floating-point operations of a step, two a multiply-add. as_a_job: keep freed memory, as `Ours` does.
    """

    def __init__(
        self,
        width: int,
        batch: int,
        folder: Path | None,
        device: torch.device,
        precision: str,
        memory_format: str,
        as_a_job: bool = False,
    ):
        if as_a_job and device.type == "cpu":
            from robustlens.device import keep_freed_memory

            keep_freed_memory()
        dtype, shape = getattr(torch, precision), {"memory_format": FORMATS[memory_format]}
        torch.backends.cudnn.allow_tf32 = False
        self.layers, self.flops = [], 0

        def record(layer: nn.Conv2d, inputs: tuple[Tensor], output: Tensor) -> None:
            x = torch.randn(batch, *inputs[0].shape[1:]).to(device, dtype).contiguous(**shape)
            weight = layer.weight.detach().to(device, dtype).contiguous(**shape)
            self.layers.append((x, weight, layer.stride))
            self.flops += 2 * batch * layer.weight.numel() * output[0, 0].numel()

        model = network(width)
        for layer in model.modules():
            if isinstance(layer, nn.Conv2d) and layer.kernel_size == (3, 3):
                layer.register_forward_hook(record)
        with torch.no_grad():
            model.eval()(torch.zeros(1, 3, 32, 32))

    def reset(self, attack_steps: int) -> None:
        """There is no attack here."""

    def step(self) -> None:
        with torch.no_grad():
            for x, weight, stride in self.layers:
                F.conv2d(x, weight, stride=stride, padding=1)


KINDS = {"reference": Reference, "ours": Ours, "probe": Probe}
