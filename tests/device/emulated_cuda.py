"""A CUDA device made of CPU memory: real numbers, real control flow, and CUDA's rules about devices.

A tensor of it holds a CPU tensor and says that it is on ``cuda:0``. Operations that mix it with a CPU tensor of one
dimension or more raise as CUDA does, ``numpy()`` raises, and whatever makes the host wait for the device is recorded
with its place:

    with EmulatedCUDA() as device:
        main(["fit", "--config", "gan/digits", "--trainer.accelerator=gpu", "--trainer.inference_mode=false"])
    print(device.waits)

It knows device rules and the waits it lists, nothing else: no streams, no memory, no numerics of a device; random
numbers are the CPU's. Lightning's inference mode it does not support. By hand: ``python tests/device/emulated_cuda.py
fit --config gan/digits``.
"""

from __future__ import annotations

import contextlib
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from pytorch_lightning.accelerators import CUDAAccelerator
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes

import lightning_irl

torch._C._ensureCUDADeviceGuardSet()
CUDA, CPU = torch.device("cuda:0"), torch.device("cpu")
MARKER = torch.device("meta")  # what stands for the device where torch's own code looks: it must not start CUDA
PACKAGE = str(Path(lightning_irl.__file__).parent) + "/"
LIBRARIES = ("/torch/", "/lightning_utilities/", "/lightning_fabric/", "/torchmetrics/", str(Path(__file__)), "<")
WAITS = {  # operations whose result or check the host reads
    *("_local_scalar_dense", "nonzero", "masked_select", "equal", "is_nonzero", "_linalg_check_errors", "bincount"),
    *("_unique", "_unique2", "unique_dim", "unique_consecutive"),
}
INDEXING = ("index", "index_put_", "index_put", "_index_put_impl_", "_unsafe_index")
NO_NUMPY = "can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() to copy the tensor to host memory first."
NO_FLOAT64 = "Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support float64 (emulated)"


class DeviceTensor(torch.Tensor):
    """A tensor on the emulated device; ``inner`` holds its numbers."""

    inner: torch.Tensor

    @staticmethod
    def __new__(cls, inner: torch.Tensor) -> DeviceTensor:
        if inner.dtype == torch.float64 and (device := EmulatedCUDA.current) and not device.has_float64:
            raise TypeError(NO_FLOAT64)
        shell = torch.empty_strided(inner.size(), inner.stride(), dtype=inner.dtype, device=MARKER)
        made = torch.Tensor._make_subclass(cls, shell, False, dispatch_device=False, device_for_backend_keys=CUDA)
        made.inner = inner
        return made

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]
    device = property(lambda self: CUDA)  # type: ignore[assignment]
    is_cuda = property(lambda self: True)  # type: ignore[assignment]
    is_cpu = is_meta = property(lambda self: False)  # type: ignore[assignment]

    def get_device(self) -> int:
        return 0

    def __deepcopy__(self, memo: dict[int, Any]) -> DeviceTensor:
        if id(self) not in memo:
            with torch.no_grad(), _alone():
                copy = DeviceTensor(self.inner.detach().clone())
            copy.requires_grad_(self.requires_grad)
            if getattr(self, "_is_param", False):
                copy._is_param = True
            memo[id(self)] = copy
        return memo[id(self)]

    def __reduce_ex__(self, protocol: int) -> Any:
        with _alone():
            return self.inner.detach().clone().__reduce_ex__(protocol)

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        return f"DeviceTensor({self.inner!r})"

    def __tensor_flatten__(self) -> tuple[list[str], None]:
        return ["inner"], None

    @staticmethod
    def __tensor_unflatten__(inner: dict[str, torch.Tensor], meta: None, size: Any, stride: Any) -> DeviceTensor:
        return DeviceTensor(inner["inner"])

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


class EmulatedCUDA:
    """While it is entered, torch and Lightning see one CUDA device.

    Args:
        has_float64: False for a device such as a Mac's, which has none.

    Attributes:
        waits: how often the host waited, by what for and where; only while ``watches``.
    """

    current: EmulatedCUDA | None = None

    def __init__(self, has_float64: bool = True) -> None:
        self.has_float64, self.watches = has_float64, True
        self.waits: Counter[tuple[str, str]] = Counter()

    def wait(self, what: str) -> None:
        if self.watches:
            self.waits[what, _place()] += 1

    def __enter__(self) -> EmulatedCUDA:
        self.stack = contextlib.ExitStack()
        EmulatedCUDA.current = self
        for context in (_patched(), _Dispatch(), _Devices()):
            self.stack.enter_context(context)
        return self

    def __exit__(self, *exception: Any) -> None:
        self.stack.__exit__(*exception)
        EmulatedCUDA.current = None


