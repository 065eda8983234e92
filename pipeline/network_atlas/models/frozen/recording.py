"""Record which calls of a forward pass follow each other directly, so that they can run as one.

A convolution and a normalization may run as one where the convolution's output is read by that normalization and by
nothing else: no other operation, no hook, not as a result of the model. That is taken from one recorded pass, by the
memory of the values and not by the names or kinds of modules, so it holds for functions as well as for modules.

    recording = recorded(model, images)
    recording.followers[id(weight)]        # the normalization and the activation behind a convolution
"""

from __future__ import annotations

import contextlib
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from network_atlas.models.frozen import calls
from network_atlas.models.frozen.calls import (
    RELU,
    Activation,
    ConvolutionCall,
    Function,
    LinearCall,
    NormCall,
    PadCall,
    SumCall,
)
from network_atlas.models.frozen.followers import FIRST_SUM, NOTHING_FOLLOWS, Followers, Recording, Value
from network_atlas.models.seen import is_scripted

END = -1
"""The number of the call that stands for the end of the pass: it reads what the model returns."""
OUTSIDE = -2
"""The number for operations outside of any call, as in scripted modules."""

NO_INPUT = torch.empty(0)
"""In the place of inputs, which recordings don't keep."""


@dataclass(slots=True)
class _Call:
    """A recorded call of a convolution, a normalization, a linear map or an activation."""

    number: int
    key: int
    """Which weights it uses; 0 for activations, -1 for the pass's first padding, -2 for the second."""
    arguments: ConvolutionCall | NormCall | LinearCall | PadCall | SumCall | Activation
    read: Value
    written: Value


def recorded(model: nn.Module, images: Tensor) -> Recording:
    """Run the model on `images`, (batch, channels, rows, columns), and return what was called."""
    watch = _Watch()
    with torch.no_grad(), _hooked(model, watch), _Operations(watch), _Functions(watch):
        watch.read(tree_leaves(model(images)), END)
    return watch.recording()


