"""Certificates for tests, made by openssl."""

import subprocess

P256 = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30")


def openssl(*arguments):
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


class Certificates:
    """An authority and the certificates that it signs, as files of a folder."""

    def __init__(self, folder):
        self.folder = folder
        self.ca = folder / "ca.pem"
        openssl("req", "-x509", *P256, "-subj", "/CN=authority", "-out", self.ca,
                "-keyout", folder / "ca.key")  # fmt: skip

    def issue(self, name, names):
        """Make name.pem and name.key, for the given subject alternative names."""
        key, request, out = (self.folder / f"{name}{end}" for end in (".key", ".csr", ".pem"))
        extensions = self.folder / f"{name}.ext"
        extensions.write_text(f"subjectAltName={names}\n" if names else "\n")
        openssl("req", "-new", *P256, "-subj", f"/CN={name}", "-keyout", key, "-out", request)
        openssl("x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", self.folder / "ca.key",
                "-CAcreateserial", "-days", "30", "-extfile", extensions, "-out", out)  # fmt: skip
        return out, key
