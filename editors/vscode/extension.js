// The extension: a debugger type that starts `freezeframe dap`, and links that open an incident at its failing line.
"use strict";

const vscode = require("vscode");
const { fromLink, origin, programArguments } = require("./request.js");

const TYPE = "freezeframe";

/** @param {vscode.ExtensionContext} context */
function activate(context) {
  context.subscriptions.push(
    vscode.debug.registerDebugConfigurationProvider(TYPE, { resolveDebugConfiguration }),
    vscode.debug.registerDebugAdapterDescriptorFactory(TYPE, {
      createDebugAdapterDescriptor: (session) => adapter(context, session),
    }),
    vscode.window.registerUriHandler({ handleUri: (uri) => shown(() => openLink(uri)) }),
    vscode.commands.registerCommand("freezeframe.open", () => shown(openByName)),
    vscode.commands.registerCommand("freezeframe.forgetTokens", () => forgetTokens(context)),
  );
}

/** @param {() => Promise<void>} act */
async function shown(act) {
  try {
    await act();
  } catch (error) {
    void vscode.window.showErrorMessage(`Freezeframe: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** @param {vscode.Uri} uri */
async function openLink(uri) {
  const wanted = fromLink(uri.path, uri.query);
  if (wanted.url !== undefined) {
    // A link may come from anywhere, and opening it sends the token that is kept for this address.
    const open = "Open";
    const question = `Open ${wanted.incident} of ${wanted.url}?`;
    const detail = "A link asks for it. Only go on if this is the address of your own Freezeframe.";
    if ((await vscode.window.showWarningMessage(question, { modal: true, detail }, open)) !== open) return;
  }
  await open({ incident: wanted.incident, url: wanted.url });
}

async function openByName() {
  const incident = await vscode.window.showInputBox({ prompt: "Incident", placeHolder: "INC-42" });
  if (incident) await open({ incident: incident.trim() });
}

/** @param {{ incident: string, url?: string }} wanted */
async function open(wanted) {
  const configuration = { type: TYPE, request: "attach", name: `Freezeframe: ${wanted.incident}`, ...wanted };
  const [folder] = vscode.workspace.workspaceFolders ?? [];
  if (!(await vscode.debug.startDebugging(folder, configuration))) throw new Error(`${wanted.incident} was not opened`);
}

/**
 * What a configuration leaves out. One without a type is an F5 without any launch.json.
 * @param {vscode.WorkspaceFolder | undefined} folder
 * @param {vscode.DebugConfiguration} configuration
 */
function resolveDebugConfiguration(folder, configuration) {
  const folders = (vscode.workspace.workspaceFolders ?? []).map((it) => it.uri.fsPath);
  /** @type {vscode.DebugConfiguration} */
  const resolved = { sourceRoots: folders, ...configuration };
  if (!resolved.type) Object.assign(resolved, { type: TYPE, request: "attach", name: "Freezeframe" });
  const elsewhere = resolved.url !== undefined || resolved.file !== undefined || resolved.dataDir !== undefined;
  if (!elsewhere && folder && !process.env.FREEZEFRAME_DATA_DIR) {
    resolved.dataDir = vscode.Uri.joinPath(folder.uri, ".freezeframe").fsPath;
  }
  return resolved;
}

/**
 * @param {vscode.ExtensionContext} context
 * @param {vscode.DebugSession} session
 */
async function adapter(context, session) {
  const configuration = session.configuration;
  const words = programArguments(configuration);
  /** @type {{ [name: string]: string }} */
  const env = {};
  if (configuration.url !== undefined) env.FREEZEFRAME_TOKEN = await token(context, origin(configuration.url));
  const program = vscode.workspace.getConfiguration("freezeframe").get("program", "freezeframe");
  return new vscode.DebugAdapterExecutable(program, words, { env, cwd: session.workspaceFolder?.uri.fsPath });
}

/**
 * The token for a daemon: asked for once, and kept by the system's own store of secrets.
 * @param {vscode.ExtensionContext} context
 * @param {string} of
 */
async function token(context, of) {
  const key = `token ${of}`;
  const kept = await context.secrets.get(key);
  if (kept) return kept;
  const prompt = `Token for ${of} (made by \`freezeframe token add\`)`;
  const typed = await vscode.window.showInputBox({ prompt, password: true, ignoreFocusOut: true });
  if (!typed) throw new Error(`without a token ${of} shows nothing`);
  await context.secrets.store(key, typed.trim());
  const known = /** @type {string[]} */ (context.globalState.get("origins", []));
  await context.globalState.update("origins", [...new Set([...known, of])]);
  return typed.trim();
}

/** @param {vscode.ExtensionContext} context */
async function forgetTokens(context) {
  const known = /** @type {string[]} */ (context.globalState.get("origins", []));
  for (const of of known) await context.secrets.delete(`token ${of}`);
  await context.globalState.update("origins", []);
}

module.exports = { activate };
