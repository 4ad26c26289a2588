"""The signing code of docs/channels.md agrees with the library that Relaydesk uses, in every language."""

import base64
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from standardwebhooks.webhooks import Webhook

from tests.snippets import fenced, typed

PAGE = "docs/channels.md"
SECRET = "whsec_" + base64.b64encode(bytes(range(24))).decode()
STARTED_WITHIN_S = 15
OTHER = "whsec_" + base64.b64encode(bytes(range(1, 25))).decode()
BODIES = ("{}", '{"text":"Hello 👋 ünïcode"}', "", '{ "a" : 1 }\n')


@dataclass(frozen=True)
class Case:
    """`good`: what verifying has to say."""

    secret: str
    id: str
    timestamp: str
    body: str
    signature: str
    good: bool


def right(body: str, timestamp: int, secret: str = SECRET) -> str:
    return Webhook(secret).sign("msg_1", datetime.fromtimestamp(timestamp, UTC), body)


def cases() -> list[Case]:
    now = int(time.time())
    ours = right("{}", now)

    def case(signature: str, good: bool = False, body: str = "{}", at: object = now) -> Case:
        return Case(SECRET, "msg_1", str(at), body, signature, good)

    return [
        *(case(right(body, now), True, body) for body in BODIES),
        case(f"{right('{}', now, OTHER)} {ours}", True),
        case(right("{}", now - 280), True, at=now - 280),
        case(right("{}", now - 400), at=now - 400),
        case(right("{}", now + 400), at=now + 400),
        case(right("{}", now, OTHER)),
        case(ours, body="{ }"),
        case(ours.removeprefix("v1,")),
        case(ours[:-1]),
        case("v1,é"),
        case(""),
        case(ours, at=""),
        case(ours, at="soon"),
        case(ours, at=now + 1),
    ]


def run(command: list[str], folder: Path, given: list[Case]) -> list[dict[str, object]]:
    """The program's answer: for each case `{"signed", "verified"}`."""
    done = subprocess.run(
        command,
        input=json.dumps([asdict(case) for case in given]),
        capture_output=True,
        text=True,
        cwd=folder,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answers: list[dict[str, object]] = json.loads(done.stdout)
    return answers


def answered_soon(command: list[str], folder: Path) -> tuple[list[Case], list[dict[str, object]]]:
    """Of a run in which no signature came to another side of its 5 minutes while the program started."""
    for _ in range(5):
        given = cases()
        begun = time.time()
        answers = run(command, folder, given)
        if time.time() - begun < STARTED_WITHIN_S:
            return given, answers
    raise AssertionError(f"the program takes more than {STARTED_WITHIN_S} s")


def environment() -> dict[str, str]:
    """Go's tools use what is on this machine."""
    return {**os.environ, "GO111MODULE": "off", "GOTOOLCHAIN": "local", "GOFLAGS": ""}


def python(folder: Path) -> list[str]:
    [code] = fenced(PAGE, "python")
    (folder / "signatures.py").write_text(code)
    (folder / "main.py").write_text(
        """
import json, sys
from signatures import sign, verify
def answer(case):
    body = case["body"].encode()
    headers = {"webhook-" + name: case[name] for name in ("id", "timestamp", "signature")}
    signed = sign(case["secret"], case["id"], case["timestamp"], body)
    return {"signed": signed, "verified": verify(case["secret"], headers, body)}
print(json.dumps([answer(case) for case in json.load(sys.stdin)]))
"""
    )
    return [sys.executable, "main.py"]


def javascript(folder: Path) -> list[str]:
    [code] = fenced(PAGE, "javascript")
    (folder / "signatures.mjs").write_text(code)
    (folder / "main.mjs").write_text(
        """
import { readFileSync } from "node:fs";
import { sign, verify } from "./signatures.mjs";
const answers = JSON.parse(readFileSync(0)).map(({ secret, id, timestamp, body, signature }) => {
  const headers = { "webhook-id": id, "webhook-timestamp": timestamp, "webhook-signature": signature };
  return { signed: sign(secret, id, timestamp, body), verified: verify(secret, headers, Buffer.from(body)) };
});
console.log(JSON.stringify(answers));
"""
    )
    return ["node", "main.mjs"]


def go(folder: Path) -> list[str]:
    [code] = fenced(PAGE, "go")
    (folder / "signatures.go").write_text(code)
    (folder / "main.go").write_text(
        """
package main

import (
	"encoding/json"
	"net/http"
	"os"
)

type Case struct{ Secret, Id, Timestamp, Body, Signature string }
type Answer struct {
	Signed   string `json:"signed"`
	Verified bool   `json:"verified"`
}

func main() {
	var cases []Case
	if err := json.NewDecoder(os.Stdin).Decode(&cases); err != nil {
		panic(err)
	}
	answers := []Answer{}
	for _, c := range cases {
		headers := http.Header{}
		headers.Set("webhook-id", c.Id)
		headers.Set("webhook-timestamp", c.Timestamp)
		headers.Set("webhook-signature", c.Signature)
		signed, err := Sign(c.Secret, c.Id, c.Timestamp, []byte(c.Body))
		if err != nil {
			panic(err)
		}
		answers = append(answers, Answer{signed, Verify(c.Secret, headers, []byte(c.Body))})
	}
	json.NewEncoder(os.Stdout).Encode(answers)
}
"""
    )
    build = ["go", "build", "-o", "signatures", "signatures.go", "main.go"]
    subprocess.run(build, cwd=folder, env=environment(), timeout=400, check=True)
    return ["./signatures"]


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("tool", "program"), [("python3", python), ("node", javascript), ("go", go)])
def test_the_documented_code_signs_and_verifies_as_we_do(
    tool: str, program: Callable[[Path], list[str]], tmp_path: Path
) -> None:
    if shutil.which(tool) is None:
        pytest.skip(f"no {tool} on this machine")
    command = program(tmp_path)  # before the cases: a first build takes its time, and signatures get old
    given, answers = answered_soon(command, tmp_path)
    for case, answer in zip(given, answers, strict=True):
        assert answer["verified"] is case.good, case
        if case.timestamp.isdecimal():
            assert answer["signed"] == right(case.body, int(case.timestamp)), case


def test_the_shell_recipe_signs_as_we_do(tmp_path: Path) -> None:
    for tool in ("bash", "openssl", "base64", "od"):
        if shutil.which(tool) is None:
            pytest.skip(f"no {tool} on this machine")
    [recipe] = [typed(block) for block in fenced(PAGE, "console") if "openssl dgst" in block]
    lines = [line for line in recipe.splitlines() if "=" in line and not line.lstrip().startswith(("curl", "-H"))]
    script = "\n".join(lines).replace("CHANNEL=… SECRET=whsec_…", f"SECRET={SECRET}")
    script += '\nprintf "%s\\n" "$ID" "$NOW" "$BODY" "v1,$SIGNATURE"'
    done = subprocess.run(["bash", "-euc", script], capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    ident, now, body, signature = done.stdout.splitlines()
    assert json.loads(body)["events"][0]["text"] == "Hi!"
    assert signature == Webhook(SECRET).sign(ident, datetime.fromtimestamp(int(now), UTC), body)
