"""The words for units; with those for currencies and signs they are in text/data/units.yml."""

import functools
from itertools import product

from text.tables import table


@functools.cache
def units() -> dict[str, tuple[str, str]]:
    """Written -> (said before the number, said behind it): 60 km/h is 每小时六十公里."""
    words = table("units")
    single, by_time, by = words["units"].items(), words["by_time"].items(), words["by"].items()
    return {
        **{unit: ("", behind) for unit, behind in single},
        **{f"{unit}/{time}": (before, behind) for (unit, behind), (time, before) in product(single, by_time)},
        **{f"{unit}/{other}": ("", f"{behind}每{name}") for (unit, behind), (other, name) in product(single, by)},
        **{unit: (before, behind) for unit, (before, behind) in words["whole"].items()},
    }
