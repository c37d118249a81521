"""What can keep a participant from starting; each error is one sentence that says what to do."""


class ParticipantError(Exception):
    """A participant cannot start."""


class SettingError(ParticipantError):
    """A setting is missing or wrong."""


class DatabaseUnreachable(ParticipantError):
    """The participant's database does not answer, or refuses the participant."""


class SchemaBehind(ParticipantError):
    """The participant's database lacks migrations."""


class AddressUnavailable(ParticipantError):
    """The address to listen on is taken or not this machine's."""
