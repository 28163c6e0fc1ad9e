"""The energies of all training images under one run's best checkpoint."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from robustlens.atomic import replacing
from robustlens.console import job, parser
from robustlens.data.prepared import load
from robustlens.device import use_device
from robustlens.energy.energies import joint_energy, marginal_energy
from robustlens.models.inference import InferenceModel
from robustlens.models.weights import load_model
from robustlens.provenance import Certificate

arguments = parser(__doc__)
arguments.add_argument("--data", required=True, type=Path, help="folder of the prepared dataset")
arguments.add_argument("--weights", required=True, type=Path, help="best.safetensors of the run")
arguments.add_argument("--table", required=True, type=Path, help="Parquet file to write")
arguments.add_argument("--certificate", required=True, type=Path)
arguments.add_argument("--threads", type=int, default=1)
args = arguments.parse_args()
spec = json.loads(args.spec)

with (
    job(f"energies of training images {spec['dataset']}/{spec['recipe']}/seed{spec['seed']}", args.log),
    use_device(args.threads) as device,
):
    certificate = Certificate(spec, [args.data / "sheet.json", args.weights])
    data = load(args.data, ["train"])
    model = InferenceModel(load_model(args.weights, spec["architecture"], data.channels, data.classes)).to(device)
    train = data.splits["train"]
    batches = []
    for start in range(0, len(train.labels), spec["batch_size"]):
        where = slice(start, start + spec["batch_size"])
        x, y = (torch.from_numpy(np.array(part)).to(device) for part in (train.pixels(where), train.labels[where]))
        with torch.no_grad():
            logits = model(x)
        columns = {
            "label": y,
            "prediction": logits.argmax(1),
            "marginal": marginal_energy(logits),
            "joint": joint_energy(logits, y),
        }
        batches.append(pd.DataFrame({name: values.cpu().numpy() for name, values in columns.items()}))
    table = pd.concat(batches, ignore_index=True)
    table.insert(0, "index", np.array(train.index))
    with replacing(args.table) as path:
        table.to_parquet(path, index=False)
    certificate.write(args.certificate, [args.table])
