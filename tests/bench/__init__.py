"""The load tests themselves: every command runs and keeps what its documentation says. No figure is judged here."""
