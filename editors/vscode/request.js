// What a link asks for, and what is started for it. Knows nothing of VS Code, so that it can be tested without.
//
// Links come from web pages and mails: whoever wrote one may wish us ill. A link names an incident and the address of a daemon, in
// forms that are checked here; it never names a program, an argument, a file or a directory.
"use strict";

/**
 * @typedef {{ incident: string, url?: string }} Wanted
 * @typedef {{ [name: string]: any }} Configuration
 */

const INCIDENT = /^INC-[0-9]{1,19}$/;

/**
 * The origin of a daemon's address, `https://freeze.example.org`, and nothing more of it: no user, no path, no query.
 * @param {unknown} text
 * @returns {string}
 */
function origin(text) {
  if (typeof text !== "string" || text.length > 300) throw new Error("the address of the daemon is not a text");
  let url;
  try {
    url = new URL(text);
  } catch {
    throw new Error("the address of the daemon is not a URL");
  }
  const host = url.hostname;
  const isLoopback = host === "localhost" || host === "[::1]" || /^127\.[0-9]+\.[0-9]+\.[0-9]+$/.test(host);
  if (url.username || url.password) throw new Error("the address of the daemon contains a user or a password");
  if (url.protocol !== "https:" && !(url.protocol === "http:" && isLoopback)) {
    throw new Error("the address of the daemon must begin with https://, or name this machine");
  }
  return url.origin;
}

/**
 * What `vscode://freezeframe.freezeframe/open?incident=INC-1&url=…` asks for.
 * @param {string} path
 * @param {string} query
 * @returns {Wanted}
 */
function fromLink(path, query) {
  if (path !== "/open") throw new Error("the link does not open anything");
  if (query.length > 1000) throw new Error("the link is too long");
  const words = new URLSearchParams(query);
  for (const name of words.keys()) {
    if (!["incident", "url"].includes(name)) throw new Error("the link asks for something unknown");
    if (words.getAll(name).length > 1) throw new Error(`the link names its ${name} twice`);
  }
  const incident = words.get("incident") ?? "";
  if (!INCIDENT.test(incident)) throw new Error("the link names no incident");
  /** @type {Wanted} */
  const wanted = { incident };
  const url = words.get("url");
  if (url !== null) wanted.url = origin(url);
  return wanted;
}

/**
 * The arguments of the program for a debug configuration. Each is one argument; no shell is involved.
 * @param {Configuration} configuration
 * @returns {string[]}
 */
function programArguments(configuration) {
  const { incident, url, dataDir, file } = configuration;
  /** @type {string[]} */
  const words = ["dap"];
  const text = (/** @type {unknown} */ value, /** @type {string} */ name) => {
    if (typeof value !== "string" || value === "" || value.includes("\0")) throw new Error(`\`${name}\` is not a text`);
    return value;
  };
  if ([url, dataDir, file].filter((it) => it !== undefined).length > 1) {
    throw new Error("only one of `url`, `dataDir` and `file` can be given");
  }
  if (url !== undefined) words.push(`--url=${origin(url)}`);
  if (dataDir !== undefined) words.push(`--data-dir=${text(dataDir, "dataDir")}`);
  if (file !== undefined) words.push(`--file=${text(file, "file")}`);
  if (incident !== undefined) {
    if (!INCIDENT.test(text(incident, "incident"))) throw new Error("`incident` is not of the form INC-42");
    if (file === undefined) words.push(/** @type {string} */ (incident));
  }
  return words;
}

module.exports = { fromLink, origin, programArguments };
