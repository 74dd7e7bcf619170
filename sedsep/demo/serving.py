"""Serving the page: to this machine or to others, with nothing fetched from elsewhere, and nothing left at the end."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import gradio as gr

from sedsep.demo.page import Page
from sedsep.errors import UserError
from sedsep.inference import Request, SceneSeparator

TEMP = "GRADIO_TEMP_DIR"
WAITING = 20
"""Visitors in the queue, at most."""

THEME = gr.themes.Default(primary_hue="blue", neutral_hue="slate", font=[gr.themes.Font("sans-serif")]).set(
    body_text_color_subdued="*neutral_500",  # of Gradio's own, the lighter ones cannot be read
    body_text_color_subdued_dark="*neutral_400",
    block_info_text_color="*neutral_500",
    block_info_text_color_dark="*neutral_400",
)


@contextmanager
def serving(
    system: SceneSeparator, host: str, port: int, longest_s: float, megabytes: int, note: str = ""
) -> Iterator[str]:
    """Serve the page, from an address, until the end of the context, with which all files go.

    Args:
        system: that takes recordings apart.
        host: who may open the page.
        port: of the address.
        longest_s: seconds that a recording may last.
        megabytes: that a file may have.
        note: what visitors must know of the system.

    Raises:
        UserError: nothing names the sounds, or the address cannot be had.
    """
    system.check(Request(threshold=system.threshold))
    before = os.environ.get(TEMP)
    with tempfile.TemporaryDirectory(prefix="sedsep-demo-", ignore_cleanup_errors=True) as folder:
        os.environ[TEMP] = folder  # uploads go here, and what lies here is served
        try:
            page = Page(system, Path(folder), longest_s, megabytes, note).blocks()
            try:
                _, address, _ = page.queue(max_size=WAITING).launch(
                    server_name=host,
                    server_port=port,
                    max_file_size=f"{megabytes}mb",
                    theme=THEME,
                    css_paths=Path(__file__).with_name("page.css"),
                    footer_links=[],
                    prevent_thread_lock=True,
                    quiet=True,
                    share=False,
                    run_history=False,  # nor are recordings kept in the browser
                    enable_monitoring=False,
                    ssr_mode=False,
                    mcp_server=False,
                )
            except OSError as error:
                raise UserError(
                    f"The page cannot be served at {host}:{port}, which is taken or not this machine's: give another "
                    "task.port or task.host."
                ) from error
            try:
                yield address
            finally:
                page.close(verbose=False)
        finally:
            os.environ.pop(TEMP)
            if before is not None:
                os.environ[TEMP] = before
