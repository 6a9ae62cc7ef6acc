"""The price service over HTTP. Needs the serve extra."""
