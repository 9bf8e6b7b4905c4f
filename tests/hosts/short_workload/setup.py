"""A stand-in for xformers that compiles in seconds, by the very same path: pip's editable install, ninja, nvcc.

A few small CUDA objects, linked into one extension. It needs no torch, whose 5 GB would be most of a test's time.
"""

import os
import subprocess
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

HERE = Path(__file__).resolve().parent
RULES = """\
rule compile
  command = nvcc {architectures} -Xcompiler -fPIC -c $in -o $out
"""


class NinjaBuild(build_ext):
    """Builds the extension by ninja, as torch's BuildExtension does."""

    def build_extension(self, extension):
        folder = Path(self.build_temp).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        numbers = os.environ["TORCH_CUDA_ARCH_LIST"].replace(".", "").split(";")
        rules = RULES.format(architectures=" ".join(f"-gencode=arch=compute_{n},code=sm_{n}" for n in numbers))
        objects = [f"{source.stem}.o" for source in sorted(HERE.glob("csrc/*.cu"))]
        builds = [f"build {name}: compile {HERE}/csrc/{Path(name).stem}.cu\n" for name in objects]
        (folder / "build.ninja").write_text(rules + "".join(builds))
        subprocess.run(["ninja", "-v", "-j", os.environ.get("MAX_JOBS", "1")], cwd=folder, check=True)
        target = Path(self.get_ext_fullpath(extension.name)).resolve()
        target.parent.mkdir(parents=True, exist_ok=True)
        command = ["g++", "-shared", *objects, "-o", target, "-L/usr/local/cuda/lib64", "-lcudart"]
        print(*command, flush=True)  # as setuptools does
        subprocess.run(command, cwd=folder, check=True)


setup(
    name="xformers",
    version="0.0.0",
    packages=["xformers"],
    ext_modules=[Extension("xformers._C", [])],
    cmdclass={"build_ext": NinjaBuild},
)
