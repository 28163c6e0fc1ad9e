"""A logger plugin of Snakemake that appends what it announces to a file: one line of JSON per job, and their counts.

A dry run announces all the jobs that a run would start. What it prints is for people; this is the interface that
Snakemake documents for programs. `robustlens.planning.dry_run` puts this package on the path and asks for it.
"""

import json
from dataclasses import dataclass, field
from logging import LogRecord
from pathlib import Path

from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent
from snakemake_interface_logger_plugins.settings import LogHandlerSettingsBase


@dataclass
class LogHandlerSettings(LogHandlerSettingsBase):
    file: Path | None = field(default=None, metadata={"help": "File to write the jobs to", "type": Path})


class LogHandler(LogHandlerBase):
    has_filter = has_formatter = True  # none: every record is seen as it is
    writes_to_stream = writes_to_file = needs_rulegraph = False  # Snakemake's own messages stay

    def emit(self, record: LogRecord) -> None:
        event = getattr(record, "event", None)
        if event == LogEvent.RUN_INFO:
            self._append({"counts": record.stats})
        elif event == LogEvent.JOB_INFO:
            self._append(
                {
                    "rule": record.rule_name,
                    "wildcards": dict(record.wildcards),
                    "inputs": list(record.input),
                    "outputs": list(record.output),
                    "benchmark": record.benchmark,
                    "log": str(Path(record.log[0]).absolute()) if record.log else None,
                    "threads": record.threads,
                    "command": record.shellcmd,
                }
            )

    def _append(self, what: dict) -> None:
        with open(self.settings.file, "a") as file:
            file.write(json.dumps(what) + "\n")
