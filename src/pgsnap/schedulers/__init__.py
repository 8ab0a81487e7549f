"""Unattended runs: cron's times, systemd's timers, the user's crontab."""
