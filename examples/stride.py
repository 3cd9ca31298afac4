"""The stride: tasks that share workers take turns, by so many items.

python examples/stride.py
"""

from numap import IMap

for stride in (1, 2, 3, 6):
    # With one worker of this program itself it can be seen what runs when.
    order = []
    imap = IMap(worker_type="serial", stride=stride, buffer=12)
    one = imap.add_task(lambda n: order.append(f"a{n}"), range(6))  # noqa: B023
    two = imap.add_task(lambda n: order.append(f"b{n}"), range(6))  # noqa: B023
    with imap:
        list(one), list(two)
    print(f"stride {stride}:", *order)

# It is also the number of items of one task that are inside of the workers at the same time: with 1 a task never has
# two workers, however many there are.
inside, most = 0, 0


def watch(n):
    global inside, most
    inside += 1
    most = max(most, inside)
    inside -= 1
    return n


list(IMap(watch, range(1000), worker_type="thread", worker_num=4, stride=1, buffer=8))
print("at the same time with stride 1:", most)
