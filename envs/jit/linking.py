"""Compile functions that only compiled code calls: to intermediate code, which callers link.

Machine code of their own would never run, and making it for each level of callees took a fifth of
the time of compiling.
"""

from __future__ import annotations

from typing import Any, Literal

from llvmlite.binding import parse_bitcode
from numba._dynfunc import make_function
from numba.core.caching import CompileResultCacheImpl
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase, CompileResult, DefaultPassBuilder
from numba.core.compiler_machinery import register_pass
from numba.core.typed_passes import NativeLowering

from .caches import SourceCache


class _LinkedLibrary(JITCodeLibrary):
    """Code that other libraries link, optimised but without machine code."""

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._verify_declare_only_symbols()
        self._finalized = True

    def serialize_using_object_code(self) -> Any:
        """The intermediate code, which is all there is."""
        return self.serialize_using_bitcode()

    @classmethod
    def load(cls, codegen: Any, name: str, kind: str, bitcode: bytes) -> _LinkedLibrary:
        """The library that `serialize_using_object_code` saved."""
        library = cls(codegen, name)
        library._final_module, library._finalized = parse_bitcode(bitcode), True
        return library


def _stand_in(fndesc: Any, environment: Any, library: _LinkedLibrary) -> Any:
    """The object by which callers find the function; it has no machine code to call."""
    return make_function(fndesc.lookup_module(), fndesc.qualname, "", 0, environment, (library,))


@register_pass(mutates_CFG=True, analysis_only=False)
class _LinkedLowering(NativeLowering):
    _name = "linked_lowering"

    def run_pass(self, state: Any) -> Literal[True]:
        """As for any function, but without machine code."""
        state.library = _LinkedLibrary(state.targetctx.codegen(), state.func_id.func_qualname)
        state.flags.no_compile = True
        super().run_pass(state)
        state.flags.no_compile = False
        lowered = state.cr
        state.cr = lowered._replace(cfunc=_stand_in(lowered.fndesc, lowered.env, state.library))
        state.targetctx.insert_user_function(state.cr.cfunc, lowered.fndesc, [state.library])
        return True


class LinkedCompiler(CompilerBase):
    """Numba's passes, with machine code left out."""

    def define_pipelines(self) -> list[Any]:
        """The passes, called by Numba."""
        passes = DefaultPassBuilder.define_nopython_pipeline(self.state)
        passes.passes = [(_LinkedLowering if step is NativeLowering else step, text) for step, text in passes.passes]
        passes._finalized = False
        passes.finalize()
        return [passes]


class _LinkedCacheForm(CompileResultCacheImpl):
    """How the result of `LinkedCompiler` is stored."""

    def rebuild(self, target_context: Any, payload: Any) -> CompileResult:
        """The result that `reduce` stored."""
        data, fndesc, environment, signature, objectmode, lifted, annotation, reload_init, environments = payload
        library = _LinkedLibrary.load(target_context.codegen(), *data)
        return CompileResult(
            typing_context=target_context.typing_context,
            target_context=target_context,
            entry_point=_stand_in(fndesc, environment, library),
            typing_error=None,
            type_annotation=annotation,
            signature=signature,
            objectmode=objectmode,
            lifted=lifted,
            fndesc=fndesc,
            library=library,
            call_helper=None,
            environment=environment,
            metadata=None,
            reload_init=reload_init,
            referenced_envs=environments,
        )


class LinkedCache(SourceCache):
    """The cache on disk of functions that `LinkedCompiler` compiles."""

    _impl_class = _LinkedCacheForm
