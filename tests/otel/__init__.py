"""``tickr.otel`` against the real SDK of OpenTelemetry."""
