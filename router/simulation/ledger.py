"""The ledger in a simulation: what the scripts of `router/ledger/scripts.py` decide, towards the end of one window that is limited."""

from dataclasses import dataclass

from router.ledger.ledger import MOST


@dataclass(slots=True)
class Account:
    """What is left to a tenant, as Redis knows it; `used` is what it really used, `whole` what its window allows. Micro-dollars; None: no limit."""

    left: int | None = None
    whole: int | None = None
    spent: int = 0
    held: int = 0
    holds: int = 0
    used: int = 0

    def reserve(self, most: int, least: int) -> int | None:
        """What is held from now on; None where not even the least fits. As RESERVE of a hold that is not known yet."""
        amount = most
        if self.left is not None:
            left = self.left - self.spent - self.held
            if least > left:
                return None
            if most * (self.holds + 2) > left:
                amount = least
        self.held += amount
        self.holds += 1
        return amount

    def grow(self, had: int, most: int) -> int:
        """What is held after a hold is to grow. As RESERVE of a hold that is known."""
        if most <= had or most > self.most(had):
            return had
        self.held += most - had
        return most

    def most(self, had: int) -> int:
        """What a hold of so much might grow to."""
        return MOST if self.left is None else had + max(0, self.left - self.spent - self.held)

    def settle(self, held: int, cost: int) -> None:
        """Charge, and free what was held."""
        self.spent += cost
        self.held -= held
        self.holds -= held > 0
