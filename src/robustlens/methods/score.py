"""SCORE: squared distances of probabilities, on SAT or on TRADES (Pang et al. 2022, and its released code)."""

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from robustlens.attacks.squared_pgd import SquaredPGD, squared_distance
from robustlens.learning.learner import Learner
from robustlens.learning.method import Batch, Method
from robustlens.parameters import Fractional, NonNegative, OneOf


@dataclass(frozen=True)
class Score(Method):
    """With S(p, q) = sum_k (p_k - q_k)^2, and p, q the softmax of the natural and of the adversarial image:

    sat:     (1/B) sum_i max(0, S(q_i, y_i) - b)
    trades:  (1/B) sum_i max(0, S(p_i, y_i) + beta S(q_i, p_i) - b)

    x* climbs S itself: S(q, y) from a uniform start, or S(q, p) from x + 0.001 N(0, 1), p without gradient. In the loss
    the gradient flows through p and q. The passes are x*, and with trades then x.

    clip: b = clip^2 + clip^2 / (K - 1) for K classes. That is S of a softmax that has 1 - clip on y and the rest evenly
        on the others, so that an image on which the network is as sure has no loss. 0.4 in the paper for sat and 0.3
        for trades. With 0 nothing is clipped.
    """

    base: OneOf("sat", "trades") = "sat"
    clip: Fractional = 0.4
    beta: NonNegative = 6.0

    def attack(self, steps: int) -> SquaredPGD:
        return SquaredPGD(steps=steps, target="label" if self.base == "sat" else "natural")

    def loss(self, learner: Learner, batch: Batch) -> Tensor:
        adversarial = F.softmax(learner(batch.x_adv), dim=1)
        classes = adversarial.shape[1]
        label = F.one_hot(batch.y, classes)
        if self.base == "sat":
            distance = squared_distance(adversarial, label)
        else:
            natural = F.softmax(learner(batch.x), dim=1)
            distance = squared_distance(natural, label) + self.beta * squared_distance(adversarial, natural)
        return F.relu(distance - self.bound(classes))

    def bound(self, classes: int) -> float:
        """b, for so many classes."""
        return self.clip**2 + self.clip**2 / (classes - 1)
