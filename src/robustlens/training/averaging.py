"""Averages of the weights over training: exponential (EMA) and stochastic weight averaging (Izmailov et al. 2018)."""

import copy

from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn


class Averaging:
    """The average that a run's configuration asks for.

    settings: `training.averaging`. `ema`: w <- decay w + (1 - decay) w_step after every step, BatchNorm statistics
    likewise. `swa`: the equal average of the weights every `every_steps` steps from `start_epoch` on; its BatchNorm
    statistics mean nothing until they are estimated anew on training images (`with_fresh_batchnorm`).
    """

    def __init__(self, settings: dict, network: nn.Module):
        self.settings, self.name = settings, settings["name"]
        if self.name == "ema":
            self.model = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(settings["decay"]), use_buffers=True)
        else:
            self.model = AveragedModel(network)

    def after_step(self, network: nn.Module, epoch: int, step: int) -> None:
        """step: counted from 1 over the whole run."""
        if self.name == "ema" or (epoch >= self.settings["start_epoch"] and step % self.settings["every_steps"] == 0):
            self.model.update_parameters(network)

    def followed(self, network: nn.Module) -> nn.Module:
        """The network whose progress is tracked and whose best epoch is kept: the EMA, or the network itself."""
        return self.model.module if self.name == "ema" else network

    def final(self, network: nn.Module) -> nn.Module:
        """The network that a finished run leaves as `last`: the average, if anything was averaged."""
        return self.model.module if int(self.model.n_averaged) > 0 else network

    def state(self) -> dict[str, Tensor]:
        return self.model.state_dict()

    def load(self, state: dict[str, Tensor]) -> None:
        self.model.load_state_dict(state)

    @staticmethod
    def with_fresh_batchnorm(network: nn.Module) -> nn.Module:
        """A copy in train mode whose BatchNorm statistics will be the plain mean over the batches it sees next."""
        network = copy.deepcopy(network)
        for module in network.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.reset_running_stats()
                module.momentum = None
        return network.train()
