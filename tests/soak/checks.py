"""What must hold at the end of a soak, each with its figures.

The balancer's side of the books is its access log: a line for each exchange. Every request whose answer its client read
must stand there once, with the status that the client saw; no request twice; none that nobody sent. Its counters are a
second book, kept in memory that all workers share: each exchange once, under the word that the log has for it.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

from steelyard.observe.counters import ANSWERED as WELL
from steelyard.observe.counters import OUTCOMES
from tests.soak.echo import token_in
from tests.soak.tally import ANSWERED, CUT, LEFT, LOST, Tally

MEMORY_GROWTH: Final = 0.10
SHOWN: Final = 5


class Check(NamedTuple):
    """figures: what was found, also where it holds. look: what to look at where it does not."""

    what: str
    holds: bool
    figures: str
    look: str = ""


@dataclass
class Rest:
    """A balancer at which nothing happens: its workers' descriptors (as the kernel names them) and memory, by pid."""

    descriptors: dict[int, list[str]] = field(default_factory=dict)
    memory_kib: dict[int, int] = field(default_factory=dict)

    @classmethod
    def of(cls, pids: Iterable[int]) -> "Rest":
        rest = cls()
        for pid in pids:
            rest.descriptors[pid] = sorted(_links(pid))
            rest.memory_kib[pid] = _resident_kib(pid)
        return rest


def _links(pid: int) -> list[str]:
    found = []
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found.append(str(link.readlink()))
        except OSError:  # closed since
            continue
    return found


def _resident_kib(pid: int) -> int:
    """The pages that are its own: what it shares with its siblings comes and goes with them."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Rss:"):
            return int(line.split()[1])
    raise AssertionError(f"no Rss of {pid}")


def at_rest(before: Rest, after: Rest, status: Mapping[str, Any], backends: Mapping[str, Any]) -> list[Check]:
    """Nothing is left of what was done: the balancer and the backends are asked after every client has gone."""
    in_flight = sum(one["in_flight"] for pool in status["pools"].values() for one in pool)
    clients = sum(worker["clients"] for worker in status["workers"])
    left = {pid: len(after.descriptors.get(pid, ())) - len(links) for pid, links in before.descriptors.items()}
    more = [
        link for pid in after.descriptors for link in set(after.descriptors[pid]) - set(before.descriptors.get(pid, ()))
    ]
    grown = {pid: after.memory_kib.get(pid, 0) / kib - 1 for pid, kib in before.memory_kib.items()}
    memory = ", ".join(f"{before.memory_kib[pid] // 1024} MiB {part:+.1%}" for pid, part in grown.items())
    return [
        Check("workers live on", set(before.descriptors) == set(after.descriptors), f"{sorted(after.descriptors)}"),
        Check("nothing is in flight", in_flight == 0, str(in_flight), "steelyard status: in_flight"),
        Check("no client is counted", clients == 0, str(clients), "steelyard status: clients of each worker"),
        Check("backends have no connection", backends["open"] == 0, str(backends["open"]), "proxy/connections.py"),
        Check("no descriptor is left", not any(left.values()), _listed(left.values()), f"new: {more[:SHOWN]}"),
        Check("memory is flat", max(grown.values()) <= MEMORY_GROWTH, memory, f"RSS may grow by {MEMORY_GROWTH:.0%}"),
    ]


def of_clients(tally: Tally, backends: Mapping[str, Any]) -> list[Check]:
    """What the clients and the backends have seen."""
    lost = [token for token, asked in tally.requests.items() if asked.outcome == LOST]
    twice = backends["posts twice"]
    malformed = backends["malformed"]
    return [
        Check(
            "every answer is its request's", not tally.wrong, f"{len(tally.wrong)} wrong", "\n".join(tally.wrong[:20])
        ),
        Check("who waits is answered", not lost, f"{len(lost)} of {tally.count(ANSWERED)} not", _tokens(lost, tally)),
        Check("no POST reaches backends twice", not twice, f"{len(twice)} did", _tokens(twice, tally)),
        Check("backends get nothing malformed", malformed == 0, str(malformed)),
    ]


def of_books(tally: Tally, records: Sequence[Mapping[str, Any]], backends: Mapping[str, Any]) -> list[Check]:
    """The clients' side of the books, and the backends', against the balancer's."""
    logged = Counter(token_in(record["target"]) for record in records)
    nameless = logged.pop("", 0)
    by_token = {token_in(record["target"]): record for record in records}
    requests = tally.requests
    twice = [token for token, count in logged.items() if count > 1]
    unknown = [token for token in logged if token not in requests]
    missing = [token for token, one in requests.items() if one.outcome in (ANSWERED, CUT) and token not in logged]
    left = sum(one.outcome in (LEFT, LOST) for one in requests.values())
    other = [
        f"{token}: {by_token[token]['status']} is logged, {one.status} was answered"
        for token, one in requests.items()
        if one.status and token in by_token and by_token[token]["status"] != one.status
    ]
    silent = [
        token for token, one in requests.items() if one.outcome == CUT and by_token.get(token, {}).get("word") == "-"
    ]
    tried = sum(record["tries"] > 0 for record in records)
    # A kept connection that proves to have been closed costs a second one at the same backend, which is no try.
    often = [
        token for token, times in backends["often"].items() if times > 2 * by_token.get(token, {}).get("tries", times)
    ]
    reached = backends["requests"]
    enough = tally.refused_garbage <= nameless <= tally.garbage + left
    return [
        Check("nothing is logged twice", not twice, f"{len(twice)} of {len(logged)}", _tokens(twice, tally)),
        Check("nothing is logged that nobody asked", not unknown, str(len(unknown)), _listed(unknown)),
        Check(
            "every answer is logged", not missing, f"{len(missing)} missing, {left} left early", _tokens(missing, tally)
        ),
        Check("the log has the client's status", not other, f"{len(other)} others", _listed(other)),
        Check("a cut answer is logged as one", not silent, f"{len(silent)} silent", _tokens(silent, tally)),
        Check("garbage is logged once", enough, f"{nameless} lines for {tally.refused_garbage} refusals"),
        Check("no request reaches backends untold", reached <= tried, f"{reached} came, {tried} are logged"),
        Check("tries are counted", not often, f"{len(often)} came more often", _tokens(often, tally)),
    ]


