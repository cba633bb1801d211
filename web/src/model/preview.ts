// A value in a few characters, to stand behind its name or beside a source line.

import type { VariableShape } from '../api/types'

/** A value as short as it can be said within `max` characters; empty where there is none to say. */
export function preview(variable: VariableShape, max = 60): string {
  return cut(say(variable, max, 0), max)
}

/** Whether it has a value of its own, or parts, rather than a reason why not. */
export function hasValue(variable: VariableShape): boolean {
  return variable.unavailable === null
}

/** A pointer is what it points to. */
export function pointee(variable: VariableShape): VariableShape | undefined {
  const [only] = variable.children
  return variable.children.length === 1 && only?.name === '*' ? only : undefined
}

function say(variable: VariableShape, max: number, depth: number): string {
  const { value, unavailable, children } = variable
  if (unavailable !== null) {
    if (unavailable.startsWith('redacted')) return '‹redacted›'
    return variable.expandable === true || unavailable.startsWith('left out') ? '…' : `‹${unavailable}›`
  }
  const target = pointee(variable)
  if (target !== undefined) {
    const inside = say(target, max, depth)
    return inside === '' ? (value ?? '') : inside
  }
  if (children.length === 0) return value ?? (isSequence(variable) ? '[]' : '{}')
  if (depth > 2) return value ?? '…'
  const isTuple = children.every((child, at) => child.name === String(at))
  const isList = children.every(child => child.name.startsWith('[') || child.name === '…')
  const parts: string[] = []
  let left = max
  for (const child of children) {
    if (left <= 0) {
      parts.push('…')
      break
    }
    const inside = child.name === '…' ? '…' : say(child, left, depth + 1)
    const part = isTuple || isList ? inside : `${child.name}: ${inside}`
    parts.push(part)
    left -= part.length + 2
  }
  const all = parts.join(', ')
  if (isList) return `[${all}]`
  if (isTuple) return `${value ?? ''}(${all})`
  return value === null ? `{${all}}` : `${value} {${all}}`
}

function isSequence(variable: VariableShape): boolean {
  return /^[&*]*(?:\w+::)*(?:Vec|VecDeque|vector|deque|list|HashMap|BTreeMap|HashSet|BTreeSet|map|set|unordered_\w+)\b|^\[/.test(variable.type)
}

function cut(text: string, max: number): string {
  return text.length <= max ? text : `${text.slice(0, Math.max(0, max - 1))}…`
}

/** Values to stand beside the source lines that name them. */
export function inlineValues(text: string, variables: readonly VariableShape[], max = 3): { name: string; value: string }[] {
  const found: { name: string; value: string; at: number }[] = []
  for (const variable of variables) {
    if (!/^[\p{Alphabetic}_$][\p{Alphabetic}\p{N}_$]*$/u.test(variable.name) || found.some(one => one.name === variable.name)) continue
    const at = wordAt(text, variable.name)
    if (at < 0) continue
    const value = preview(variable, 40)
    if (value !== '') found.push({ name: variable.name, value, at })
  }
  return found.sort((a, b) => a.at - b.at).slice(0, max).map(({ name, value }) => ({ name, value }))
}

/** Where `word` stands in code: not as a field of something else, not in a text or a comment. */
function wordAt(text: string, word: string): number {
  const code = text.replace(/"(?:[^"\\]|\\.)*"?/g, quoted => ' '.repeat(quoted.length)).replace(/\/\/.*$/, '')
  const escaped = word.replaceAll('$', '\\$')
  return new RegExp(`(?<![\\w$.]|->)${escaped}(?![\\w$(]|::|!)`, 'u').exec(code)?.index ?? -1
}
