"""What the compiled code is made with: decorators, elementary functions, blocks of lanes, random numbers."""
