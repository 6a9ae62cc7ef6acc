"""Off-policy evaluation: the value of a policy, estimated from the log of another one."""
