import { expect, test } from 'vitest'
import { tokens, type Carry } from './highlight'

const kinds = (line: string) => tokens(line).filter(token => token.text.trim() !== '').map(token => `${token.kind}:${token.text.trim()}`)

test('a line of Rust', () => {
  expect(kinds('    let rate = coupon_cents * 1000 / total(&items)?; // why'))
    .toEqual(['keyword:let', 'plain:rate', 'punctuation:=', 'plain:coupon_cents', 'punctuation:*', 'number:1000', 'punctuation:/',
      'function:total', 'punctuation:(&', 'plain:items', 'punctuation:)?;', 'comment:// why'])
  expect(kinds('println!("{}", \'a\', x: &\'a Vec<u8>)'))
    .toEqual(['macro:println', 'punctuation:!(', 'string:"{}"', 'punctuation:,', "string:'a'", 'punctuation:,', 'plain:x', 'punctuation:: &',
      "macro:'a", 'type:Vec', 'punctuation:<', 'type:u8', 'punctuation:>)'])
})

test('nothing is lost or added, whatever the line', () => {
  for (const line of ['', '   ', '"open', "'", "'\\", '/* open', 'r#"raw" "# x', '\u{1f600} é ‹x›', '#include <vector>', '0x', '`', '1..2']) {
    expect(tokens(line).map(token => token.text).join('')).toBe(line)
  }
})

test('a block comment goes on over lines', () => {
  const carry: Carry = { comment: 0 }
  expect(tokens('a /* b', carry).at(-1)).toEqual({ kind: 'comment', text: '/* b' })
  expect(tokens('still', carry)).toEqual([{ kind: 'comment', text: 'still' }])
  expect(tokens('c */ int', carry).at(-1)?.kind).toBe('type')
})
