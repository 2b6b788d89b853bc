"""Who holds which bytes: the ledger, the allocator's own figure, and what kernels need."""
