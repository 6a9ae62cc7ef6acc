"""Answers to customers' questions from what a bundle, a state and the decision log say."""
