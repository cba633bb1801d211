// What a link asks for, and what is started for it. Knows nothing of VS Code, so that it can be tested without.
//
// Links come from web pages and mails: whoever wrote one may wish us ill. A link names an incident, in a form that is checked here, and
// nothing else: no program, no argument, no file, no directory, no address.
"use strict";

/**
 * @typedef {{ incident: string }} Wanted
 * @typedef {{ [name: string]: any }} Configuration
 */

const INCIDENT = /^INC-[0-9]{1,19}$/;

/**
 * What `vscode://freezeframe.freezeframe/open?incident=INC-1` asks for.
 * @param {string} path
 * @param {string} query
 * @returns {Wanted}
 */
function fromLink(path, query) {
  if (path !== "/open") throw new Error("the link does not open anything");
  if (query.length > 1000) throw new Error("the link is too long");
  const words = new URLSearchParams(query);
  for (const name of words.keys()) {
    if (name !== "incident") throw new Error("the link asks for something unknown");
    if (words.getAll(name).length > 1) throw new Error(`the link names its ${name} twice`);
  }
  const incident = words.get("incident") ?? "";
  if (!INCIDENT.test(incident)) throw new Error("the link names no incident");
  return { incident };
}

/**
 * The arguments of the program for a debug configuration. Each is one argument; no shell is involved.
 * @param {Configuration} configuration
 * @returns {string[]}
 */
function programArguments(configuration) {
  const { incident, dataDir, file } = configuration;
  /** @type {string[]} */
  const words = ["dap"];
  const text = (/** @type {unknown} */ value, /** @type {string} */ name) => {
    if (typeof value !== "string" || value === "" || value.includes("\0")) throw new Error(`\`${name}\` is not a text`);
    return value;
  };
  if (dataDir !== undefined && file !== undefined) throw new Error("only one of `dataDir` and `file` can be given");
  if (dataDir !== undefined) words.push(`--data-dir=${text(dataDir, "dataDir")}`);
  if (file !== undefined) words.push(`--file=${text(file, "file")}`);
  if (incident !== undefined) {
    if (!INCIDENT.test(text(incident, "incident"))) throw new Error("`incident` is not of the form INC-42");
    if (file === undefined) words.push(/** @type {string} */ (incident));
  }
  return words;
}

module.exports = { fromLink, programArguments };
