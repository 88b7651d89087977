import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from hypothesis import settings

# The same examples in every run: a red test stays red until the code changes.
settings.register_profile("suite", max_examples=30, deadline=None, derandomize=True, database=None)
settings.load_profile("suite")
