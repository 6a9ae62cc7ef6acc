from repricer.tests.serving.conftest import one, one_path, one_run, spec  # noqa: F401
