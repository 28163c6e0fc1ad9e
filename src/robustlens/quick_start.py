"""What the scripts of jobs import first of this package: no search for garbage while it and what it needs are imported.

There is none among them, and it takes a seventh of a short job's time. `robustlens.console.parser` has it begin.
"""

import gc

gc.disable()
