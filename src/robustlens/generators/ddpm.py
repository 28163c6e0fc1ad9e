"""A denoising diffusion model (Ho et al. 2020), conditioned on the class, with a cosine schedule (Nichol and Dhariwal
2021) and the deterministic sampler DDIM (Song et al. 2021).

Schedule, sampler and the larger network are those of the package diffusers, which takes seconds to import: nothing else
imports this module's parts of it.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from robustlens.errors import RobustlensError
from robustlens.generators.classes import positions_by_class
from robustlens.generators.denoisers import MLP, unet
from robustlens.generators.work import Work
from robustlens.parameters import Flag, Fractional, NonNegative, OneOf, Positive, PositiveInt
from robustlens.seeds import derive, generator
from robustlens.training.loop import Loop
from robustlens.training.parallel import Processes

ROUNDS = 20  # at most so many equal parts has a fit, after each of which it is kept and reported


@dataclass(frozen=True)
class DDPM:
    """Images x are scaled to [-1, 1]. For t of 1..`levels` the network is trained to find the noise n in
    x_t = sqrt(a_t) x + sqrt(1 - a_t) n, by the mean square of its error, where a_t is the cosine schedule's.

    denoiser: `mlp` for images of few pixels, `unet` for sides that can be halved `depth` - 1 times. width: of a hidden
        layer, or channels of the first level. depth: residual blocks, or levels, of twice `width` from the second on.
    steps, batch_size, learning_rate, weight_decay: of AdamW; gradients are clipped to a norm of 1.
    flip: whether half of the images are mirrored.
    ema_decay: of the average of the weights that samples are drawn with; step s, from 0, has
        min(ema_decay, (1 + s) / (10 + s)).
    sampling_steps: of DDIM with eta 0; the image that each step predicts is clipped to [-1, 1], and the noise is what
        follows from it, as in Dhariwal and Nichol's code.
    conditional: false: the classes are not told apart, and a classifier has to label the samples.
    """

    denoiser: OneOf("mlp", "unet") = "unet"
    width: PositiveInt = 128
    depth: PositiveInt = 4
    steps: PositiveInt = 100_000
    batch_size: PositiveInt = 128
    learning_rate: Positive = 0.0002
    weight_decay: NonNegative = 0.0
    flip: Flag = False
    ema_decay: Fractional = 0.9999
    levels: PositiveInt = 1000
    sampling_steps: PositiveInt = 20
    conditional: Flag = True

    def __post_init__(self):
        if self.sampling_steps > self.levels:
            raise RobustlensError(
                f"the generator's `sampling_steps` are {self.sampling_steps} of {self.levels} `levels`; lower them"
            )

    def fit(
        self, pixels: np.ndarray, labels: np.ndarray, classes: int, random: np.random.Generator, work: Work
    ) -> "Fitted":
        """Trains for `steps` steps, or goes on where unfinished work ends; the same weights either way."""
        positions_by_class(labels, classes, least=1)
        task = Denoising(self, pixels, labels, classes, int(random.integers(2**62)), work.device)
        # An epoch of the loop is a round here: what it counts as images are the draws of a round.
        Loop(
            task, task.rounds, self.batch_size, task.seed, work.state, Processes(work.device), work.stop, work.report
        ).run()
        return Fitted(self, task.average, pixels.shape[1:], work.device)

    def restored(self, state: dict[str, np.ndarray], shape: tuple[int, ...], device: torch.device) -> "Fitted":
        weights = {name: torch.from_numpy(array) for name, array in state.items()}
        classes = next((len(t) for name, t in weights.items() if name.endswith("class_embedding.weight")), 0)
        network = self.network(tuple(shape), classes)
        network.load_state_dict(weights)
        return Fitted(self, network.to(device), shape, device)

    def network(self, shape: tuple[int, ...], classes: int) -> nn.Module:
        """From (B, C, H, W), levels (B,) from 0 and labels (B,), or None, to the noise (B, C, H, W). classes: 0 where
        it is not told labels. Raises RobustlensError for images that the UNet can't halve."""
        if self.denoiser == "mlp":
            return MLP(shape, self.width, self.depth, classes)
        return unet(shape, self.width, self.depth, classes)


