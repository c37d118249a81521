"""A mail server that keeps what it takes: as much of SMTP as a client needs, with STARTTLS and logins."""

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage


@dataclass
class MailServer:
    """What it took, and how it answers.

    Attributes:
        port: Where it listens.
        tls: By what it proves itself after STARTTLS; None to offer none.
        login: `user:password` that it wants; None for nobody's.
        refusal: What it says to each mail instead of taking it.
        unknown: Whom it takes no mail for; None for nobody.
        mails: What it took, with whom it was for.
    """

    port: int = 0
    tls: ssl.SSLContext | None = None
    login: str | None = None
    refusal: str | None = None
    unknown: str | None = None
    mails: list[tuple[list[str], EmailMessage]] = field(default_factory=list)
    encrypted: list[bool] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        secured, entered, receivers = False, self.login is None, list[str]()
        writer.write(b"220 mail.test\r\n")
        while line := (await reader.readline()).decode().strip():
            verb = line.split(" ")[0].upper()
            answer = "250 fine"
            match verb:
                case "EHLO":
                    offers = ["STARTTLS"] if self.tls and not secured else ["AUTH PLAIN"] if self.login else []
                    lines = ["mail.test", *offers]
                    answer = "\r\n".join(f"250{' ' if n == len(lines) else '-'}{said}" for n, said in enumerate(lines, 1))
                case "STARTTLS":
                    writer.write(b"220 go on\r\n")
                    await writer.drain()
                    await writer.start_tls(self.tls)  # type: ignore[arg-type]
                    secured = True
                    continue
                case "AUTH":
                    given = base64.b64decode(line.split(" ")[2]).decode().split("\0")
                    entered = self.login == ":".join(given[1:])
                    answer = "235 welcome" if entered else "535 who are you"
                case "MAIL":
                    answer = "250 fine" if entered else "530 log in first"
                case "RCPT":
                    receiver = line.partition("<")[2].partition(">")[0]
                    if receiver == self.unknown:
                        answer = f"550 5.1.1 <{receiver}> no such user"
                    else:
                        receivers.append(receiver)
                case "DATA":
                    writer.write(b"354 go on\r\n")
                    text = await reader.readuntil(b"\r\n.\r\n")
                    if self.refusal:
                        answer = self.refusal
                    else:
                        mail = message_from_bytes(text[:-5], policy=policy.default)
                        self.mails.append((receivers, mail))
                        self.encrypted.append(secured)
                case "QUIT":
                    answer = "221 bye"
            writer.write(answer.encode() + b"\r\n")
            await writer.drain()
            if verb == "QUIT":
                break
        writer.close()


@asynccontextmanager
async def open_mail_server(**options: object) -> AsyncIterator[MailServer]:
    mails = MailServer(**options)  # type: ignore[arg-type]
    server = await asyncio.start_server(mails.serve, "127.0.0.1", 0)
    mails.port = server.sockets[0].getsockname()[1]
    async with server:
        yield mails
