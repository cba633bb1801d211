// The fleet: does it serve, how much, how fast, what is held, and how much room is left.

import { signal } from '@preact/signals'
import { useEffect } from 'preact/hooks'
import { get } from '../api/client'
import { Resource } from '../api/resource'
import type { FleetAnswer, FleetInstance, HistoryAnswer } from '../api/types'
import { offer } from '../keys/commands'
import { Boundary } from '../parts/boundary'
import { cursor, HeatMap, RateChart, Readout } from '../parts/charts'
import { State } from '../parts/marks'
import { Nothing, Pending } from '../parts/pending'
import { merged, percentile } from '../model/heat'
import { ago, amount, bytes, clock, countdown, duration, plain, shortPlace } from '../model/words'
import { now } from '../state/clock'
import { fleet as live, listen, unwatch, watch } from '../state/live'
import { isOpen, list } from './incidents'

/** A column is ten seconds. */
const AGAIN_MS = 10_000

const first = new Resource(() => get<FleetAnswer>('/api/v1/fleet'))
const history = new Resource(() => get<HistoryAnswer>('/api/v1/fleet/history'))
const asTable = signal(false)

export function FleetPage() {
  useEffect(() => {
    document.title = 'Fleet'
    first.refresh()
    history.refresh()
    list.refresh()
    watch(null)
    const timer = setInterval(() => { if (!document.hidden && cursor.peek() === null) void history.reload() }, AGAIN_MS)
    const stop = listen({
      incident: () => {
        list.refresh()
        history.refresh()
      },
      resync: () => {
        list.refresh()
        history.refresh()
        first.refresh()
      },
    })
    return () => {
      clearInterval(timer)
      stop()
      unwatch()
    }
  }, [])
  useEffect(() => offer(() => [{ title: asTable.value ? 'Latency as a heat map' : 'Latency as a table', group: 'Page', key: 'Shift+T', run: () => (asTable.value = !asTable.peek()) }]), [])
  const state = live.value ?? first.want().value.value
  return (
    <main class="fleet" id="content">
      {state === undefined ? <Pending of={first} what="the fleet">{() => null}</Pending> : (
        <>
          <Boundary what="the summary"><Summary of={state} /></Boundary>
          <div class="charts">
            <section class="card" aria-labelledby="rate">
              <h2 id="rate"><span>Rate and shed</span><Legend /><span class="grow" /><Pending of={history.want()} what="the hour">{hour => <Readout history={hour} />}</Pending></h2>
              <Boundary what="the rate"><Pending of={history} what="the hour">{hour => <RateChart history={hour} />}</Pending></Boundary>
            </section>
            <section class="card" aria-labelledby="latency">
              <h2 id="latency"><span>Latency</span><span class="soft">every request, logarithmic</span><span class="grow" /><button class="small" aria-pressed={asTable.value} onClick={() => (asTable.value = !asTable.value)}>As a {asTable.value ? 'heat map' : 'table'}</button></h2>
              <Boundary what="the latency"><Pending of={history} what="the hour">{hour => asTable.value ? <LatencyTable history={hour} /> : <HeatMap history={hour} />}</Pending></Boundary>
            </section>
          </div>
          <aside>
            <section class="card" aria-labelledby="open"><h2 id="open">Held processes <span class="soft">{state.held} of at most {state.held_max}{state.held_bytes > 0 && ` · ${bytes(state.held_bytes)} of ${bytes(state.held_bytes_max)}`}</span></h2><Boundary what="the held processes"><Held of={state} /></Boundary></section>
            <section class="card" aria-labelledby="gate"><h2 id="gate">Gate</h2><Boundary what="the gate"><Gate of={state} /></Boundary></section>
          </aside>
          <section class="card instances" aria-labelledby="instances">
            <h2 id="instances">Instances <span class="soft">{plain(state.service)}</span></h2>
            <Boundary what="the instances"><Instances of={state.instances} /></Boundary>
          </section>
        </>
      )}
    </main>
  )
}

