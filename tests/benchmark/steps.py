"""What a training step of each method costs, relative to SAT's and to what its passes cost by floating-point
operations, and how fast TRADES is beside the usual loop of it.

Each contestant trains the same network on noise, all of them in this process and in turn.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from contest import contest, here, notes, rounds_of, seconds_of, timed, times
from contestants import BETA, Ours, UsualTrades
from line_up import ATTACK_STEPS
from speed import compared, write_images
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

BASE = "SAT"
LAYERS = [f"layer4.{block}.{norm}" for block in (0, 1) for norm in ("bn1", "bn2")]
METHODS = {  # contestant -> what it is trained with
    BASE: {},
    "SAT with AWP": {"perturbed": True},
    "TRADES": {"method": "trades", "parameters": {"beta": BETA}},
    "LBGAT": {"method": "lbgat"},
    "AR-AT": {"method": "arat", "parameters": {"layers": LAYERS}},
    "MART": {"method": "mart"},
    "WEAT-adv": {"method": "weat", "parameters": {"variant": "adv", "beta": BETA}},
}
IN_PAPER = {BASE: 1.00, "TRADES": 1.51, "LBGAT": 1.50, "AR-AT": 1.15}  # table 19 of AR-AT's (ResNet-18, an A100)
USUAL, USUAL_BACKWARD = "usual TRADES loop", "usual TRADES loop, backward()"
USUAL_LOOPS = {USUAL: False, USUAL_BACKWARD: True}
WIDTHS = {"cpu": (16, 32), "cuda": (64, 128)}  # of the ResNet-18, and the size of a batch


def measure(folder: Path, quick: bool, say: Callable[[str], None]) -> dict:
    """Seconds of a step in each round that counts, by contestant, why others don't, and the operations of each."""
    device = here()
    width, batch = (4, 10) if quick else WIDTHS[device.type]
    write_images(folder, batch)
    problem = (width, batch, folder, device)
    contestants = {name: Ours(*problem, **options) for name, options in METHODS.items()}
    contestants |= {name: UsualTrades(*problem, everything=option) for name, option in USUAL_LOOPS.items()}
    check = same_as_usual(contestants["TRADES"], contestants[USUAL])
    for contestant in contestants.values():
        contestant.reset(ATTACK_STEPS)
    flops = {name: step_flops(contestant) for name, contestant in contestants.items()}
    say(f"steps of {len(contestants)} methods, {device.type}, width {width}, batches of {batch}")
    turns = {name: timed(one.step, device, 1 if quick else None) for name, one in contestants.items()}
    found = contest(turns, device, quick, whole=contestants)
    return {"device": device.type, "width": width, "batch": batch, "check": check, "flops": flops, **found}


def same_as_usual(trades: Ours, usual: UsualTrades) -> dict:
    """That both loops do the same step. Raises Failed."""
    one, loss = attacked(trades, 1)
    ten, _ = attacked(trades, ATTACK_STEPS)
    plain, _ = attacked(usual, 1)
    usual.reset(1)
    with torch.no_grad():
        plain_loss = usual.training_loss(torch.from_numpy(one).to(usual.natural), usual.y[0]).item()
    return compared(one, ten, loss, usual.x[0].cpu().numpy(), plain, plain_loss, exact=True)


def attacked(contestant: Ours | UsualTrades, steps: int) -> tuple[np.ndarray, float]:
    """Adversarial images and loss of the first step from fresh weights."""
    contestant.reset(steps)
    contestant.step()
    return contestant.x_adv.detach().cpu().contiguous().numpy(), float(contestant.loss.detach())


class Operations(TorchDispatchMode):
    """Counts floating-point operations, two a multiply-add. PyTorch's own FlopCounterMode breaks on the gradients that
    an attack takes, because it also asks which module they are in."""

    total = 0

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        result = function(*arguments, **(options or {}))
        if counted := flop_registry.get(function._overloadpacket):
            self.total += counted(*arguments, **(options or {}), out_val=result)
        return result


def step_flops(contestant: Ours | UsualTrades) -> int:
    with Operations() as operations:
        contestant.step()
    return operations.total


def above_flops(found: dict, name: str) -> float | None:
    """How many times what its passes cost a method takes, both relative to SAT."""
    measured = times(found, BASE, name)
    return measured and measured / (found["flops"][name] / found["flops"][BASE])


def table(found: dict) -> str:
    lines = [
        f"Training steps of methods, ResNet-18 of width {found['width']}, PGD-{ATTACK_STEPS}, float32, batches of "
        f"{found['batch']}, {found['device']}: {rounds_of(found)}",
        "",
        "| method | ms per step | times SAT | by FLOPs | measured / FLOPs | in AR-AT's paper | times the usual loop |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in found["flops"] if found["rounds"] else []:
        by_flops = found["flops"][name] / found["flops"][BASE]
        cells = [f"{1e3 * seconds_of(found, name):.0f}", f"{times(found, BASE, name):.2f}", f"{by_flops:.2f}"]
        cells += [f"{above_flops(found, name):.2f}", f"{IN_PAPER[name]:.2f}" if name in IN_PAPER else ""]
        lines.append(f"| {name} | " + " | ".join(cells) + f" | {times(found, name, USUAL):.2f} |")
    return "\n".join([*lines, "", *notes(found)])
