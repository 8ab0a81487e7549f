"""Who is told how runs end: pings, webhooks, apprise, Prometheus."""
