"""Evaluate one run under every attack of a suite, per test image."""

import contextlib
import json
from pathlib import Path

import pandas as pd

from robustlens.atomic import replacing
from robustlens.attacks.threat import Threat
from robustlens.console import Progress, job, parser
from robustlens.data.prepared import load
from robustlens.device import use_device
from robustlens.evaluation.finished import FinishedBatches, evaluation_digest
from robustlens.evaluation.run import attack_split, collected_warnings
from robustlens.models.inference import InferenceModel
from robustlens.models.weights import load_model
from robustlens.parameters import create, fraction
from robustlens.provenance import Certificate

arguments = parser(__doc__)
arguments.add_argument("--data", required=True, type=Path, help="folder of the prepared dataset")
arguments.add_argument("--weights", required=True, type=Path, nargs="+", help="<checkpoint>.safetensors files")
arguments.add_argument("--table", required=True, type=Path, help="Parquet file to write")
arguments.add_argument("--certificate", required=True, type=Path)
arguments.add_argument("--state", required=True, type=Path, help="folder for what is done while the rest is not")
arguments.add_argument("--save-every", type=float, default=60.0, help="seconds")
arguments.add_argument("--threads", type=int, default=1)
args = arguments.parse_args()
spec = json.loads(args.spec)

with (
    job(f"evaluate {spec['dataset']}/{spec['recipe']}/seed{spec['seed']} {spec['suite']}", args.log),
    use_device(args.threads) as device,
    contextlib.ExitStack() as held,
):
    certificate = Certificate(spec, [args.data / "sheet.json", *args.weights])
    warnings = collected_warnings(["auto-attack", "py.warnings"])
    data = load(args.data, ["test"])
    checksums = {weights.stem: certificate.inputs[str(weights)] for weights in args.weights}
    digest = evaluation_digest(spec, data, checksums, device)
    run = f"{spec['dataset']}-{spec['recipe']}-seed{spec['seed']}-{spec['suite']}"
    batches = args.state / f"{run}-{digest}.batches"
    finished = held.enter_context(FinishedBatches(batches, warnings, args.save_every))
    threat = Threat(spec["threat"]["norm"], *(fraction(spec["threat"][k]) for k in ("epsilon", "step_size")))
    jobs = [
        (weights, attack)
        for weights in args.weights
        for attack in spec["attacks"]
        if not (attack["best_only"] and weights.stem == "last")
    ]
    progress = Progress("attack", len(jobs))
    tables = []
    for weights, attack in jobs:
        model = InferenceModel(load_model(weights, spec["architecture"], data.channels, data.classes)).to(device)
        table = attack_split(
            model,
            data.splits["test"],
            create("attacks", attack["family"], attack["parameters"]),
            attack["name"],
            threat,
            spec["seed"],
            spec["batch_size"],
            attack["samples"],
            device,
            lambda batch, compute, weights=weights: finished.get(f"{weights.stem} {batch}", compute),
        )
        table.insert(0, "checkpoint", weights.stem)
        tables.append(table)
        accuracy = (table["prediction_adversarial"] == table["label"]).mean()
        progress(len(tables), f"{weights.stem} {attack['name']}: accuracy {accuracy:.3f} on {len(table)} images")
    with replacing(args.table) as path:
        pd.concat(tables, ignore_index=True).to_parquet(path, index=False)
    certificate.write(args.certificate, [args.table], warnings=sorted(set(warnings)), devices=finished.devices)
