"""Everything comes from settings.ini. (nbdev's own template needs pkg_resources, which setuptools no longer has.)"""
from configparser import ConfigParser
from pathlib import Path

from setuptools import find_packages, setup

here = Path(__file__).parent
ini = ConfigParser(delimiters=["="])
ini.read(here/"settings.ini", encoding="utf-8")
cfg = ini["DEFAULT"]
name, readme = cfg["lib_name"], here/"README.md"
extra = "_requirements"
# every `*_requirements` key is an extra: dev_requirements -> kd_nb[dev]
extras = {k[:-len(extra)]: v.split() for k, v in cfg.items() if k.endswith(extra)}
extras["all"] = sorted({r for name, needed in extras.items() if name != "dev" for r in needed})

setup(
    name=name, version=cfg["version"], description=cfg["description"], keywords=cfg["keywords"].split(),
    author=cfg["author"], author_email=cfg["author_email"], url=cfg["git_url"],
    project_urls={"Documentation": cfg["doc_host"] + cfg["doc_baseurl"]},
    license_expression={"apache2": "Apache-2.0"}[cfg["license"]], license_files=["LICENSE"],
    long_description=readme.read_text(encoding="utf-8") if readme.exists() else cfg["description"],
    long_description_content_type="text/markdown",
    python_requires=f">={cfg['min_python']}",
    packages=find_packages(include=[name, f"{name}.*"]),
    # keyed by the package's name: an empty key would also match packages that are not ours
    package_data={name: ["py.typed", "corpora/*.md", "corpora/*/*.md", "corpora/*/*.tsv"]}, include_package_data=False,
    install_requires=cfg["requirements"].split(),
    extras_require=extras,
    # the nbdev entry point lets other projects' docs link to our symbols
    entry_points={"console_scripts": cfg["console_scripts"].split(), "nbdev": [f"{name}={name}._modidx:d"]},
    classifiers=["Intended Audience :: " + cfg["audience"], "Natural Language :: " + cfg["language"],
                 "Development Status :: 3 - Alpha", "Programming Language :: Python :: 3",
                 "Topic :: Scientific/Engineering :: Artificial Intelligence"],
    zip_safe=False,
)
