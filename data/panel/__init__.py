"""From sale lines to the labelled panel (`aggregation`) that every model is fitted on."""