def _place() -> str:
    """File, function and line in the package; where it is not in the stack, in what called torch."""
    frame, other = sys._getframe(2), ""
    while frame is not None:
        name = frame.f_code.co_filename
        if name.startswith(PACKAGE) and not name.endswith(("cli.py", "__main__.py")):
            return f"{name.removeprefix(PACKAGE)}:{frame.f_code.co_name}:{frame.f_lineno}"
        if not other and not any(part in name for part in LIBRARIES):
            other = f"{name.split('site-packages/')[-1]}:{frame.f_lineno}"
        frame = frame.f_back
    return other


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Without the modes below."""
    with torch._C.DisableTorchFunctionSubclass(), _disable_current_modes():
        yield


def _is_plain(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and not isinstance(value, DeviceTensor)


def _inner(value: Any) -> Any:
    return value.inner if isinstance(value, DeviceTensor) else value


def _wrapped(value: Any) -> Any:
    return DeviceTensor(value) if _is_plain(value) else value


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    """Those within what an operation takes or gives: tensors, lists, tuples and dicts of them (torch's own trees take
    most of the time).
    """
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, (tuple, list, dict)) and value:
        for one in value.values() if isinstance(value, dict) else value:
            yield from _tensors(one)


def _each(function: Any, value: Any) -> Any:
    """The same with a function of every tensor."""
    if isinstance(value, torch.Tensor):
        return function(value)
    if isinstance(value, (tuple, list)):
        return type(value)(_each(function, one) for one in value) if value else value
    if isinstance(value, dict):
        return {key: _each(function, one) for key, one in value.items()} if value else value
    return value


def _is_there(device: Any) -> bool:
    """Whether an argument names the device, or the marker that stands for it."""
    return isinstance(device, (str, torch.device)) and str(device).split(":")[0] in ("cuda", "meta")


def _run(func: Any, args: Any, kwargs: Any) -> Any:
    """An operation by CUDA's rules."""
    name, device = func.overloadpacket.__name__, EmulatedCUDA.current
    theirs: list[DeviceTensor] = []
    plain: list[torch.Tensor] = []
    for tensor in (*_tensors(args), *_tensors(kwargs)):
        theirs.append(tensor) if isinstance(tensor, DeviceTensor) else plain.append(tensor)
    target = kwargs.get("device")
    if name == "_to_copy":
        return _copied(func, args, kwargs, target)
    if name == "copy_" and theirs and plain:
        if device and plain[0].numel():
            device.wait("copy to the host" if _is_plain(args[0]) else "copy to the device")
        func(*_each(_inner, args), **kwargs)
        return args[0]
    if _is_there(target):
        made = func(*_each(_inner, args), **_each(_inner, {**kwargs, "device": CPU}))
        return _each(_wrapped, made)
    if not theirs:
        return func(*args, **kwargs)
    inner_args, inner_kwargs = _each(_inner, args), _each(_inner, kwargs)
    if target is not None:  # a new tensor on the CPU, such as x.new_zeros(..., device="cpu")
        return func(*inner_args, **inner_kwargs)
    if plain:
        _check_devices(func, name, args, plain)
    if device and (what := _waits_for(func, name, args, kwargs)):
        device.wait(what)
    out = func(*inner_args, **inner_kwargs)
    return out if name == "_local_scalar_dense" else _results(func, args, kwargs, out)


def _copied(func: Any, args: Any, kwargs: Any, target: Any) -> Any:
    source, device = args[0], EmulatedCUDA.current
    is_there = isinstance(source, DeviceTensor)
    goes_there = is_there if target is None else _is_there(target)
    if device and is_there and not goes_there:
        device.wait("copy to the host")
    if device and goes_there and not is_there and not kwargs.get("non_blocking"):
        device.wait("copy to the device")
    options = {key: value for key, value in kwargs.items() if key not in ("device", "pin_memory")}
    out = func(_inner(source), *args[1:], **options)
    out = out.clone() if out is _inner(source) else out
    return DeviceTensor(out) if goes_there else out


def _check_devices(func: Any, name: str, args: Any, plain: list[torch.Tensor]) -> None:
    """Tensors on the CPU beside those on the device: allowed without dimensions, and as indices."""
    if name in INDEXING:
        if _is_plain(args[0]):
            raise RuntimeError("indices should be either on cpu or on the same device as the indexed tensor (cpu)")
        indices = [index for index in args[1] if _is_plain(index)]
        if indices and EmulatedCUDA.current:
            EmulatedCUDA.current.wait("copy of indices to the device")
        plain = [x for x in plain if not any(x is index for index in indices)]
    if shapes := [tuple(x.shape) for x in plain if x.dim()]:
        raise RuntimeError(
            f"Expected all tensors to be on the same device, but found at least two devices, cuda:0 and cpu! ({func}; "
            f"shapes on the CPU: {shapes})"
        )


