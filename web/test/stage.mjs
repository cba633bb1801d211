// A stand-in for the daemon, for what a real one is seldom in: leases that are over, processes that are lost, a thousand threads. It serves
// the built page under the daemon's own content security policy. What a real daemon does is tested by `e2e`.
//
//   node test/stage.mjs [PORT]     then open http://127.0.0.1:PORT/i/INC-1

import { createServer } from 'node:http'
import { readFileSync, existsSync } from 'node:fs'
import { extname, join, normalize } from 'node:path'
import { fileURLToPath } from 'node:url'

const HERE = fileURLToPath(new URL('.', import.meta.url))
const REAL = JSON.parse(readFileSync(join(HERE, 'incident.json'), 'utf8'))
const KINDS = { '.html': 'text/html; charset=utf-8', '.js': 'text/javascript; charset=utf-8', '.css': 'text/css; charset=utf-8', '.svg': 'image/svg+xml' }
const POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; font-src 'self'; base-uri 'none'; " +
  "form-action 'self'; frame-ancestors 'none'; require-trusted-types-for 'script'"

const minutes = n => n * 60_000
const at = ms => new Date(Date.now() + ms).toISOString()
const variable = (name, type, value, children = [], more = {}) => ({ name, type, value, children, unavailable: null, ...more })

/** The real incident as its overview, with changes. */
function overview(changes = {}) {
  const { threads, tasks: _tasks, logs: _logs, journey: _journey, not_captured: _losses, schema: _schema, ...summary } = REAL
  const failing = threads[0]
  return {
    ...summary,
    schema: 'freezeframe-overview/1',
    captured_at: at(-minutes(12)),
    updated_at: at(-minutes(12)),
    requests_lost: 0,
    hold: { ...REAL.hold, lease_until: at(minutes(227)) },
    owner: null, acknowledged_at: null,
    replaced: { well: true, text: 'replaced in 4.4 ms' },
    lost: { well: true, text: 'none besides the failing one' },
    quarantine: { well: true, text: 'out of routing, frozen, network cut' },
    held_bytes: 48_234_496,
    first_seen: at(-minutes(12)), seen_before: 0,
    executable: '/usr/local/bin/shop', debug_info: 'full', build_since: at(-minutes(50)), build_age_ms: minutes(38), revision: null,
    failing, site_frame: failing.frames.findIndex(frame => frame.kind === 'user'),
    sections: [], notes: 1,
    ...changes,
  }
}

const DEEP = Array.from({ length: 3000 }, (_, n) => ({
  function: n % 40 === 39 ? 'tree::walk::{closure#0}<alloc::boxed::Box<dyn core::ops::function::FnMut(&tree::node::Node)>>' : 'tree::walk::descend_into_the_left_and_then_into_the_right_subtree',
  file: 'crates/tree/src/algorithms/traversal/depth_first_without_a_bound.rs', line: 100 + (n % 7), inlined: false, kind: n % 40 === 39 ? 'library' : 'user',
  address: '0x55d0c0de', variables: [variable('depth', 'usize', String(3000 - n))],
}))
const LONG = 'index out of bounds: the length of “orders_of_the_customer_by_month_and_warehouse” is 31 but the index is 4294967295, while recalculating ' +
  'https://shop.example/api/v2/customers/0191a4c8-7d0e-7c3a-9a1e-2f4b6d8e0a1c/orders?include=lines,prices,discounts,warehouses&sort=-placed_at'

/** 100,000 nodes: 100 × 1,000 at one's feet, and as many again for the asking. */
const WIDE = variable('orders', 'Vec<shop::order::Order>', null, Array.from({ length: 100 }, (_, a) =>
  variable(`[${a}]`, 'Order', null, Array.from({ length: 1000 }, (_, b) => variable(`line_${b}`, 'i64', String(a * b))))))

