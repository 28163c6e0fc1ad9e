"""FAT: friendly adversarial training (Zhang et al. 2020, and its released code), on SAT, TRADES or MART."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from robustlens.attacks.friendly_pgd import FriendlyPGD
from robustlens.attacks.threat import Threat
from robustlens.learning.learner import Learner
from robustlens.learning.method import Attack, Batch, Epoch, Method
from robustlens.methods.mart import Mart
from robustlens.methods.sat import SAT
from robustlens.methods.trades import Trades
from robustlens.parameters import NonNegative, NonNegativeInt, OneOf, PositiveInts


@dataclass(frozen=True)
class Fat(Method):
    """The loss of SAT, TRADES or MART, on images x* at most `tau` of whose steps begin where they are misclassified.

    sat:     x* by PGD on the cross-entropy from a uniform start, with 0.001 N(0, 1) added in every step
    trades:  x* by PGD on the KL from x + 0.001 N(0, 1)
    mart:    x* by PGD on the cross-entropy from x + 0.001 N(0, 1)

    beta: of TRADES and MART. tau: in the first epoch. It grows by 1 after each of the epochs `rises_after`, counted
    from 1; one that the training does not reach changes nothing. In the released code it is 0 at first and grows after
    epochs 50, 90 of 120 for sat, after 30, 50, 70 of 85 for trades, and after 20, 40, 60, 80 of 90 for mart.
    """

    base: OneOf("sat", "trades", "mart") = "sat"
    beta: NonNegative = 6.0
    tau: NonNegativeInt = 0
    rises_after: PositiveInts = (50, 90)

    def memory(self, classes: int) -> nn.Module:
        """tau: of the epoch."""
        memory = nn.Module()
        memory.register_buffer("tau", torch.tensor(self.tau))
        return memory

    def before_epoch(self, learner: Learner, epoch: Epoch) -> None:
        learner.memory.tau.fill_(self.tau + sum(epoch.number > last for last in self.rises_after))

    def attack(self, steps: int) -> Attack:
        loss, start = "kl" if self.base == "trades" else "ce", "uniform" if self.base == "sat" else "gaussian"
        noise = 0.001 if self.base == "sat" else 0.0

        def friendly(learner: Learner, x: Tensor, y: Tensor, threat: Threat, random: torch.Generator) -> Tensor:
            attack = FriendlyPGD(steps, int(learner.memory.tau), loss, start, noise)
            return attack(learner, x, y, threat, random)

        return friendly

    def loss(self, learner: Learner, batch: Batch) -> Tensor | dict[str, Tensor]:
        base = {"sat": SAT(), "trades": Trades(self.beta), "mart": Mart(self.beta)}[self.base]
        return base.loss(learner, batch)
