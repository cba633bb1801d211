// From the alert's link to the end of the hold, in a real browser against a real daemon whose shop breaks.
//
// Started by `crates/freezeframe/tests/workbench.rs`, which makes the shop break when this says `ready` and then writes the incident's
// number to our standard input. By hand, against a daemon that has one already: PAGE=http://127.0.0.1:7070 TOKEN=… node test/e2e.mjs INC-1

import { createInterface } from 'node:readline'
import { launch, open } from './browser.mjs'
import { ARTIFACTS, Findings, overflow, picture, violations } from './checks.mjs'

const { PAGE, TOKEN, LIMIT_MS = '3000' } = process.env
if (PAGE === undefined || TOKEN === undefined) throw new Error('PAGE and TOKEN say where the daemon is and how to get in')

const found = new Findings()
const browser = await launch()
const { page, complaints, context } = await open(browser)
page.setDefaultTimeout(30_000)

// Whoever is called at night has the browser open.
await page.goto(`${PAGE}/login`)
await page.waitForSelector('form')
let id = process.argv[2]
if (id === undefined) {
  console.log('ready')
  const lines = createInterface({ input: process.stdin })
  id = (await lines[Symbol.asyncIterator]().next()).value
  lines.close()
}

for (const step of [signIn, look, variables, people, keyboard, otherViews, phone, endOfTheHold]) {
  try {
    await step()
  } catch (error) {
    await picture(page, `e2e-failed-${step.name}`)
    console.log(`in ${step.name}: ${error.stack}`)
    process.exit(1)
  }
}

// Before the login, and for a name that there is not, the daemon refuses; the browser writes that down.
found.none(complaints.filter(text => !/status of 40[14]/.test(text)), 'the console is not empty')
await browser.close()
found.end(`end to end, ${id}`)

/** The link of the alert leads to the login, and behind it to what it names. */
async function signIn() {
  await page.goto(`${PAGE}/i/${id}`)
  await page.waitForSelector('main.login')
  found.none(await violations(page), 'the login is not accessible')
  await picture(page, 'e2e-login')
  await page.getByRole('button', { name: 'Token' }).click()
  await page.getByLabel('Token').last().fill('wrong')
  await page.getByRole('button', { name: 'Sign in' }).click()
  await page.waitForSelector('[role=alert]')
  await page.locator('input[name=token]').fill(TOKEN)
  await page.getByRole('button', { name: 'Sign in' }).click()
}

/** What broke, where, and with which values: without a click, and within seconds of the crash. */
async function look() {
  const line = page.locator('.source tr.at .code').first()
  await line.waitFor()
  const seen = Date.now()
  found.expect(page.url() === `${PAGE}/i/${id}`, `the login leads to ${page.url()}`)
  const crashed = Date.parse(await page.locator('.head time').first().getAttribute('datetime'))
  console.log(`the error line was seen ${seen - crashed} ms after the crash`)
  found.expect(seen - crashed < Number(LIMIT_MS), `the error line was seen only ${seen - crashed} ms after the crash`)
  found.expect((await line.textContent()).includes('total_weight'), `the error line reads ${await line.textContent()}`)
  found.expect((await page.textContent('h1')) === 'attempt to divide by zero', `the headline reads ${await page.textContent('h1')}`)
  if (await captured()) {
    const beside = await page.locator('.source .held').textContent()
    found.expect(beside.includes('total_weight = 0'), `beside the error line stands ${beside}`)
  } else {
    console.log('this machine was too busy to decode the values in time; they are asked of the held process')
  }
  await page.locator('.state.held').waitFor()
  await page.locator('.live.live').waitFor()
  const impact = await page.textContent('.impact')
  found.expect(/Replaced in/.test(impact) && /Lease ends in/.test(impact), `the impact reads ${impact}`)
  for (const scheme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme: scheme })
    found.none(await violations(page), `the incident is not accessible (${scheme})`)
    await picture(page, `e2e-incident-${scheme}`)
  }
}

/** Whether values were decoded before the time for it ran out. */
async function captured() {
  return await page.locator('.variables .row').count() > 0
}

/** A row of the variables by its name. */
function row(name) {
  return page.locator('.variables .row').filter({ has: page.locator('.name', { hasText: new RegExp(`^\\W*${name}$`) }) }).first()
}

