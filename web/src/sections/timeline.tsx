// Everything that is known to have happened, on one axis of time.

import { useMemo, useState } from 'preact/hooks'
import type { MomentShape } from '../api/types'
import { Filter, matcher } from '../parts/filter'
import { At } from '../parts/marks'
import { Nothing, Pending } from '../parts/pending'
import { narrow } from '../parts/screen'
import { Virtual } from '../parts/virtual'
import { counted, offset, plain } from '../model/words'
import type { Section, SectionProperties } from './section'

const MARKS: Record<string, string> = {
  journey: '→', request: '→', log: '≡', trap: '✖', stopped: '◼', fingerprinted: '#', unrouted: '⊘', replaced: '✔', resumed: '▸', captured: '◉', held: '●',
  stored: '▣', alert: '!', action: '☞', note: '✎', state: '◇', deploy: '⇧',
}

function Timeline({ incident, overview }: SectionProperties) {
  return (
    <Pending of={incident.section('timeline')} what="the timeline">
      {({ items }) => items.length === 0 ? <Nothing>Nothing is known of the time around the error.</Nothing> : <Moments items={items} trap={Date.parse(overview.captured_at)} />}
    </Pending>
  )
}

function Moments({ items, trap }: { items: readonly MomentShape[]; trap: number }) {
  const [filter, setFilter] = useState('')
  const atTrap = items.findIndex(item => item.kind === 'trap')
  const [selected, setSelected] = useState(atTrap)
  const shown = useMemo(() => {
    const matches = matcher(filter)
    return matches === null ? items : items.filter(item => matches(`${item.kind} ${item.text} ${item.who ?? ''}`))
  }, [items, filter])
  return (
    <>
      <Filter label="Filter the timeline" value={filter} onChange={setFilter} shown={filter === '' ? counted(items.length, 'moment') : `${shown.length} of ${items.length}`} />
      <Virtual
        label="Timeline"
        role="list"
        class="moments"
        count={shown.length}
        height={narrow.value ? 44 : 26}
        selected={selected}
        onSelect={setSelected}
        row={at => {
          const item = shown[at]!
          return {
            class: `${item.kind} ${item.is_bad ? 'bad' : ''}`,
            content: (
              <>
                <At at={item.at} precise />
                <span class="offset">{item.kind === 'trap' ? 'the error' : offset(Date.parse(item.at) - trap)}</span>
                <span class="mark" aria-hidden="true">{item.is_bad && item.kind !== 'trap' ? '⚠\ufe0e' : MARKS[item.kind] ?? '·'}</span>
                <span class="kind">{item.kind}</span>
                <span class="text" title={plain(item.text)}>{plain(item.text)}</span>
                {item.who !== null && <span class="who">{plain(item.who)}</span>}
              </>
            ),
          }
        }}
      />
    </>
  )
}

export const timeline: Section = { name: 'timeline', title: 'Timeline', hint: 'what happened, in the order of time', view: Timeline }
