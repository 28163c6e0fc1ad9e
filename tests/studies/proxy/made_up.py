"""Of this study, for the tests of every study."""

from proxy_results import CONFIG, claims_data, write

__all__ = ["CONFIG", "claims_data", "write"]
