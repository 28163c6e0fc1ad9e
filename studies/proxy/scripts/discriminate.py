"""How often the images of a generator can be told from real ones that may be moved, radius by radius."""

import hashlib
import json
from pathlib import Path

import pandas as pd

import robustlens.quick_start  # noqa: F401
from robustlens import arithmetic
from robustlens.atomic import replacing
from robustlens.console import Progress, job, parser, stop_on_signals
from robustlens.data.pool import load_pool
from robustlens.data.prepared import load
from robustlens.device import use_device
from robustlens.discrimination.curve import measure_curve
from robustlens.discrimination.sides import parts
from robustlens.models.weights import build
from robustlens.parameters import create
from robustlens.provenance import Certificate
from robustlens.training.state import RunState

arguments = parser(__doc__)
arguments.add_argument("--data", required=True, type=Path, help="folder of the prepared dataset")
arguments.add_argument("--pool", required=True, type=Path, nargs="+", help="images and labels of the generator")
arguments.add_argument("--state", required=True, type=Path, help="folder that holds the training states")
arguments.add_argument("--curve", required=True, type=Path, help="Parquet file to write")
arguments.add_argument("--validation", required=True, type=Path, help="Parquet file to write")
arguments.add_argument("--certificate", required=True, type=Path)
arguments.add_argument("--threads", type=int, default=1)
args = arguments.parse_args()
spec = args.spec
name = f"{spec['dataset']}-{spec['generator']}-seed{spec['seed']}"

with job(f"discriminate {name}", args.log), use_device(args.threads, arithmetic.of(spec)) as device:
    certificate = Certificate(spec, [args.data / "sheet.json", *args.pool])
    signals = stop_on_signals()
    data = load(args.data, ["train", "test"], spec.get("crop"))
    # The generator has seen the training images: discriminators are trained and tested on others.
    sides = parts(data.splits["test"], load_pool(args.pool[0].parent, data), spec["seed"], device)
    settings = create("discrimination", "discriminator", spec["discriminator"])
    budgets = spec["discriminator"]["steps"]
    progress, curves = Progress("radius", len(budgets) * len(settings.epsilons)), []
    for number, steps in enumerate(budgets):
        facts = [spec, steps, device.type, certificate.inputs]
        digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]

        def report(done: int, radii: int, found: dict, before: int = number) -> None:
            progress(before * radii + done, "  ".join(f"{key} {value:.3g}" for key, value in found.items()))

        with RunState(args.state / f"discriminate-{name}-{digest}", digest) as state:
            curves.append(
                measure_curve(
                    settings,
                    steps,
                    sides,
                    lambda: build(spec["architecture"], data.channels, 2).to(device),
                    spec["seed"],
                    state,
                    lambda: bool(signals),
                    report,
                )
            )
    for path, tables in ((args.curve, [c.table for c in curves]), (args.validation, [c.validation for c in curves])):
        with replacing(path) as temporary:
            pd.concat(tables, ignore_index=True).to_parquet(temporary, index=False)
    certificate.write(args.certificate, [args.curve, args.validation])
