"""Measuring every variant of a classifier on the machine at hand: `edgewise.benchmarks.runner.run_benchmark`.

Nothing is imported here, because each measurement runs in a fresh child process whose memory is measured from its
start.
"""
