import { expect, test } from 'vitest'
import { amount, bytes, countdown, duration, plain, place, preciseClock, utc } from './words'

test('durations are said as people say them', () => {
  const said = [0, 0.999, 1.26, 126, 4249, 59_999, 1_020_000, 13_620_000, 187_200_000].map(duration)
  expect(said).toEqual(['0 ms', '999 µs', '1.2 ms', '126 ms', '4.2 s', '59.9 s', '17 min', '3 h 47 min', '2 d 4 h'])
  expect([Number.NaN, -5, 4].map(duration)).toEqual(['0 ms', '0 ms', '4 ms'])
})

test('a lease counts down in hours, minutes and seconds', () => {
  expect([-1, 0, 1, 59_001, 13_632_000, 90_061_000].map(countdown)).toEqual(['0:00:00', '0:00:00', '0:00:01', '0:01:00', '3:47:12', '1 d 1:01:01'])
})

test('times, sizes, amounts and places', () => {
  expect(utc('2026-11-21T03:11:58.042Z')).toBe('2026-11-21 03:11:58 UTC')
  expect(preciseClock('2026-11-21T03:11:58.042Z')).toBe('03:11:58.042')
  expect([0, 1023, 1024, 3_565_158].map(bytes)).toEqual(['0 B', '1023 B', '1.0 KiB', '3.3 MiB'])
  expect([0.25, 812, 4_123, 12_000_000].map(amount)).toEqual(['0.2', '812', '4.1k', '12M'])
  expect([place('', 3), place('a.rs', 0), place('a.rs', 7)]).toEqual(['', 'a.rs', 'a.rs:7'])
})

test('what would make text read as something else is made visible', () => {
  expect(plain('a\u202eb\u0000c\u001b[31m\td\n')).toBe('a\\u{202e}b\\u{0}c\\u{1b}[31m\td\n')
})