async function variables() {
  const there = await captured()
  if (!there) {
    await page.locator('[data-evaluate]').fill('basket')
    await page.keyboard.press('Enter')
  }
  await row('basket').waitFor()
  // An optimised build has taken the basket to pieces: there the weights of what is in it are looked into.
  if ((await row('basket').textContent()).includes('optimised out')) {
    await row('weights').locator('.name').click()
    await row('\\[0\\]').waitFor()
    found.expect((await row('\\[0\\]').textContent()).includes('0'), 'the first weight is not 0')
  } else {
    await row('basket').locator('.name').click()
    await row('buyer').locator('.name').click()
    await row('email').waitFor()
    found.expect(!there || (await row('email').textContent()).includes('grace@example.net'), 'the buyer is not grace')
  }
  // What is redacted is shown to whoever says why, and is in the audit log first.
  await row('session_token').getByRole('button', { name: 'Reveal' }).click()
  found.none(await violations(page), 'the dialog of the redaction is not accessible')
  await picture(page, 'e2e-reveal')
  await page.getByLabel('Reason').fill('comparing it with the log of the gate')
  await page.getByRole('button', { name: 'Reveal and log' }).click()
  await page.locator('.variables .revealed').first().waitFor()
  const secret = await page.locator('.variables .revealed').first().textContent()
  found.expect(/"[^"]{8,}"/.test(secret), `behind the redaction is ${secret}`)
  await trail(secret)
  // A question of one's own, answered by the held process.
  await page.locator('[data-evaluate]').fill('coupon_cents * 2')
  await page.keyboard.press('Enter')
  await row('coupon_cents \\* 2').waitFor()
  found.expect((await row('coupon_cents \\* 2').textContent()).includes('1000'), 'coupon_cents * 2 is not 1000')
  await page.locator('[data-evaluate]').fill('coupon_cent')
  await page.keyboard.press('Enter')
  await page.locator('.question [role=alert]').waitFor()
  found.expect((await page.textContent('.question [role=alert]')).includes('coupon_cents'), 'the nearest name is not said')
}