class _Watch:
    """The values that convolutions, normalizations and activations have written, and who reads them."""

    def __init__(self) -> None:
        self.calls: list[_Call] = []
        self.current = 0
        """The number of the call of a function that runs now."""
        self.is_noting = False
        """Whether calls come from this bookkeeping itself, which torch hands over as well."""
        self._kept: dict[int, Tensor] = {}
        """Written tensors by their memory: while they are kept, no other value can take their memory."""
        self._readers: defaultdict[Value, set[int]] = defaultdict(set)
        self.outputs: defaultdict[int, list[set[Value]]] = defaultdict(list)
        """By a module's `id`, a set for each of its calls."""
        self.inputs: defaultdict[int, list[set[Value]]] = defaultdict(list)

    def value(self, tensor: Tensor) -> Value | None:
        """Return the watched value that a tensor holds now."""
        memory = _memory(tensor)
        return Value(memory, tensor._version) if memory in self._kept else None

    def values(self, tensors: list[Any]) -> Iterator[Value]:
        """Yield the watched values among some tensors."""
        for tensor in tensors:
            value = self.value(tensor) if isinstance(tensor, Tensor) else None
            if value is not None:
                yield value

    def read(self, tensors: list[Any], reader: int) -> None:
        """Note that the call of number `reader` reads some tensors."""
        for value in self.values(tensors):
            self._readers[value].add(reader)

    def form_read(self, tensor: Any, reader: int) -> None:
        """Note that the form of a padded value is read, which it has only behind the padding."""
        value = self.value(tensor) if isinstance(tensor, Tensor) else None
        if value is not None and any(
            call.written == value for call in self.calls if isinstance(call.arguments, PadCall)
        ):
            self._readers[value].add(reader)

    def written(self, tensor: Tensor) -> Value:
        """Watch the value of a tensor from now on."""
        memory = _memory(tensor)
        self._kept.setdefault(memory, tensor)
        return Value(memory, tensor._version)

    def recording(self) -> Recording:
        """Return which calls follow each other directly."""
        result = Recording()
        uses = Counter(call.key for call in self.calls if call.key)
        by_number = {call.number: call for call in self.calls}
        for call in self.calls:
            if isinstance(call.arguments, ConvolutionCall):
                result.convolutions[call.key] = call.arguments
            elif isinstance(call.arguments, NormCall):
                result.norms[call.key] = call.arguments
            elif isinstance(call.arguments, LinearCall):
                result.linears[call.key] = call.arguments
            elif isinstance(call.arguments, PadCall):
                reader = self._only_reader(call, by_number)
                if reader is not None and isinstance(reader.arguments, ConvolutionCall) and uses[reader.key] == 1:
                    result.padded[call.key] = reader.key, tuple(call.arguments.pad)
            behind = self._sum_behind(call, by_number, uses)
            if behind is not None:
                result.sums[call.key] = behind
            followers = self._followers(call, by_number, uses)
            if followers != NOTHING_FOLLOWS:
                result.followers[call.key] = followers
            norm = self._only_reader(call, by_number) if isinstance(call.arguments, ConvolutionCall) else None
            if norm is not None and isinstance(norm.arguments, NormCall):
                result.norm_behind[call.number] = norm.number
        self._note_modules(result)
        return result

    def _note_modules(self, result: Recording) -> None:
        """Fill in whose own output the modules return and get."""
        makers = {
            call.written: call
            for call in self.calls
            if isinstance(call.arguments, ConvolutionCall | NormCall | PadCall | SumCall)
        }
        weighted = {value for value, call in makers.items() if not isinstance(call.arguments, SumCall)}
        for noted, into in ((self.outputs, result.outputs), (self.inputs, result.inputs)):
            for module, values in noted.items():
                into[module] = frozenset(makers[value].key for value in set().union(*values) if value in makers)
        for module, values in self.outputs.items():
            result.returned[module] = [
                frozenset(makers[value].number for value in of if value in weighted) for of in values
            ]

    def _followers(self, call: _Call, by_number: dict[int, _Call], uses: Counter[int]) -> Followers:
        """Return what alone reads the output of a call; nothing where its weights are used again in the pass."""
        if not isinstance(call.arguments, ConvolutionCall | NormCall) or uses[call.key] > 1:
            return NOTHING_FOLLOWS
        follower, norm = self._only_reader(call, by_number), None
        if follower is not None and isinstance(follower.arguments, NormCall):
            if isinstance(call.arguments, NormCall) or uses[follower.key] > 1:
                return NOTHING_FOLLOWS
            norm, follower = follower.key, self._only_reader(follower, by_number)
        if follower is not None and isinstance(follower.arguments, Activation):
            return Followers(norm, follower.arguments)
        return Followers(norm, None)

    def _sum_behind(self, call: _Call, by_number: dict[int, _Call], uses: Counter[int]) -> int | None:
        """Return the key of the sum that alone reads a convolution, or its normalization, with a ReLU behind."""
        if not isinstance(call.arguments, ConvolutionCall) or uses[call.key] > 1:
            return None
        norm = self._only_reader(call, by_number)
        if norm is not None and isinstance(norm.arguments, NormCall):
            if uses[norm.key] > 1:
                return None
            call = norm
        readers = self._readers[call.written]
        added = by_number.get(next(iter(readers))) if len(readers) == 1 else None
        if added is None or not isinstance(added.arguments, SumCall):
            return None
        if added.arguments.in_place and added.read != call.written:
            return None  # the other maps are what changes
        behind = self._only_reader(added, by_number)
        return added.key if behind is not None and behind.arguments == RELU else None

    def _only_reader(self, call: _Call, by_number: dict[int, _Call]) -> _Call | None:
        readers = self._readers[call.written]
        if len(readers) != 1:
            return None
        reader = by_number.get(next(iter(readers)))
        return reader if reader is not None and reader.read == call.written else None


