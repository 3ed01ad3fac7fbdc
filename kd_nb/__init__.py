__version__ = "0.1.0"


def _without_torchvision():
    # fastai asks for torchvision. Beside a CPU build of torch its usual build does not load, and then transformers does not
    # load either. kd_nb needs no torchvision: where it cannot load, it counts as absent.
    import sys
    from importlib.metadata import PackageNotFoundError, version
    try: builds = [version(name).partition("+")[2] for name in ("torch", "torchvision")]
    except PackageNotFoundError: return
    if builds[0] == "cpu" != builds[1]: sys.modules.setdefault("torchvision", None)


_without_torchvision()
