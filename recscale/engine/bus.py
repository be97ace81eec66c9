"""Jobs from trials to warm worker groups, and what was heard of them.

Its actor imports neither torch nor the libraries of Ray, which take 3 CPU seconds.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

IDLE_S = 60.0
"""Seconds after which a group that gets no job gives its nodes back."""


@dataclass
class Ticket:
    """A job handed in, and all that was heard of it; the last message is its end."""

    job: dict[str, Any]
    slot: int | None = None
    messages: list[dict[str, Any]] = field(default_factory=list)
    ended: bool = False


class Bus:
    """An actor between trials and worker groups: jobs one way, results the other.

    A slot has one group at a time. What its last group left unfinished is leased to its next one,
    unless the last one failed: then the ticket ends with the error, and the run is decided on
    again or given up.
    """

    def __init__(self) -> None:
        self.tickets: list[Ticket] = []
        self.groups: dict[int, str] = {}
        self.placements: dict[int, Any] = {}
        self.free: set[int] = set()
        """Slots whose group is starting, or waits for a lease."""
        self.closed = False
        self.broken = ""
        self.news = asyncio.Condition()

    async def submit(self, job: dict[str, Any]) -> int:
        """Takes a job; what hands in a run that is still under way gets its ticket back."""
        for number, ticket in enumerate(self.tickets):
            if ticket.job["run_id"] == job["run_id"] and not ticket.ended:
                return number
        self.tickets.append(Ticket(job))
        number = len(self.tickets) - 1
        if self.broken:
            await self.end(number, self.broken)
        await self._tell()
        return number

    async def enter(self, slot: int, group: str, placement: Any) -> None:
        """A new worker group serves `slot`, on the CPUs of a placement group."""
        self.groups[slot], self.placements[slot] = group, placement
        await self._tell()

    async def placement(self, slot: int) -> Any:
        """The placement group of the slot's last worker group, None before the first."""
        return self.placements.get(slot)

    async def wanted(self, slot: int) -> bool:
        """True as soon as there is a job that no other group waits for, and `slot` has none; False
        when the sweep is over."""
        self.free.discard(slot)
        async with self.news:
            await self.news.wait_for(lambda: self.closed or self._lacks(slot))
        if not self.closed:
            self.free.add(slot)
        return not self.closed

    async def lease(self, slot: int, group: str) -> tuple[int, dict[str, Any]] | None:
        """The next job for worker group `group` of `slot`; None when the sweep is over, when none
        came for IDLE_S, or when the slot has another group by now."""
        self.free.add(slot)
        try:
            async with self.news, asyncio.timeout(IDLE_S):
                await self.news.wait_for(lambda: self._over(slot, group) or self._open(slot))
        except TimeoutError:
            return None
        if self._over(slot, group):
            return None
        self.free.discard(slot)
        ticket = self._open(slot)[0]
        ticket.slot = slot
        return self.tickets.index(ticket), ticket.job

    async def push(self, number: int, message: dict[str, Any]) -> None:
        self.tickets[number].messages.append(message)
        await self._tell()

    async def end(self, number: int, error: str) -> None:
        """Ends a ticket once; `error` is empty for success."""
        ticket = self.tickets[number]
        if not ticket.ended:
            ticket.ended = True
            await self.push(number, {"end": error})

    async def fault(self, slot: int, error: str) -> None:
        """The group of `slot` failed: so did what it trained."""
        for number, ticket in enumerate(self.tickets):
            if ticket.slot == slot:
                await self.end(number, error)

    async def poll(self, number: int, heard: int) -> list[dict[str, Any]]:
        """Messages after the first `heard`, as soon as there are any."""
        messages = self.tickets[number].messages
        async with self.news:
            await self.news.wait_for(lambda: len(messages) > heard)
        return messages[heard:]

    async def close(self, error: str = "") -> None:
        """No more leases; with an error, whatever waits or comes later fails with it."""
        self.closed, self.broken = True, error
        if error:
            for number in range(len(self.tickets)):
                await self.end(number, error)
        await self._tell()

    def _over(self, slot: int, group: str) -> bool:
        return self.closed or self.groups[slot] != group

    def _lacks(self, slot: int) -> bool:
        waiting = self._open(slot)
        own = any(t.slot == slot for t in waiting)
        return own or len(waiting) > len(self.free)

    def _open(self, slot: int) -> list[Ticket]:
        """What the slot may train, its own unfinished first."""
        waiting = [t for t in self.tickets if not t.ended and t.slot in (None, slot)]
        return sorted(waiting, key=lambda t: t.slot is None)

    async def _tell(self) -> None:
        async with self.news:
            self.news.notify_all()
