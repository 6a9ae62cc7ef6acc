"""Why a policy charges what it charges."""