const stories = {
  'INC-1': {},
  'INC-2': {
    message: `${LONG}\nwhile holding the lock of the warehouse`, instance: 'customer-orders-recalculation-worker/118', count: 4312, seen_before: 190_233, first_seen: at(-minutes(60 * 24 * 41)),
    sentence: 'customer-orders-recalculation-worker/118 panicked in tree::walk::descend_into_the_left_and_then_into_the_right_subtree (crates/tree/src/algorithms/traversal/depth_first_without_a_bound.rs:104)',
    site: { function: 'tree::walk::descend_into_the_left_and_then_into_the_right_subtree', file: DEEP[0].file, line: 104 },
    replaced: { well: false, text: 'not replaced: no spare was ready' }, lost: { well: false, text: '17 besides the failing one' },
    quarantine: { well: false, text: 'out of routing, stopped, network not cut: missing CAP_NET_ADMIN' },
    owner: 'margarethe.von-hohenstein@operations.example', acknowledged_at: at(-minutes(7)),
    hold: { ...REAL.hold, strength: 'stopped', lease_until: at(minutes(4)) },
    failing: { ...REAL.threads[0], name: 'orders-recalculator-thread-number-17', frames: DEEP, truncated: 'more than 3000 frames' }, site_frame: 0,
    source: Array.from({ length: 11 }, (_, n) => ({ line: 99 + n, text: `                let ${n === 5 ? 'depth' : 'a_rather_long_name_of_something'} = self.descend_into_the_left_and_then_into_the_right_subtree(visitor, depth + ${n}, Ordering::DepthFirst)?.expect("a subtree");` })),
  },
  'INC-3': {
    state: 'expired', hold: { ...REAL.hold, pid: null, lease_until: null, description: 'core file kept' }, quarantine: { well: null, text: 'ended: expired' }, held_bytes: null,
    captured_at: at(-minutes(60 * 30)),
  },
  'INC-4': {
    state: 'lost', hold: { ...REAL.hold, pid: null, lease_until: null, description: '' }, quarantine: { well: null, text: 'ended: lost' }, held_bytes: null, owner: 'grace',
    acknowledged_at: at(-minutes(3)),
  },
  'INC-5': {
    debug_info: 'none', build_id: '', executable: null, build_age_ms: null, build_since: null, source: [], message: '', kind: 'SIGSEGV',
    sentence: 'legacyd/3 got SIGSEGV in 0x401f32', site: { function: '0x401f32', file: '', line: 0 }, instance: 'legacyd/3',
    failing: {
      ...REAL.threads[0], name: 'legacyd', truncated: 'no unwind information for 0x401f32',
      frames: ['0x401f32', 'handle_request', '0x40aa01', '__libc_start_main', '_start'].map((name, n) =>
        ({ function: name, file: '', line: 0, inlined: false, kind: n < 3 ? 'user' : 'library', address: `0x401f3${n}`, variables: [] })),
    },
    site_frame: 0,
  },
  'INC-6': {
    state: 'draining', failing: null, site_frame: null, source: [], timings_ms: { stopped: 1.2, unrouted: 2.4 }, replaced: { well: false, text: 'not replaced yet' },
    quarantine: { well: null, text: 'out of routing, other requests finish' }, notes: 0, held_bytes: null,
  },
  'INC-7': { failing: { ...REAL.threads[0], frames: REAL.threads[0].frames.map((frame, n) => n === 7 ? { ...frame, variables: [WIDE, ...frame.variables] } : frame) } },
  'INC-8': { state: 'killed', hold: { ...REAL.hold, pid: null, lease_until: null }, quarantine: { well: null, text: 'ended: killed' }, held_bytes: null, captured_at: at(-minutes(90)) },
}

const many = (count, make) => Array.from({ length: count }, (_, n) => make(n))
const logs = id => id === 'INC-7'
  ? many(10_000, n => ({ at: at(-minutes(20) + n * 50), stream: n % 9 === 0 ? 'stderr' : 'stdout', text: `2026-11-29T19:58:29.941Z ${['INFO', 'DEBUG', 'WARN', 'ERROR'][n % 13 % 4]} shop::routes: request ${n} took ${n % 97} ms ${'and said more '.repeat(n % 11)}` }))
  : id === 'INC-6' ? [] : [...REAL.logs, { at: at(0), stream: 'stderr', text: '\u001b[31mERROR\u001b[0m <img src=x onerror=alert(1)> \u202eevil' }]