def _memory(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


class _Functions(TorchFunctionMode):
    """Numbers the calls of torch's functions, and notes the arguments of those that can be frozen."""

    def __init__(self, watch: _Watch) -> None:
        super().__init__()
        self._watch = watch
        self._count = 0
        self._pads = 0

    def __torch_function__(self, function: Function, types: Any, arguments: Any = (), keywords: Any = None) -> Any:
        keywords = keywords or {}
        watch = self._watch
        if watch.is_noting:
            return function(*arguments, **keywords)
        self._count += 1
        number = watch.current = self._count
        if function in calls.READ_ONLY:
            watch.form_read(calls.input_of(arguments, keywords), number)
            return function(*arguments, **keywords)
        watch.read(tree_leaves((arguments, keywords)), number)
        described: tuple[int, ConvolutionCall | NormCall | LinearCall | PadCall | SumCall | Activation] | None
        described = _described(function, arguments, keywords)
        if calls.is_pad(function):
            self._pads += 1
            pad = PadCall(*arguments, **keywords)
            described = (-self._pads, pad._replace(input=NO_INPUT)) if pad.is_zeros else None
        total = SumCall.of(function, arguments, keywords)
        if total is not None:
            described = FIRST_SUM - number, total._replace(first=NO_INPUT, second=NO_INPUT)
        first = calls.input_of(arguments, keywords)
        read = watch.value(first) if isinstance(first, Tensor) else None
        output = function(*arguments, **keywords)
        watch.current = 0
        if described is not None and isinstance(output, Tensor):
            key, call = described
            written = watch.written(output)
            watch.calls.append(_Call(number, key, call, read or Value(0, 0), written))
        return output


def _described(
    function: Function, arguments: Any, keywords: Any
) -> tuple[int, ConvolutionCall | NormCall | LinearCall | Activation] | None:
    """Return the key of a call's weights and its arguments; None for calls that stay torch's own."""
    if calls.is_convolution(function):
        convolution = ConvolutionCall(*arguments, **keywords)
        return id(convolution.weight), convolution._replace(input=NO_INPUT)
    if calls.is_norm(function):
        norm = NormCall(*arguments, **keywords)
        return None if norm.running_mean is None else (id(norm.running_mean), norm._replace(input=NO_INPUT))
    if calls.is_linear(function):
        linear = LinearCall(*arguments, **keywords)
        return id(linear.weight), linear._replace(input=NO_INPUT)
    activation = calls.activation_of(function, arguments, keywords)
    return None if activation is None else (0, activation)


class _Operations(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes which call reads a value: also inside compiled functions, where no Python function is called."""

    def __init__(self, watch: _Watch) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._watch = watch

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Say that no code is compiled under this mode, or torch imports its compiler for it: seconds in each run."""
        return False

    def __torch_dispatch__(self, operation: Any, types: Any, arguments: Any = (), keywords: Any = None) -> Any:
        keywords = keywords or {}
        self._watch.read(tree_leaves((arguments, keywords)), self._watch.current or OUTSIDE)
        return operation(*arguments, **keywords)


@contextlib.contextmanager
def _hooked(model: nn.Module, watch: _Watch) -> Iterator[None]:
    """Note the inputs and the outputs of all modules."""

    def before(module: nn.Module, inputs: Any) -> None:
        watch.is_noting = True
        watch.inputs[id(module)].append(set(watch.values(tree_leaves(inputs))))
        watch.is_noting = False

    def after(module: nn.Module, inputs: Any, output: Any) -> None:
        watch.is_noting = True
        watch.outputs[id(module)].append(set(watch.values(tree_leaves(output))))
        watch.is_noting = False

    with contextlib.ExitStack() as hooks:
        for module in model.modules():
            if not is_scripted(module):
                hooks.enter_context(module.register_forward_pre_hook(before))
                hooks.enter_context(module.register_forward_hook(after))
        yield
