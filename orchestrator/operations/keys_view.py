"""What commands show and do of API keys, and of what operators did."""

from collections.abc import Sequence
from dataclasses import asdict

from orchestrator import api_keys
from orchestrator.api_keys import NewKey, Scope
from orchestrator.operations.asking import ask
from orchestrator.operations.render import open_console, print_json, print_table, say, short
from sql import acts
from sql import api_keys as stored


def create(
    database_url: str,
    client: str,
    scopes: Sequence[str],
    *,
    expires_days: float | None,
    note: str,
    actor: str,
    reason: str,
    as_json: bool,
) -> None:
    """Make a key and print it, which nothing does again."""
    wanted = [Scope(scope) for scope in scopes]
    made = ask(
        database_url,
        lambda conn: api_keys.create(conn, client, wanted, expires_days=expires_days, note=note, actor=actor, reason=reason),
    )
    _print_new(made, f"{made.key_id} is a key of {client} for {_listed(made.scopes)}", as_json=as_json)


def rotate(database_url: str, key_id: str, *, overlap_s: float, actor: str, reason: str, as_json: bool) -> None:
    """Make a key in place of another and print it, which nothing does again.

    Raises:
        NoKey: There is none of this id.
        KeyEnded: It does not hold any more.
    """
    made = ask(database_url, lambda conn: api_keys.rotate(conn, key_id, overlap_s=overlap_s, actor=actor, reason=reason))
    ends = f"holds for {overlap_s:g} s more at most" if overlap_s else "holds no longer"
    _print_new(made, f"{made.key_id} is a key of {made.client_id} for {_listed(made.scopes)}; {key_id} {ends}", as_json=as_json)


def revoke(database_url: str, key_id: str, *, actor: str, reason: str, as_json: bool) -> None:
    """Revoke a key, and say so.

    Raises:
        NoKey: There is none of this id.
        KeyEnded: It does not hold any more.
    """
    ask(database_url, lambda conn: api_keys.revoke(conn, key_id, actor=actor, reason=reason))
    if as_json:
        print_json({"key_id": key_id, "state": "revoked"})
    else:
        print(f"{key_id} is revoked; edges refuse it within two seconds")


def show_list(database_url: str, client: str | None, *, as_json: bool) -> None:
    """Print keys, without anything of their secrets."""
    rows = ask(database_url, lambda conn: stored.list_keys(conn, client))
    if as_json:
        print_json({"keys": rows})
        return
    console = open_console()
    shown = [
        (row["key_id"], row["client_id"], ", ".join(row["scopes"]), row["state"], short(row["expires_at"]), row["note"])
        for row in rows
    ]
    print_table(console, ("KEY", "CLIENT", "SCOPES", "STATE", "ENDS UTC", "NOTE"), shown)
    if not rows:
        console.print("no keys: see `saga keys create --help`")


def show_acts(database_url: str, subject: str | None, *, limit: int, as_json: bool) -> None:
    """Print what operators did that is about no order."""
    rows = ask(database_url, lambda conn: acts.list_acts(conn, subject, limit=limit))
    if as_json:
        print_json({"acts": rows})
        return
    console = open_console()
    for row in rows:
        why = f": {row['reason']}" if row["reason"] else ""
        say(console, f"{short(row['at'])} UTC  {row['act']} {row['subject']}, by {row['actor']}{why}")
    if not rows:
        console.print("nobody has done anything yet")


def _print_new(made: NewKey, sentence: str, *, as_json: bool) -> None:
    if as_json:
        print_json(asdict(made))
        return
    print(sentence + (f", until {short(made.expires_at)} UTC" if made.expires_at else ""))
    print(f"key (shown once): {made.key}")


def _listed(scopes: Sequence[str]) -> str:
    return " and ".join(scopes)
