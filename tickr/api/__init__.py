"""The edge: HTTP in, JSON out. Checks what comes in, hands it to the intake, and maps errors to statuses."""
