"""Correct the last layer of a trained classifier, with strengths that are chosen on the validation images."""

from pathlib import Path

import pandas as pd

import robustlens.quick_start  # noqa: F401
from robustlens import arithmetic
from robustlens.atomic import replacing
from robustlens.attacks.pgd import PGD
from robustlens.attacks.threat import Threat
from robustlens.console import Progress, job, parser
from robustlens.corrections.choosing import adversarial_prior, corrected
from robustlens.data.prepared import load
from robustlens.device import use_device
from robustlens.models.weights import load_model, save_weights
from robustlens.parameters import create, fraction
from robustlens.provenance import Certificate
from robustlens.training.images import Images
from robustlens.training.tracking import Tracker

arguments = parser(__doc__)
arguments.add_argument("--data", required=True, type=Path, help="folder of the prepared dataset")
arguments.add_argument("--weights", required=True, type=Path, help="safetensors file of the classifier")
arguments.add_argument("--corrected", required=True, type=Path, help="safetensors file to write")
arguments.add_argument("--table", required=True, type=Path, help="Parquet file to write: what each strength gave")
arguments.add_argument("--certificate", required=True, type=Path)
arguments.add_argument("--threads", type=int, default=1)
args = arguments.parse_args()
spec = args.spec

with (
    job(f"correct {spec['dataset']}/{spec['recipe']}/seed{spec['seed']}", args.log),
    use_device(args.threads, arithmetic.of(spec)) as device,
):
    certificate = Certificate(spec, [args.data / "sheet.json", args.weights])
    data = load(args.data, ["validation"], spec.get("crop"))
    network = load_model(args.weights, spec["architecture"], data.channels, data.classes).to(device)
    threat = Threat(spec["threat"]["norm"], *(fraction(spec["threat"][k]) for k in ("epsilon", "step_size")))
    images, attack = Images(data.splits["validation"], device), PGD(steps=spec["tracking"]["attack_steps"])
    tracker = Tracker("validation", images, attack, threat, spec["seed"], spec["tracking"]["batch_size"])
    prior = adversarial_prior(network, tracker)
    weights, tables, progress = {}, [], Progress("correction", len(spec["corrections"]))
    for done, (name, chosen) in enumerate(spec["corrections"].items(), 1):
        correction = create("corrections", chosen["family"], chosen["parameters"])
        better, table = corrected(network, name, correction, prior, tracker, data.classes)
        weights |= {f"best-{name}.{key}": tensor for key, tensor in better.state_dict().items()}
        tables.append(table)
        progress(done, f"{name}: strength {table.loc[table['chosen'], 'strength'].item():g}")
    save_weights(weights, args.corrected)
    with replacing(args.table) as path:
        pd.concat(tables, ignore_index=True).to_parquet(path, index=False)
    certificate.write(args.certificate, [args.corrected, args.table])