def _waits_for(func: Any, name: str, args: Any, kwargs: Any) -> str:
    """What the host waits for in an operation on the device; nothing for most."""
    if name in WAITS:
        return name
    if name in INDEXING and any(x is not None and x.dtype in (torch.bool, torch.uint8) for x in args[1]):
        return f"{name} by a mask"
    if name == "repeat_interleave" and func._overloadname == "Tensor" and kwargs.get("output_size") is None:
        return name
    if name == "multinomial":
        is_with_replacement = args[2] if len(args) > 2 else kwargs.get("replacement", False)
        return name if args[1] == 1 or not is_with_replacement else ""
    return ""


def _results(func: Any, args: Any, kwargs: Any, out: Any) -> Any:
    """What an operation gives back; where it writes in place, the tensors that were given."""
    schema = func._schema
    written = [
        args[index] if index < len(args) else kwargs.get(argument.name)
        for index, argument in enumerate(schema.arguments)
        if argument.alias_info is not None and argument.alias_info.is_write
    ]
    if not written:
        return _each(_wrapped, out)
    if len(schema.returns) < 2:
        return written[0] if schema.returns else None
    if all(one.alias_info is not None for one in schema.returns):
        return tuple(written[: len(schema.returns)])
    return _each(_wrapped, out)


class _Dispatch(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


class _Devices(TorchFunctionMode):
    """The device in arguments becomes its marker, and what torch does outside its dispatcher obeys the rules too."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is torch.device:
            return func(*args, **kwargs)
        is_there = bool(args) and isinstance(args[0], DeviceTensor)
        if is_there and func in (torch.Tensor.numpy, torch.Tensor.__array__):
            raise TypeError(NO_NUMPY)
        if is_there and func is torch.Tensor.tolist:
            return args[0].to("cpu").tolist()
        if func is torch.Tensor.cuda:
            return args[0].to(MARKER)
        if func is torch.Tensor.pin_memory:
            return args[0]
        if func is torch.tensor and _is_there(kwargs.get("device")):
            return func(*args, **{**kwargs, "device": CPU}).to(MARKER)
        if func is torch.Tensor.new_tensor and is_there:
            options = {"dtype": args[0].dtype, **{key: value for key, value in kwargs.items() if key != "device"}}
            return torch.tensor(*args[1:], **options).to(MARKER)
        args = tuple(MARKER if _is_there(value) else value for value in args)
        return func(*args, **{key: MARKER if _is_there(value) else value for key, value in kwargs.items()})


@contextlib.contextmanager
def _patched() -> Iterator[None]:
    """torch.cuda and Lightning believe in one device; modules move by new parameters, and optimizers take them."""
    from torch.cuda.amp import common
    from torch.optim import optimizer

    cuda = {
        "get_rng_state": lambda device="cuda": torch.get_rng_state(),
        "set_rng_state": lambda state, device="cuda": None,
        "get_device_capability": lambda device=None: (9, 0),
        "get_device_name": lambda device=None: "emulated device",
        "device_count": lambda: 1,
        "current_device": lambda: 0,
        "is_bf16_supported": lambda *args: True,
    }
    cuda |= dict.fromkeys(
        ("set_device", "manual_seed_all", "synchronize", "empty_cache", "_lazy_init"), lambda *args: None
    )
    accelerator = {
        "is_available": staticmethod(lambda: True),
        "auto_device_count": staticmethod(lambda: 1),
        "parse_devices": staticmethod(lambda devices: [0]),
        "get_parallel_devices": staticmethod(lambda devices: [torch.device("cuda", index) for index in devices]),
    }
    accelerator |= dict.fromkeys(("setup_device", "setup", "teardown"), lambda *args: None)
    with contextlib.ExitStack() as stack:
        for owner, values in ((torch.cuda, cuda), (CUDAAccelerator, accelerator)):
            for name, value in values.items():
                stack.enter_context(patch.object(owner, name, value))
        stack.enter_context(patch.object(common, "amp_definitely_not_available", lambda: False))
        types = [*optimizer._foreach_supported_types, DeviceTensor]
        stack.enter_context(patch.object(optimizer, "_foreach_supported_types", types))
        before = torch.__future__.get_overwrite_module_params_on_conversion()
        torch.__future__.set_overwrite_module_params_on_conversion(True)
        stack.callback(torch.__future__.set_overwrite_module_params_on_conversion, before)
        yield


if __name__ == "__main__":
    from lightning_irl.command.cli import main

    with EmulatedCUDA() as emulated:
        options = ["--trainer.accelerator=gpu", "--trainer.devices=1", "--trainer.inference_mode=false"]
        code = main([*sys.argv[1:], *options])
    for (what, place), number in emulated.waits.most_common():
        print(f"{number:6d} {what:30s} {place}")
    sys.exit(code)
