"""Targeted FAB (Croce and Hein 2020) as pyautoattack computes it, with several target classes in one batch.

It draws nothing, so that an image's result depends on no other image and on no order, up to the rounding of batches of
other sizes. Small batches, each of one target, would spend more time between operations than in them.
"""

import torch
from pyautoattack.fab_projections import projection_l2, projection_linf
from pyautoattack.fab_pt import FABAttack_PT
from torch import Tensor

# Pixel values in a batch of several targets: thousands of digits, or 42 images of CIFAR-10, which need no company. So
# it takes no more memory than the usual batch of one target.
TOGETHER = 2**17
PROJECTIONS = {"Linf": projection_linf, "L2": projection_l2}
LEAST = 1e-8  # of a step's length


class FABOnTargets(FABAttack_PT):
    """`perturb` with `targeted` and one restart; all else is the library's."""

    def perturb(self, x: Tensor, y: Tensor) -> Tensor:
        """x_adv of the shape of x (B, C, H, W): for each image the nearest found beyond the boundary to the first
        target class, from the likeliest on, that is reached within epsilon; the image itself where none is."""
        if not self.targeted or self.n_restarts != 1:
            return super().perturb(x, y)
        with torch.no_grad():
            x_adv, logits = x.clone(), self.predict(x)
            left = (logits.argmax(1) == y).nonzero().squeeze(1)
            classes = logits.argsort(dim=1).flip(1)[:, 1 : self.n_target_classes + 1]
            while len(left) and classes.shape[1]:
                some = max(1, TOGETHER // (len(left) * x[0].numel()))
                targets, classes = classes[left, :some].T, classes[:, some:]
                count = len(targets)
                labels = y[left].repeat(count)
                nearest, distance = self.nearest(x[left].repeat(count, 1, 1, 1), labels, targets.flatten())
                fooled = (self.predict(nearest).argmax(1) != labels) & (distance <= self.eps)
                fooled, nearest = fooled.view(count, -1), nearest.view(count, -1, *x.shape[1:])
                first = fooled.int().argmax(0)  # of the targets
                reached = fooled.any(0).nonzero().squeeze(1)
                x_adv[left[reached]] = nearest[first[reached], reached]
                left = left[~fooled.any(0)]
        return x_adv

    def nearest(self, x: Tensor, y: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """(x_adv, distance (B,)): the nearest image that is not of class y on the way over the boundaries between y and
        `targets`; x itself, at infinite distance, where there is none. Algorithm 1 of the paper."""
        x_adv, least = x.clone(), torch.full(y.shape, torch.inf, device=x.device)
        current, shape = x.clone(), (-1, *[1] * (x.dim() - 1))
        for _ in range(self.n_iter):
            difference, gradient = self.boundary(current, y, targets)
            w = gradient.flatten(1)
            b = (gradient * current).flatten(1).sum(1) - difference
            points = torch.cat((current.flatten(1), x.flatten(1)))
            steps = PROJECTIONS[self.norm](points, torch.cat((w, w)), torch.cat((b, b)))
            length, length_from_x = self.length(steps).clamp(min=LEAST).view(2, *shape)
            step, step_from_x = steps.view(2, *x.shape)
            alpha = (length / (length + length_from_x)).clamp(0, self.alpha_max)
            current = (current + self.eta * step) * (1 - alpha) + (x + step_from_x * self.eta) * alpha
            current.clamp_(0, 1)

            moved = current - x
            over = self.predict(current).argmax(1) != y
            distance = self.length(moved.flatten(1))
            nearer = over & (distance < least)
            x_adv = torch.where(nearer.view(shape), current, x_adv)
            least = torch.where(nearer, distance, least)
            current = torch.where(over.view(shape), x + moved * self.beta, current)
        return x_adv, least

    def boundary(self, x: Tensor, y: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """f_t - f_y (B,), and its gradient (B, C, H, W)."""
        x = x.detach().requires_grad_(True)
        with torch.enable_grad():
            logits = self.predict(x)
            difference = (logits.gather(1, targets[:, None]) - logits.gather(1, y[:, None])).squeeze(1)
            (gradient,) = torch.autograd.grad(difference.sum(), x)
        return difference.detach(), gradient

    def length(self, flat: Tensor) -> Tensor:
        """In the norm of the threat, (B,)."""
        return flat.abs().amax(1) if self.norm == "Linf" else flat.square().sum(1).sqrt()
