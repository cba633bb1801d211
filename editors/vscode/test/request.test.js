"use strict";

const assert = require("node:assert");
const { spawnSync } = require("node:child_process");
const { test } = require("node:test");
const { fromLink, programArguments } = require("../request.js");

test("a link names an incident and nothing that could be run", () => {
  assert.deepStrictEqual(fromLink("/open", "incident=INC-1"), { incident: "INC-1" });
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
    ["/open", "incident=INC-1&url=https%3A%2F%2Fevil.example"],
    ["/open", `incident=INC-1${"&".repeat(1000)}`],
  ]) {
    assert.throws(() => fromLink(path, query), Error, `${path}?${query}`);
  }
});

test("each value of a configuration is one argument", () => {
  assert.deepStrictEqual(programArguments({}), ["dap"]);
  assert.deepStrictEqual(programArguments({ incident: "INC-1", dataDir: "/a b; rm -rf" }), ["dap", "--data-dir=/a b; rm -rf", "INC-1"]);
  assert.deepStrictEqual(programArguments({ incident: "INC-1", file: "--x" }), ["dap", "--file=--x"]);
  for (const wrong of [{ incident: 1 }, { incident: "x" }, { dataDir: "" }, { file: "a\0" }, { dataDir: "a", file: "b" }]) {
    assert.throws(() => programArguments(wrong), Error, JSON.stringify(wrong));
  }
});

test("the program understands its arguments", { skip: !process.env.FREEZEFRAME && "FREEZEFRAME names no program" }, () => {
  // Nothing is sent: it ends with its input.
  const words = programArguments({ incident: "INC-1", dataDir: "/nowhere" });
  const ended = spawnSync(/** @type {string} */ (process.env.FREEZEFRAME), words, { input: "", encoding: "utf8" });
  assert.strictEqual(ended.status, 0, ended.stderr);
});
