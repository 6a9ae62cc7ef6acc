"""A newer bundle on trial: `trial` answers with it, `guards` decide whether the trial goes on."""
