"""For each operation a call, the request that is documented for it, and the replies that are."""

from .administration import ADMINISTRATION
from .example import Example, operation_of
from .flags import FLAGS
from .people import PEOPLE
from .query import QUERY
from .sending import SENDING
from .warehouses import WAREHOUSES

EXAMPLES: dict[str, Example] = {
    operation_of(example): example for example in (*QUERY, *SENDING, *PEOPLE, *ADMINISTRATION, *FLAGS, *WAREHOUSES)
}

__all__ = ["EXAMPLES", "Example"]
