"""Install speech2video: the top-level rooms become subpackages of one import name."""

from setuptools import find_packages, setup

ROOMS = [
    room for room in ("options", "util", "data", "models") if find_packages(".", include=[room])
]
PACKAGES = {"speech2video": "speech2video"} | {f"speech2video.{room}": room for room in ROOMS}
for room in ROOMS:
    for package in find_packages(room):
        PACKAGES[f"speech2video.{room}.{package}"] = f"{room}/{package.replace('.', '/')}"

setup(
    packages=list(PACKAGES),
    package_dir=PACKAGES,
    package_data={
        "speech2video.data.preprocessing": ["*.json"],
        "speech2video.util.body": ["*.npz", "*.md"],
    },
)
