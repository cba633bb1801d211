// A real browser for the tests: Debian's chromium, driven by playwright-core.

import { chromium } from 'playwright-core'
import { existsSync } from 'node:fs'

/** Where a browser is; what `CHROMIUM` names comes first. */
export const CHROMIUM = [process.env.CHROMIUM, '/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(path => path !== undefined && existsSync(path))

export function launch() {
  if (CHROMIUM === undefined) throw new Error('no chromium: apt-get install chromium, or name one by CHROMIUM')
  return chromium.launch({
    executablePath: CHROMIUM,
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync', '--disable-dev-shm-usage'],
  })
}

/** A page whose console is listened to: `complaints` fills with everything in it that is a warning or worse. */
export async function open(browser, { width = 1440, height = 900, scheme = 'dark' } = {}) {
  const context = await browser.newContext({ viewport: { width, height }, colorScheme: scheme, reducedMotion: 'reduce', hasTouch: width < 500 })
  await context.grantPermissions(['clipboard-read', 'clipboard-write'])
  const page = await context.newPage()
  const complaints = []
  page.on('console', message => { if (['warning', 'error'].includes(message.type())) complaints.push(message.text()) })
  page.on('pageerror', error => complaints.push(String(error)))
  return { page, complaints, context }
}
