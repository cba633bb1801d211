// Names of functions as people say them. A demangled name of generic code has hundreds of characters; which function it is,
// is in its last two words.

/** A function's name in short, and what kind of a body it is where it is not a plain one. */
export interface ShortName {
  /** `Harness::poll_inner`. */
  name: string
  /** `async`, `closure`, or nothing. */
  body: string
}

/** Shortens what a demangler wrote, for Rust and C++. */
export function shortFunction(full: string): ShortName {
  let text = withoutArguments(selfOf(full.replace(/\[[0-9a-f]{16}\]/g, '')))
  let body = ''
  // Innermost last: `checkout::{async_fn#0}::{closure#1}`.
  const inner = /(?:::)?\{+([a-z_]*)[^{}]*\}+$/
  for (let match = inner.exec(text); match !== null; match = inner.exec(text)) {
    const kind = match[1] ?? ''
    if (kind.startsWith('async')) body = 'async'
    else if (body === '') body = kind === 'vtable' ? '' : kind.startsWith('closure') ? 'closure' : ''
    text = text.slice(0, match.index)
  }
  const parts = text.split('::').filter(part => part !== '' && !/^\{+.*\}+$/.test(part))
  const name = parts.slice(-2).join('::')
  return { name: name === '' ? full : name, body }
}

/** `<A as B>::c` is about A: `A::c`. */
function selfOf(text: string): string {
  if (!text.startsWith('<')) return text
  const end = closing(text, 0)
  if (end < 0) return text
  const inside = text.slice(1, end)
  const at = topLevel(inside, ' as ')
  return (at < 0 ? inside : inside.slice(0, at)).replace(/^(?:&(?:mut )?|\*(?:const|mut) |dyn )+/, '') + text.slice(end + 1)
}

/** Without generic arguments, parameters, and what stands behind them (`const`, `[clone .cold]`). */
function withoutArguments(text: string): string {
  let depth = 0
  let out = ''
  for (let at = 0; at < text.length; at++) {
    const c = text[at]!
    if (text.startsWith('operator', at) && depth === 0) {
      const name = /^operator(?:\(\)|<=>|[-+*/%^&|~!=<>]{1,3}|\[\]|\s+[\w:]+)?/.exec(text.slice(at))?.[0] ?? c
      out += name
      at += name.length - 1
    } else if (text.startsWith('->', at)) {
      at += 1
    } else if (c === '<' || c === '(') {
      if (c === '(' && text.startsWith('(anonymous namespace)', at) && depth === 0) {
        at += '(anonymous namespace)'.length - 1
        continue
      }
      depth += 1
    } else if (c === '>' || c === ')') {
      depth = Math.max(0, depth - 1)
    } else if (depth === 0) {
      if (c === ' ' && /^ (?:const|volatile|noexcept|&|\[)/.test(text.slice(at))) break
      out += c
    }
  }
  // A C++ return type stands in front of the name.
  const name = out.replaceAll(/::(?=::)/g, '').trim()
  const space = name.startsWith('operator') || name.includes('::operator') ? -1 : name.lastIndexOf(' ')
  return space < 0 ? name : name.slice(space + 1)
}

function closing(text: string, from: number): number {
  let depth = 0
  for (let at = from; at < text.length; at++) {
    if (text.startsWith('->', at)) at += 1
    else if (text[at] === '<') depth += 1
    else if (text[at] === '>' && --depth === 0) return at
  }
  return -1
}

function topLevel(text: string, what: string): number {
  let depth = 0
  for (let at = 0; at < text.length; at++) {
    if (text.startsWith('->', at)) at += 1
    else if ('<([{'.includes(text[at]!)) depth += 1
    else if ('>)]}'.includes(text[at]!)) depth -= 1
    else if (depth === 0 && text.startsWith(what, at)) return at
  }
  return -1
}

/** A type without the modules of its parts: `Option<String>` for `core::option::Option<alloc::string::String>`. */
export function shortType(full: string): string {
  return full.replace(/(?:[A-Za-z_][A-Za-z0-9_]*::)+(?=[A-Za-z_{])/g, '')
}
