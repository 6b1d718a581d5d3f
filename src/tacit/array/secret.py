"""`SecretArray`: looks like a NumPy array, holds a name for values that only the parties have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tacit.array.program import Aval
from tacit.errors import NotRealised, SecretUsedAsPublic, ShapeError

if TYPE_CHECKING:
    from tacit.array.interpret import Context


def axis_of(axis: int, shape: tuple[int, ...]) -> int:
    """Return an axis counted from the first one; ShapeError if the shape has no such axis."""
    if not -len(shape) <= axis < len(shape):
        raise ShapeError(f"axis {axis} does not exist in shape {shape}")
    return int(axis) % len(shape)


class SecretArray:
    """An array of a session or a trace. Operators compute; only `tacit.reveal` opens."""

    __slots__ = ("__weakref__", "aval", "context", "ref")
    __array_priority__ = 1000

    def __init__(self, context: Context, ref: int, aval: Aval) -> None:
        self.context = context
        self.ref = ref
        self.aval = aval

    def __del__(self) -> None:
        release = getattr(getattr(self, "context", None), "release", None)
        if release is not None:
            release(self.ref)

    # -- what is public -----------------------------------------------------------------------------------

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape, public."""
        return self.aval.shape

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.aval.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return self.aval.size

    @property
    def dtype(self) -> str:
        """Kind: "int", "fixed" or "bool"."""
        return self.aval.kind

    @property
    def T(self) -> SecretArray:  # noqa: N802 (NumPy's name)
        """Transposed array."""
        return _f().permute_dims(self, tuple(range(self.ndim))[::-1])

    @property
    def mT(self) -> SecretArray:  # noqa: N802 (the array API's name)
        """Array of the transposed matrices: the last two axes change places."""
        if self.ndim < 2:
            raise ShapeError(f"mT needs two axes or more, and there are {self.ndim}")
        return _f().permute_dims(self, (*range(self.ndim - 2), self.ndim - 1, self.ndim - 2))

    def __repr__(self) -> str:
        return f"<{self.aval}; {self.context.stamp}>"

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of an array without axes")
        return self.shape[0]

    def __array_namespace__(self, api_version: str | None = None) -> Any:
        return _f()

    def __array_ufunc__(self, ufunc: Any, method: str, *ins: Any, **options: Any) -> Any:
        from tacit.array import numpy_names

        return numpy_names.of_ufunc(ufunc, method, ins, options)

    def __array_function__(self, func: Any, types: Any, args: Any, options: Any) -> Any:
        from tacit.array import numpy_names

        return numpy_names.of_function(func, args, options)

    # -- what must not happen by accident -----------------------------------------------------------------

    def _refuse(self, what: str) -> SecretUsedAsPublic:
        return SecretUsedAsPublic(
            f"{what} would need the value of a {self.aval.where} array; compute with it (tacit.where, or & and | "
            "between comparisons), or open it on purpose with tacit.reveal(x, why=...)"
        )

    def __bool__(self) -> bool:
        raise self._refuse("a Python condition (if, while, and, or, not, 0 < x < 1)")

    def __float__(self) -> float:
        raise self._refuse("float()")

    def __int__(self) -> int:
        raise self._refuse("int()")

    def __index__(self) -> int:
        raise self._refuse("using it as an index")

    def __complex__(self) -> complex:
        raise self._refuse("complex()")

    def __contains__(self, value: Any) -> bool:
        raise self._refuse("the operator `in`")

    def item(self, *args: int) -> Any:
        """Refuse: a value leaves only by `tacit.reveal`."""
        raise self._refuse("item()")

    def tolist(self) -> Any:
        """Refuse: a value leaves only by `tacit.reveal`."""
        raise self._refuse("tolist()")

    def __format__(self, spec: str) -> str:
        if spec:
            raise self._refuse("formatting")
        return repr(self)

    def __getattr__(self, name: str) -> Any:
        # Methods of NumPy's arrays that are functions here; private names are asked for by Python and by libraries.
        if name.startswith("_") or name in SecretArray.__slots__:
            raise AttributeError(f"'SecretArray' object has no attribute {name!r}")
        from tacit.array import order

        said = f"{name!r} is no method of an array of a session or trace"
        if name in order.__dict__:
            said += f"; it is tacit.array.order.{name}(x)"
        elif callable(getattr(_f(), name, None)):
            said += f"; it is x.__array_namespace__().{name}(x)"
        raise AttributeError(f"SecretArray: {said}")

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise self._refuse("turning it into a NumPy array")

    def __iter__(self) -> Any:
        if not self.shape:
            raise TypeError("iteration over an array without axes")
        return (self[i] for i in range(self.shape[0]))

    def __hash__(self) -> int:
        # == compares values and gives an array, so equal arrays could not be found again.
        raise TypeError("an array of a session has no hash; use a list, or a dictionary keyed by names")

    # -- operators ----------------------------------------------------------------------------------------

    def __add__(self, other: Any) -> SecretArray:
        return _f().add(self, other)

    def __radd__(self, other: Any) -> SecretArray:
        return _f().add(other, self)

    def __sub__(self, other: Any) -> SecretArray:
        return _f().subtract(self, other)

    def __rsub__(self, other: Any) -> SecretArray:
        return _f().subtract(other, self)

    def __mul__(self, other: Any) -> SecretArray:
        return _f().multiply(self, other)

    def __rmul__(self, other: Any) -> SecretArray:
        return _f().multiply(other, self)

    def __truediv__(self, other: Any) -> SecretArray:
        return _f().divide(self, other)

    def __rtruediv__(self, other: Any) -> SecretArray:
        return _f().divide(other, self)

    def __matmul__(self, other: Any) -> SecretArray:
        return _f().matmul(self, other)

    def __rmatmul__(self, other: Any) -> SecretArray:
        return _f().matmul(other, self)

    def __pow__(self, other: Any) -> SecretArray:
        return _f().pow(self, other)

    def __rpow__(self, other: Any) -> SecretArray:
        return _f().pow(other, self)

    def __floordiv__(self, other: Any) -> SecretArray:
        return _f().floor_divide(self, other)

    def __rfloordiv__(self, other: Any) -> SecretArray:
        return _f().floor_divide(other, self)

    def __mod__(self, other: Any) -> SecretArray:
        return _f().remainder(self, other)

    def __rmod__(self, other: Any) -> SecretArray:
        return _f().remainder(other, self)

    def __divmod__(self, other: Any) -> tuple[SecretArray, SecretArray]:
        return _f().divmod_floor(self, other)

    def __rdivmod__(self, other: Any) -> tuple[SecretArray, SecretArray]:
        return _f().divmod_floor(other, self)

    def __lshift__(self, other: Any) -> SecretArray:
        return _f().bitwise_left_shift(self, other)

    def __rshift__(self, other: Any) -> SecretArray:
        return _f().bitwise_right_shift(self, other)

    def __neg__(self) -> SecretArray:
        return _f().negative(self)

    def __pos__(self) -> SecretArray:
        return self

    def __abs__(self) -> SecretArray:
        return _f().abs(self)

    def __lt__(self, other: Any) -> SecretArray:
        return _f().less(self, other)

    def __le__(self, other: Any) -> SecretArray:
        return _f().less_equal(self, other)

    def __gt__(self, other: Any) -> SecretArray:
        return _f().greater(self, other)

    def __ge__(self, other: Any) -> SecretArray:
        return _f().greater_equal(self, other)

    def __eq__(self, other: Any) -> SecretArray:  # type: ignore[override]
        return _f().equal(self, other)

    def __ne__(self, other: Any) -> SecretArray:  # type: ignore[override]
        return _f().not_equal(self, other)

    def _by_bits(self, name: str, other: Any) -> SecretArray:
        """Apply and, or, xor: to truth values, or to whole numbers bit by bit."""
        return getattr(_f(), ("bitwise_" if self.dtype == "int" else "logical_") + name)(self, other)

    def __and__(self, other: Any) -> SecretArray:
        return self._by_bits("and", other)

    __rand__ = __and__

    def __or__(self, other: Any) -> SecretArray:
        return self._by_bits("or", other)

    __ror__ = __or__

    def __xor__(self, other: Any) -> SecretArray:
        return self._by_bits("xor", other)

    __rxor__ = __xor__

    def __invert__(self) -> SecretArray:
        return _f().bitwise_invert(self)

    def __round__(self, digits: int = 0) -> SecretArray:
        if digits:
            scale = 10.0**digits
            return _f().divide(_f().round(_f().multiply(self, scale)), scale)
        return _f().round(self)

    def __trunc__(self) -> SecretArray:
        return _f().trunc(self)

    def __floor__(self) -> SecretArray:
        return _f().floor(self)

    def __ceil__(self) -> SecretArray:
        return _f().ceil(self)

    # -- methods as NumPy has them ------------------------------------------------------------------------

    def sum(self, axis: Any = None, keepdims: bool = False) -> SecretArray:
        """Sum over `axis` (all axes by default)."""
        return _f().sum(self, axis=axis, keepdims=keepdims)

    def mean(self, axis: Any = None, keepdims: bool = False) -> SecretArray:
        """Mean over `axis`."""
        return _f().mean(self, axis=axis, keepdims=keepdims)

    def var(self, axis: Any = None, ddof: int = 0, keepdims: bool = False) -> SecretArray:
        """Variance over `axis`."""
        return _f().var(self, axis=axis, correction=ddof, keepdims=keepdims)

    def max(self, axis: Any = None, keepdims: bool = False) -> SecretArray:
        """Maximum over `axis`."""
        return _f().max(self, axis=axis, keepdims=keepdims)

    def min(self, axis: Any = None, keepdims: bool = False) -> SecretArray:
        """Minimum over `axis`."""
        return _f().min(self, axis=axis, keepdims=keepdims)

    def prod(self, axis: Any = None, keepdims: bool = False) -> SecretArray:
        """Product over `axis`."""
        return _f().prod(self, axis=axis, keepdims=keepdims)

    def std(self, axis: Any = None, ddof: int = 0, keepdims: bool = False) -> SecretArray:
        """Return the standard deviation over `axis`."""
        return _f().std(self, axis=axis, correction=ddof, keepdims=keepdims)

    def any(self, axis: Any = None, keepdims: bool = False) -> SecretArray:
        """Whether any is true, over `axis`."""
        return _f().any(self, axis=axis, keepdims=keepdims)

    def all(self, axis: Any = None, keepdims: bool = False) -> SecretArray:
        """Whether all are true, over `axis`."""
        return _f().all(self, axis=axis, keepdims=keepdims)

    def round(self, digits: int = 0) -> SecretArray:
        """Nearest whole number, or multiple of 10^−digits, halves to the even one."""
        return self.__round__(digits)

    def squeeze(self, axis: Any = None) -> SecretArray:
        """Remove axes of size one."""
        return _f().squeeze(self, axis)

    def cumsum(self, axis: int | None = None) -> SecretArray:
        """Add up, keeping partial sums."""
        return _f().cumulative_sum(self, axis=axis)

    def dot(self, other: Any) -> SecretArray:
        """Matrix product."""
        return _f().matmul(self, other)

    def reshape(self, *shape: Any) -> SecretArray:
        """Return the array in another shape."""
        wanted = shape[0] if len(shape) == 1 and not isinstance(shape[0], int | np.integer) else shape
        return _f().reshape(self, wanted)

    def ravel(self) -> SecretArray:
        """Return the array with one axis."""
        return _f().reshape(self, (-1,))

    flatten = ravel

    def transpose(self, *axes: Any) -> SecretArray:
        """Permute axes; reverses them by default."""
        wanted = axes[0] if len(axes) == 1 and not isinstance(axes[0], int) else axes
        return _f().permute_dims(self, tuple(wanted) or tuple(range(self.ndim))[::-1])

    def astype(self, kind: Any) -> SecretArray:
        """Convert to "int", "fixed" or "bool" (also the Python or NumPy types)."""
        return _f().astype(self, kind)

    def clip(self, lo: Any = None, hi: Any = None) -> SecretArray:
        """Limit values to [lo, hi]."""
        return _f().clip(self, lo, hi)

    def __getitem__(self, key: Any) -> SecretArray:
        return _f().getitem(self, key)

    def __setitem__(self, key: Any, value: Any) -> None:
        raise NotRealised("arrays of a session do not change in place; build a new one with where or concat")


def _f() -> Any:
    from tacit.array import functions

    return functions
