"""The windows of a rolling log-likelihood, written from the description and independently of eval/windows.cc.

It works on lists of tokens, where eval/windows.cc works on positions: a window is a pair of lists, the context that is
only read and the tokens that are predicted.

    python3 tests/testing/rolling_windows.py     prints the golden values of tests/eval/windows_test.cc
"""


def rolling_windows(tokens, begin_token, length_max):
    """Pairs (context, predicted). The model reads context + predicted[:-1], at most length_max tokens."""
    pairs = []
    if not tokens:
        return pairs
    head = tokens[:length_max]
    pairs.append(([begin_token], head))
    rest = tokens[length_max:]
    consumed = list(head)
    while rest:
        predicted, rest = rest[:length_max], rest[length_max:]
        # What is read is length_max long: the last len(predicted) - 1 of it are predicted tokens themselves.
        context = consumed[-(length_max - len(predicted) + 1):]
        pairs.append((context, predicted))
        consumed += predicted
    return pairs


def positions(token_count, length_max):
    """The same as (first, length, scored), as eval/windows.h counts: the begin token is position -1."""
    found = []
    for context, predicted in rolling_windows(list(range(token_count)), -1, length_max):
        found.append((context[0] + 1, len(context) + len(predicted) - 1, len(predicted)))
    return found


if __name__ == "__main__":
    for token_count, length_max in [(0, 4), (1, 4), (3, 4), (4, 4), (5, 4), (8, 4), (11, 4), (3, 1), (7, 2), (2050, 1024)]:
        windows = ", ".join("{%d, %d, %d}" % window for window in positions(token_count, length_max))
        print("    {%d, %d, {%s}}," % (token_count, length_max, windows))
