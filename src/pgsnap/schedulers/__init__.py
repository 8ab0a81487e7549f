"""What starts a run without a person: cron's times, systemd's timers, the user's crontab."""
