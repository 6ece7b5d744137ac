// Package instruments is what the cache library becomes in metrics and spans. It alone knows both sides: the library knows nothing
// of Prometheus and OpenTelemetry, and package telemetry nothing of caches.
package instruments
