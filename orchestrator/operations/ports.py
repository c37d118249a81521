"""Ports for the parts of a stack, held until the part listens on it."""

import errno
import socket
import sys


class PortError(Exception):
    """A port can't be had; nothing was started."""


class Ports:
    """Ports that are reserved for parts which are still to be started.

    A reserved port is bound but not listened on. A part that binds it with SO_REUSEADDR, as servers do, may have it;
    an outgoing connection is never given it, which is what makes a "free port" of a moment ago taken.
    """

    def __init__(self) -> None:
        self._held: list[socket.socket] = []

    def reserve(self, host: str, port: int, *, setting: str) -> int:
        """Reserve a port.

        Args:
            host: Address it will be listened on.
            port: The port; 0 for any free one.
            setting: What an operator changes to have another, for the error.

        Returns:
            The port's number.

        Raises:
            PortError: It is taken, or the address is not this machine's.
        """
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            held = socket.socket(family, kind, protocol)
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            held.bind(address)
        except OSError as error:
            reason = "is in use" if error.errno == errno.EADDRINUSE else f"can't be had ({error.strerror})"
            raise PortError(f"port {port} on {host} {reason}: free it or choose another with {setting}") from None
        self._held.append(held)
        return int(held.getsockname()[1])

    def hand_over(self) -> None:
        """Let the parts take their ports; to be called right before they are started."""
        # Linux allows a second bind beside one that does not listen; elsewhere the port has to be let go first.
        if sys.platform != "linux":
            self.close()

    def close(self) -> None:
        """Let go of everything."""
        for held in self._held:
            held.close()
        self._held.clear()
