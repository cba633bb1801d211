// Source text in colours: just enough of Rust, C, C++ and Go to read a dozen lines faster. A line at a time, because that is what
// a capsule has; a comment or text that began above the first line is not known to be one.

export type TokenKind = 'plain' | 'keyword' | 'type' | 'string' | 'number' | 'comment' | 'function' | 'macro' | 'punctuation'

export interface Token {
  kind: TokenKind
  text: string
}

/** What is carried from one line to the next. */
export interface Carry {
  /** In a block comment, this deep; Rust's nest. */
  comment: number
}

const KEYWORDS = new Set(
  ('as async await break const continue crate dyn else enum extern fn for if impl in let loop match mod move mut pub ref return self Self ' +
    'static struct super trait type unsafe use where while yield true false auto case catch class constexpr decltype default delete do ' +
    'explicit export final friend goto inline namespace new noexcept nullptr operator override private protected public register sizeof ' +
    'switch template this throw try typedef typename union using virtual volatile func go defer chan select package import interface ' +
    'range var map fallthrough nil').split(' '),
)
const TYPES = new Set(
  ('bool char double float int long short signed unsigned void size_t ssize_t i8 i16 i32 i64 i128 isize u8 u16 u32 u64 u128 usize f32 f64 ' +
    'str int8_t int16_t int32_t int64_t uint8_t uint16_t uint32_t uint64_t uintptr_t string error byte rune').split(' '),
)

const SCANNER = new RegExp(
  [
    /(?<space>\s+)/,
    /(?<comment>\/\/.*|\/\*.*?(?:\*\/|$))/,
    /(?<string>(?:b|c)?r(?<hash>#*)".*?(?:"\k<hash>|$)|(?:b|c|L|u8?|U)?"(?:[^"\\]|\\.)*(?:"|$)|`[^`]*(?:`|$)|'(?:[^'\\]|\\.[^']*)')/,
    /(?<lifetime>'[A-Za-z_]\w*)/,
    /(?<number>\b0[xXbBoO][\da-fA-F_]+\w*|\b\d[\d_]*(?:\.\d[\d_]*)?(?:[eE][-+]?\d+)?\w*)/,
    /(?<word>[A-Za-z_$\u00a1-\uffff][\w$\u00a1-\uffff]*)/,
    /(?<other>.)/,
  ].map(part => part.source).join('|'),
  'gu',
)

/** The tokens of a line; `carry` is changed to what the next line begins with. */
export function tokens(line: string, carry: Carry = { comment: 0 }): Token[] {
  const out: Token[] = []
  const push = (kind: TokenKind, text: string) => {
    const last = out.at(-1)
    if (last !== undefined && last.kind === kind) last.text += text
    else if (text !== '') out.push({ kind, text })
  }
  let from = 0
  if (carry.comment > 0) {
    const end = line.indexOf('*/')
    if (end < 0) return [{ kind: 'comment', text: line }]
    push('comment', line.slice(0, end + 2))
    carry.comment = 0
    from = end + 2
  }
  // `#include <vector>`, `#[derive(Debug)]`: about the code, not of it.
  const directive = /^\s*#\s*(?:!?\[|[a-z]+).*/.exec(line)
  if (from === 0 && directive !== null) return [{ kind: 'macro', text: line }]
  SCANNER.lastIndex = from
  for (let match = SCANNER.exec(line); match !== null && match[0] !== ''; match = SCANNER.exec(line)) {
    const { space, comment, string, lifetime, number, word } = match.groups ?? {}
    const text = match[0]
    if (space !== undefined) push(out.at(-1)?.kind ?? 'plain', text)
    else if (comment !== undefined) {
      if (text.startsWith('/*') && (!text.endsWith('*/') || text.length < 4)) carry.comment = 1
      push('comment', text)
    } else if (string !== undefined) push('string', text)
    else if (lifetime !== undefined) push('macro', text)
    else if (number !== undefined) push('number', text)
    else if (word !== undefined) push(kindOf(word, line.slice(SCANNER.lastIndex)), text)
    else push('punctuation', text)
  }
  return out
}

function kindOf(word: string, rest: string): TokenKind {
  if (KEYWORDS.has(word)) return 'keyword'
  if (TYPES.has(word)) return 'type'
  if (/^!(?!=)/.test(rest)) return 'macro'
  if (/^(?:::<[^()]*>)?\s*\(/.test(rest)) return /^[A-Z]/.test(word) ? 'type' : 'function'
  return /^[A-Z][A-Za-z0-9]*[a-z]/.test(word) || /_t$/.test(word) ? 'type' : 'plain'
}
