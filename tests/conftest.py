import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from hypothesis import settings

# The same examples in every run: a red test stays red until the code changes. More of them where
# there is time, by `--hypothesis-profile=thorough`.
ALWAYS = {"deadline": None, "derandomize": True, "database": None}
settings.register_profile("suite", max_examples=15, **ALWAYS)
settings.register_profile("thorough", max_examples=60, **ALWAYS)
settings.load_profile("suite")
