"""Notifications about runs: pings, webhooks, apprise, Prometheus."""
