"""Fit a generator to the training images of a dataset, or go on where its training was stopped."""

import hashlib
import json
import time
from pathlib import Path

import robustlens.quick_start  # noqa: F401
from robustlens import arithmetic
from robustlens.console import Progress, job, parser, stop_on_signals
from robustlens.data.prepared import load
from robustlens.device import use_device
from robustlens.generators.fitted import fit, made_from, write_fitted
from robustlens.generators.work import Work
from robustlens.parameters import create
from robustlens.provenance import Certificate
from robustlens.training.state import RunState

arguments = parser(__doc__)
arguments.add_argument("--data", required=True, type=Path, help="folder of the prepared dataset")
arguments.add_argument("--state", required=True, type=Path, help="folder that holds the training states")
arguments.add_argument("--fitted", required=True, type=Path, help="safetensors file to write")
arguments.add_argument("--certificate", required=True, type=Path)
arguments.add_argument("--threads", type=int, default=1)
args = arguments.parse_args()
spec = args.spec
name = f"{spec['dataset']}/{spec['generator']['name']}"

with job(f"fit generator {name}", args.log), use_device(args.threads, arithmetic.of(spec)) as device:
    certificate = Certificate(spec, [args.data / "sheet.json"])
    signals = stop_on_signals()
    data = load(args.data, ["train"])
    generator = create("generators", spec["generator"]["family"], spec["generator"]["parameters"])
    facts = [spec, device.type, args.threads if device.type == "cpu" else None, data.sheet["sha256"]]
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]
    progress: list[Progress] = []

    def report(done: int, parts: int, facts: dict) -> None:
        if not progress:
            progress.append(Progress("part", parts))
        progress[0](done, "  ".join(f"{name} {value:.4g}" for name, value in facts.items()))

    with RunState(args.state / f"generator-{name.replace('/', '-')}-{digest}", digest) as state:
        work = Work(device, state, lambda: bool(signals), report)
        fitted = fit(generator, data, spec["seed"], work)
        write_fitted(fitted, args.fitted, made_from(spec, certificate.inputs[str(args.data / "sheet.json")]))
        certificate.write(args.certificate, [args.fitted])
    print(f"fitted in {time.monotonic() - certificate.started:.1f} s to {len(data.splits['train'].labels)} images")