function Legend() {
  return <span class="legend soft"><i class="requests" />requests <i class="shed" />shed <i class="errors" />5xx</span>
}

function Summary({ of }: { of: FleetAnswer }) {
  const well = of.serving >= of.wanted
  const share = (part: number) => part === 0 ? '0 %' : part < 0.001 ? '< 0.1 %' : `${(part * 100).toFixed(1)} %`
  const figure = (name: string, value: string, state = '') => <div><dt>{name}</dt><dd class={state}>{value}</dd></div>
  return (
    <header class="summary">
      <h1>
        <span class={well ? 'good' : 'warn'} aria-hidden="true">{well ? '●' : '⚠\ufe0e'}</span>
        {' '}{of.serving}/{of.wanted} serving
        <span class="soft">, {of.held} held, {of.spares} {of.spares === 1 ? 'spare' : 'spares'}{of.spares < of.spares_wanted && ` of ${of.spares_wanted}`}</span>
      </h1>
      <dl>
        {figure('rate', `${amount(of.rate_per_s)}/s`)}
        {figure('shed', share(of.shed_share), of.shed_share > 0.01 ? 'warn' : '')}
        {figure('5xx', share(of.error_share), of.error_share > 0.01 ? 'bad' : '')}
        {figure('p50', of.p50_ms === null ? '–' : duration(of.p50_ms))}
        {figure('p99', of.p99_ms === null ? '–' : duration(of.p99_ms))}
      </dl>
    </header>
  )
}

function Held({ of }: { of: FleetAnswer }) {
  const known = list.want().value.value?.incidents.filter(isOpen) ?? []
  const held = of.instances.filter(instance => instance.incident !== null)
  if (held.length === 0) return <Nothing>Nothing is held.</Nothing>
  return (
    <ul class="held">
      {held.map(instance => {
        const incident = known.find(one => one.id === instance.incident)
        const left = instance.lease_until === null ? null : Date.parse(instance.lease_until) - now.value
        return (
          <li key={instance.id}>
            <a href={`/i/${instance.incident}`}>
              <strong>{instance.incident}</strong> <span>{plain((incident?.message || incident?.sentence || '').split('\n')[0] ?? '')}</span>
            </a>
            <p class="soft">
              {plain(instance.name)}
              {incident !== undefined && incident.site.file !== '' && <> · <span class="mono">{plain(shortPlace(incident.site.file, incident.site.line))}</span></>}
              {instance.memory_bytes !== null && ` · ${bytes(instance.memory_bytes)}`}
              {left !== null && <> · lease <b class={`mono ${left < 15 * 60_000 ? 'warn' : ''}`}>{left <= 0 ? 'over' : countdown(left)}</b></>}
            </p>
          </li>
        )
      })}
    </ul>
  )
}

function Gate({ of }: { of: FleetAnswer }) {
  if (of.gate.length === 0) return <Nothing>The gate has no services.</Nothing>
  return (
    <dl class="gate">
      {of.gate.map(service => {
        const room = service.in_flight_max === null ? null : service.in_flight_max * Math.max(1, service.instances)
        return (
          <div key={service.name}>
            <dt>{plain(service.name)} <span class="soft">{service.instances} in routing</span></dt>
            <dd><Gauge name="in flight" value={service.in_flight} max={room} /></dd>
            <dd><Gauge name="queued" value={service.queued} max={service.queue_max === 0 ? null : service.queue_max} /></dd>
          </div>
        )
      })}
    </dl>
  )
}

function Gauge({ name, value, max }: { name: string; value: number; max: number | null }) {
  const part = max === null ? 0 : Math.min(1, value / max)
  return (
    <div class="gauge">
      <span>{name}</span>
      <span class="bar" aria-hidden="true"><span class={part > 0.9 ? 'full' : ''} style={{ width: `${part * 100}%` }} /></span>
      <span class="mono">{value}<span class="soft"> / {max === null ? 'no limit' : max}</span></span>
    </div>
  )
}

