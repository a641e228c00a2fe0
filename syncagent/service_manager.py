"""Tells systemd how the service is, where systemd asked to be told; nothing happens elsewhere."""

import os
import socket


def notify(message: str) -> None:
    """One datagram to $NOTIFY_SOCKET. Never raises: a deaf service manager must not stop the service."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            sender.sendto(message.encode(), address)
    except OSError:
        return


def watchdog_s() -> float | None:
    """How often systemd wants a sign of life, in seconds; None when it wants none."""
    micros = os.environ.get("WATCHDOG_USEC", "")
    return int(micros) / 1e6 if micros.isdigit() and int(micros) > 0 else None
