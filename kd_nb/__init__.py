__version__ = "0.1.0"

_HERE = {"Run": "run", "Settings": "settings", "run_pipeline": "pipeline", "load_student": "students"}


def __getattr__(name):
    # The front door: `from kd_nb import Run` imports what it needs, `import kd_nb` alone imports nothing.
    if name not in _HERE: raise AttributeError(f"module 'kd_nb' has no attribute '{name}'")
    from importlib import import_module
    return getattr(import_module(f"kd_nb.{_HERE[name]}"), name)


def __dir__(): return [*globals(), *_HERE]


def _without_torchvision():
    # fastai asks for torchvision. Beside a CPU build of torch its usual build does not load, and then transformers does
    # not load either. kd_nb needs no torchvision: where it cannot load, it counts as absent.
    import sys
    from importlib.metadata import PackageNotFoundError, version
    try: builds = [version(name).partition("+")[2] for name in ("torch", "torchvision")]
    except PackageNotFoundError: return
    if builds[0] == "cpu" != builds[1]: sys.modules.setdefault("torchvision", None)


_without_torchvision()
