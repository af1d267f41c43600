"""What the page's server answers, and what it refuses."""

import asyncio

import pytest

from common.demo.gate import HEADERS, Gate


@pytest.fixture
def ask(tmp_path):
    """Ask for a path: (status, headers, text); the application within answers "inside"."""
    (tmp_path / "own").mkdir()
    for name in ("photo.png", "a..b.png"):
        (tmp_path / "own" / name).write_bytes(b"x")
    (tmp_path / "other.png").write_bytes(b"x")
    (tmp_path / "own" / "link.png").symlink_to(tmp_path / "other.png")

    async def inside(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"inside"})

    gate = Gate(inside, "192.168.1.5", tmp_path / "own", megabytes=1.0)

    def ask(path, **headers):
        sent = []
        given = {"host": "127.0.0.1:7860"} | {k.replace("_", "-"): v for k, v in headers.items()}
        scope = {
            "type": "http",
            "path": path,
            "headers": [(k.encode(), v.encode()) for k, v in given.items()],
        }

        async def send(message):
            sent.append(message)

        asyncio.run(gate(scope, None, send))
        start, body = sent
        return start["status"], dict(start["headers"]), body["body"].decode()

    ask.folder = tmp_path
    return ask


def test_the_page_and_its_parts_are_answered_with_a_policy(ask):
    for path in ("/", "/assets/index-A1.js", "/gradio_api/queue/join", "/gradio_api/heartbeat/a1"):
        status, headers, text = ask(path)
        assert (status, text) == (200, "inside"), path
        assert headers[b"content-security-policy"] == HEADERS["content-security-policy"].encode()


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/proxy=http://192.0.2.1/",
        "/gradio_api/vibe-edit",
        "/gradio_api/vibe-code",
        "/gradio_api/runs",
        "/gradio_api/process_recording",
        "/gradio_api/file/etc/hostname",
        "/gradio_api/openapi.json",
        "/monitoring",
        "/docs",
        "/assets/../../secret",
        "/custom",
    ],
)
def test_what_the_page_does_not_need_is_not_there(ask, path):
    assert ask(path)[0] == 404


def test_files_of_the_pages_own_folder_alone_are_sent(ask):
    own = ask.folder / "own"
    for name in ("photo.png", "a..b.png"):
        assert ask(f"/gradio_api/file={own}/{name}")[0] == 200
    assert ask(f"/gradio_api/file={own}/photo.png")[1][b"cache-control"] == b"private, no-store"
    for path in (
        "/etc/hostname",
        f"{ask.folder}/other.png",
        f"{own}/../other.png",
        f"{own}/link.png",
        "../other.png",
        "http://192.0.2.1/x.png",
        str(own),
        f"{own}x/photo.png",
    ):
        assert ask(f"/gradio_api/file={path}")[0] == 403, path


def test_other_sites_are_refused_whatever_name_leads_here(ask):
    assert ask("/", host="evil.example:7860")[0] == 403
    assert ask("/", host="")[0] == 403
    for host in ("localhost", "192.168.1.5:7860", "[::1]:7860", "10.0.0.7"):
        assert ask("/", host=host)[0] == 200, host
    assert ask("/", origin="http://127.0.0.1:7860")[0] == 200
    for origin in ("http://evil.example", "null", "http://127.0.0.1:9999"):
        assert ask("/", origin=origin)[0] == 403, origin


def test_too_large_an_upload_is_refused_before_it_is_read(ask):
    upload = "/gradio_api/upload"
    assert ask(upload, content_length="1000000")[0] == 200
    assert ask(upload, content_length="1000001")[::2] == (413, "At most 1 MB at a time.")
    assert ask(upload)[0] == 411
    assert ask(upload, content_length="x")[0] == 411
