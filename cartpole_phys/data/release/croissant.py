"""Croissant 1.1 metadata of a data set: its files, and the columns of its parquet file.

Source: docs.mlcommons.org/croissant, specification 1.1.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cartpole_phys.data.hdf5.file import Header
from cartpole_phys.data.release.card import LICENSE_URL

CONTEXT: Mapping[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "equivalentProperty": "cr:equivalentProperty",
    "samplingRate": "cr:samplingRate",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "isArray": "cr:isArray",
    "arrayShape": "cr:arrayShape",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
FORMATS = {".hdf5": "application/x-hdf5", ".parquet": "application/x-parquet"}


def croissant(
    name: str, version: str, date: str, header: Header, files: Mapping[Path, str]
) -> dict[str, Any]:
    """Croissant metadata as JSON-LD.

    Args:
        name: of the data set.
        version: of the release, such as ``"v0"``.
        date: of the release, YYYY-MM-DD.
        header: of the HDF5 file.
        files: of the data set, with their sha256.
    """
    summary, env_id, command = (header.metadata[key] for key in ("summary", "env_id", "command"))
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.1",
        "name": name,
        "description": f"{summary['transitions']:,} transitions of {env_id}, built with: {command}",
        "license": LICENSE_URL,
        "version": f"{version.removeprefix('v')}.0.0",
        "datePublished": date,
        "citeAs": f"The cartpole-phys developers: {name}.",
        "distribution": [_file(path, sha256) for path, sha256 in files.items()],
        "recordSet": [_episodes(header, f"{name}.parquet")],
    }


def _file(path: Path, sha256: str) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": path.name,
        "name": path.name,
        "contentUrl": path.name,
        "contentSize": f"{path.stat().st_size} B",
        "encodingFormat": FORMATS[path.suffix],
        "sha256": sha256,
    }


def _episodes(header: Header, file: str) -> dict[str, Any]:
    """Record set with one record per episode."""
    arrays = header.arrays
    numeric = {name: arrays[name] for name in ("observations", "actions", "rewards")}
    fields = [
        _field(file, name, "sc:Integer" if spec.dtype.kind in "iu" else "sc:Float", spec.shape)
        for name, spec in numeric.items()
    ]
    fields += [
        _field(file, "dones", "sc:Boolean", arrays["terminals"].shape),
        _field(file, "truncated", "sc:Boolean", ()),
    ]
    return {"@type": "cr:RecordSet", "@id": "episodes", "name": "episodes", "field": fields}


def _field(file: str, column: str, kind: str, shape: tuple[int, ...]) -> dict[str, Any]:
    """Field of a record; the first dimension of an array is the length of the episode."""
    field: dict[str, Any] = {
        "@type": "cr:Field",
        "@id": f"episodes/{column}",
        "name": column,
        "dataType": kind,
        "source": {"fileObject": {"@id": file}, "extract": {"column": column}},
    }
    if shape:
        field |= {"isArray": True, "arrayShape": ",".join(["-1", *map(str, shape[1:])])}
    return field
