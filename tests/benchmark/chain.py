"""Chains of image generation: our sampler against the loop of much published code, in turns, in one process."""

from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from contest import OURS, contest, contest_table, here, rounds_of, timed
from convolutions import alone
from evaluation import without_bfloat16
from torch import Tensor, nn
from workers import Failed

from robustlens.generation.sampler import Sampler
from robustlens.models.bfloat16 import Bfloat16Model
from robustlens.models.inference import InferenceModel
from robustlens.models.resnet import ResidualNetwork

SAMPLER = Sampler(init="noise", steps=10, step_size=0.1, momentum=0.0, noise=0.001)
CLOSE = 1e-4  # to within rounding, both make the same images
CLOSE_REDUCED = 0.1  # of what the chains in float32 change in their images, those in bfloat16 differ from them by less
JOINT, MARGINAL = "usual loop, E(x, y)", "usual loop, E(x)"
REDUCED = f"{OURS} bfloat16"


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
    """Seconds of a chain of each in each round that counts. Raises Failed where they make different images."""
    device = here()
    torch.manual_seed(0)
    width, batch = (4, 4) if quick else (64, 128 if device.type == "cuda" else 16)
    model = ResidualNetwork((2, 2, 2, 2), width, 3, 10).to(device)
    for module in model.modules():  # statistics of images, so that logits are neither zero nor huge
        if isinstance(module, nn.BatchNorm2d):
            module.running_var.fill_(2.0)
    model.eval()
    ours = InferenceModel(model)
    x = torch.rand(batch, 3, 32, 32, device=device)
    y = (torch.arange(batch) % 10).to(device)
    noises = _noises(x, device)
    run = {
        JOINT: lambda: usual_loop(model, x, y, noises),
        MARGINAL: lambda: usual_marginal_loop(model, x, y, noises),
        OURS: lambda: torch.from_numpy(SAMPLER.run(ours, x, y, batch, _noise(device)).images),
    }
    same = F.l1_loss(run[OURS](), run[JOINT]().cpu()).item()
    if same > CLOSE:
        raise Failed(f"the two samplers made images that differ by {same:.2g}: nothing to compare")
    left_out, apart = {"skipped": without_bfloat16(REDUCED, device), "failed": {}}, None
    if not left_out["skipped"]:
        reduced = Bfloat16Model(ours, "the benchmark", "float32")
        run[REDUCED] = lambda: torch.from_numpy(SAMPLER.run(reduced, x, y, batch, _noise(device)).images)
        exact = run[OURS]()
        apart = (F.l1_loss(run[REDUCED](), exact) / F.l1_loss(exact, x.cpu())).item()
        if apart > CLOSE_REDUCED:
            left_out["failed"][REDUCED] = f"its images differ by {apart:.0%} of what chains change"
            del run[REDUCED]
    run |= alone(model, batch, SAMPLER.steps, device, reduced=REDUCED not in left_out["skipped"])
    say(f"chains of width {width}, batches of {batch}")
    found = contest({name: timed(do, device, 1 if quick else None) for name, do in run.items()}, device, quick)
    sizes = {"batch": batch, "width": width, "steps": SAMPLER.steps}
    return {**sizes, **found, **left_out, "bfloat16_apart": apart}


def table(found: dict) -> str:
    title = f"Chains on ResNet-18 (width {found['width']}), batch {found['batch']}: {rounds_of(found)}\n\n"
    lines = contest_table(found, {"seconds per step": lambda _, seconds: f"{seconds / found['steps']:.4f}"})
    if found["bfloat16_apart"] is not None:
        lines += (
            f"\n* images in bfloat16 differ from ours in float32 by {found['bfloat16_apart']:.1%} of what chains change"
        )
    return title + lines


def _noise(device: torch.device) -> torch.Generator:
    return torch.Generator(device).manual_seed(1)


def _noises(x: Tensor, device: torch.device) -> list[Tensor]:
    """What the sampler draws from the same generator."""
    generator = _noise(device)
    return [SAMPLER.noise * torch.randn(x.shape, generator=generator, device=device) for _ in range(SAMPLER.steps)]
