import { expect, test } from 'vitest'
import type { VariableShape } from '../api/types'
import { inlineValues, preview } from './preview'

const variable = (name: string, rest: Partial<VariableShape> = {}): VariableShape =>
  ({ name, type: '', value: null, children: [], unavailable: null, ...rest })

test('values are said in a few characters', () => {
  const some = variable('user', { value: 'Some', children: [variable('0', { value: '3' })] })
  const list = variable('weights', { type: 'Vec<i64>', children: [variable('[0]', { value: '0' }), variable('[1]', { value: '0' })] })
  const record = variable('line', { children: [variable('quantity', { value: '2' }), variable('name', { value: '"tea"' })] })
  const pointer = variable('basket', { value: '0x7f35', children: [variable('*', { children: record.children })] })
  expect([some, list, record, pointer].map(shape => preview(shape)))
    .toEqual(['Some(3)', '[0, 0]', '{quantity: 2, name: "tea"}', '{quantity: 2, name: "tea"}'])
})

test('what is missing says so, and nothing is longer than asked', () => {
  expect(preview(variable('a', { unavailable: 'redacted: session' }))).toBe('‹redacted›')
  expect(preview(variable('a', { unavailable: 'optimised out' }))).toBe('‹optimised out›')
  expect(preview(variable('a', { unavailable: 'left out: 36 more' }))).toBe('…')
  expect(preview(variable('a', { type: 'alloc::vec::Vec<u8>' }))).toBe('[]')
  const long = variable('a', { children: Array.from({ length: 5000 }, (_, at) => variable(`[${at}]`, { value: '12345' })) })
  expect(preview(long, 20).length).toBeLessThanOrEqual(20)
})

test('values stand beside the lines that name them', () => {
  const variables = [variable('rate', { value: '0' }), variable('cents', { value: '500' }), variable('e', { value: '1' }), variable('items', { value: '2' })]
  expect(inlineValues('    let rate = cents / e.total; // items', variables))
    .toEqual([{ name: 'rate', value: '0' }, { name: 'cents', value: '500' }, { name: 'e', value: '1' }])
  expect(inlineValues('log("rate", self.rate, rate(1), rate::X)', variables)).toEqual([])
})