/** Who looked, at what and why; but not what was seen. */
async function trail(secret) {
  await page.keyboard.press('8')
  await page.locator('tr.attention').waitFor()
  const entry = await page.locator('tr.attention').first().textContent()
  found.expect(entry.includes('reveal') && entry.includes('comparing it with the log of the gate'), `the audit log says ${entry}`)
  found.expect(!entry.includes(secret.replace(/^.*?"/, '').replace('"', '')), 'the secret is in the audit log')
}

/** Who has it, and what was found out: also in the other window. */
async function people() {
  const other = await context.newPage()
  await other.goto(`${PAGE}/i/${id}?tab=notes`)
  await other.locator('.live.live').waitFor()
  await page.keyboard.press('Escape')
  await page.keyboard.press('m')
  await page.locator('.owner strong').waitFor()
  await other.locator('.owner strong').waitFor()
  await page.keyboard.press('7')
  await page.locator('.notes textarea').fill('E-books weigh nothing.')
  await page.keyboard.press('Control+Enter')
  await other.locator('.notes li', { hasText: 'E-books weigh nothing.' }).waitFor()
  await other.close()
}

/** Everything without a mouse; the address follows. */
async function keyboard() {
  await page.goto(`${PAGE}/i/${id}`)
  await page.waitForSelector('.source tr.at')
  const site = await page.textContent('.variables-pane h2')
  await page.keyboard.press(']')
  await page.waitForURL(/frame=\d+/)
  found.expect((await page.textContent('.variables-pane h2')) !== site, 'the caller is not shown')
  await page.goBack()
  await page.waitForURL(url => !url.search.includes('frame'))
  await page.keyboard.press('4')
  await page.waitForURL(/tab=threads/)
  await page.locator('.threads .row').nth(1).waitFor()
  await page.keyboard.press('j')
  await page.waitForURL(/thread=\d+/)
  await page.locator('.stack-pane').getByRole('button', { name: 'Failing thread' }).waitFor()
  const link = page.url()
  await page.reload()
  await page.locator('.stack-pane').getByRole('button', { name: 'Failing thread' }).waitFor()
  found.expect(page.url() === link, 'a permalink does not stay what it is')
  await page.keyboard.press('2')
  await page.locator('.logs .row').first().waitFor()
  await page.keyboard.press('/')
  await page.keyboard.type('divide by zero')
  await page.waitForFunction(() => document.querySelectorAll('.logs .row').length < 8)
  await page.keyboard.press('Escape')
  await page.keyboard.press('Escape')
  await page.keyboard.press('?')
  await page.locator('dialog.help').waitFor()
  await page.keyboard.press('Escape')
  await page.keyboard.press('Control+k')
  await page.locator('dialog.palette input:focus').waitFor()
  await page.keyboard.type('site')
  await page.keyboard.press('Enter')
  await page.waitForURL(url => !url.search.includes('thread'))
  await page.keyboard.press('y')
  await page.locator('.toast', { hasText: 'Markdown' }).waitFor()
  const markdown = await page.evaluate(() => navigator.clipboard.readText())
  found.expect(markdown.includes('attempt to divide by zero') && markdown.includes(id), `the Markdown begins ${markdown.slice(0, 80)}`)
  for (const tab of ['timeline', 'request', 'tasks', 'not_captured', 'about']) {
    await page.goto(`${PAGE}/i/${id}?tab=${tab}`)
    await page.waitForSelector('#section > *')
    await page.waitForFunction(() => document.querySelector('.pending') === null)
    found.none(await page.locator('#section .failed').allTextContents(), `the section ${tab} failed`)
    found.none(await violations(page), `the section ${tab} is not accessible`)
    await picture(page, `e2e-${tab}`)
  }
}

async function otherViews() {
  await page.keyboard.press('g')
  await page.keyboard.press('f')
  await page.waitForURL(`${PAGE}/fleet`)
  await page.locator('.instances tbody tr').first().waitFor()
  await page.locator('.heat, .charts .nothing').first().waitFor()
  found.expect(await page.locator('.held a').count() === 1, 'what is held is not on the fleet page')
  found.none(await violations(page), 'the fleet is not accessible')
  await picture(page, 'e2e-fleet')
  await page.keyboard.press('g')
  await page.keyboard.press('i')
  await page.waitForURL(`${PAGE}/incidents`)
  await page.locator('.incident-list .row').first().waitFor()
  found.none(await violations(page), 'the list is not accessible')
  await picture(page, 'e2e-incidents')
  await page.keyboard.press('j')
  await page.keyboard.press('Enter')
  await page.waitForURL(`${PAGE}/i/${id}`)
}

async function phone() {
  const small = await context.newPage()
  await small.setViewportSize({ width: 390, height: 844 })
  for (const path of [`/i/${id}`, '/fleet', '/incidents']) {
    await small.goto(PAGE + path)
    await small.waitForSelector('main :is(h1, .virtual)')
    await small.waitForFunction(() => document.querySelector('.pending') === null)
    found.expect(await overflow(small) <= 0, `${path} is wider than a phone`)
    found.none(await violations(small), `${path} is not accessible on a phone`)
    await small.screenshot({ path: `${ARTIFACTS}/e2e-phone${path.replaceAll('/', '-')}.png`, fullPage: true })
  }
  await small.close()
}

/** Longer first, then no more: each behind a dialog that says what follows. */
async function endOfTheHold() {
  const lease = async () => {
    const [hours, minutes, seconds] = (await page.textContent('.lease b')).split(':').map(Number)
    return hours * 3600 + minutes * 60 + seconds
  }
  const before = await lease()
  await page.keyboard.press('e')
  await page.getByLabel('1 hour').check()
  await page.getByRole('button', { name: 'Extend', exact: true }).click()
  await page.waitForFunction(than => {
    const [hours, minutes, seconds] = (document.querySelector('.lease b')?.textContent ?? '').split(':').map(Number)
    return hours * 3600 + minutes * 60 + seconds > than + 3000
  }, before)
  await page.getByRole('button', { name: 'Release…' }).click()
  const words = await page.textContent('dialog')
  found.expect(/cannot be held again/.test(words), `the dialog says ${words}`)
  found.none(await violations(page), 'the dialog of the release is not accessible')
  await page.keyboard.press('Enter')
  await page.waitForFunction(() => document.querySelector('dialog') === null)
  found.expect(await page.locator('.state.held').count() === 1, 'Enter alone released it')
  await page.getByRole('button', { name: 'Release…' }).click()
  await page.getByRole('button', { name: 'Release it' }).click()
  await page.locator('.state.released').waitFor()
  found.expect(await page.getByRole('button', { name: 'Kill…' }).isDisabled(), 'what is released can be killed')
  // What was captured stays.
  await page.locator('.source tr.at').first().waitFor()
  await picture(page, 'e2e-released')
}
