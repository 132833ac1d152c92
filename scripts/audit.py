"""Ask pip-audit about constraints.txt; fail only on a vulnerability: make audit."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

PINS = Path(__file__).resolve().parents[1] / "constraints.txt"


def main() -> None:
    """Print what is known to be vulnerable, or that nobody could be asked."""
    command = [sys.executable, "-m", "pip_audit", "--requirement", str(PINS), "--format", "json"]
    told = subprocess.run(  # noqa: S603 - a fixed command
        [*command, "--no-deps", "--disable-pip", "--progress-spinner", "off", "--timeout", "15"],
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        packages = json.loads(told.stdout)["dependencies"]
    except ValueError:
        reason = (told.stderr.strip().splitlines() or ["no answer"])[-1]
        print(f"warning: not audited, the advisories could not be reached: {reason}")
        return
    found = [f"{p['name']} {p['version']}: {v['id']}" for p in packages for v in p.get("vulns", [])]
    skipped = [p["name"] for p in packages if "skip_reason" in p]
    print(f"{len(packages) - len(skipped)} packages audited, {len(found)} vulnerabilities")
    if skipped:
        print(f"warning: the advisories do not know {len(skipped)} of {len(packages)} packages")
    if found:
        sys.exit("\n".join(found))


if __name__ == "__main__":
    main()
