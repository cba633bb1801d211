// All threads; the one that is chosen is shown above, with its stack, source and variables.

import { useMemo, useState } from 'preact/hooks'
import type { ThreadLine } from '../api/types'
import { Filter, matcher } from '../parts/filter'
import { FunctionName } from '../parts/marks'
import { Nothing, Pending } from '../parts/pending'
import { narrow } from '../parts/screen'
import { Virtual } from '../parts/virtual'
import { counted, plain } from '../model/words'
import { look, type Incident } from '../state/incident'
import type { Section, SectionProperties } from './section'

function Threads({ incident }: SectionProperties) {
  return (
    <Pending of={incident.section('threads')} what="the threads">
      {({ items, total }) => items.length === 0 ? <Nothing>No thread was captured.</Nothing> : <Lines incident={incident} items={items} total={total} />}
    </Pending>
  )
}

function Lines({ incident, items, total }: { incident: Incident; items: readonly ThreadLine[]; total: number }) {
  const [filter, setFilter] = useState('')
  const [cursor, setCursor] = useState<number | null>(null)
  const shown = useMemo(() => {
    const matches = matcher(filter)
    return matches === null ? items : items.filter(line => matches(`${line.id} ${line.name} ${line.activity} ${line.function} ${line.place}`))
  }, [items, filter])
  const focused = incident.focus.value?.thread.id
  const selected = shown.findIndex(line => line.id === (cursor ?? focused))
  const show = (at: number) => {
    const line = shown[at]
    if (line === undefined) return
    look({ thread: line.failing ? null : line.id, frame: null })
    document.getElementById('site')?.scrollIntoView({ block: 'nearest' })
  }
  return (
    <>
      <Filter label="Filter the threads" value={filter} onChange={setFilter} shown={filter === '' ? counted(total, 'thread') : `${shown.length} of ${total}`} />
      <Virtual
        label="Threads"
        role="listbox"
        class="threads"
        count={shown.length}
        height={narrow.value ? 62 : 26}
        keyOf={at => shown[at]!.id}
        selected={selected}
        onSelect={at => {
          setCursor(shown[at]!.id)
          show(at)
        }}
        onOpen={show}
        row={at => {
          const line = shown[at]!
          return {
            class: line.failing ? 'failing' : '',
            content: (
              <>
                <span class="mark" aria-hidden="true">{line.failing ? '✖' : line.blocked_on?.owner != null ? '⧗' : ''}</span>
                <span class="id">{line.id}</span>
                <span class="name">{plain(line.name)}{line.failing && <span class="sr"> (failing)</span>}</span>
                <span class={`activity ${line.blocked_on?.owner != null ? 'warn' : ''}`}>{plain(line.activity)}</span>
                <span class="top">{line.function === '' ? <span class="soft">no frames</span> : <FunctionName of={line.function} />} <span class="place">{plain(line.place)}</span></span>
              </>
            ),
          }
        }}
      />
    </>
  )
}

export const threads: Section = { name: 'threads', title: 'Threads', hint: 'all threads and what they were doing', view: Threads }
