"""The pages for people, and what they load. Needs the `serve` extra."""
