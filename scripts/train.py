"""Train one run (dataset, recipe, seed), or resume it where it was stopped."""

import contextlib
import os
import sys
from pathlib import Path

import pandas as pd

import robustlens.quick_start  # noqa: F401
from robustlens import arithmetic
from robustlens.console import Progress, job, parser, stop_on_signals
from robustlens.data.prepared import load
from robustlens.device import use_device
from robustlens.parameters import create
from robustlens.provenance import Certificate
from robustlens.training import optional
from robustlens.training.networks import fresh
from robustlens.training.result import write_run
from robustlens.training.run import Training, run_digest, state_folder
from robustlens.training.state import RunState

arguments = parser(__doc__)
arguments.add_argument("--data", required=True, type=Path, help="folder of the prepared dataset")
arguments.add_argument(
    "--measured", type=Path, nargs="*", default=[], help="energies of the training images, for leave_out.measured_by"
)
arguments.add_argument(
    "--others", type=Path, nargs="*", default=[], help="weights of other runs: `start_from`, then the `given` by name"
)
arguments.add_argument("--pool", type=Path, nargs="*", default=[], help="images and labels of a generator, for `mix`")
arguments.add_argument("--state", required=True, type=Path, help="folder that holds the training states")
arguments.add_argument("--run", required=True, type=Path, help="folder of the finished run")
arguments.add_argument("--certificate", required=True, type=Path)
arguments.add_argument("--threads", type=int, default=1)
arguments.add_argument("--processes", type=int, default=1, help="train data-parallel, a GPU each")
args = arguments.parse_args()
spec = args.spec
if args.processes > 1 and "RANK" not in os.environ:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={args.processes}"]
    # torchrun's option --signals-to-handle, for the signals that it passes on: its own default, and SLURM's warning.
    os.environ["PET_SIGNALS_TO_HANDLE"] = "SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR1"
    os.execv(sys.executable, [*launcher, "--", *sys.argv])  # "--": what follows is not for torchrun

first = os.environ.get("RANK", "0") == "0"  # only the first process saves, speaks and writes
log = args.log if first else args.log.with_suffix(f".process{os.environ['RANK']}.log")
with (
    job(f"train {spec['dataset']}/{spec['recipe']}/seed{spec['seed']}", log),
    use_device(args.threads, arithmetic.of(spec)) as device,
):
    certificate = Certificate(spec, [args.data / "sheet.json", *args.measured, *args.others, *args.pool])
    signals = stop_on_signals()
    data = load(args.data, ["train", "validation"], spec.get("crop"))
    leave_out = optional.load("leave_out", spec)
    if leave_out:
        measured = pd.read_parquet(args.measured[0]) if args.measured else None
        positions = leave_out.left_out(data, spec["leave_out"], spec["seed"], measured)
        data = leave_out.without(data, positions)
        print(f"{len(positions)} training images are left out, {len(data.splits['train'].labels)} remain")
    method = create("methods", spec["method"]["name"], spec["method"]["parameters"])
    *_, engine = fresh(spec, method, data, device)
    others = dict(zip(optional.other_runs(spec), args.others, strict=True))
    mixture = optional.load("mixture", spec)
    pool = mixture.load_pool(args.pool[0].parent, data) if mixture else None
    read = others | {f"pool/{file.name}": file for file in args.pool}
    checksums = {name: certificate.inputs[str(file)] for name, file in read.items()}
    digest = run_digest(spec, data, engine, args.processes, device, checksums)
    progress = Progress("epoch", spec["training"]["epochs"])

    def report(epoch: int, _epochs: int, row: dict) -> None:
        measured = f"  validation robust accuracy {row['robust_accuracy']:.3f}" if "robust_accuracy" in row else ""
        progress(epoch, f"loss {row['train_loss']:.3f}{measured}")

    state = RunState(state_folder(args.state, spec, digest), digest)
    with state if first else contextlib.nullcontext():
        run = Training(spec, data, state, device, lambda: bool(signals), report, pool, others).run()
        if first:
            outputs = write_run(run, args.run)
            facts = {"chosen_epochs": run.chosen, "digest": digest, "engine": engine.facts(), "devices": run.devices}
            certificate.write(args.certificate, outputs, processes=args.processes, **facts)
