import { expect, test } from 'vitest'
import { rootPath, step } from './path'

test('paths are what the daemon reads', () => {
  const path = (...names: string[]) => names.slice(1).reduce(step, rootPath(names[0]!))
  expect(path('order', 'items', '[3]', 'price')).toBe('order.items[3].price')
  expect(path('order', '*', '0')).toBe('order.*.0')
  expect(path('self', 'größe')).toBe('self.größe')
  expect(path('shop::LIMIT')).toBe('shop::LIMIT')
  expect(path('true', 'a b')).toBe('`true`.`a b`')
  expect(path('map', '["key"]')).toBe('map["key"]')
  expect(path('x', 'a`b')).toBe('x.`ab`')
})
