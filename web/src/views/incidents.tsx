// All incidents, those that are held first.

import { useEffect, useMemo, useState } from 'preact/hooks'
import { get } from '../api/client'
import { Resource } from '../api/resource'
import type { IncidentList, IncidentSummary } from '../api/types'
import { Filter, matcher } from '../parts/filter'
import { At, State } from '../parts/marks'
import { Nothing, Pending } from '../parts/pending'
import { narrow } from '../parts/screen'
import { Virtual } from '../parts/virtual'
import { counted, countdown, plain, shortPlace } from '../model/words'
import { go } from '../model/route'
import { now } from '../state/clock'
import { listen, watch } from '../state/live'

/** As many as the daemon gives at once. */
const LIMIT = 1000

export const list = new Resource(() => get<IncidentList>(`/api/v1/incidents?limit=${LIMIT}`))

export function openIncident(id: string): void {
  go({ view: 'incident', id, thread: null, frame: null, tab: null })
}

export function IncidentsPage() {
  useEffect(() => {
    document.title = 'Incidents'
    list.refresh()
    watch(null)
    return listen({
      incident: status => {
        const old = list.value.peek()
        if (old === undefined) return
        const known = old.incidents.some(one => one.id === status.id)
        list.value.value = { ...old, incidents: known ? old.incidents.map(one => (one.id === status.id ? status : one)) : [status, ...old.incidents] }
      },
      resync: () => void list.reload(),
    })
  }, [])
  return (
    <main class="incidents" id="content">
      <h1>Incidents</h1>
      <Pending of={list.want()} what="the incidents">
        {({ incidents }) => incidents.length === 0
          ? <Nothing>Nothing broke yet. When it does, it is here, held where it broke.</Nothing>
          : <Lines incidents={incidents} />}
      </Pending>
    </main>
  )
}

/** The held ones are what somebody waits for. */
export function isOpen(incident: IncidentSummary): boolean {
  return incident.state === 'held' || incident.state === 'draining'
}

function Lines({ incidents }: { incidents: readonly IncidentSummary[] }) {
  const [filter, setFilter] = useState('')
  const [cursor, setCursor] = useState<string | null>(null)
  const shown = useMemo(() => {
    const matches = matcher(filter)
    const found = matches === null ? incidents : incidents.filter(one => matches(`${one.id} ${one.state} ${one.message} ${one.sentence} ${one.instance} ${one.build_id} ${one.kind}`))
    return [...found.filter(isOpen), ...found.filter(one => !isOpen(one))]
  }, [incidents, filter])
  const selected = shown.findIndex(one => one.id === cursor)
  const held = incidents.filter(isOpen).length
  return (
    <>
      <Filter label="Filter the incidents" value={filter} onChange={setFilter} shown={filter === '' ? `${counted(incidents.length, 'incident')}, ${held} held` : `${shown.length} of ${incidents.length}`} />
      <Virtual
        label="Incidents, held ones first"
        role="listbox"
        class="incident-list"
        count={shown.length}
        height={narrow.value ? 96 : 58}
        keyOf={at => shown[at]!.id}
        selected={selected}
        onSelect={at => setCursor(shown[at]!.id)}
        onOpen={at => openIncident(shown[at]!.id)}
        opens
        row={at => {
          const one = shown[at]!
          return {
            class: one.state,
            content: (
              <>
                <span class="id">{one.id}</span>
                <span class="mark"><State of={one.state} /></span>
                <span class="what">
                  <strong>{plain((one.message || one.sentence).split('\n')[0] ?? '')}</strong>
                  <span class="soft">{one.message === '' ? plain(shortPlace(one.site.file, one.site.line)) : plain(one.sentence)}</span>
                </span>
                <span class="count">{one.count > 1 ? `${one.count.toLocaleString('en')}×` : ''}</span>
                <span class="lease soft">{one.hold.lease_until !== null && <>lease <b class="mono">{countdown(Date.parse(one.hold.lease_until) - now.value)}</b></>}</span>
                <span class="when soft"><At at={one.captured_at} relative /></span>
              </>
            ),
          }
        }}
      />
    </>
  )
}
