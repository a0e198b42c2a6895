"""Fetches the browser files that the service ships, in pinned versions: `python tools/vendor.py [--check]`.

Needs npm; `pip install` never does, for the files are in the tree. vendor.json holds name, version, licence and the
sha384 of each file. `--check` only compares the tree with vendor.json, without npm.
"""

import base64
import hashlib
import json
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

TARGET = Path(__file__).parents[1] / "web" / "static" / "vendor"
_SWAGGER = ("swagger-ui.css", "swagger-ui-bundle.js", "swagger-ui-bundle.js.LICENSE.txt", "LICENSE", "NOTICE")
PINNED = {
    "swagger-ui-dist": ("5.35.0", "Apache-2.0", _SWAGGER),
}


def main() -> int:
    """Fetch everything, or only check it; return the exit code."""
    if "--check" not in sys.argv:
        TARGET.mkdir(parents=True, exist_ok=True)
        found = [_fetch(name, *pin) for name, pin in PINNED.items()]
        (TARGET / "vendor.json").write_text(json.dumps(found, indent=2) + "\n")
    wrong = [path for path, digest in _recorded().items() if _sha384(TARGET / path) != digest]
    sys.stderr.write("".join(f"{path} is not what vendor.json says\n" for path in wrong))
    return 1 if wrong else 0


def _fetch(name: str, version: str, licence: str, files: tuple[str, ...]) -> dict[str, object]:
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["npm", "pack", "--silent", f"{name}@{version}"], cwd=folder, check=True, stdout=sys.stderr)
        [packed] = Path(folder).glob("*.tgz")
        with tarfile.open(packed) as archive:
            for file in files:
                member = archive.extractfile(f"package/{file}")
                assert member is not None, file
                _write(TARGET / name / file, member.read())
    hashes = {file: _sha384(TARGET / name / file) for file in files}
    return {"name": name, "version": version, "licence": licence, "files": hashes}


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)


def _recorded() -> dict[str, str]:
    recorded = json.loads((TARGET / "vendor.json").read_text())
    return {f"{one['name']}/{file}": digest for one in recorded for file, digest in one["files"].items()}


def _sha384(path: Path) -> str:
    return "sha384-" + base64.b64encode(hashlib.sha384(path.read_bytes()).digest()).decode()


if __name__ == "__main__":
    sys.exit(main())
