// The expression that names a variable's part, as `freezeframe eval` understands it. The daemon's own rules are in the model crate's
// `path.rs`; both are tested on the same examples.

/** The expression for a variable of a frame. */
export function rootPath(name: string): string {
  return isPlainRoot(name) ? name : quoted(name)
}

/** Leads a path on to a child of this name. */
export function step(path: string, name: string): string {
  if (name.startsWith('[') && name.endsWith(']')) return path + name
  if (name === '*' || /^[0-9]+$/.test(name) || isWord(name)) return `${path}.${name}`
  return `${path}.${quoted(name)}`
}

function quoted(name: string): string {
  return '`' + name.replaceAll('`', '') + '`'
}

function isPlainRoot(name: string): boolean {
  return !['true', 'false', 'null', 'nullptr'].includes(name) && name.split('::').every(isWord)
}

function isWord(word: string): boolean {
  return /^[\p{Alphabetic}_$][\p{Alphabetic}\p{N}_$]*$/u.test(word)
}
