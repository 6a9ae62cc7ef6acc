"""From a shop's files to the price list of the weeks to come, every week."""
