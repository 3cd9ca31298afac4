"""What pipelines are often made of: ready-made functions, external programs, logging.

    papy.util.func      functions for pipers: pick and join items, print, store, encode
    papy.util.script    external programs as nodes
    papy.util.config    logging

None of it is loaded by ``import papy``.
"""
