// A whole session with a held shop, by Microsoft's own client for debug adapters; run by crates/freezeframe/tests/dap.rs.
//
//   node session.js stdio FREEZEFRAME DATA_DIR INC-1 EXPECTED.json
//   node session.js tcp PORT SECRET INC-1 EXPECTED.json
//
// EXPECTED holds { held, file, line, message, thread }. Prints what it saw as JSON.
"use strict";

const assert = require("node:assert");
const fs = require("node:fs");
const { DebugClient } = require("@vscode/debugadapter-testsupport");

async function refused(promise, words) {
  const error = await promise.then((answer) => assert.fail(`not refused: ${JSON.stringify(answer)}`), (error) => error);
  assert.match(error.message, words);
  return error.message;
}

async function session(client, attach, expected) {
  const output = [];
  client.on("output", (event) => output.push(event.body));
  const initialized = client.waitForEvent("initialized");
  const { body: capabilities } = await client.initializeRequest({
    adapterID: "freezeframe",
    linesStartAt1: true,
    columnsStartAt1: true,
    pathFormat: "path",
    supportsVariableType: true,
    supportsVariablePaging: true,
  });
  assert.ok(capabilities.supportsConfigurationDoneRequest && capabilities.supportsExceptionInfoRequest);
  assert.ok(!capabilities.supportsSetVariable && !capabilities.supportsTerminateRequest);
  await client.attachRequest(attach);
  await initialized;

  // As VS Code configures: breakpoints that are there anyway, then exceptions.
  const { body: set } = await client.setBreakpointsRequest({ source: { path: expected.file }, breakpoints: [{ line: 1 }] });
  assert.strictEqual(set.breakpoints[0].verified, false);
  await client.setExceptionBreakpointsRequest({ filters: [] });
  const stops = client.waitForEvent("stopped");
  await client.configurationDoneRequest();
  const { body: stopped } = await stops;
  assert.strictEqual(stopped.reason, "exception");
  assert.strictEqual(stopped.text, expected.message);
  assert.strictEqual(stopped.threadId, expected.thread);

  const { body: { threads } } = await client.threadsRequest();
  assert.strictEqual(threads[0].id, expected.thread, "the failing one first");
  const frames = [];
  for (;;) {
    const { body } = await client.stackTraceRequest({ threadId: stopped.threadId, startFrame: frames.length, levels: 7 });
    frames.push(...body.stackFrames);
    assert.ok(body.stackFrames.length <= 7 && body.stackFrames.length > 0);
    if (frames.length >= body.totalFrames) break;
  }
  assert.strictEqual(new Set(frames.map((frame) => frame.id)).size, frames.length);
  const site = frames.find((frame) => frame.presentationHint === "normal");
  assert.strictEqual(site.line, expected.line);
  assert.ok(site.source.path.endsWith(expected.file), site.source.path);
  assert.strictEqual(frames[0].presentationHint, "subtle", "the panic machinery");
  assert.ok(frames.some((frame) => frame.source?.presentationHint === "deemphasize"));

  const { body: exception } = await client.exceptionInfoRequest({ threadId: stopped.threadId });
  assert.strictEqual(exception.description, expected.message);

  const { body: { scopes } } = await client.scopesRequest({ frameId: site.id });
  const variables = [];
  for (const scope of scopes) {
    const { body } = await client.variablesRequest({ variablesReference: scope.variablesReference });
    variables.push(...body.variables);
  }
  const weights = variables.find((variable) => variable.name === "weights");
  const page = await client.variablesRequest({
    variablesReference: weights.variablesReference, filter: "indexed", start: 0, count: 1,
  });
  assert.deepStrictEqual(page.body.variables.map((part) => part.name), ["[0]"]);

  const evaluate = async (expression, context) =>
    (await client.evaluateRequest({ expression, context, frameId: site.id })).body;
  assert.strictEqual((await evaluate("coupon_cents * 2", "watch")).result, "1000");
  assert.strictEqual((await evaluate("basket.items.len == weights.len", "hover")).result, "true");
  const basket = await evaluate("basket", "watch");
  const open = async (reference) => (await client.variablesRequest({ variablesReference: reference })).body.variables;
  const [pointee] = await open(basket.variablesReference);
  assert.strictEqual(pointee.evaluateName, "basket.*");
  const inBasket = await open(pointee.variablesReference);
  assert.deepStrictEqual(inBasket.map((part) => part.name), ["buyer", "items"]);
  const wrong = await refused(evaluate("coupon_cents + / 3", "repl"), /\n {2}coupon_cents \+ \/ 3\n *\^/);
  await refused(evaluate("coupon_cent", "hover"), /coupon_cent/);

  const secret = "basket.buyer.session_token";
  const hidden = (await evaluate(secret, "repl")).result;
  assert.match(hidden, /redacted/);
  await refused(evaluate(`reveal ${secret}`, "repl"), /because REASON/);
  const typed = `reveal ${secret} because a test of the editor`;
  // Only what a person types reveals.
  await refused(evaluate(typed, "watch"), /./);
  const revealed = expected.held
    ? (await evaluate(typed, "repl")).result
    : await refused(evaluate(typed, "repl"), /stored nowhere/);

  const moved = await refused(client.continueRequest({ threadId: stopped.threadId }), /nothing (of it runs|that could run)|there is nothing/);
  await refused(client.nextRequest({ threadId: stopped.threadId }), /nothing/);
  await refused(client.customRequest("setVariable", {}), /nothing/);
  const { body: modules } = await client.customRequest("modules", { startModule: 0, moduleCount: 1 });
  assert.strictEqual(modules.modules.length, 1);
  const { body: { sources } } = await client.customRequest("loadedSources", {});
  assert.ok(sources.some((source) => source.path.endsWith(expected.file)));
  await client.disconnectRequest({ terminateDebuggee: true });
  return {
    console: output.filter((it) => it.category === "console").map((it) => it.output).join(""),
    log: output.filter((it) => it.category === "stdout" || it.category === "stderr").length,
    important: output.filter((it) => it.category === "important").map((it) => it.output),
    stack: frames.map((frame) => `${frame.name} ${frame.source?.path ?? ""}:${frame.line} ${frame.presentationHint}`),
    variables: variables.map((it) => `${it.name}: ${it.type} = ${it.value}`),
    wrong, hidden, revealed, moved,
  };
}

async function main([way, ...words]) {
  const [incident, expected] = words.splice(2);
  const attach = { incident, sourceRoots: [] };
  let client;
  if (way === "stdio") {
    const [program, data] = words;
    client = new DebugClient(program, "dap", "freezeframe", {
      env: { ...process.env, FREEZEFRAME_DATA_DIR: data }, stdio: "pipe",
    }, true);
    await client.start();
  } else {
    const [port, secret] = words;
    attach.secret = secret;
    client = new DebugClient("", "", "freezeframe");
    await client.start(Number(port));
  }
  client.defaultTimeout = 30_000;
  const seen = await session(client, attach, JSON.parse(fs.readFileSync(expected, "utf8")));
  // It has said goodbye: nothing is left to stop.
  process.stdout.write(JSON.stringify(seen), () => process.exit(0));
}

main(process.argv.slice(2)).catch((error) => {
  process.stderr.write(`${error.stack}\n`);
  process.exit(1);
});
