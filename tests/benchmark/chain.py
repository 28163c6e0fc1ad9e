"""Chains of image generation: our sampler against the loop of much published code, in turns, in one process."""

import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from robustlens.generation.sampler import Sampler
from robustlens.models.inference import InferenceModel
from robustlens.models.resnet import ResidualNetwork

GOAL = 2.2  # times the usual loop
SAMPLER = Sampler(init="noise", steps=10, step_size=0.1, momentum=0.0, noise=0.001)
CLOSE = 1e-4  # to within rounding, both make the same images


def usual_loop(model: nn.Module, x: Tensor, y: Tensor, noises: list[Tensor]) -> Tensor:
    """The network as it was trained, contiguous; every step a `backward()`, through the parameters too."""
    for noise in noises:
        x = x.detach().requires_grad_(True)
        model.zero_grad()
        energy = -model(x)[torch.arange(len(y)), y]  # the joint energy: what Eq. 7 of Mirza et al. 2024 descends
        energy.sum().backward()
        x = (x.detach() - SAMPLER.step_size / 2 * x.grad + noise).clamp(0, 1)
    return x


def usual_marginal_loop(model: nn.Module, x: Tensor, y: Tensor, noises: list[Tensor]) -> Tensor:
    """The same on E(x) = -logsumexp, as samplers of JEM do it: other images, the same work."""
    for noise in noises:
        x = x.detach().requires_grad_(True)
        model.zero_grad()
        (-torch.logsumexp(model(x), 1)).sum().backward()
        x = (x.detach() - SAMPLER.step_size / 2 * x.grad + noise).clamp(0, 1)
    return x


def measure(folder: Path, quick: bool, say: Callable[[str], None]) -> dict:
    """Seconds of a step of each, in rounds by turns, and how many times as fast ours is: the median over the rounds."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(0)
    width, batch, rounds = (4, 4, 1) if quick else (64, 128 if device.type == "cuda" else 16, 5)
    model = ResidualNetwork((2, 2, 2, 2), width, 3, 10).to(device)
    for module in model.modules():  # statistics of images, so that logits are neither zero nor huge
        if isinstance(module, nn.BatchNorm2d):
            module.running_var.fill_(2.0)
    model.eval()
    ours = InferenceModel(model)
    x = torch.rand(batch, 3, 32, 32, device=device)
    y = (torch.arange(batch) % 10).to(device)
    noises = _noises(x, device)

    def run_ours() -> Tensor:
        return torch.from_numpy(SAMPLER.run(ours, x, y, batch, _noise(device)).images)

    contestants = {
        "usual loop, E(x, y)": lambda: usual_loop(model, x, y, noises),
        "usual loop, E(x)": lambda: usual_marginal_loop(model, x, y, noises),
        "robustlens": run_ours,
    }
    same = F.l1_loss(run_ours(), contestants["usual loop, E(x, y)"]().cpu()).item()
    if same > CLOSE:
        raise SystemExit(f"the two samplers made images that differ by {same:.2g}: nothing to compare")
    seconds = {name: [] for name in contestants}
    for number in range(rounds):
        say(f"chains: round {number + 1} of {rounds}")
        for name, run in contestants.items():
            seconds[name].append(_timed(run, device))
    ratios = {
        name: median(a / b for a, b in zip(seconds[name], seconds["robustlens"], strict=True)) for name in contestants
    }
    return {"batch": batch, "width": width, "steps": SAMPLER.steps, "seconds": seconds, "ratios": ratios}


def table(found: dict) -> str:
    lines = [
        f"Chains on ResNet-18 (width {found['width']}), batch {found['batch']}, float32: "
        f"{len(found['seconds']['robustlens'])} rounds",
        "",
        "| loop | seconds per step, median | how many times as fast robustlens is |",
        "|---|---|---|",
    ]
    for name, seconds in found["seconds"].items():
        lines.append(f"| {name} | {median(seconds) / found['steps']:.4f} | {found['ratios'][name]:.2f} |")
    return "\n".join(lines) + "\n"


def _noise(device: torch.device) -> torch.Generator:
    return torch.Generator(device).manual_seed(1)


def _noises(x: Tensor, device: torch.device) -> list[Tensor]:
    """What the sampler draws from the same generator."""
    generator = _noise(device)
    return [SAMPLER.noise * torch.randn(x.shape, generator=generator, device=device) for _ in range(SAMPLER.steps)]


def _timed(run: Callable[[], Tensor], device: torch.device) -> float:
    run()
    if device.type == "cuda":
        torch.cuda.synchronize()
    started = time.perf_counter()
    run()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started
