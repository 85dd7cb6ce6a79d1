"""What pyproject.toml cannot say: which kernels are compiled, and that the install goes on without them."""

import os
import sys
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

KERNELS = Path("kmcodec", "kernels")
# With KMCODEC_REQUIRE_COMPILED=1 a failing compiler is an error; otherwise the Python sources run instead.
REQUIRED = os.environ.get("KMCODEC_REQUIRE_COMPILED") == "1"


class BuildKernels(build_ext):
    """Compile for speed, on any processor of the kind."""

    def finalize_options(self):
        super().finalize_options()
        self.parallel = self.parallel or os.cpu_count()

    def build_extension(self, extension):
        if self.compiler.compiler_type == "unix":
            # Kernels are specialised by inlining with constant arguments; left to itself the compiler does
            # not inline functions of that size, and unpacking is half as fast.
            inline = "-DCYTHON_INLINE=__inline__ __attribute__((always_inline))"
            extension.extra_compile_args = ["-O3", "-g0", inline]
        try:
            super().build_extension(extension)
        # A missing compiler is an OSError, one that fails an error of setuptools.
        except Exception as error:
            if REQUIRED:
                raise
            print(f"warning: {extension.name} is not compiled, and will be slow: {error}", file=sys.stderr)


sources = sorted(path for path in KERNELS.glob("*.py") if path.with_suffix(".pyi").exists())
extensions = [Extension(".".join(path.with_suffix("").parts), [path.as_posix()]) for path in sources]
setup(
    ext_modules=cythonize(extensions, build_dir="build", language_level=3, quiet="-q" in sys.argv),
    cmdclass={"build_ext": BuildKernels},
)
