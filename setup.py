"""Package the checkout: options, util, data, models and studio become subpackages of speech2video.

`speech2video/` links to them, so that type checkers, editors and packaging follow one import name.
A checkout without symbolic links (Windows) maps the folders instead.
"""

from pathlib import Path

from setuptools import find_packages, setup

LAYERS = ("options", "util", "data", "models", "studio")

if all(Path("speech2video", layer).is_dir() for layer in LAYERS):
    packages, package_dir = find_packages(include=["speech2video*"]), {}
else:
    found = [name for name in find_packages() if name.split(".")[0] in LAYERS]
    package_dir = {"speech2video": "speech2video"}
    package_dir |= {f"speech2video.{name}": name.replace(".", "/") for name in found}
    packages = list(package_dir)

setup(packages=packages, package_dir=package_dir)
