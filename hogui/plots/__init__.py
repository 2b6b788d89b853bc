"""Live plots. The only room that imports pyqtgraph, so that the first frame can be shown without
it.

`columns` is the mathematics (numpy alone), `frame` the rhythm, `x_axis` and `y_share` what
several plots share, `view` what all plots have in common; then one file per plot.
"""
