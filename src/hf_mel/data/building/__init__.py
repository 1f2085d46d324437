"""Benchmarks as folders of Parquet that `load_dataset` reads, locally and on the Hub.

`build_dataset(raw, out, name=...)` writes any [`RawBenchmark`](../layouts/base.py); `build_benchmark(name, raw_dir, out)`
reads the released files first. Both return the report that also lies in the folder:

```
wikimel/
  README.md                                the card: configs and features for `load_dataset`, and text
  build_report.json                        what was read, counted, left out and found broken
  mentions/train-00000-of-00001.parquet    and validation, test
  entities/train-00000-of-00002.parquet    pictures inside
```

`hf_mel.data.load_benchmark(name, path=...)` and `load_data(folder)` read such a folder.
"""

from .build import REPORT_FILE, build_benchmark, build_dataset


__all__ = ["REPORT_FILE", "build_benchmark", "build_dataset"]
