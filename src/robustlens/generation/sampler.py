"""Images out of a classifier: noisy gradient descent with momentum on its joint energy (Mirza et al. 2024, Eq. 7)."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from robustlens.energy.energies import joint_energy, marginal_energy
from robustlens.generation.initialisation import initial_images
from robustlens.parameters import Fractional, NonNegative, NonNegativeInt, OneOf, Positive


class Samples(NamedTuple):
    """images: float32 (N, C, H, W) in [0, 1]; labels: int64 (N,), sorted.

    chain: one row per (step, label), step 0 being the starting point; columns step, label, joint and marginal: the
    means of E(x, y) and E(x) over the samples of that label after that step.
    """

    images: np.ndarray
    labels: np.ndarray
    chain: pd.DataFrame


@dataclass(frozen=True)
class Sampler:
    """v_0 = 0;  v_{n+1} = momentum * v_n - (step_size / 2) * grad_x E(x_n, y);
    x_{n+1} = clip(x_n + v_{n+1} + noise * N(0, 1), 0, 1).

    init, retained_variance, sigma: the starting points, see `initialisation.initial_images`; sigma is in units of the
        class's standard deviation.
    steps: how often the above is repeated; with 0 the samples are the starting points, the control of every score.
    step_size, momentum: the paper's eta and zeta.
    noise: standard deviation of what is added to each pixel at each step. The released code adds alpha * N(0, s^2),
        where its `noise_variance` s is used as a standard deviation, so noise = alpha * s; alpha is
        sqrt(2 * step_size) unless given. Its tuned setting, alpha = 1 and s = 0.001, is noise = 0.001.

    The defaults are that tuned setting, found in the notebook with the best-looking CIFAR-10 images.
    """

    init: OneOf("pca", "gaussian", "noise") = "pca"
    retained_variance: Fractional = 0.99
    sigma: NonNegative = 0.354
    steps: NonNegativeInt = 500
    step_size: Positive = 0.025
    momentum: Fractional = 0.8
    noise: NonNegative = 0.001

    def start(
        self, train_images: np.ndarray, train_labels: np.ndarray, per_class: int, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """per_class starting points of each class of train_labels (N,), sorted by label: images, labels; on the CPU."""
        classes = np.unique(train_labels)
        images = [
            initial_images(
                self.init, train_images[train_labels == y], per_class, self.retained_variance, self.sigma, generator
            )
            for y in classes
        ]
        return torch.cat(images), torch.from_numpy(classes.repeat(per_class)).long()

    def run(
        self,
        model: nn.Module,
        x: Tensor,
        y: Tensor,
        batch_size: int,
        generator: torch.Generator,
        after_step: Callable[[], None] = lambda: None,
    ) -> Samples:
        """Samples from the starting points x (N, C, H, W) of labels y (N,).

        The model is used in eval mode and is left as it was. Everything happens on the generator's device, to which
        model and images must belong. The noise is drawn batch by batch, so batch_size is part of what
        determines the samples. after_step is called once per step and batch.
        """
        model = copy.deepcopy(model).eval().requires_grad_(False)
        images, joint, marginal = [], [], []
        for x_batch, y_batch in zip(x.split(batch_size), y.split(batch_size), strict=True):
            x_last, joint_chain, marginal_chain = self._run_batch(model, x_batch, y_batch, generator, after_step)
            images.append(x_last.cpu())
            joint.append(joint_chain.cpu())
            marginal.append(marginal_chain.cpu())
        labels = y.cpu().numpy()
        chain = _chain(torch.cat(joint, dim=1).numpy(), torch.cat(marginal, dim=1).numpy(), labels)
        return Samples(torch.cat(images).numpy(), labels, chain)

    def _run_batch(
        self, model: nn.Module, x: Tensor, y: Tensor, generator: torch.Generator, after_step: Callable[[], None]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The samples (B, C, H, W) and the energies on the way to them, joint and marginal, each (steps + 1, B)."""
        velocity = torch.zeros_like(x)
        joint, marginal = [], []
        for _ in range(self.steps):
            x = x.detach().requires_grad_(True)
            with torch.enable_grad():
                logits = model(x)
                energy = joint_energy(logits, y)
            (gradient,) = torch.autograd.grad(energy.sum(), x)
            joint.append(energy.detach())
            marginal.append(marginal_energy(logits.detach()))

            velocity = self.momentum * velocity - self.step_size / 2 * gradient
            noise = torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
            x = (x.detach() + velocity + self.noise * noise).clamp_(0.0, 1.0)
            after_step()
        with torch.no_grad():
            logits = model(x)
        joint.append(joint_energy(logits, y))
        marginal.append(marginal_energy(logits))
        return x, torch.stack(joint), torch.stack(marginal)


def _chain(joint: np.ndarray, marginal: np.ndarray, labels: np.ndarray) -> pd.DataFrame:
    """The `chain` of `Samples` from energies (steps + 1, N)."""
    classes = np.unique(labels)
    steps = np.arange(len(joint))
    means = {
        name: np.stack([energy[:, labels == y].mean(axis=1, dtype=np.float64) for y in classes], axis=1).ravel()
        for name, energy in (("joint", joint), ("marginal", marginal))
    }
    return pd.DataFrame({"step": steps.repeat(len(classes)), "label": np.tile(classes, len(steps)), **means})
