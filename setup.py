"""What pyproject.toml cannot say: the top-level folders that a wheel holds as package data."""

from setuptools import find_namespace_packages, setup

FOLDERS = {"recscale.sweeps": "sweeps", "recscale.cluster": "cluster"}

setup(
    packages=[*find_namespace_packages(include=["recscale*"]), *FOLDERS],
    package_dir=FOLDERS,
    package_data={
        "recscale": ["py.typed"],
        "recscale.report": ["*.j2"],
        "recscale.sweeps": ["*.yaml", "own/*.py"],
        "recscale.cluster": ["*.yaml", "*.json", "*.md", "*.py", "Dockerfile"],
    },
)
