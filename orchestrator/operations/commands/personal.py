"""`saga erase-customer`: nothing personal is kept of a customer."""

from typing import TYPE_CHECKING, Any

import click

from orchestrator.operations.commands.shared import at_place, by_somebody
from orchestrator.operations.parameters import CLIENT, TEXT

if TYPE_CHECKING:
    from orchestrator.operations.place import Place


@click.command("erase-customer")
@click.argument("customer_id", metavar="CUSTOMER", type=TEXT)
@click.option(
    "--client",
    "client_id",
    type=CLIENT,
    help="Only orders of this client; refused where another has some of that customer: participants know no clients.",
)
@click.option("--dry-run", is_flag=True, help="Show what would be erased; change nothing.")
@by_somebody
@at_place
def erase_customer(place: "Place", **asked: Any) -> int:
    """Erase personal data of a customer, here and at the participants.

    Orders stay, with their journals, which say who erased what they said of a person. Exit code 1 while something is left: an
    order that has not ended, or a participant that could not be asked. Repeat it then.
    Orders that retention has removed are not known any more, so participants are not asked for theirs: erase before it.
    """
    from orchestrator.operations import erasing

    return erasing.erase_customer(place, **asked)
