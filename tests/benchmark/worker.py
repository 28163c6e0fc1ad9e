"""One contestant in a process of its own. It is told what to do, and answers, in lines of JSON."""

import json
import os
import sys
import time
import traceback
from pathlib import Path
from typing import TextIO

from memory import peak, reset_peak


def answers_only() -> TextIO:
    """The standard output, for this module alone: what libraries print there goes to the standard error."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    return answers


def serve(job: dict, answers: TextIO) -> None:
    """job: kind and options of a contestant, and width, batch, folder, threads."""
    import numpy as np
    import torch
    from contestants import KINDS, Unavailable
    from distances import KINDS as DISTANCES
    from libraries import KINDS as LIBRARIES

    def answer(**facts: object) -> None:
        answers.write(json.dumps(facts) + "\n")

    torch.set_num_threads(job["threads"])
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        kind = (KINDS | LIBRARIES | DISTANCES)[job["kind"]]
        contestant = kind(job["width"], job["batch"], Path(job["folder"]), device, **job["options"])
    except Unavailable as error:
        return answer(skipped=str(error))
    answer(torch=torch.__version__)

    def check(attack_steps: int, file: str) -> dict:
        """One step from the first weights."""
        tf32, torch.backends.cudnn.allow_tf32 = torch.backends.cudnn.allow_tf32, False
        contestant.reset(attack_steps)
        contestant.step()
        torch.backends.cudnn.allow_tf32 = tf32
        np.save(file, contestant.x_adv.detach().float().contiguous().cpu().numpy())
        return {"loss": float(contestant.loss.detach())}

    def loss_of(file: str) -> dict:
        """Of the plain loop at its first weights, on another contestant's adversarial images of the first batch."""
        contestant.reset(1)
        x_adv = torch.from_numpy(np.load(file)).to(device)
        return {"loss": float(contestant.training_loss(x_adv, contestant.y[0]).detach())}

    def result(file: str) -> dict:
        """Of a step of what is no training, in a file."""
        contestant.step()
        np.save(file, contestant.result)
        return {}

    def warm_up(attack_steps: int, steps: int) -> dict:
        contestant.reset(attack_steps)
        run(steps)
        reset_peak()
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        return {"flops": getattr(contestant, "flops", None)}

    def run(steps: int) -> dict:
        """Seconds of a step, and how many processors it kept busy."""
        started, busy = time.perf_counter(), time.process_time()
        for _ in range(steps):
            contestant.step()
        if device.type == "cuda":
            torch.cuda.synchronize()
        seconds = time.perf_counter() - started
        return {"seconds": seconds / steps, "processors": (time.process_time() - busy) / seconds}

    def memory() -> dict:
        """Bytes: on a GPU those of tensors, else what the process needs beyond its libraries. None: unknown."""
        if device.type == "cuda":
            return {"memory": torch.cuda.max_memory_allocated()}
        return {"memory": peak() - contestant.libraries if peak() else None}

    commands = {do.__name__: do for do in (check, loss_of, result, warm_up, run, memory)}
    for line in sys.stdin:
        command = json.loads(line)
        answer(**commands[command.pop("do")](**command))


if __name__ == "__main__":
    answers = answers_only()
    try:
        serve(json.loads(sys.argv[1]), answers)
    except Exception as error:
        traceback.print_exc()
        answers.write(json.dumps({"failed": f"{type(error).__name__}: {error}"}) + "\n")
