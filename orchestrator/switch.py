"""The switch of an installation: whether anything new may begin, and what becomes meanwhile of what has begun."""

from enum import StrEnum

from pydantic import Field
from pydantic_settings import BaseSettings


class WhenDisabled(StrEnum):
    """What orchestrators do with orders that have begun while nothing new may."""

    FINISH = "finish"
    PAUSE = "pause"


class SwitchSettings(BaseSettings):
    """The part of the settings that is about the switch; read with the others.

    What was recorded and has not begun waits in either case, and is never lost.
    """

    enabled: bool | None = Field(
        default=None, description="Take new orders and begin with those that wait; unset: in dev and preview, and not in prod"
    )
    when_disabled: WhenDisabled = Field(
        default=WhenDisabled.FINISH,
        description="While SAGA_ENABLED is off: finish the orders that have begun, or pause them and call no participant",
    )
