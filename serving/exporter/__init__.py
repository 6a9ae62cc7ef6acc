"""Write a learned policy as a signed bundle. Needs torch."""
