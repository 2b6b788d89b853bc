"""What workloads of several orders share: each differentiates the sum of the order below."""

GRADIENT = '''\
def gradient(totals, wrt, create_graph):
    """Gradient of a sum of scalars; None by what nothing depends on."""
    if not totals:
        return [None] * len(wrt)
    return torch.autograd.grad(totals, wrt, create_graph=create_graph, allow_unused=True)'''

HIGHER = """\
    for order in range(FIRST, ORDER + 1):
        totals = [g.sum() for g in gradients if g is not None and g.requires_grad]
        gradients = None  # what is still needed, the totals hold
        gradients = gradient(totals, WRT, create_graph=order < ORDER)"""
