"""From a trained run to files for a device: folding, conversion, the gate, releases."""
