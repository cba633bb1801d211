import { expect, test } from 'vitest'
import { grid, heat, height, merged, percentile, ticks } from './heat'

const column = (buckets: [number, number][]) => ({ at: '', requests: 0, shed: 0, errors: 0, buckets })

test('percentiles are those of the buckets', () => {
  expect(percentile([[1000, 50], [2000, 49], [90_000, 1]], 0.5)).toBe(1)
  expect(percentile([[1000, 50], [2000, 49], [90_000, 1]], 0.99)).toBe(2)
  expect(percentile([[1000, 50], [2000, 49], [90_000, 1]], 1)).toBe(90)
  expect(percentile([], 0.5)).toBeNull()
})

test('histograms add up without loss', () => {
  expect(merged([[[1, 2], [4, 1]], [[2, 5], [4, 1]]])).toEqual([[1, 2], [2, 5], [4, 2]])
})

test('every request is in a cell, in the row of its duration', () => {
  const found = grid([column([[1000, 3], [1_000_000, 1]]), column([]), column([[31_622, 7]])], 20)!
  expect(found.cells.reduce((sum, count) => sum + count, 0)).toBe(11)
  expect([found.cells[0], found.cells[19], found.max]).toEqual([3, 1, 7])
  const middle = found.cells.indexOf(7) - 2 * 20
  expect(found.bounds[middle]! <= 31_622 && 31_622 <= found.bounds[middle + 1]! * 1.03).toBe(true)
  expect(height(found, found.bounds[0]!)).toBe(0)
  expect(height(found, found.bounds[20]!)).toBeCloseTo(1)
  expect(ticks(found)).toContain(10_000)
})

test('one duration alone, and none', () => {
  expect(grid([column([[500, 1]])], 10)?.cells.reduce((sum, count) => sum + count, 0)).toBe(1)
  expect(grid([column([]), column([[0, 4]])], 10)).toBeNull()
})

test('a rare request is seen, none is not', () => {
  expect([heat(0, 1000), heat(1000, 1000)]).toEqual([0, 1])
  expect(heat(1, 1000)).toBeGreaterThan(0.1)
})
