"""The contract of a model family, as checks that a user runs on a family of his own and we on ours.

    from recscale.testing import check_family
    check_family("my_pkg.my_model:MyFamily")          # raises ContractError with every complaint

    class TestMine(FamilyContract):                   # or in pytest, a test a check
        family = "my_pkg.my_model:MyFamily"

`recscale check my_pkg.my_model:MyFamily` does the same from the shell.
"""

from recscale.testing.contract import (
    CHECKS,
    ContractError,
    FamilyContract,
    Finding,
    check_family,
    findings,
)
from recscale.testing.subjects import Subject, subject

__all__ = [
    "CHECKS",
    "ContractError",
    "FamilyContract",
    "Finding",
    "Subject",
    "check_family",
    "findings",
    "subject",
]
