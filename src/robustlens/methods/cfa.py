"""CFA: class-wise calibrated fair adversarial training (Wei et al. 2023, and its released code)."""

import copy
import dataclasses
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from robustlens.attacks.friendly_pgd import FriendlyPGD
from robustlens.attacks.pgd import PGD
from robustlens.attacks.threat import Threat
from robustlens.energy.energies import kl_divergence
from robustlens.learning.learner import Learner
from robustlens.learning.method import Attack, Batch, Build, Epoch, Method
from robustlens.learning.validation import validated
from robustlens.parameters import Flag, Fractional, NonNegative, NonNegativeInt, OneOf, PositiveInt


@dataclass(frozen=True)
class Cfa(Method):
    """SAT, FAT or TRADES with radii and betas of the classes, and an average of the weights without unfair epochs.

    sat:     (1/B) sum_i CE(f(x*_i), y_i), x* by PGD on the cross-entropy from a uniform start
    fat:     the same, but x* stops once `tau` of its steps have begun where it is misclassified
    trades:  (1/B) sum_i [ CE(f(x_i), y_i) + beta_y KL(p_i || q_i) ] / (1 + beta_y), x* as in TRADES. As in the released
             code, p in the KL is of a pass of its own, after the adversarial one

    Up to and including epoch `start_epoch` (counted from 1) all classes are alike. Then t_k, the accuracy of class k on
    the adversarial training images of the last epoch, decides:

    class_radii:  x* of class k is within (radius_offset + t_k) epsilon; the step size stays the threat's.
    class_betas:  with trades, beta_k = (beta_offset + t_k) beta; otherwise beta for all classes.
    averaging:    FAWA. After an epoch in which every class has a robust accuracy of at least `threshold` on the
                  validation images (PGD with 10 steps), A <- decay A + (1 - decay) W, the first time A <- W, for
                  weights and BatchNorm statistics alike. A is deployed; until the first time, the network itself is
                  (the released code would deploy an untrained one).

    The offsets are the paper's lambda_1 (there 0.5 for sat, 0.7 for fat, 0.3 for trades) and lambda_2. A class without
    training images keeps its radius and beta, and one without validation images is not asked.
    """

    base: OneOf("sat", "fat", "trades") = "trades"
    beta: NonNegative = 6.0
    start_epoch: PositiveInt = 10
    class_radii: Flag = True
    radius_offset: NonNegative = 0.5
    class_betas: Flag = True
    beta_offset: NonNegative = 0.5
    averaging: Flag = True
    threshold: Fractional = 0.24
    decay: Fractional = 0.88
    tau: NonNegativeInt = 3

    def parts(self, network: nn.Module, build: Build) -> dict[str, nn.Module]:
        return {"average": copy.deepcopy(network).requires_grad_(False)} if self.averaging else {}

    def deployed(self, learner: Learner) -> nn.Module:
        return learner.parts["average"] if learner.memory.accepted > 0 else learner.network

    def memory(self, classes: int) -> nn.Module:
        """radius: in units of epsilon. accepted: how many epochs the average is of."""
        memory = nn.Module()
        memory.register_buffer("radius", torch.ones(classes))
        memory.register_buffer("beta", torch.full((classes,), float(self.beta)))
        memory.register_buffer("accepted", torch.tensor(0))
        return memory

    def attack(self, steps: int) -> Attack:
        if self.base == "sat":
            return PGD(steps=steps, loss="ce", start="uniform")
        if self.base == "fat":
            return FriendlyPGD(steps=steps, tau=self.tau, loss="ce", start="uniform", stop="spent")
        return PGD(steps=steps, loss="kl", start="gaussian")

    def threat(self, threat: Threat, y: Tensor, whole: Tensor, memory: nn.Module) -> Threat:
        return dataclasses.replace(threat, epsilon=threat.epsilon * memory.radius[y])

    def before_epoch(self, learner: Learner, epoch: Epoch) -> None:
        if epoch.number > self.start_epoch:
            seen, memory = epoch.statistics["adversarial"], learner.memory
            present = seen.total > 0
            accuracy = (seen.right[present] / seen.total[present]).to(memory.radius.dtype)
            if self.class_radii:
                memory.radius[present] = self.radius_offset + accuracy
            if self.class_betas:
                memory.beta[present] = (self.beta_offset + accuracy) * self.beta

    def after_epoch(self, learner: Learner, epoch: Epoch) -> None:
        if self.averaging:
            of_class = validated(learner, epoch, PGD(steps=10), len(learner.memory.radius))["adversarial"]
            worst = (of_class.right / of_class.total)[of_class.total > 0].min()
            if worst >= self.threshold:
                self.accept(learner)

    @torch.no_grad()
    def accept(self, learner: Learner) -> None:
        """Take the weights of the network into the average."""
        keep = self.decay if learner.memory.accepted > 0 else 0.0
        new = learner.network.state_dict()
        for name, average in learner.parts["average"].state_dict().items():
            average.copy_(keep * average + (1 - keep) * new[name] if average.is_floating_point() else new[name])
        learner.memory.accepted += 1

    def loss(self, learner: Learner, batch: Batch) -> Tensor | dict[str, Tensor]:
        if self.base in ("sat", "fat"):
            return F.cross_entropy(learner(batch.x_adv), batch.y, reduction="none")
        natural, adversarial, again = learner(batch.x), learner(batch.x_adv), learner(batch.x)
        cross_entropy = F.cross_entropy(natural, batch.y, reduction="none")
        beta = learner.memory.beta[batch.y]
        share = beta / (1 + beta)
        return {"natural": (1 - share) * cross_entropy, "robust": share * kl_divergence(again, adversarial)}
