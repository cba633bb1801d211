// What is checked of every page, whoever serves it.

import { readFileSync, mkdirSync } from 'node:fs'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')

/** Where pictures of what the tests saw are kept; git ignores it. */
export const ARTIFACTS = process.env.FREEZEFRAME_ARTIFACTS ?? fileURLToPath(new URL('../artifacts', import.meta.url))
mkdirSync(ARTIFACTS, { recursive: true })

/** Violations of accessibility rules, in words. The debugger's way in is not bound by the page's content security policy. */
export async function violations(page) {
  const debug = await page.context().newCDPSession(page)
  const run = expression => debug.send('Runtime.evaluate', { expression, awaitPromise: true, returnByValue: true })
  await run(AXE)
  const { result } = await run("axe.run(document, { resultTypes: ['violations'] }).then(found => JSON.stringify(found.violations.map(one => one.id + ': ' + one.help + ' — ' + one.nodes.slice(0, 3).map(node => node.target.join(' ') + ' ' + node.html.slice(0, 160) + ' ' + (node.any[0]?.message ?? '')).join(' | '))))")
  await debug.detach()
  return JSON.parse(result.value)
}

export async function picture(page, name) {
  await page.screenshot({ path: `${ARTIFACTS}/${name}.png` })
}

/** Nothing of the page sticks out at its side. */
export function overflow(page) {
  return page.evaluate(() => document.documentElement.scrollWidth - innerWidth)
}

/** The longest task of the page's own thread while `doing`, in milliseconds (the browser reports those over 50), and how far things moved. */
export async function longest(page, doing) {
  await page.evaluate(() => {
    window.longTasks = []
    window.watching = new PerformanceObserver(list => window.longTasks.push(...list.getEntries().map(entry => entry.duration)))
    window.watching.observe({ entryTypes: ['longtask'] })
  })
  await doing()
  return page.evaluate(() => new Promise(resolve => requestAnimationFrame(() => setTimeout(() => {
    window.watching.disconnect()
    resolve(Math.max(0, ...window.longTasks))
  }, 60))))
}

/** First contentful paint, in milliseconds after the address was asked for, and how far anything moved afterwards (0 is not at all). */
export async function paint(page) {
  return page.evaluate(() => new Promise(resolve => {
    const first = performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? Infinity
    new PerformanceObserver(list => resolve({ first, shift: list.getEntries().reduce((sum, entry) => sum + entry.value, 0) })).observe({ type: 'layout-shift', buffered: true })
    setTimeout(() => resolve({ first, shift: 0 }), 300)
  }))
}

/** Collects what is not as it should be, and says so at the end. */
export class Findings {
  #found = []
  #checked = 0

  expect(holds, what) {
    this.#checked += 1
    if (!holds) {
      this.#found.push(what)
      console.error(`✖ ${what}`)
    }
  }

  none(list, what) {
    this.expect(list.length === 0, `${what}: ${list.join('\n    ')}`)
  }

  end(name) {
    console.log(`${name}: ${this.#checked} checks, ${this.#found.length} failed`)
    process.exitCode = this.#found.length === 0 ? 0 : 1
  }
}
