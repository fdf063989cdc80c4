"""Figures for Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

__all__ = ["Metrics"]

# Seconds: clicks take milliseconds, everything mode of a large network a minute.
_BUCKETS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)


class Metrics:
    """The figures of one application.

    Attributes:
        requests: number by route and status; request_seconds: their time by route.
        work_seconds: time in the network's thread by kind of work.
        waiting: requests that wait or are worked on.
        refused: number by reason: host, origin, token, too_large, too_slow, busy.
        kept: number of embeddings and sessions by place, memory or disk.
    """

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.requests = Counter(
            "samkit_requests", "Requests.", ("route", "status"), registry=self._registry
        )
        self.request_seconds = Histogram(
            "samkit_request_seconds",
            "Time of requests.",
            ("route",),
            registry=self._registry,
            buckets=_BUCKETS,
        )
        self.work_seconds = Histogram(
            "samkit_work_seconds",
            "Time in the network's thread.",
            ("work",),
            registry=self._registry,
            buckets=_BUCKETS,
        )
        self.waiting = Gauge("samkit_waiting", "Requests that wait.", registry=self._registry)
        self.refused = Counter(
            "samkit_refused", "Requests refused.", ("reason",), registry=self._registry
        )
        self.kept = Gauge(
            "samkit_kept", "What is kept.", ("kind", "place"), registry=self._registry
        )

    def text(self) -> bytes:
        """In the text format of Prometheus."""
        return generate_latest(self._registry)
