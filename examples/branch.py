"""Branches: which one comes first, where the order of adding isn't what you want.

python examples/branch.py
"""

from papy import Dagger, Piper


def lower(word):
    return word.lower()


def upper(word):
    return word.upper()


def together(*words):
    return "-".join(words)


def show(title, dagger, datas):
    print(f"{title:28}", *dagger.results(datas))


# Outputs, inputs and the items of an inbox are in the order in which the pipes were added ...
dagger = Dagger(pipes=[(root := Piper(str, unpack=True), Piper(upper, unpack=True)), (root, Piper(lower, unpack=True))])
show("outputs as added:", dagger, [["Ab", "Cd"]])

# ... unless they have a branch. Smaller ones come first, and pipers without one before all others.
root, one, two = Piper(str, unpack=True), Piper(upper, unpack=True, branch=2), Piper(lower, unpack=True, branch=1)
dagger = Dagger(pipes=[(root, one), (root, two)])
show("outputs by branch:", dagger, [["Ab", "Cd"]])

# The same for the inbox of a piper with several inputs, and for the data.
dagger = Dagger()
joiner = Piper(together, unpack=True)
dagger.add_pipe((Piper(upper, unpack=True), joiner), branch="b")  # the branch of all pipers that are new
dagger.add_pipe((Piper(lower, unpack=True), joiner), branch="a")
show("inbox and data by branch:", dagger, [["Small", "One"], ["Large", "Two"]])
