"""Downloads from a real server on this machine that misbehaves in many ways."""

import hashlib
import http.server
import threading
import time

import numpy as np
import pytest

from obd_jax.data.download import download
from obd_jax.types import InvalidInputError

CONTENT = np.random.default_rng(0).bytes(1_500_000)


class Server:
    """Serves CONTENT after the moods given, one for each request; the last one stays."""

    def __init__(self):
        self.moods, self.requests, self.content, self.tag = ["good"], [], CONTENT, '"one"'
        owner = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_GET(self):
                mood = owner.moods.pop(0) if len(owner.moods) > 1 else owner.moods[0]
                owner.requests.append((mood, self.headers.get("Range")))
                owner.answer(self, mood)

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.http.block_on_close = False
        self.released = threading.Event()
        self.thread = threading.Thread(target=self.http.serve_forever, daemon=True)
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.http.server_port}/data.hdf5"

    def answer(self, handler, mood):
        handler.close_connection = True
        if mood in ("404", "500"):
            handler.send_error(int(mood))
            return
        if mood == "html":
            handler.send_response(200)
            handler.send_header("Content-Type", "text/html; charset=utf-8")
            handler.end_headers()
            handler.wfile.write(b"<html>please log in</html>")
            return
        start, content = 0, self.content
        wanted = handler.headers.get("Range")
        same = handler.headers.get("If-Range") == self.tag
        if wanted and same and mood != "ignores range":
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        if start >= len(content):
            handler.send_response(416)
            if mood == "says its length":
                handler.send_header("Content-Range", f"bytes */{len(content)}")
            handler.end_headers()
            return
        handler.send_response(206 if start else 200)
        if start:
            handler.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        body = content[start:]
        promised = len(body) + (1000 if mood == "promises more" else 0)
        promised -= 1000 if mood == "promises less" else 0
        if mood != "no length":
            handler.send_header("Content-Length", str(promised))
        if mood != "drops without a tag":
            handler.send_header("ETag", self.tag)
        if mood != "no type":
            handler.send_header("Content-Type", "application/octet-stream")
        handler.end_headers()
        if mood == "stalls at once":
            self.released.wait(30)
            return
        if mood in ("drops", "drops without a tag", "stalls"):
            handler.wfile.write(body[: min(600_000, len(body) // 2)])
            handler.wfile.flush()
            if mood == "stalls":
                self.released.wait(30)
            return
        handler.wfile.write(body)


@pytest.fixture
def server():
    made = Server()
    yield made
    made.released.set()
    made.http.shutdown()
    made.http.server_close()
    made.thread.join()


def accept(path):
    return None


def refuse_other_content(path):
    if path.read_bytes() != CONTENT:
        raise InvalidInputError("other content")


def fetch(server, path, check=refuse_other_content, **options):
    download(server.url, path, check=check, **{"pause": 0.01, "timeout": 0.5, **options})


def left_in(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_arrives_whole_with_progress(server, tmp_path):
    seen = []
    fetch(server, tmp_path / "data.hdf5", progress=lambda *args: seen.append(args))
    content = (tmp_path / "data.hdf5").read_bytes()
    assert hashlib.sha256(content).digest() == hashlib.sha256(CONTENT).digest()
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert len(seen) > 3
    assert left_in(tmp_path) == ["data.hdf5"]


@pytest.mark.parametrize("mood", ["drops", "stalls"])
def test_a_broken_connection_resumes_where_it_stopped(server, tmp_path, mood):
    server.moods = [mood, "good"]
    fetch(server, tmp_path / "data.hdf5")
    assert [wanted for _, wanted in server.requests] == [None, "bytes=600000-"]
    assert left_in(tmp_path) == ["data.hdf5"]


def test_many_breaks_are_survived_as_long_as_something_arrives(server, tmp_path):
    server.moods = ["drops"] * 6 + ["good"]
    fetch(server, tmp_path / "data.hdf5", attempts=2)
    assert len(server.requests) == 7


def test_a_later_call_resumes_where_an_earlier_one_gave_up(server, tmp_path):
    server.moods = ["drops", "500"]
    with pytest.raises(InvalidInputError, match=r"600,000 bytes: .*500 .* resumes from there"):
        fetch(server, tmp_path / "data.hdf5", attempts=2)
    assert left_in(tmp_path) == [".data.hdf5.part", ".data.hdf5.part.etag"]
    server.moods = ["good"]
    fetch(server, tmp_path / "data.hdf5")
    assert server.requests[-1] == ("good", "bytes=600000-")
    assert left_in(tmp_path) == ["data.hdf5"]


def test_a_file_that_changed_meanwhile_is_started_anew(server, tmp_path):
    server.content, server.tag = b"x" * 2_000_000, '"zero"'
    server.moods = ["drops", "500"]
    with pytest.raises(InvalidInputError):
        fetch(server, tmp_path / "data.hdf5", attempts=2)
    server.content, server.tag, server.moods = CONTENT, '"one"', ["good"]
    fetch(server, tmp_path / "data.hdf5")


def test_a_file_that_changed_begins_a_new_count_of_what_arrives(server, tmp_path):
    """As much as arrived of the old file need not arrive of the new one before it counts."""
    server.content, server.tag = b"x" * 9_000_000, '"zero"'
    server.moods = ["drops", "500"]
    with pytest.raises(InvalidInputError):
        fetch(server, tmp_path / "data.hdf5", attempts=2)
    server.content, server.tag, server.moods = CONTENT, '"one"', ["drops"] * 3 + ["good"]
    fetch(server, tmp_path / "data.hdf5", attempts=2)


def test_a_part_that_is_the_whole_file_is_taken(server, tmp_path):
    (tmp_path / ".data.hdf5.part").write_bytes(CONTENT)
    (tmp_path / ".data.hdf5.part.etag").write_text(server.tag)
    server.moods = ["says its length"]
    fetch(server, tmp_path / "data.hdf5")
    assert server.requests == [("says its length", f"bytes={len(CONTENT)}-")]
    assert left_in(tmp_path) == ["data.hdf5"]


def test_a_server_that_cannot_go_on_sends_all_anew(server, tmp_path):
    server.moods = ["drops", "ignores range"]
    fetch(server, tmp_path / "data.hdf5")
    assert server.requests[1] == ("ignores range", "bytes=600000-")


def test_without_a_mark_of_its_version_a_file_is_not_gone_on_with(server, tmp_path):
    server.moods = ["drops without a tag", "good"]
    fetch(server, tmp_path / "data.hdf5")
    assert [wanted for _, wanted in server.requests] == [None, None]


def test_a_server_that_promises_more_than_it_has_is_given_up(server, tmp_path):
    server.moods = ["promises more"]
    with pytest.raises(InvalidInputError, match=r"failed after .* bytes: the (server|file)"):
        fetch(server, tmp_path / "data.hdf5", attempts=3)
    assert not (tmp_path / "data.hdf5").exists()
    assert len(server.requests) < 10


def test_a_part_without_its_mark_is_not_gone_on_from(server, tmp_path):
    (tmp_path / ".data.hdf5.part").write_bytes(b"of another file")
    fetch(server, tmp_path / "data.hdf5")
    assert server.requests == [("good", None)]


def test_a_part_longer_than_the_file_is_started_anew(server, tmp_path):
    (tmp_path / ".data.hdf5.part").write_bytes(b"x" * 3_000_000)
    (tmp_path / ".data.hdf5.part.etag").write_text(server.tag)
    fetch(server, tmp_path / "data.hdf5")


def test_a_length_too_small_is_found_by_the_check(server, tmp_path):
    server.moods = ["promises less"]
    with pytest.raises(InvalidInputError, match=r"not the file expected: other content"):
        fetch(server, tmp_path / "data.hdf5")
    assert left_in(tmp_path) == []


def test_no_type_at_all_will_do(server, tmp_path):
    server.moods = ["no type"]
    fetch(server, tmp_path / "data.hdf5")


def test_an_address_that_is_none_is_refused(tmp_path):
    with pytest.raises(InvalidInputError, match="http:// or https:// is needed"):
        download("mirror.example/data.hdf5", tmp_path / "data.hdf5", check=accept)


def test_no_length_at_all_will_do(server, tmp_path):
    server.moods = ["no length"]
    seen = []
    fetch(server, tmp_path / "data.hdf5", progress=lambda *args: seen.append(args))
    assert seen == []


@pytest.mark.parametrize(
    ("mood", "message", "requests"),
    [
        ("html", "sends text/html, which is not a data set", 1),
        ("404", "says 404 Not Found", 1),
        ("500", "failed after 0 bytes: the server says 500", 3),
        ("stalls at once", "failed after 0 bytes: .*timed out", 3),
    ],
)
def test_a_server_without_the_file_ends_in_a_clear_error(server, tmp_path, mood, message, requests):
    server.moods = [mood]
    start = time.monotonic()
    with pytest.raises(InvalidInputError, match=message) as caught:
        fetch(server, tmp_path / "data.hdf5", attempts=3, timeout=0.3)
    assert server.url in str(caught.value)
    assert len(server.requests) == requests
    assert not (tmp_path / "data.hdf5").exists()
    assert time.monotonic() - start < 10


def test_no_server_at_all_ends_in_a_clear_error(server, tmp_path):
    server.http.shutdown()
    server.http.server_close()
    with pytest.raises(InvalidInputError, match=r"failed after 0 bytes: .*refused"):
        fetch(server, tmp_path / "data.hdf5", attempts=2)


def test_a_file_of_other_content_is_refused_and_nothing_left(server, tmp_path):
    server.content = b"not what it should be" * 1000
    with pytest.raises(InvalidInputError, match=r"data\.hdf5: not the file expected: other"):
        fetch(server, tmp_path / "data.hdf5")
    assert left_in(tmp_path) == []


def test_a_folder_that_cannot_be_written_is_refused(server, tmp_path):
    with pytest.raises(InvalidInputError, match="cannot be written"):
        fetch(server, tmp_path / "absent" / "data.hdf5", check=accept)


def test_a_proxy_is_taken_from_the_environment(server, tmp_path, monkeypatch):
    # A proxy is asked for whole addresses; the server here answers any.
    monkeypatch.setenv("http_proxy", server.url.rsplit("/", 1)[0])
    monkeypatch.delenv("no_proxy", raising=False)
    download("http://data.invalid/data.hdf5", tmp_path / "data.hdf5", check=refuse_other_content)
    assert server.requests == [("good", None)]