const threadLine = (thread, n) => {
  const own = thread.frames.find(frame => frame.kind === 'user') ?? thread.frames[0]
  return {
    id: thread.id + n, name: thread.name, failing: thread.failing, state: thread.state, syscall: thread.syscall, blocked_on: thread.blocked_on, frames: thread.frames.length,
    activity: thread.syscall === null ? 'running' : n % 5 === 3 ? 'waits for a lock that thread 26551 probably owns' : `in ${thread.syscall}`,
    function: own?.function ?? '', place: own === undefined ? '' : `${own.file}:${own.line}`,
  }
}
const exchange = (seconds, method, path, status, more = {}) => ({
  at: at(-minutes(12) - seconds * 1000), method, path, traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01', instance: 1, status, duration_ms: 3.2 + seconds,
  retried: false, outcome: 'answered', detail: null, ...more,
})
const SECTIONS = {
  timeline: id => id === 'INC-6' ? [] : [
    { at: at(-minutes(12) - 21_000), kind: 'deploy', text: 'build 774f179 serves', who: null, is_bad: false },
    { at: at(-minutes(12) - 18_000), kind: 'journey', text: 'GET /cart 200 in 9 ms', who: null, is_bad: false },
    { at: at(-minutes(12) - 6_000), kind: 'journey', text: 'POST /cart/items 502 in 1.2 s, retried on shop/2', who: null, is_bad: true },
    { at: at(-minutes(12) - 120), kind: 'log', text: 'WARN shop::pricing: the basket weighs nothing', who: null, is_bad: true },
    { at: overview(stories[id]).captured_at, kind: 'trap', text: (stories[id].message ?? REAL.message) || 'SIGSEGV', who: null, is_bad: true },
    { at: at(-minutes(12) + 3), kind: 'unrouted', text: 'out of routing', who: null, is_bad: false },
    { at: at(-minutes(12) + 4), kind: 'replaced', text: 'shop/3 serves in its place', who: null, is_bad: false },
    { at: at(-minutes(12) + 1140), kind: 'captured', text: 'frames and variables decoded', who: null, is_bad: false },
    { at: at(-minutes(12) + 2038), kind: 'held', text: 'frozen, network cut', who: null, is_bad: false },
    { at: at(-minutes(11)), kind: 'alert', text: 'pager: delivered', who: null, is_bad: false },
    { at: at(-minutes(7)), kind: 'action', text: 'acknowledge', who: 'grace', is_bad: false },
    { at: at(-minutes(6)), kind: 'note', text: 'E-books weigh nothing: total_weight is 0 for a basket of digital goods.', who: 'grace', is_bad: false },
  ],
  logs,
  request: id => id === 'INC-6' ? [] : [
    { role: 'failing', matched_by: 'memory', exchange: exchange(0, 'POST', '/checkout', 0) },
    { role: 'in_flight', matched_by: null, exchange: exchange(0.4, 'GET', '/products', 0) },
    { role: 'in_flight', matched_by: null, exchange: exchange(0.1, 'GET', '/products/19', 0) },
    { role: 'journey', matched_by: null, exchange: exchange(18, 'GET', '/cart', 200) },
    { role: 'journey', matched_by: null, exchange: exchange(6, 'POST', '/cart/items', 502, { retried: true, outcome: 'upstream_failed', detail: 'connection reset' }) },
  ],
  threads: id => id === 'INC-7' ? many(1000, n => threadLine(REAL.threads[n === 0 ? 0 : 1 + (n % (REAL.threads.length - 1))], n)) : id === 'INC-6' ? [] : REAL.threads.map(thread => threadLine(thread, 0)),
  tasks: id => id === 'INC-6' ? [] : REAL.tasks,
  timings: id => Object.entries(overview(stories[id]).timings_ms).map(([name, after_ms]) => ({ name, title: name, after_ms })),
  modules: id => id === 'INC-5' ? [] : [{ path: '/usr/local/bin/shop', build_id: REAL.build_id, debug_info: 'full' }, { path: '/lib/x86_64-linux-gnu/libc.so.6', build_id: 'a'.repeat(40), debug_info: 'symbols only' }],
  not_captured: id => id === 'INC-6' ? [] : REAL.not_captured,
}
const TITLES = { timeline: 'Timeline', logs: 'Logs', request: 'Request', threads: 'Threads', tasks: 'Tasks', timings: 'Timings', modules: 'Modules', not_captured: 'Not captured' }

