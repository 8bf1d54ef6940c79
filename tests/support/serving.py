# SPDX-License-Identifier: MIT
"""A running server for tests in Python."""
import os
import re
import subprocess
import sys
import threading
import time
import urllib.request

START_S = 60


def skip(why):
    print(f"skipped: {why}")
    sys.exit(77)


class Server:
    """`PROGRAM serve FLAGS`, once it listens: on a free port, if the flags name none. As a context it is ready
    to answer, and must end well. `lines` is its log, without those of requests."""

    def __init__(self, program, *flags):
        self.program, self.lines = program, []
        port = () if "--port" in flags else ("--port", "0")
        self.process = subprocess.Popen([program, "serve", *port, *map(str, flags)], stdout=subprocess.DEVNULL,
                                        stderr=subprocess.PIPE, text=True, bufsize=1)
        found = None
        while not found and (line := self.process.stderr.readline()):  # warnings may come first
            self.lines.append(line.rstrip())
            found = re.search(r"listening on (http://.*:(\d+))", line)
        if not found:
            raise RuntimeError(f"the server did not start, exit code {self.process.wait()}: {self.lines}")
        self.url, self.port = found[1], int(found[2])
        threading.Thread(target=self._keep_log, daemon=True).start()  # it must not wait for a reader

    def _keep_log(self):
        for line in self.process.stderr:
            if "request id=" not in line:
                self.lines.append(line.rstrip())

    def wait_until_ready(self):
        deadline = time.monotonic() + START_S
        while self.process.poll() is None and time.monotonic() < deadline:
            try:
                urllib.request.urlopen(self.url + "/ready", timeout=5).close()
                return self
            except OSError:
                time.sleep(0.05)
        self.process.kill()
        raise RuntimeError(f"the server does not get ready: {self.lines}")

    def __enter__(self):
        return self.wait_until_ready()

    def __exit__(self, *error):
        code = self.stop()
        if code != 0 and error[0] is None:
            raise AssertionError(f"the server ended with {code}: {self.lines}")

    def stop(self, timeout_s=60):
        """The exit code after SIGTERM."""
        self.process.terminate()
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()

    def n_thread(self):
        return len(os.listdir(f"/proc/{self.process.pid}/task"))

    def n_file(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def resident_mib(self):
        with open(f"/proc/{self.process.pid}/status") as status:
            return int(re.search(r"VmRSS:\s+(\d+)", status.read())[1]) / 1024
