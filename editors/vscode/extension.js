// The extension: a debugger type that starts `freezeframe dap`, and links that open an incident at its failing line.
"use strict";

const vscode = require("vscode");
const { fromLink, programArguments } = require("./request.js");

const TYPE = "freezeframe";

/** @param {vscode.ExtensionContext} context */
function activate(context) {
  context.subscriptions.push(
    vscode.debug.registerDebugConfigurationProvider(TYPE, { resolveDebugConfiguration }),
    vscode.debug.registerDebugAdapterDescriptorFactory(TYPE, {
      createDebugAdapterDescriptor: adapter,
    }),
    vscode.window.registerUriHandler({ handleUri: (uri) => shown(() => openLink(uri)) }),
    vscode.commands.registerCommand("freezeframe.open", () => shown(openByName)),
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
  await open(fromLink(uri.path, uri.query).incident);
}

async function openByName() {
  const incident = await vscode.window.showInputBox({ prompt: "Incident", placeHolder: "INC-42" });
  if (incident) await open(incident.trim());
}

/** @param {string} incident */
async function open(incident) {
  const configuration = { type: TYPE, request: "attach", name: `Freezeframe: ${incident}`, incident };
  const [folder] = vscode.workspace.workspaceFolders ?? [];
  if (!(await vscode.debug.startDebugging(folder, configuration))) throw new Error(`${incident} was not opened`);
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
  const elsewhere = resolved.file !== undefined || resolved.dataDir !== undefined;
  if (!elsewhere && folder && !process.env.FREEZEFRAME_DATA_DIR) {
    resolved.dataDir = vscode.Uri.joinPath(folder.uri, ".freezeframe").fsPath;
  }
  return resolved;
}

/** @param {vscode.DebugSession} session */
function adapter(session) {
  const words = programArguments(session.configuration);
  const program = vscode.workspace.getConfiguration("freezeframe").get("program", "freezeframe");
  return new vscode.DebugAdapterExecutable(program, words, { cwd: session.workspaceFolder?.uri.fsPath });
}

module.exports = { activate };