function history(empty) {
  const markers = empty ? [] : [
    { at: at(-minutes(50)), kind: 'deploy', incident: null, text: 'build 774f179 serves' },
    { at: at(-minutes(12)), kind: 'incident', incident: 'INC-1', text: 'attempt to divide by zero' },
    { at: at(-minutes(31)), kind: 'incident', incident: 'INC-8', text: 'attempt to divide by zero' },
  ]
  const columns = empty ? [] : many(360, n => {
    const wave = 1 + 0.4 * Math.sin(n / 40) + 0.12 * Math.sin(n * 1.7)
    const slow = n > 180 && n < 210 ? 12 : 1
    const buckets = new Map()
    const requests = Math.round(4100 * wave)
    for (let sample = 0; sample < 400; sample++) {
      const u = ((sample * 7919 + n * 104_729) % 400 + 0.5) / 400
      const us = 1400 * slow ** (u > 0.7 ? 1 : 0) * Math.exp(1.1 * Math.tan((u - 0.5) * 2.6) * 0.45)
      const bound = 2 ** (Math.ceil(Math.log2(us) * 32) / 32)
      buckets.set(bound, (buckets.get(bound) ?? 0) + requests / 400)
    }
    return { at: at(-minutes(60) + n * 10_000), requests, shed: slow > 1 ? Math.round(requests * 0.12) : 0, errors: n % 60 === 3 ? 14 : 0, buckets: [...buckets].map(([bound, count]) => [bound, Math.round(count)]).sort((a, b) => a[0] - b[0]) }
  })
  return { schema: 'freezeframe-fleet-history/1', column_s: 10, columns, markers }
}

function fleet(empty) {
  const instance = (id, role, more = {}) => ({
    id, role, pid: 4000 + id, port: 41_000 + id, since: at(-minutes(50 - id)), in_flight: role === 'serving' ? 3 + id : 0, armed: true, not_armed_because: null, incident: null,
    name: `shop/${id}`, build_id: REAL.build_id, rate_per_s: role === 'serving' ? 2050.4 : 0, p99_ms: role === 'serving' ? 310 : null, memory_bytes: 48_234_496 + id * 1e6,
    started_at: at(-minutes(50 - id)), lease_until: null, ...more,
  })
  const instances = empty ? [instance(1, 'starting', { pid: null, memory_bytes: null })] : [
    instance(2, 'serving'), instance(3, 'serving', { armed: false, not_armed_because: 'another program is tracing it' }),
    instance(1, 'held', { incident: 'INC-1', lease_until: at(minutes(227)) }), instance(4, 'spare'),
  ]
  const of = role => instances.filter(one => one.role === role).length
  return {
    schema: 'freezeframe-fleet/1', at: at(0), service: 'shop', serving: of('serving'), wanted: 2, held: of('held'), held_max: 3, spares: of('spare'), spares_wanted: 1,
    rate_per_s: empty ? 0 : 4100.8, shed_share: empty ? 0 : 0.002, error_share: empty ? 0 : 0.0004, p50_ms: empty ? null : 9.1, p99_ms: empty ? null : 310,
    held_bytes: empty ? 0 : 49_234_496, held_bytes_max: 2 ** 31, instances,
    gate: [{ name: 'shop', instances: of('serving'), in_flight: empty ? 0 : 9, in_flight_max: empty ? null : 64, queued: empty ? 0 : 2, queue_max: 128 }],
  }
}

/** Starts it; `root` is where the built page is. */
export function stage(root, port = 0) {
  const state = { signedIn: true, empty: false, roles: ['view', 'reveal', 'act', 'sql'], notes: new Map(), audit: new Map(), failSection: null, watchers: new Set() }
  const server = createServer((request, response) => {
    const url = new URL(request.url, 'http://127.0.0.1')
    const json = (status, body) => {
      response.writeHead(status, { 'content-type': 'application/json', 'cache-control': 'no-store' })
      response.end(JSON.stringify(body))
    }
    const refuse = (status, kind, message, hints = []) => json(status, { error: { kind, message, hints } })
    if (!url.pathname.startsWith('/api/')) return page(root, url, response)
    if (!state.signedIn && url.pathname !== '/api/v1/login') return refuse(401, 'unauthorized', 'sign in')
    let body = ''
    request.on('data', chunk => (body += chunk))
    request.on('end', () => {
      try {
        answer(state, request.method, url, body === '' ? {} : JSON.parse(body), json, refuse, response)
      } catch (error) {
        refuse(500, 'failed', String(error))
      }
    })
  })
  return new Promise(resolve => server.listen(port, '127.0.0.1', () => resolve({
    origin: `http://127.0.0.1:${server.address().port}`, state,
    close: () => { server.closeAllConnections(); server.close() },
  })))
}

