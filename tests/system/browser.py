# SPDX-License-Identifier: Apache-2.0
"""A headless Chromium, driven over a pipe: commands of the DevTools protocol, each a JSON text and a zero."""

import base64
import json
import os
import select
import shutil
import subprocess
import time

PATIENCE = 60
CHROMIUM = shutil.which("chromium")
FLAGS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-extensions",
         "--disable-dev-shm-usage", "--disable-background-networking", "--remote-debugging-pipe",
         "--window-size=1280,900", "--force-device-scale-factor=1"]


class Browser:
    """One page of it."""

    def __init__(self, folder):
        to_it, self.commands = os.pipe()
        self.events, from_it = os.pipe()

        def give():  # it reads from 3 and writes to 4
            high = os.dup(to_it), os.dup(from_it)
            os.dup2(high[0], 3)
            os.dup2(high[1], 4)

        self.process = subprocess.Popen(
            [CHROMIUM, *FLAGS, f"--user-data-dir={folder}", "about:blank"],
            preexec_fn=give, pass_fds=(3, 4), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env=os.environ | {"HOME": str(folder)})
        os.close(to_it)
        os.close(from_it)
        self.n, self.rest, self.session, self.complaints = 0, b"", None, []
        target, = [t for t in self.call("Target.getTargets")["targetInfos"] if t["type"] == "page"]
        self.session = self.call("Target.attachToTarget", targetId=target["targetId"],
                                 flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def close(self):
        self.process.kill()
        self.process.wait()
        os.close(self.commands)
        os.close(self.events)

    def _hear(self):
        while b"\0" not in self.rest:
            assert select.select([self.events], [], [], PATIENCE)[0], "the browser says nothing"
            some = os.read(self.events, 1 << 16)
            assert some, "the browser is gone"
            self.rest += some
        one, _, self.rest = self.rest.partition(b"\0")
        message = json.loads(one)
        method, params = message.get("method"), message.get("params", {})
        if method == "Runtime.exceptionThrown":
            self.complaints.append(params["exceptionDetails"]["text"])
        if method == "Runtime.consoleAPICalled":
            self.complaints.append(str(params["args"]))
        if method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.complaints.append(params["entry"]["text"])
        return message

    def call(self, method, **params):
        self.n += 1
        command = {"id": self.n, "method": method, "params": params}
        if self.session:
            command["sessionId"] = self.session
        os.write(self.commands, json.dumps(command).encode() + b"\0")
        while True:
            message = self._hear()
            if message.get("id") == self.n:
                assert "error" not in message, message
                return message["result"]

    def open(self, url):
        return self.call("Page.navigate", url=url)

    def run(self, script):
        """The value of an expression, or of the promise that it is."""
        result = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def text(self, selector):
        return self.run(f"document.querySelector({json.dumps(selector)}).textContent")

    def wait(self, script, what):
        deadline = time.monotonic() + PATIENCE
        while not (value := self.run(script)):
            assert time.monotonic() < deadline, f"not within {PATIENCE} s: {what}"
            time.sleep(0.1)
        return value

    def emulate(self, width=1280, height=900, dark=False):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height,
                  deviceScaleFactor=1, mobile=width < 600)
        self.call("Emulation.setEmulatedMedia", features=[
            {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])

    def screenshot(self, path):
        shot = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(shot["data"]))
