"""Prometheus metrics of a served bundle."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, generate_latest

_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class ServeMetrics:
    """Counts of requests and answers, and times of predictions, since the server's start."""

    def __init__(self, bundle: str, digest: str, taken: Callable[[], int]) -> None:
        self._registry = CollectorRegistry()
        self.requests = Counter(
            "venation_serve_requests", "Requests for a prediction by status.", ["status"], registry=self._registry
        )
        self.answers = Counter(
            "venation_serve_answers", "Answered photos by answer.", ["answer"], registry=self._registry
        )
        self.seconds = Histogram(
            "venation_serve_seconds", "Time of a prediction.", buckets=_SECONDS, registry=self._registry
        )
        taken_now = Gauge("venation_serve_pending", "Requests read, waiting or answered.", registry=self._registry)
        taken_now.set_function(taken)
        Info("venation_serve_bundle", "The served bundle.", registry=self._registry).info(
            {"name": bundle, "record_sha256": digest}
        )

    def text(self) -> bytes:
        """Return the metrics in Prometheus' format."""
        return generate_latest(self._registry)