function answer(state, method, url, body, json, refuse, response) {
  const path = url.pathname.slice('/api/v1'.length)
  if (path === '/session') return json(200, { schema: 'freezeframe-session/1', user: 'grace', roles: state.roles, by: 'session', version: '0.1.0' })
  if (path === '/login') {
    if (body.token !== 'right' && body.password !== 'right' && body.once === undefined) return refuse(401, 'unauthorized', 'user or password is wrong', ['after 5 wrong ones the door stays shut for a minute'])
    state.signedIn = true
    return json(200, { schema: 'freezeframe-session/1', user: 'grace', roles: state.roles, by: 'session', version: '0.1.0' })
  }
  if (path === '/logout') {
    state.signedIn = false
    return json(200, {})
  }
  if (path === '/fleet') return json(200, fleet(state.empty))
  if (path === '/fleet/history') return json(200, history(state.empty))
  if (path === '/incidents') return json(200, { schema: 'freezeframe-incidents/1', incidents: state.empty ? [] : Object.entries(stories).map(([id, story]) => ({ ...overview(story), id })) })
  if (path === '/events') {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.write(`event: hello\ndata: ${JSON.stringify({ schema: 'freezeframe-events/1', version: '0.1.0', now: at(0) })}\n\n`)
    response.write(`event: fleet\ndata: ${JSON.stringify(fleet(state.empty))}\n\n`)
    state.watchers.add(response)
    response.on('close', () => state.watchers.delete(response))
    return undefined
  }
  const [, id, rest] = /^\/incidents\/([A-Z]+-\d+)(\/.*)?$/.exec(path) ?? []
  const story = stories[id]
  if (story === undefined) return refuse(404, 'not_found', 'there is no such incident', ['freezeframe incidents lists them'])
  const of = (map, first) => { if (!map.has(id)) map.set(id, first); return map.get(id) }
  const notes = of(state.notes, id === 'INC-6' ? [] : [{ schema: 'freezeframe-note/1', incident: id, id: 1, at: at(-minutes(6)), who: 'grace', text: 'E-books weigh nothing: total_weight is 0 for a basket of digital goods.\nRolling back does not help, the coupon is new.' }])
  const audit = of(state.audit, id === 'INC-6' ? [] : [{ incident: id, at: at(-minutes(7)), who: 'grace', action: 'acknowledge', detail: '' }])
  const tell = (name, data) => state.watchers.forEach(watcher => watcher.write(`event: ${name}\ndata: ${JSON.stringify(data)}\n\n`))
  const change = changes => {
    Object.assign(story, changes)
    const { failing: _failing, sections: _sections, source: _source, ...status } = overview(story)
    tell('incident', { ...status, id })
  }
  const write = (action, detail) => {
    audit.push({ incident: id, at: at(0), who: 'grace', action, detail })
    tell('audit', audit.at(-1))
  }
  const thread = number => overview(story).failing?.id === number ? overview(story).failing : REAL.threads.find((one, n) => one.id === number || (id === 'INC-7' && number > 26_000 && n === 1))
  if (rest === '/overview') {
    const sections = Object.keys(SECTIONS).map(name => ({ name, title: TITLES[name], count: SECTIONS[name](id).length }))
    return json(200, { ...overview(story), id, sections })
  }
  if (rest === '/notes' && method === 'POST') {
    const note = { schema: 'freezeframe-note/1', incident: id, id: notes.length + 1, at: at(0), who: 'grace', text: body.text }
    notes.push(note)
    tell('note', note)
    return json(200, note)
  }
  if (rest === '/notes') return json(200, { schema: 'freezeframe-notes/1', notes })
  if (rest === '/audit') return json(200, { schema: 'freezeframe-audit/1', entries: audit })
  if (rest === '/markdown') return response.writeHead(200, { 'content-type': 'text/markdown' }).end(`# ${id}: attempt to divide by zero\n`)
  const section = /^\/sections\/(\w+)$/.exec(rest)?.[1]
  if (section !== undefined) {
    if (state.failSection === section) return json(200, { schema: '', total: 1, items: [{ broken: true }] })
    const items = SECTIONS[section](id)
    const [offset, limit] = [Number(url.searchParams.get('offset') ?? 0), Number(url.searchParams.get('limit') ?? 100)]
    return json(200, { schema: 'freezeframe-section/1', incident: id, title: TITLES[section], total: items.length, offset, limit, name: section, items: items.slice(offset, offset + limit) })
  }
  const tid = /^\/threads\/(\d+)$/.exec(rest)?.[1]
  if (tid !== undefined) {
    const found = thread(Number(tid))
    return found === undefined ? refuse(404, 'not_found', 'there is no such thread') : json(200, { schema: 'freezeframe-thread/1', incident: id, ...found, id: Number(tid) })
  }
  if (rest === '/source') {
    const frame = thread(Number(url.searchParams.get('thread')))?.frames[Number(url.searchParams.get('frame'))]
    return json(200, { schema: 'freezeframe-source/1', file: frame?.file ?? '', line: frame?.line ?? 0, lines: [], origin: 'none', from: null, why: 'no source directory is configured (source.directories)' })
  }
  if (rest === '/inspect') {
    const children = many(200, n => variable(`[${body.offset + n}]`, 'i64', String(n)))
    if (/nope|cent$/.test(body.expression)) return json(404, { error: { kind: 'not_found', message: 'there is no nope', hints: [], expression: { obstacle: 'not_found', start: 0, end: 4, what: 'there is no variable nope here', why: '', instead: ['total_weight', 'coupon_cents'] } } })
    return json(200, { schema: 'freezeframe-value/1', incident: id, expression: body.expression, thread: body.thread, frame: body.frame, function: '', source: 'process', note: null, value: body.expression.includes('*') ? variable(body.expression, 'i64', '1000') : variable(body.expression, 'Vec<i64>', null, children) })
  }
  if (rest === '/reveal') {
    write('reveal', `${body.expression}: ${body.reason}`)
    return json(200, { schema: 'freezeframe-value/1', incident: id, expression: body.expression, thread: body.thread, frame: body.frame, function: '', source: 'process', note: null, value: variable(body.expression, 'String', '"s3ss10n-0f-gr4c3"') })
  }
  if (rest === '/acknowledge') {
    write('acknowledge', '')
    change({ owner: 'grace', acknowledged_at: at(0) })
    return json(200, { schema: 'freezeframe-owner/1', incident: id, owner: 'grace', acknowledged_at: at(0) })
  }
  if (['/extend', '/release', '/kill', '/core'].includes(rest)) {
    write(rest.slice(1), JSON.stringify(body))
    const { hold } = overview(story)
    if (rest === '/extend') change({ hold: { ...hold, lease_until: new Date(Date.parse(hold.lease_until) + body.by_ms).toISOString() } })
    if (rest === '/release') change({ state: 'released', hold: { ...hold, pid: null, lease_until: null } })
    if (rest === '/kill') change({ state: 'killed', hold: { ...hold, pid: null, lease_until: null } })
    return json(200, { schema: 'freezeframe-action/1', action: rest.slice(1), pid: 4121, message: `${rest.slice(1)}: done` })
  }
  return refuse(404, 'not_found', 'there is no such path')
}

function page(root, url, response) {
  const headers = { 'content-security-policy': POLICY, 'x-content-type-options': 'nosniff' }
  const wanted = normalize(url.pathname)
  const file = wanted.startsWith('/assets/') ? join(root, wanted) : join(root, 'index.html')
  if (!existsSync(file)) return response.writeHead(404, headers).end()
  return response.writeHead(200, { ...headers, 'content-type': KINDS[extname(file)] ?? 'application/octet-stream' }).end(readFileSync(file))
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { origin } = await stage(join(HERE, '..', 'dist'), Number(process.argv[2] ?? 7171))
  console.log(`${origin}/i/INC-1`)
}
