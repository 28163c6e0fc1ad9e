"""How close the images of a generator are to real ones."""

from pathlib import Path

import numpy as np

import robustlens.quick_start  # noqa: F401
from robustlens import arithmetic
from robustlens.atomic import replacing
from robustlens.closeness.drawing import subsample
from robustlens.console import job, parser
from robustlens.data.pool import load_pool
from robustlens.data.prepared import load
from robustlens.device import use_device
from robustlens.generation.features import open_network
from robustlens.generation.quality import score
from robustlens.generation.reference import load_reference
from robustlens.provenance import Certificate
from studies.proxy.closeness import measured

arguments = parser(__doc__)
arguments.add_argument("--data", required=True, type=Path, help="folder of the prepared dataset")
arguments.add_argument("--pool", required=True, type=Path, nargs="+", help="images and labels of the generator")
arguments.add_argument("--weights", required=True, type=Path, help="weights of the feature network")
arguments.add_argument("--reference", required=True, type=Path, help="reference features of the dataset")
arguments.add_argument("--table", required=True, type=Path, help="Parquet file to write")
arguments.add_argument("--certificate", required=True, type=Path)
arguments.add_argument("--threads", type=int, default=1)
args = arguments.parse_args()
spec = args.spec

with (
    job(f"closeness {spec['dataset']}/{spec['generator']} seed{spec['seed']}", args.log),
    use_device(args.threads, arithmetic.of(spec)) as device,
):
    certificate = Certificate(spec, [args.data / "sheet.json", args.weights, args.reference, *args.pool])
    data = load(args.data, ["train", "test"], spec.get("crop"))
    pool = load_pool(args.pool[0].parent, data)
    network = open_network(spec["features"]["kind"], args.weights, spec["architecture"], data, device)
    # As many images as there are in the reference: Fréchet distances of fewer are larger.
    reference = load_reference(args.reference)
    where = subsample(len(pool.labels), len(reference.features), np.random.default_rng([spec["seed"], 3]))
    train = data.splits["train"].pixels()
    scores = score(pool.pixels(where), pool.labels[where], reference, network, train, batch_size=spec["batch_size"])
    table = measured(data, pool, scores, seed=spec["seed"], **spec["closeness"])
    with replacing(args.table) as path:
        table.to_parquet(path, index=False)
    certificate.write(args.certificate, [args.table])
