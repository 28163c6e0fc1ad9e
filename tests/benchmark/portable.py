"""What `arithmetic: portable` costs: adversarial training of the pilot's network on one thread, in turns with `native`.

Times are those of the processor, which other processes disturb less.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from workers import SOURCES, Skipped

from robustlens import arithmetic
from robustlens.errors import RobustlensError

ROUNDS, STEPS = 7, 40
BATCH, ATTACK_STEPS = 50, 4  # with the network below, those of the pilot scale
ARCHITECTURE = {"family": "resnet", "blocks": [1, 1, 1], "width": 8}


def measure(folder: Path, quick: bool, say: Callable[[str], None]) -> dict:
    """Seconds of a step in each round, by arithmetic, and the vector instructions that torch chose.

    Raises Skipped where the processor can't compute portably.
    """
    require_processor()
    found: dict = {"seconds": {}, "capability": {}}
    for number in range(1 if quick else ROUNDS):
        say(f"portable and native arithmetic, round {number + 1}")
        for name in (arithmetic.NATIVE, arithmetic.PORTABLE):
            answer = in_process(name, __file__, str(1 if quick else STEPS))
            found["seconds"].setdefault(name, []).append(answer["seconds"])
            found["capability"][name] = answer["capability"]
    return found


def require_processor() -> None:
    """Raises Skipped where this one can't compute portably."""
    try:
        arithmetic.check_processor(arithmetic.PORTABLE)
    except RobustlensError as reason:
        raise Skipped(str(reason)) from reason


def in_process(name: str, script: str, *arguments: str) -> dict:
    """What a script answers that is given that arithmetic, and has it: libraries choose their instructions when they
    are loaded."""
    own = arithmetic.VARIABLES if name == arithmetic.PORTABLE else {"OMP_NUM_THREADS": "1"}
    inherited = {key: value for key, value in os.environ.items() if key not in arithmetic.VARIABLES}
    environment = inherited | own | {"PYTHONPATH": str(SOURCES)}
    command = [sys.executable, script, name, *arguments]
    return json.loads(subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout)


def table(found: dict) -> str:
    native, portable = (found["seconds"][name] for name in (arithmetic.NATIVE, arithmetic.PORTABLE))
    ratios = [one / other for one, other in zip(portable, native, strict=True)]
    used = found["capability"]
    return (
        f"Portable arithmetic, pilot's network, batch {BATCH}, PGD-{ATTACK_STEPS}, one thread: {len(ratios)} rounds\n\n"
        f"| native ({used['native']}), ms per step | portable ({used['portable']}), ms per step | portable / native |\n"
        "|---|---|---|\n"
        f"| {1e3 * median(native):.1f} | {1e3 * median(portable):.1f} | {median(ratios):.2f} |\n"
    )


def step_seconds(name: str, steps: int) -> dict:
    """In this process: the median over the steps."""
    import torch

    from robustlens.attacks.pgd import PGD
    from robustlens.attacks.threat import Threat
    from robustlens.device import use_device
    from robustlens.models.weights import build
    from robustlens.seeds import generator
    from robustlens.training.engine import Engine

    with use_device(1, name) as device:
        random = generator(0, "benchmark")
        x, y = torch.rand(BATCH, 3, 32, 32, generator=random), torch.randint(10, (BATCH,), generator=random)
        network = build(ARCHITECTURE, 3, 10)
        engine = Engine.choose({"precision": "auto", "memory_format": "auto", "compile": "off"}, device, network)
        network = engine.place(network, device)
        fast, attack, threat = engine.fast(network), PGD(steps=ATTACK_STEPS), Threat("linf", 8 / 255, 2 / 255)
        descent = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
        seconds = []
        for _ in range(steps + 3):
            started = time.process_time()
            fast.eval()
            network.requires_grad_(False)
            x_adv = attack(fast, x, y, threat, random)
            network.requires_grad_(True)
            fast.train()
            descent.zero_grad()
            torch.nn.functional.cross_entropy(fast(x_adv), y).backward()
            descent.step()
            seconds.append(time.process_time() - started)
        return {"seconds": median(seconds[3:]), "capability": torch.backends.cpu.get_cpu_capability()}


if __name__ == "__main__":
    print(json.dumps(step_seconds(sys.argv[1], int(sys.argv[2]))))
