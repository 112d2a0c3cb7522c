"""Objects of S3 and its like are copied, and read again when their version is another."""

from __future__ import annotations

from pathlib import Path

import fsspec
import pytest

from ingest.sources import objects
from ingest.sources.fetching import fetch
from ingest.sources.mirror import Mirror
from storage.errors import BadInputError
from tests.support.site import LocalSite, Page, local_site


def test_objects_of_a_store_are_copied_when_their_version_is_another(mirrors: Mirror) -> None:
    """Only what changed is read; what is gone leaves; a prefix with nothing below it is an error."""
    store = fsspec.filesystem("memory", skip_instance_cache=True)
    store.pipe({"/bucket/docs/a.md": b"# A", "/bucket/docs/in/b.txt": b"B", "/bucket/docs/c.bin": b"\0"})
    name, left = objects.copy("s3://bucket/docs", mirrors, store)
    folder = mirrors.path(name)
    assert (folder / "a.md").read_bytes() == b"# A"
    assert (folder / "in/b.txt").read_bytes() == b"B"
    assert not (folder / "c.bin").exists()
    assert left == []
    store.rm("/bucket/docs/in/b.txt")
    objects.copy("s3://bucket/docs", mirrors, store)
    assert not (folder / "in/b.txt").exists()
    with pytest.raises(BadInputError, match="nothing below"):
        objects.copy("s3://bucket/none", mirrors, store)


def test_an_object_that_cannot_be_had_leaves_the_others(mirrors: Mirror) -> None:
    """A key that is no name of a file is reported, and one that fails; none leads out of the folder."""
    odd = ("../../../out.md", "in//a.md", "in/../a.md", "/a.md")
    wrong = ("a.md/b.md", ".fetched/c.md", "z\0.md", f"{'n' * 300}.md")
    keys = ("0/denied.md", "a.md", *odd, *wrong)

    class Store:
        def find(self, prefix: str, detail: bool) -> dict[str, dict[str, object]]:
            return {f"{prefix}/{key}": {"ETag": key, "size": 3} for key in keys}

        def cat_file(self, path: str) -> bytes:
            if "denied" in path:
                raise PermissionError("Access Denied")
            return b"# A"

    store = Store()
    name, left = objects.copy("s3://lake/docs", mirrors, store)
    copies = list(mirrors.folder.parent.rglob("*.md"))
    assert len(copies) == 1 + len(odd)
    assert {path.parent for path in copies} == {mirrors.path(name)}
    assert len(left) == 1 + len(wrong)
    assert "Access Denied" in next(one.reason for one in left if "denied" in one.url)
    assert objects.copy("s3://lake/docs", mirrors, store)[1] == left
    for address in ("s3://", "s3:///docs"):
        with pytest.raises(BadInputError, match="no bucket"):
            objects.copy(address, mirrors, store)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_a_bucket_is_read_over_http_as_s3_speaks(
    tmp_path: Path, mirrors: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real s3fs, at a store of the tests' own: read once, and again when the ETag is another."""
    pytest.importorskip("s3fs")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-north-1")
    with local_site() as store:
        monkeypatch.setenv("AWS_ENDPOINT_URL", store.url)
        _put(store, b"# Pump", "1")
        (folder,), left = fetch(["s3://bucket/docs"], mirrors.folder, private=False)
        assert left == []
        assert (folder / "pump.md").read_bytes() == b"# Pump"
        fetch(["s3://bucket/docs"], mirrors.folder, private=False)
        assert sum(path.startswith("/bucket/docs/pump.md") for _, path in store.asked) == 1
        _put(store, b"# Pump 2", "2")
        fetch(["s3://bucket/docs"], mirrors.folder, private=False)
        assert (folder / "pump.md").read_bytes() == b"# Pump 2"


def _put(store: LocalSite, body: bytes, tag: str) -> None:
    """Make the one object of a bucket, and the list that holds it."""
    listed = (
        "<ListBucketResult><Name>bucket</Name><Prefix>docs/</Prefix><KeyCount>1</KeyCount>"
        "<IsTruncated>false</IsTruncated><Contents><Key>docs/pump.md</Key><Size>"
        f"{len(body)}</Size><ETag>&quot;{tag}&quot;</ETag><LastModified>2026-01-01T00:00:00.000Z</LastModified>"
        "</Contents></ListBucketResult>"
    )
    store.pages["/bucket?list-type=2"] = Page(listed.encode(), "application/xml")
    store.pages["/bucket/docs/pump.md"] = Page(body, "text/markdown", headers={"ETag": f'"{tag}"'})
