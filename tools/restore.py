#!/usr/bin/python3
"""Restores a disk without Sonae and without restic: all that a repository is, in one short program.

    tools/restore.py REPOSITORY PASSWORD_FILE                    lists the recovery points
    tools/restore.py REPOSITORY PASSWORD_FILE POINT              lists the files of one; POINT begins an id
    tools/restore.py REPOSITORY PASSWORD_FILE POINT PATH TARGET  restores one, such as /web01/disk-vda.raw

Debian 12: apt install python3 python3-cryptography python3-zstandard. docs/format.md explains every step here.
Nothing is decrypted before its MAC was found right, and no chunk is written whose hash is not its name.
Exit codes: 0 done, 1 wrong use, 10 no repository, 12 wrong password, 13 damage found.
"""

import ast
import base64
import hashlib
import json
import os
import re
import sys
from pathlib import Path

import zstandard
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.poly1305 import Poly1305


class Failure(Exception):
    """An exit code and a text."""


def unseal(key, sealed, name):
    """IV (16), ciphertext, MAC (16). The key is an AES-256 key (32) for the text; k (16) and r (16) for the MAC."""
    iv, ciphertext, mac = sealed[:16], sealed[16:-16], sealed[-16:]
    try:
        of_iv = Cipher(algorithms.AES(key[32:48]), modes.ECB()).encryptor().update(iv)
        Poly1305.verify_tag(key[48:] + of_iv, ciphertext, mac)
    except (InvalidSignature, ValueError):
        raise Failure(13, f"{name} is damaged: its MAC is wrong") from None
    return Cipher(algorithms.AES(key[:32]), modes.CTR(iv)).decryptor().update(ciphertext)


class Repository:
    def __init__(self, folder, password):
        self.folder, self.damaged, self.places = folder, False, {}
        self.zstd = zstandard.ZstdDecompressor()
        if not (folder / "config").is_file():
            raise Failure(10, f"there is no repository in {folder}")
        self.key = self.master_key(password)
        if json.loads(unseal(self.key, (folder / "config").read_bytes(), "config"))["version"] not in (1, 2):
            raise Failure(1, "this repository has a format that is newer than this program")
        for pack in (pack for _, index in self.unpacked("index") for pack in index["packs"]):
            for blob in pack["blobs"]:
                self.places.setdefault((blob["type"], blob["id"]), []).append((pack["id"], blob))

    def files(self, kind):
        """Name and bytes of each file of a kind; the name is the SHA-256 of the bytes."""
        for file in sorted((self.folder / kind).glob("[0-9a-f]" * 64)):
            stored = file.read_bytes()
            if hashlib.sha256(stored).hexdigest() == file.name:
                yield file.name, stored
            else:
                print(f"{kind}/{file.name} is damaged: its hash is not its name", file=sys.stderr)
                self.damaged = True

    def master_key(self, password):
        for name, stored in self.files("keys"):
            key = json.loads(stored)
            n, r, p, salt, data = key["N"], key["r"], key["p"], *map(base64.b64decode, (key["salt"], key["data"]))
            user = hashlib.scrypt(password, salt=salt, n=n, r=r, p=p, maxmem=2**20 + 128 * r * (n + p), dklen=64)
            try:
                master = json.loads(unseal(user, data, name))
                return b"".join(map(base64.b64decode, [master["encrypt"], master["mac"]["k"], master["mac"]["r"]]))
            except Failure:
                continue
        raise Failure(13 if self.damaged else 12, "the password opens none of the keys")

    def unpacked(self, kind):
        """Name and JSON of each index or snapshot: compressed behind a 2, or plain."""
        for name, stored in self.files(kind):
            text = unseal(self.key, stored, f"{kind}/{name}")
            text = self.zstd.decompressobj().decompress(text[1:]) if text[:1] == b"\2" else text
            yield name, json.loads(text)

    def blob(self, kind, name):
        """A chunk or the listing of a folder; where one copy is damaged, another."""
        failure = Failure(13, f"{kind} {name} is in no index")
        for pack, place in self.places.get((kind, name), []):
            try:
                with (self.folder / "data" / pack[:2] / pack).open("rb") as file:
                    file.seek(place["offset"])
                    plain = unseal(self.key, file.read(place["length"]), f"pack {pack}")
                plain = self.zstd.decompressobj().decompress(plain) if place.get("uncompressed_length") else plain
                if hashlib.sha256(plain).hexdigest() == name:
                    return plain
                failure = Failure(13, f"pack {pack} is damaged: {kind} {name} has another hash")
            except (Failure, OSError, zstandard.ZstdError) as cause:
                failure = Failure(13, f"{kind} {name}: {cause.args[-1]} (pack {pack})")
        raise failure

    def walk(self, tree, folder=""):
        """Path, size and chunks of every file. Names have Go's escapes, which are Python's but for bytes."""
        for node in json.loads(self.blob("tree", tree))["nodes"]:
            name = re.sub(r"(\\\\)|\\x([89a-f].)", lambda it: it[1] or f"\\udc{it[2]}", node["name"])
            path = folder + "/" + ast.literal_eval(f'"{name}"')
            if node["type"] == "dir":
                yield from self.walk(node["subtree"], path)
            elif node["type"] == "file":
                yield path, (node.get("size", 0), node["content"] or [])

    def restore(self, size, chunks, target):
        """Writes beside the target, so that only what is whole has its name. Zeros become holes."""
        with open(f"{target}.partial", "wb") as out:
            for plain in (self.blob("data", chunk) for chunk in chunks):
                out.seek(len(plain), os.SEEK_CUR) if plain.count(0) == len(plain) else out.write(plain)
            if out.tell() != size:
                raise Failure(13, f"the chunks make {out.tell()} bytes and not {size}")
            out.truncate()
            os.fsync(out.fileno())
        os.rename(f"{target}.partial", target)


def main(folder, password_file, start="", path=None, target=None):
    if target and os.path.lexists(target):
        raise Failure(1, f"{target} exists")
    repository = Repository(Path(folder), Path(password_file).read_text("utf-8-sig").strip().encode())
    found = [(it["time"], name, it) for name, it in repository.unpacked("snapshots") if name.startswith(start)]
    if not start:
        for time, name, point in sorted(found):
            print(name[:16], time, point.get("hostname", "-"), *point["paths"])
    elif len(found) != 1:
        raise Failure(13 if repository.damaged else 1, f"{len(found)} recovery points begin with {start}")
    else:
        files = dict(repository.walk(found[0][2]["tree"]))
        if target and path not in files:
            raise Failure(1, f"the recovery point has no {path}")
        if target:
            return repository.restore(*files[path], target)
        print(*(f"{size} {name}" for name, (size, _) in files.items()), sep="\n")
    return 13 if repository.damaged else 0


if __name__ == "__main__":
    sys.stdout.reconfigure(errors="surrogateescape")
    try:
        sys.exit(main(*sys.argv[1:]) if len(sys.argv) in (3, 4, 6) else __doc__)
    except Failure as failure:
        print(failure.args[1], file=sys.stderr)
        sys.exit(failure.args[0])