def of_counters(
    counters: Mapping[str, int], records: Sequence[Mapping[str, Any]], backends: Mapping[str, Any]
) -> list[Check]:
    """The counters against the log, and both against what came to the backends."""
    words = Counter(WELL if record["word"] == "-" else record["word"] for record in records)
    other = [
        f"{word}: {counters[word]} counted, {words[word]} logged" for word in OUTCOMES if counters[word] != words[word]
    ]
    tries = sum(record["tries"] for record in records)
    more = sum(record["tries"] - 1 for record in records if record["tries"] > 1)
    retries, hedges, saved = counters["retries"], counters["hedges"], counters["stale_saved"]
    again = f"{retries} retries and {hedges} hedges, {more} in the log"
    waited = f"{counters['queued']} waited, {counters['queue_timeout']} for too long"
    heads = backends["heads"]
    return [
        Check("every request is counted once", not other, f"{sum(counters[w] for w in OUTCOMES)}", _listed(other)),
        Check("every further try is counted", retries + hedges == more, again, "proxy/tries.py"),
        Check("a hedge is won once", counters["hedges_won"] <= hedges, f"{counters['hedges_won']} of {hedges}"),
        Check("who gives up waiting has waited", counters["queue_timeout"] <= counters["queued"], waited),
        # A try may end before its request has come anywhere; a second connection for the same one is counted as saved.
        Check("backends get no try untold", heads <= tries + saved, f"{heads} came, {tries} tries and {saved} saved"),
    ]


def records_in(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]


def _tokens(tokens: Sequence[str], tally: Tally) -> str:
    return _listed(f"{token} ({tally.requests[token].kind})" for token in tokens[:SHOWN])


def _listed(what: Iterable[Any]) -> str:
    return ", ".join(map(str, list(what)[:SHOWN]))
