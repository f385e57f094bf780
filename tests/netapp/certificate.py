"""A certificate for a simulated array, signed by itself, such as arrays have when they are new."""

import subprocess
from pathlib import Path

from tests.machine import need_program


def make(place: Path, address: str) -> tuple[Path, Path]:
    """Make a key and its certificate; return the file with both, and that with the certificate."""
    openssl = need_program("openssl", "openssl")
    both, certificate = place / "cert.pem", place / "only.pem"
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    names = ["-subj", "/CN=filer", "-addext", f"subjectAltName=IP:{address}"]
    files = ["-keyout", str(both), "-out", str(certificate)]
    argv = [str(openssl), "req", "-x509", "-days", "2", *curve, *names, *files]
    subprocess.run(argv, check=True, capture_output=True)
    with both.open("a") as file:
        file.write(certificate.read_text())
    return both, certificate
