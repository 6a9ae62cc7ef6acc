"""Training presets, one TOML file an algorithm: defaults, then a block a scenario or family of scenarios."""
