"""Of this study, for the tests of every study."""

from proxy_results import CONFIG, write

__all__ = ["CONFIG", "write"]
