"""The web server of the viewer: viser's, on one port, silent, and reachable by nobody else unless asked for."""

from __future__ import annotations

import contextlib
import errno
import io
import socket
from typing import TYPE_CHECKING

from geo3d.util.require import require

if TYPE_CHECKING:
    import viser


def start_server(host: str, port: int, title: str) -> viser.ViserServer:
    """Start viser.

    Parameters
    ----------
    host : str
        Address to listen on.
    port : int
        0 for any that is free.
    title : str
        Shown above the controls.

    Raises
    ------
    ImportError
        If viser is not installed; the message tells how to.
    OSError
        If the port is taken, or the address is none of this machine's; the message tells what to do.
    """
    viser = require("viser")
    _try_port(host, port)

    class LocalServer(viser.ViserServer):
        """viser's server without its tunnel, which any page that is open in the browser could ask for."""

        def request_share_url(self, verbose: bool = True) -> str | None:
            return None

    with contextlib.redirect_stdout(io.StringIO()):
        server = LocalServer(host=host, port=port, label=title, verbose=False)
    if port and server.get_port() != port:  # somebody took it since it was tried
        stop_server(server)
        raise _taken(host, port)
    return server


def stop_server(server: viser.ViserServer) -> None:
    """Stop `server` and its threads."""
    with contextlib.redirect_stdout(io.StringIO()):
        server.stop()


def _try_port(host: str, port: int) -> None:
    """Raise OSError where `port` cannot be listened on; viser would take the next one, or try for ever."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        with socket.socket(family, kind, protocol) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind(address)
            trial.listen(1)
    except (socket.gaierror, UnicodeError):
        raise OSError(
            f"the host {host!r} is not known; give an address of this machine, as 127.0.0.1"
        ) from None
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise _taken(host, port) from None
        if error.errno == errno.EACCES:
            raise OSError(f"port {port} is kept for the administrator; give one from 1024 on") from None
        raise OSError(
            f"cannot listen on {host} ({error.strerror}); give an address of this machine: 127.0.0.1 for its own "
            "browser, 0.0.0.0 for all of the network"
        ) from None


def _taken(host: str, port: int) -> OSError:
    return OSError(
        f"port {port} of {host} is taken, perhaps by another viewer; give another port, or 0 for any that is free"
    )
