"""Which network addresses may be reached: the guard against server-side request forgery.

A name is resolved once, here, and the connection goes to the addresses that passed, so a name
that resolves differently a moment later (DNS rebinding) changes nothing.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

from aiohttp.abc import AbstractResolver, ResolveResult

Network = IPv4Network | IPv6Network
_Address = IPv4Address | IPv6Address

_NAT64 = ip_network("64:ff9b::/96")
"""IPv6 addresses that carry an IPv4 one in their last 32 bits (RFC 6052)."""


class AddressNotAllowedError(OSError):
    """The name stands for an address that may not be reached."""


def is_allowed(address: str, allowed: Sequence[Network]) -> bool:
    """Whether `address` is on the public internet, or in a network that is allowed by name.

    Private, loopback, link-local (where clouds keep their metadata), shared, multicast and
    reserved addresses are not public, however they are written.
    """
    try:
        found = _plain(ip_address(address))
    except ValueError:
        return False  # such as 127.1, which some take for 127.0.0.1
    if any(found in network for network in allowed):
        return True
    return found.is_global and not found.is_multicast


def _plain(address: _Address) -> _Address:
    """The IPv4 address inside an IPv6 one, where there is one."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped:
            return address.ipv4_mapped
        if address.sixtofour:
            return address.sixtofour
        if address in _NAT64:
            return IPv4Address(int(address) & 0xFFFFFFFF)
        if address.scope_id:
            return IPv6Address(int(address))
    return address


class PinningResolver(AbstractResolver):
    """Resolves with the system's resolver and refuses where any answer is not allowed."""

    def __init__(self, allowed: Sequence[Network]) -> None:
        self._allowed = tuple(allowed)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """See `AbstractResolver.resolve`.

        Raises:
            AddressNotAllowedError: one of the addresses may not be reached.
            OSError: the name has no address.
        """
        infos = await asyncio.get_running_loop().getaddrinfo(
            host, port, type=socket.SOCK_STREAM, family=family
        )
        results = []
        for found_family, _, proto, _, sockaddr in infos:
            address = str(sockaddr[0])
            if not is_allowed(address, self._allowed):
                raise AddressNotAllowedError(f"{host} stands for {address}")
            results.append(
                ResolveResult(
                    hostname=host,
                    host=address,
                    port=port,
                    family=found_family,
                    proto=proto,
                    flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
                )
            )
        return results

    async def close(self) -> None:
        """Nothing is held open."""
