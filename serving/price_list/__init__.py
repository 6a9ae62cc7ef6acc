"""The price list: what is proposed for each product and week, what the desk decided, and when it is live."""