function Instances({ of }: { of: readonly FleetInstance[] }) {
  if (of.length === 0) return <Nothing>No instance was started.</Nothing>
  const order = ['serving', 'draining', 'held', 'starting', 'spare', 'stopping']
  const sorted = of.toSorted((a, b) => order.indexOf(a.role) - order.indexOf(b.role) || a.id - b.id)
  return (
    <div class="wide-table" tabIndex={0} role="region" aria-label="Table of instances">
      <table class="plain">
        <thead><tr><th>Name</th><th>State</th><th>Build</th><th class="number">Rate</th><th class="number">p99</th><th class="number">In flight</th><th class="number">Memory</th><th class="number">Age</th><th>Traps</th><th>Held for</th></tr></thead>
        <tbody>
          {sorted.map(instance => (
            <tr key={instance.id}>
              <th scope="row">{plain(instance.name)} {instance.pid !== null && <span class="soft">pid {instance.pid}</span>}</th>
              <td><State of={instance.role} /></td>
              <td class="mono">{instance.build_id.slice(0, 7) || <span class="soft">–</span>}</td>
              <td class="number">{instance.role === 'serving' ? `${amount(instance.rate_per_s)}/s` : <span class="soft">–</span>}</td>
              <td class="number">{instance.p99_ms === null ? <span class="soft">–</span> : duration(instance.p99_ms)}</td>
              <td class="number">{instance.in_flight}</td>
              <td class="number">{instance.memory_bytes === null ? <span class="soft">–</span> : bytes(instance.memory_bytes)}</td>
              <td class="number" title={instance.started_at}>{ago(instance.started_at, now.value).replace(' ago', '')}</td>
              <td>{instance.armed ? <span class="soft">armed</span> : <span class="warn" title={instance.not_armed_because ?? ''}>⚠{'\ufe0e'} {plain(instance.not_armed_because ?? 'not armed')}</span>}</td>
              <td>{instance.incident === null ? '' : <a href={`/i/${instance.incident}`}>{instance.incident}</a>}{instance.lease_until !== null && <span class="soft"> {countdown(Date.parse(instance.lease_until) - now.value)}</span>}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  )
}

/** The heat map's figures, minute by minute, the last one first. */
function LatencyTable({ history }: { history: HistoryAnswer }) {
  const minute = Math.max(1, Math.round(60 / history.column_s))
  const rows = []
  for (let end = history.columns.length; end > 0; end -= minute) rows.push(history.columns.slice(Math.max(0, end - minute), end))
  if (rows.length === 0) return <Nothing>No request ended in the last hour.</Nothing>
  const cell = (ms: number | null) => <td class="number">{ms === null ? '–' : duration(ms)}</td>
  const sum = (of: readonly number[]) => of.reduce((total, one) => total + one, 0)
  return (
    <div class="latency-table" tabIndex={0} role="region" aria-label="Latency by minute">
      <table class="plain">
        <thead><tr><th>From (UTC)</th><th class="number">Requests</th><th class="number">Shed</th><th class="number">5xx</th><th class="number">p50</th><th class="number">p90</th><th class="number">p99</th><th class="number">p99.9</th><th class="number">Longest</th></tr></thead>
        <tbody>
          {rows.map(columns => {
            const all = merged(columns.map(column => column.buckets))
            return (
              <tr key={columns[0]!.at}>
                <th scope="row" class="mono">{clock(columns[0]!.at)}</th>
                <td class="number">{sum(columns.map(column => column.requests)).toLocaleString('en')}</td>
                <td class="number">{sum(columns.map(column => column.shed)).toLocaleString('en')}</td>
                <td class="number">{sum(columns.map(column => column.errors)).toLocaleString('en')}</td>
                {cell(percentile(all, 0.5))}{cell(percentile(all, 0.9))}{cell(percentile(all, 0.99))}{cell(percentile(all, 0.999))}{cell(percentile(all, 1))}
              </tr>
            )
          })}
        </tbody>
      </table>
    </div>
  )
}
