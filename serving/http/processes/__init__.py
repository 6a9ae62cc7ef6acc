"""The service as processes: connections, signals, workers, structured logs."""
