"""What Prometheus may know of the requests, and the log of them."""

from __future__ import annotations

import os
import sys
from functools import cache
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector
from starlette.types import Scope

from movie_embed.errors import printable

FOLDER = "PROMETHEUS_MULTIPROC_DIR"  # in which several processes add up their numbers
_BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)


class Metrics:
    """Counts and times of requests by route."""

    def __init__(self, log: bool) -> None:
        self._log, self._registry = log, CollectorRegistry()
        if FOLDER not in os.environ:
            ProcessCollector(registry=self._registry)
        of: Any = {"registry": self._registry}
        labels = ["route", "status"]
        requests = Counter("movie_embed_requests", "Requests answered", labels, **of)
        times = Histogram(
            "movie_embed_request_seconds", "Time of an answer", labels[:1], buckets=_BUCKETS, **of
        )
        self._of = cache(
            lambda route, status: (requests.labels(route, status), times.labels(route))
        )
        self.loaded = Gauge(
            "movie_embed_run_loaded_seconds",
            "When a run was last loaded, in seconds since 1970",
            multiprocess_mode="mostrecent",
            **of,
        )

    def note(self, scope: Scope, status: int, seconds: float) -> None:
        """Count a request, and log it in one line, without its query: that is somebody's taste."""
        route = getattr(scope.get("endpoint"), "__name__", "other")
        requests, times = self._of(route, status)
        requests.inc()
        times.observe(seconds)
        if self._log:
            client = (scope.get("client") or ("-",))[0]
            asked = f"{client} {scope['method']} {printable(scope['path'])}"
            print(f"{asked} {status} {1000 * seconds:.1f} ms", file=sys.stderr)

    def text(self) -> bytes:
        """Return all numbers as Prometheus reads them."""
        if FOLDER not in os.environ:
            return generate_latest(self._registry)
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)
