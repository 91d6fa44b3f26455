"""Which channels of a network can only be removed together.

Each channel of each tensor gets a number. Channels with the same number live and die together: the two terms of a sum,
the channel in front of a batch norm and the one behind it, the 49 inputs that a Dense layer has for one channel of a
7 x 7 map. What follows is union-find over the relations of ``relations.py``:

    InputLayer -> conv_1 -> norm -> relu -> conv_2 -> Add    conv_1, norm, relu     0 .. 15
                               \\______________________/      conv_2, Add, conv_3    16 .. 47
                    conv_3 (shortcut)

A number may be *fixed*: its channels are inputs or outputs of the model, or a layer uses them in an unknown way.
"""

from collections.abc import Iterator

from tfcompress.structure.groups import core
from tfcompress.structure.mixing import groups, mixing
from tfcompress.structure.numbering import Numbering, Numbers
from tfcompress.structure.relations import Unknown, check_activation, check_format, follows, met
from tfcompress.structure.trace import Call, Value


class Channels(Numbering):
    """The channels of a model; those with one number live and die together."""

    def reads(self) -> Iterator[tuple[Call, Value]]:
        """The calls that sum over channels, with what they read."""
        for call in self.trace.calls:
            if mixing(call.layer) and call.inputs[0] in self.numbers:
                yield call, call.inputs[0]

    def _output(self, call: Call) -> Numbers:
        entries = [self.numbers[value] for value in call.inputs]
        relation = follows(call)
        if relation is not None:
            rows = relation(call, entries)
            for numbers in (e for e in entries if len(e) < rows.shape[1] and relation is met):
                self._reasons.append((numbers, f"are spread over all channels by '{call.path}'"))
            return self._tie(rows)
        if mixing(call.layer) is None:
            raise Unknown("uses channels in a way that is not known here")
        layer = core(call.layer)
        check_format(layer)
        made = self._new(call.outputs[0].shape[-1])  # type: ignore[arg-type]
        for numbers in (entries[0], made) if groups(layer) > 1 else ():
            self._tie(numbers.reshape(groups(layer), -1))
        try:
            check_activation(layer)
        except Unknown as reason:
            self._reasons.append((made, f"go through '{call.path}' ({type(layer).__name__}), which {reason}"))
        return made
