import { expect, test } from 'vitest'
import type { ValueAnswer, VariableShape } from '../api/types'
import { PAGE, Tree, type Ask } from './tree'

const variable = (name: string, rest: Partial<VariableShape> = {}): VariableShape =>
  ({ name, type: '', value: null, children: [], unavailable: null, ...rest })
const answer = (value: VariableShape): ValueAnswer =>
  ({ schema: '', incident: '', expression: '', thread: 1, frame: 0, function: '', source: 'process', note: null, value })
const names = (tree: Tree) => tree.rows.map(row => '  '.repeat(row.depth) + row.shape.name)

test('rows open and close; a pointer opens into what it points to', async () => {
  const basket = variable('basket', { children: [variable('*', { children: [variable('items', { value: '2' }), variable('buyer', { value: '"x"' })] })] })
  const tree = new Tree([basket, variable('cents', { value: '5' })], null)
  expect(names(tree)).toEqual(['basket', 'cents'])
  await tree.open(tree.rows[0]!)
  expect(names(tree)).toEqual(['basket', '  items', '  buyer', 'cents'])
  expect(tree.rows[1]!.path).toBe('basket.*.items')
  tree.close(tree.rows[0]!)
  expect(names(tree)).toEqual(['basket', 'cents'])
})

test('what was cut off is asked for, page by page', async () => {
  const asked: [string, number][] = []
  const element = (at: number) => variable(`[${at}]`, { value: String(at) })
  const rest = variable('…', { unavailable: 'left out: more', expandable: true })
  const ask: Ask = (expression, offset) => {
    asked.push([expression, offset])
    const children = Array.from({ length: PAGE }, (_, at) => element(offset + at))
    return Promise.resolve(answer(variable(expression, { children: offset === 0 ? [...children, rest] : children })))
  }
  const tree = new Tree([variable('items', { unavailable: 'left out: too deep', expandable: true })], ask)
  await tree.open(tree.rows[0]!)
  expect(tree.rows.length).toBe(1 + PAGE + 1)
  await tree.open(tree.rows.at(-1)!)
  expect(tree.rows.length).toBe(1 + 2 * PAGE)
  expect(tree.rows.at(-1)!.path).toBe(`items[${2 * PAGE - 1}]`)
  expect(tree.rows.at(-1)!.source).toBe('process')
  expect(asked).toEqual([['items', 0], ['items', PAGE]])
})

test('a refused question is said at its row, and can be asked again', async () => {
  let refuse = true
  const ask: Ask = () => refuse ? Promise.reject(new Error('the process is gone')) : Promise.resolve(answer(variable('a', { value: '1' })))
  const tree = new Tree([variable('a', { unavailable: 'left out: too deep', expandable: true })], ask)
  await tree.open(tree.rows[0]!)
  expect(tree.rows[0]!.failure).toBe('the process is gone')
  refuse = false
  await tree.open(tree.rows[0]!)
  expect(tree.rows[0]!.shape.value).toBe('1')
})

test('a hundred thousand nodes are flattened in a moment', async () => {
  const wide = Array.from({ length: 1000 }, (_, a) =>
    variable(`[${a}]`, { children: Array.from({ length: 100 }, (_, b) => variable(`f${b}`, { value: '1' })) }))
  const tree = new Tree([variable('all', { children: wide })], null)
  await tree.open(tree.rows[0]!)
  for (const row of tree.rows.slice(1)) {
    row.open = true
    row.parts = null
  }
  const began = performance.now()
  for (const row of tree.rows.slice(1, 4)) await tree.open(row)
  expect(performance.now() - began).toBeLessThan(500)
  expect(tree.rows.length).toBeGreaterThanOrEqual(1001 + 300)
})
