"""Tables of certificates that several jobs, or several blocks of one job, have made."""

from collections.abc import Iterable

import pandas as pd

from robustlens.errors import RobustlensError


def joined(tables: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """The rows of several tables, ordered by index. Raises RobustlensError for an image that is in two of them."""
    table = pd.concat(tables, ignore_index=True).sort_values("index", ignore_index=True)
    if (twice := table["index"].duplicated()).any():
        raise RobustlensError(
            f"image {table.loc[twice, 'index'].iloc[0]} is in two tables; delete the tables and run the same command "
            "again"
        )
    return table
