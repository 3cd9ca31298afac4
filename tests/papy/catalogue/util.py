"""PaPy's behaviours, sections G to J: the test that proves each, or why there is none.

A value is the node id of a test, which may stand for all its parameters, or begins with "obsolete: " or "superseded: ".
"""

from __future__ import annotations

FUNC = "tests/papy/util/test_func.py::test_"
ITEMS = "tests/papy/util/test_items.py::test_"
SCRIPT = "tests/papy/util/test_script.py::test_"
CONFIG = "tests/papy/util/test_config.py::test_"
NAMES = "tests/papy/test_names.py::test_"
EXAMPLE = "tests/test_examples.py::test_"

ROWS: dict[str, str] = {
    # papy.util.func
    "G1": FUNC + "plugger",
    "G2": FUNC + "ipasser",
    "G3": FUNC + "npasser",
    "G4": FUNC + "spasser_keeps_the_order_that_was_asked_for",
    "G5": FUNC + "nzipper",
    "G6": FUNC + "szipper",
    "G7": FUNC + "joiners",
    "G8": FUNC + "print",
    "G9": FUNC + "a_stream_of_text",
    "G10": FUNC + "the_last_item_needs_no_delimiter",
    "G11": FUNC + "a_stream_of_pickles",
    "G12": ITEMS + "round_trip",
    "G13": ITEMS + "misuse_of_what_can_be_read_once",
    "G14": ITEMS + "directory_of_a_program_that_is_killed",
    "G15": ITEMS + "mapped",
    "G16": FUNC + "an_item_in_a_database",
    "G17": FUNC + "lines_that_are_followed",
    "G18": FUNC + "the_garbage_collector_is_left_alone",
    "G19": "superseded: nothing is shipped to remote hosts, and functions go to workers with what they refer to (rule 1)",
    # papy.util.script
    "H1": SCRIPT + "a_script_as_in_papy",
    "H2": SCRIPT + "all_keys",
    "H3": SCRIPT + "templates",
    "H4": SCRIPT + "ports",
    "H5": SCRIPT + "a_script_as_in_papy",
    "H6": SCRIPT + "exit_code_and_what_was_said",
    "H7": SCRIPT + "no_such_program",
    "H8": SCRIPT + "names_that_a_shell_would_take_apart",
    "H9": SCRIPT + "templates",
    "H10": SCRIPT + "resume",
    # papy.util.config, logging, public names
    "I1": CONFIG + "a_stream",
    "I2": CONFIG + "a_stream",
    "I3": "obsolete: sizes of buffers of pipes and sockets, and one's address on the internet, are no business of a library",
    "I4": "obsolete: it was always empty",
    "I6": NAMES + "error_classes",
    "I7": CONFIG + "75_by_default_nothing_is_said_but_that_items_failed",
    "I8": NAMES + "all_of_the_core_can_be_imported_at_once",
    # idioms
    "J1": EXAMPLE + "kmers_of_all_kinds_of_workers",
    "J2": EXAMPLE + "what_is_printed",
    "J3": EXAMPLE + "what_is_printed",
    "J4": EXAMPLE + "what_is_printed",
    "J5": EXAMPLE + "kmers_of_a_file",
    "J6": "superseded: on one map what is further down goes first; the manual's how-to says when other maps pay, as measured",
}
