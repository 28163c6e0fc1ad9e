"""Join the tables of jobs that have each certified a share of the images."""

from pathlib import Path

import pandas as pd

import robustlens.quick_start  # noqa: F401
from robustlens.atomic import replacing
from robustlens.certification.joining import joined
from robustlens.console import job, parser
from robustlens.provenance import Certificate

arguments = parser(__doc__)
arguments.add_argument("--parts", required=True, type=Path, nargs="+", help="Parquet files, one per job")
arguments.add_argument("--table", required=True, type=Path, help="Parquet file to write, one row per image")
arguments.add_argument("--certificate", required=True, type=Path)
args = arguments.parse_args()

with job(f"join {args.table}", args.log):
    certificate = Certificate(args.spec, args.parts)
    table = joined([pd.read_parquet(part) for part in args.parts])
    with replacing(args.table) as path:
        table.to_parquet(path, index=False)
    certificate.write(args.certificate, [args.table])