class Denoising:
    """The training of the denoiser, as a task of the loop. Every random number is of its step alone."""

    def __init__(
        self,
        settings: DDPM,
        pixels: np.ndarray,
        labels: np.ndarray,
        classes: int,
        seed: int,
        device: torch.device,
    ):
        from diffusers import DDPMScheduler

        self.settings, self.seed, self.device = settings, seed, device
        self.rounds = max(n for n in range(1, ROUNDS + 1) if settings.steps % n == 0)
        self.images = settings.steps // self.rounds * settings.batch_size  # drawn in a round
        self.x = torch.from_numpy(np.asarray(pixels, np.float32))  # no copy: these may be tens of gigabytes
        self.y = torch.from_numpy(np.array(labels)) if settings.conditional else None
        self.order = torch.randperm(len(self.x), generator=generator(seed, "images"))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive(seed, "weights"))
            self.network = settings.network(pixels.shape[1:], classes if settings.conditional else 0)
            self.average = settings.network(pixels.shape[1:], classes if settings.conditional else 0)
        self.average.load_state_dict(self.network.state_dict())
        self.network, self.average = self.network.to(device), self.average.to(device).requires_grad_(False)
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), settings.learning_rate, weight_decay=settings.weight_decay, foreach=True
        )
        self.schedule = DDPMScheduler(settings.levels, beta_schedule="squaredcos_cap_v2")
        self.losses = torch.zeros(2, device=device)  # sum and number, of this round

    def before_epoch(self, epoch: int) -> None:
        self.losses.zero_()

    def step(self, batch: Tensor, epoch: int, number: int) -> None:
        """batch: draws of this round, from 0; all rounds together go through the images again and again."""
        where = self.order[(batch.cpu() + (epoch - 1) * self.images) % len(self.x)]
        random = generator(self.seed, "step", number)
        x, noise = self.x[where].mul_(2).sub_(1), torch.randn((len(where), *self.x.shape[1:]), generator=random)
        if self.settings.flip:
            mirrored = torch.rand(len(x), generator=random) < 0.5
            x[mirrored] = x[mirrored].flip(-1)
        level = torch.randint(self.settings.levels, (len(x),), generator=random).to(self.device)
        label = None if self.y is None else self.y[where].to(self.device)
        noise = noise.to(self.device)
        noisy = self.schedule.add_noise(x.to(self.device), noise, level)
        loss = F.mse_loss(self.network(noisy, level, label), noise)
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()
        kept = min(self.settings.ema_decay, (1 + number) / (10 + number))
        with torch.no_grad():
            torch._foreach_lerp_([*self.average.parameters()], [*self.network.parameters()], 1 - kept)
            self.losses += torch.stack([loss, torch.ones_like(loss)])

    def after_epoch(self, epoch: int) -> dict[str, Any]:
        loss = (self.losses[0] / self.losses[1]).item()
        if not np.isfinite(loss):
            raise RobustlensError(
                f"the denoiser's loss is {loss} in round {epoch} of {self.rounds}; lower the generator's "
                "`learning_rate`"
            )
        return {"loss": loss}

    def tensors(self) -> dict[str, Tensor]:
        optimizer = self.optimizer.state_dict()["state"]
        of_optimizer = {f"optimizer.{k}.{name}": t for k, values in optimizer.items() for name, t in values.items()}
        networks = {"network": self.network.state_dict(), "average": self.average.state_dict()}
        of_networks = {f"{which}.{name}": t for which, state in networks.items() for name, t in state.items()}
        return of_networks | of_optimizer | {"losses": self.losses}

    def record(self) -> dict[str, Any]:
        return {}

    def load(self, tensors: dict[str, Tensor], record: dict[str, Any]) -> None:
        for name, network in (("network", self.network), ("average", self.average)):
            network.load_state_dict(_under(name, tensors))
        values: dict[int, dict[str, Tensor]] = {}
        for name, tensor in _under("optimizer", tensors).items():
            number, _, part = name.partition(".")
            values.setdefault(int(number), {})[part] = tensor
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": values, "param_groups": groups})
        self.losses.copy_(tensors["losses"])


def _under(name: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key.removeprefix(f"{name}."): t for key, t in tensors.items() if key.startswith(f"{name}.")}


class Fitted:
    """The averaged network, ready to sample."""

    def __init__(self, settings: DDPM, network: nn.Module, shape: tuple[int, ...], device: torch.device):
        from diffusers import DDIMScheduler

        self.settings, self.network, self.shape, self.device = settings, network.eval(), tuple(shape), device
        self.schedule = DDIMScheduler(settings.levels, beta_schedule="squaredcos_cap_v2", clip_sample=True)
        self.schedule.set_timesteps(settings.sampling_steps)

    def state(self) -> dict[str, np.ndarray]:
        return {name: tensor.cpu().numpy() for name, tensor in self.network.state_dict().items()}

    @torch.no_grad()
    def sample(self, label: int | None, count: int, random: np.random.Generator) -> np.ndarray:
        """float32 (count, C, H, W)."""
        x = torch.from_numpy(random.standard_normal((count, *self.shape), np.float32)).to(self.device)
        labels = None if label is None else torch.full((count,), label, device=self.device)
        for level in self.schedule.timesteps:
            noise = self.network(x, level.to(self.device).expand(count), labels)
            x = self.schedule.step(noise, level, x, use_clipped_model_output=True).prev_sample
        return x.add_(1).div_(2).clamp_(0, 1).cpu().numpy()
