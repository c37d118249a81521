"""The notifications service: a message to a customer about an order."""

from typing import Literal

from pydantic import AwareDatetime, ConfigDict, Field

from participants.contracts.endpoint import Answer, Endpoint, Wire


class Notify(Wire):
    """Tells a customer something about an order.

    Attributes:
        notification_id: A UUID in its canonical form, chosen by the caller.
        order_id: The ledger's id of the order.
        customer_id: The shop's id of the customer.
        template: Which message, at most 64 characters.
        reference: What the message names, such as a shipment's tracking number, at most 128 characters; None for nothing.
    """

    notification_id: str
    order_id: str
    customer_id: str
    template: str = Field(min_length=1, max_length=64)
    reference: str | None = Field(default=None, max_length=128)


class Notification(Answer):
    """What the notifications service did."""

    notification_id: str
    order_id: str
    status: Literal["sent"]


class SentNotification(Notification):
    """A message as the service remembers it.

    Attributes:
        sent_at: When, by the service's database clock.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", strict=False)

    customer_id: str
    template: str
    reference: str | None = None
    sent_at: AwareDatetime


class SentNotifications(Answer):
    """The messages about one order, oldest first; at most 1,000."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=False)

    notifications: tuple[SentNotification, ...]


send = Endpoint("notifications", "POST", "/notifications", Notify, Notification)
