"""Where the sampler starts: noise, or images from a Gaussian fitted to one class (Mirza et al. 2024, section 5)."""

import numpy as np
import torch
from sklearn.decomposition import PCA
from torch import Tensor

from robustlens.errors import RobustlensError


class ClassPCA:
    """Principal components of the images of one class.

    images: float32 (n, C, H, W) in [0, 1], at least two of them different.
    retained_variance: in (0, 1]; the smallest number of components that reaches this share of the variance is kept.

    Attributes: mean (d,), components (k, d) of unit length, std (k,): the standard deviation of the class along
    each component (divisor n - 1), all float64, with d = C * H * W.
    """

    def __init__(self, images: np.ndarray, retained_variance: float):
        if not 0 < retained_variance <= 1:
            raise RobustlensError(f"retained_variance: must be above 0 and at most 1, got {retained_variance!r}")
        flat = np.asarray(images, dtype=np.float64).reshape(len(images), -1)
        if len(flat) < 2 or np.ptp(flat, axis=0).max() == 0:
            raise RobustlensError(
                f"the initialisation fits a Gaussian to each class and needs two different training images of it, "
                f"but got {len(flat)}; give more training images or use `init: noise`"
            )
        pca = PCA(
            n_components=retained_variance if retained_variance < 1 else None,
            svd_solver="covariance_eigh" if len(flat) > flat.shape[1] else "full",  # the cheaper exact one
        ).fit(flat)
        self.shape = images.shape[1:]
        self.mean = pca.mean_
        self.components = pca.components_
        self.std = np.sqrt(pca.explained_variance_)

    def sample(self, n: int, sigma: float, generator: torch.Generator) -> Tensor:
        """n images x_0 = mu_y + sum_i sigma * std_i * a_i * U_i, a_i ~ N(0, 1), clipped to [0, 1]; float32 (n, C, H, W)

        sigma is in units of the class's standard deviation: sigma = 1 with all components kept is the class's own
        Gaussian. The released code writes lambda_i * N(0, s^2) with lambda_i the singular value,
        sqrt(n_train - 1) * std_i, so that sigma = s * sqrt(n_train - 1): its s = 0.005 on CIFAR-10 (5,000 images a
        class) is sigma = 0.354.
        """
        amplitudes = torch.randn(n, len(self.std), generator=generator, dtype=torch.float64).numpy()
        flat = self.mean + (sigma * self.std * amplitudes) @ self.components
        return torch.from_numpy(flat.clip(0.0, 1.0).astype(np.float32).reshape(n, *self.shape))


def initial_images(
    init: str, class_images: np.ndarray, n: int, retained_variance: float, sigma: float, generator: torch.Generator
) -> Tensor:
    """n starting points of one class, float32 (n, C, H, W) in [0, 1].

    init: `noise`: uniform in [0, 1], without regard to the class; `gaussian`: N(mu_y, Sigma_y) with the class's full
        sample covariance; `pca`: `ClassPCA`. Only `pca` reads retained_variance and sigma.
    """
    if init == "noise":
        return torch.rand(n, *class_images.shape[1:], generator=generator)
    if init == "gaussian":
        return ClassPCA(class_images, retained_variance=1.0).sample(n, 1.0, generator)
    return ClassPCA(class_images, retained_variance).sample(n, sigma, generator)
