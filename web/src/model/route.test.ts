import { expect, test } from 'vitest'
import { format, ownPath, parse } from './route'

test('an address is what is looked at, and comes back as it was', () => {
  for (const address of ['/i/INC-42', '/i/INC-42?thread=4121&frame=0&tab=logs', '/fleet', '/incidents', '/login?next=%2Fi%2FINC-42']) {
    const url = new URL(address, 'http://127.0.0.1')
    expect(format(parse(url.pathname, url.search))).toBe(address)
  }
  expect(parse('/', '')).toEqual({ view: 'incidents' })
  expect(parse('/i/inc-7/', '?frame=3')).toEqual({ view: 'incident', id: 'INC-7', thread: null, frame: 3, tab: null })
})

test('what is not understood is left out', () => {
  expect(parse('/i/INC-1', '?thread=-1&frame=1e9&tab=<b>')).toEqual({ view: 'incident', id: 'INC-1', thread: null, frame: null, tab: null })
  expect(parse('/i/INC-1/secret', '')).toEqual({ view: 'nowhere', path: '/i/INC-1/secret' })
})

test('a login leads to our own pages only', () => {
  expect(ownPath('/i/INC-42?tab=logs')).toBe('/i/INC-42?tab=logs')
  for (const bad of ['https://evil.example/', '//evil.example', '/\\evil.example', 'javascript:alert(1)', '/login', null]) {
    expect(ownPath(bad)).toBe('/')
  }
})
