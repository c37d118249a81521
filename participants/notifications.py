"""The notifications service: a message to a customer about an order. What was sent cannot be taken back."""

from typing import Final

from psycopg.rows import class_row
from pydantic import BaseModel, ConfigDict

from participants.calls import Action, Done, Lookup, Route
from participants.contracts.notifications import Notification, Notify, SentNotification, SentNotifications
from participants.database import Connection
from participants.idempotency import Posting
from sql.loader import Queries

_queries = Queries("notifications")
_SEND_NOTIFICATION = _queries["send_notification"]
_LIST_NOTIFICATIONS = _queries["list_notifications"]


class NotificationQuery(BaseModel):
    """The query of `GET /notifications`.

    Attributes:
        order_id: The order.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    order_id: str


async def send_notification(connection: Connection, message: Notify) -> Done:
    """Send a message; the mock keeps it instead."""
    await connection.execute(_SEND_NOTIFICATION, message.model_dump())
    answer = Notification(notification_id=message.notification_id, order_id=message.order_id, status="sent")
    return Done(answer, Posting(message.order_id, "notification_sent", {"notifications": 1}), 201)


async def list_notifications(connection: Connection, query: NotificationQuery) -> SentNotifications:
    """Read what was sent about an order."""
    async with connection.cursor(row_factory=class_row(SentNotification)) as cursor:
        await cursor.execute(_LIST_NOTIFICATIONS, query.model_dump())
        return SentNotifications(notifications=tuple(await cursor.fetchall()))


ROUTES: Final[tuple[Route, ...]] = (
    Action(
        "POST",
        "/notifications",
        Notify,
        lambda message: f"notification/{message.notification_id}",
        send_notification,
    ),
    Lookup("/notifications", NotificationQuery, list_notifications),
)
