"""Structrefs, which hold many arrays behind one pointer, and views that read them field by field.

A named tuple of a hundred arrays is a thousand words to the compiler, copied wherever it is named:
that took half a minute of compiling a period. A view is one pointer; a field is read where it is
used.
"""

from __future__ import annotations

import hashlib

from numba import types
from numba.core import cgutils
from numba.core.imputils import impl_ret_borrowed
from numba.core.runtime.context import NRTContext
from numba.core.typing.templates import AttributeTemplate
from numba.extending import infer_getattr, lower_getattr_generic, models, register_model

from .math import instructions


class Held(types.StructRef):
    """Base of the types of structrefs."""

    def preprocess_fields(self, fields):
        """A number has its type, not the type of its literal value."""
        return tuple((name, types.unliteral(kind)) for name, kind in fields)


class View(types.Type):
    """Type of a pointer to the fields of a structref, or to a named tuple among them.

    Args:
        held: Type of the payload of the structref, or of the named tuple.
    """

    def __init__(self, held: types.Type) -> None:
        self.held = held
        # The name is part of the names of all functions that take the view: not a thousand words.
        super().__init__(f"View({hashlib.sha256(str(held).encode()).hexdigest()[:16]})")

    @property
    def fields(self) -> dict[str, types.Type]:
        """Name to type."""
        if isinstance(self.held, types.NamedTuple):
            return dict(zip(self.held.fields, self.held.types, strict=True))
        return dict(self.held.field_dict)  # pyright: ignore[reportAttributeAccessIssue]


@register_model(View)
class _ViewModel(models.PrimitiveModel):
    def __init__(self, manager, kind):
        super().__init__(manager, kind, manager.lookup(kind.held).get_value_type().as_pointer())


@infer_getattr
class _ViewFields(AttributeTemplate):
    key = View

    def generic_resolve(self, view, name):
        """A named tuple of the structref is a view too; one inside it is read whole."""
        kind = view.fields.get(name)
        whole = isinstance(view.held, types.NamedTuple) or not isinstance(kind, types.NamedTuple)
        return kind if whole else View(kind)


@lower_getattr_generic(View)
def _read_field(context, builder, view, pointer, name):
    names = list(view.fields)
    place = cgutils.gep_inbounds(builder, pointer, 0, names.index(name))
    kind = context.typing_context.resolve_getattr(view, name)
    if isinstance(kind, View):
        return place
    value = builder.load(place)
    # Nothing writes to the fields, so that they need not be read again after an array was written.
    value.set_metadata("invariant.load", builder.module.add_metadata([]))
    return impl_ret_borrowed(context, builder, kind, value)


@instructions
def view(typing_context, source):
    """A `View` of a structref, whose references are not counted: it must outlive the view."""
    result = View(source.get_data_type())

    def generate(context, builder, signature, arguments):
        holder = cgutils.create_struct_proxy(source)(context, builder, value=arguments[0])
        data = NRTContext(context, True).meminfo_data(builder, holder.meminfo)
        return builder.bitcast(data, context.get_value_type(result))

    return result(source), generate


@instructions
def release(typing_context, source):
    """Release the reference to a structref that a call from Python has created."""

    def generate(context, builder, signature, arguments):
        NRTContext(context, True).decref(builder, source, arguments[0])
        return context.get_dummy_value()

    return types.void(source), generate
