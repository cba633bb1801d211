// Full histograms of durations over time: what a percentile hides is in them. A bucket begins at its upper bound divided by 2^(1/32).

import type { HistoryColumn } from '../api/types'

/** Buckets as the daemon sends them: upper bound in microseconds, how many. */
export type Buckets = readonly (readonly [number, number])[]

const STEP = 2 ** (1 / 32)

/** The duration, in milliseconds, that this part of the requests did not exceed; null without requests. */
export function percentile(buckets: Buckets, part: number): number | null {
  const total = buckets.reduce((sum, [, count]) => sum + count, 0)
  if (total === 0) return null
  let left = Math.max(1, Math.ceil(total * part))
  for (const [bound, count] of buckets) {
    left -= count
    if (left <= 0) return bound / 1000
  }
  return (buckets.at(-1)?.[0] ?? 0) / 1000
}

/** Histograms added up. */
export function merged(all: readonly Buckets[]): Buckets {
  const sums = new Map<number, number>()
  for (const buckets of all) for (const [bound, count] of buckets) sums.set(bound, (sums.get(bound) ?? 0) + count)
  return [...sums].sort((a, b) => a[0] - b[0])
}

/** A heat map's cells: rows from short to long on a logarithmic scale, columns over time. */
export interface Grid {
  rows: number
  columns: number
  /** Bounds of the rows in microseconds, one more than there are rows. */
  bounds: number[]
  /** Requests per cell, column by column. */
  cells: Float64Array
  max: number
}

/** Puts the columns' buckets into at most `rows` rows. */
export function grid(columns: readonly HistoryColumn[], rows: number): Grid | null {
  let [low, high] = [Infinity, 0]
  for (const { buckets } of columns) {
    for (const [bound, count] of buckets) {
      if (count === 0 || bound <= 0) continue
      low = Math.min(low, bound / STEP)
      high = Math.max(high, bound)
    }
  }
  if (high === 0) return null
  // A single value still has a row above and below it.
  low = Math.max(1, low / STEP)
  high *= STEP
  const scale = Math.log2(high / low)
  const bounds = Array.from({ length: rows + 1 }, (_, row) => low * 2 ** ((scale * row) / rows))
  const cells = new Float64Array(columns.length * rows)
  let max = 0
  columns.forEach(({ buckets }, column) => {
    for (const [bound, count] of buckets) {
      // The middle of the bucket says which row it is in.
      const row = Math.floor((Math.log2(Math.max(low, bound / Math.sqrt(STEP)) / low) / scale) * rows)
      const at = column * rows + Math.max(0, Math.min(rows - 1, row))
      cells[at] = (cells[at] ?? 0) + count
      max = Math.max(max, cells[at]!)
    }
  })
  return { rows, columns: columns.length, bounds, cells, max }
}

/** Where a duration stands between bottom (0) and top (1). */
export function height(of: Grid, us: number): number {
  const [low, high] = [of.bounds[0]!, of.bounds[of.rows]!]
  return Math.log2(us / low) / Math.log2(high / low)
}

/** Round durations within the grid, in microseconds, to be written at its side. */
export function ticks(of: Grid): number[] {
  const found: number[] = []
  for (let power = 1; power <= 1e10; power *= 10) {
    for (const step of [1, 3]) if (power * step > of.bounds[0]! && power * step < of.bounds[of.rows]!) found.push(power * step)
  }
  return found.length > 7 ? found.filter(us => Number.isInteger(Math.log10(us))) : found
}

/** How strongly a cell is coloured, 0 to 1: roots, because a rare slow request must be seen beside thousands of fast ones. */
export function heat(count: number, max: number): number {
  return count <= 0 ? 0 : 0.08 + 0.92 * Math.sqrt(count / max)
}
