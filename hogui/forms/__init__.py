"""Forms that are built from the specs' declared fields.

A field's label, help, unit, limits and choices come from its declaration; nothing here knows a
particular field but `hogui.forms.names`, which gives some editors their public object names.
"""
