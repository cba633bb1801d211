"use strict";

const assert = require("node:assert");
const { spawnSync } = require("node:child_process");
const { test } = require("node:test");
const { fromLink, origin, programArguments } = require("../request.js");

test("a link names an incident and nothing that could be run", () => {
  assert.deepStrictEqual(fromLink("/open", "incident=INC-1"), { incident: "INC-1" });
  assert.deepStrictEqual(
    fromLink("/open", "incident=INC-42&url=https%3A%2F%2Ffreeze.example.org%2Fi%2FINC-42"),
    { incident: "INC-42", url: "https://freeze.example.org" },
  );
  const long = "9".repeat(20);
  for (const [path, query] of [
    ["/run", "incident=INC-1"],
    ["/open", ""],
    ["/open", "incident=INC-"],
    ["/open", `incident=INC-${long}`],
    ["/open", "incident=--listen%3D0.0.0.0"],
    ["/open", "incident=INC-1%20--file%3D%2Fetc%2Fshadow"],
    ["/open", "incident=INC-1%0A"],
    ["/open", "incident=INC-1&incident=INC-2"],
    ["/open", "incident=INC-1&program=%2Fbin%2Fsh"],
    ["/open", "incident=INC-1&dataDir=%2Ftmp"],
    ["/open", "incident=INC-1&file=%2Fetc%2Fshadow"],
    ["/open", `incident=INC-1&url=${"x".repeat(1000)}`],
  ]) {
    assert.throws(() => fromLink(path, query), Error, `${path}?${query}`);
  }
});

test("a daemon elsewhere is spoken to by TLS, and named by its origin alone", () => {
  assert.strictEqual(origin("http://127.0.0.1:9800/i/INC-1"), "http://127.0.0.1:9800");
  assert.strictEqual(origin("http://[::1]:9800"), "http://[::1]:9800");
  assert.strictEqual(origin("https://Freeze.Example.org/"), "https://freeze.example.org");
  for (const url of [
    "", "x", 7, undefined, "file:///etc/passwd", "javascript:alert(1)", "http://freeze.example.org", "http://127.0.0.1.evil.example",
    "http://localhost.evil.example", "https://user:password@freeze.example.org", "--data-dir=/tmp", `https://${"x".repeat(300)}`,
  ]) {
    assert.throws(() => origin(url), Error, String(url));
  }
});

test("each value of a configuration is one argument", () => {
  assert.deepStrictEqual(programArguments({}), ["dap"]);
  assert.deepStrictEqual(programArguments({ incident: "INC-1", dataDir: "/a b; rm -rf" }), ["dap", "--data-dir=/a b; rm -rf", "INC-1"]);
  assert.deepStrictEqual(programArguments({ incident: "INC-1", file: "--x" }), ["dap", "--file=--x"]);
  assert.deepStrictEqual(programArguments({ url: "https://a.example/x" }), ["dap", "--url=https://a.example"]);
  for (const wrong of [{ incident: 1 }, { incident: "x" }, { dataDir: "" }, { file: "a\0" }, { url: "x" }, { url: "https://a", file: "b" }]) {
    assert.throws(() => programArguments(wrong), Error, JSON.stringify(wrong));
  }
});

test("the program understands its arguments", { skip: !process.env.FREEZEFRAME && "FREEZEFRAME names no program" }, () => {
  for (const configuration of [
    { incident: "INC-1", dataDir: "/nowhere" },
    { incident: "INC-1", url: "http://127.0.0.1:9" },
  ]) {
    // Nothing is sent: it ends with its input.
    const ended = spawnSync(/** @type {string} */ (process.env.FREEZEFRAME), programArguments(configuration), {
      input: "", encoding: "utf8", env: { ...process.env, FREEZEFRAME_TOKEN: "x" },
    });
    assert.strictEqual(ended.status, 0, ended.stderr);
  }
});
