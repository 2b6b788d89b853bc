"""Files for others: tables of stored runs, and a chart that any browser shows."""
