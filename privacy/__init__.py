"""What protects persons and shops: pseudonyms, roles, encryption, differential privacy, sums over shops that share no rows."""


class PrivacyError(ValueError):
    """What protects persons refuses, or cannot do its work; the message is one line.

    Example:
        >>> raise PrivacyError("role clerk may not read sales")
        Traceback (most recent call last):
        repricer.privacy.PrivacyError: role clerk may not read sales
    """
