// The request that failed, what else was in flight, and what the same user did before.

import type { RequestLine } from '../api/types'
import { At } from '../parts/marks'
import { Nothing, Pending } from '../parts/pending'
import { duration, plain } from '../model/words'
import type { Section, SectionProperties } from './section'

/** How the failing one was recognised: a guess is called one. */
const RECOGNISED: Record<string, string> = {
  span: 'named by the service’s own span',
  only_one: 'the only one in flight',
  memory: 'its traceparent was found in the failing thread’s memory',
  last_after_drain: 'the only one left after the drain',
  unknown: 'a guess',
}

function Request({ incident, overview }: SectionProperties) {
  return (
    <Pending of={incident.section('request')} what="the request">
      {({ items }) => {
        const of = (role: string) => items.filter(line => line.role === role)
        const failing = of('failing')
        return (
          <div class="scroll pad" tabIndex={0} role="region" aria-label="Requests">
            <h3>The failing request</h3>
            {failing.length === 0
              ? <p>Not recognised: {overview.request.description}. <span class="soft">A service that passes on <code>traceparent</code>, or uses the SDK’s span, is recognised.</span></p>
              : failing.map(line => (
                <p key={line.exchange.traceparent}>
                  <strong class="mono">{plain(line.exchange.method)} {plain(line.exchange.path)}</strong>
                  {' '}<span class="soft">{RECOGNISED[line.matched_by ?? ''] ?? plain(line.matched_by ?? '')}</span>
                  {line.exchange.traceparent !== '' && <span class="soft"> · traceparent <code>{plain(line.exchange.traceparent)}</code></span>}
                </p>
              ))}
            <h3>What this user did before</h3>
            <Exchanges of={of('journey')} none="Nothing that the gate knows of the same session." />
            <h3>In flight at the same time</h3>
            <Exchanges of={of('in_flight')} none={overview.request.in_flight > 1 ? `${overview.request.in_flight - 1} others, of which nothing else was kept.` : 'No other request.'} />
          </div>
        )
      }}
    </Pending>
  )
}

function Exchanges({ of, none }: { of: readonly RequestLine[]; none: string }) {
  if (of.length === 0) return <Nothing>{none}</Nothing>
  return (
    <table class="plain">
      <thead><tr><th>UTC</th><th>Request</th><th>Status</th><th>Took</th><th>Instance</th><th>Outcome</th></tr></thead>
      <tbody>
        {of.map(({ exchange }, at) => (
          <tr key={at} class={exchange.status >= 500 ? 'bad' : ''}>
            <td><At at={exchange.at} precise /></td>
            <td class="mono wide">{plain(exchange.method)} {plain(exchange.path)}</td>
            <td class="number">{exchange.status === 0 ? <span class="soft">under way</span> : exchange.status}</td>
            <td class="number">{exchange.status === 0 ? '' : duration(exchange.duration_ms)}</td>
            <td class="number">{exchange.instance ?? ''}</td>
            <td>{plain(exchange.outcome.replaceAll('_', ' '))}{exchange.retried && ', retried'}{exchange.detail !== null && `: ${plain(exchange.detail)}`}</td>
          </tr>
        ))}
      </tbody>
    </table>
  )
}

export const request: Section = { name: 'request', title: 'Request', hint: 'the failing request, its journey, others in flight', view: Request }
