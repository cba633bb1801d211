// Everything that is known to have happened, on one axis of time.

import { useMemo, useState } from 'preact/hooks'
import type { MomentShape } from '../api/types'
import { Filter, matcher } from '../parts/filter'
import { At } from '../parts/marks'
import { Nothing, Pending } from '../parts/pending'
import { narrow } from '../parts/screen'
import { Virtual } from '../parts/virtual'
import { counted, offset, plain } from '../model/words'
import { look } from '../state/incident'
import type { Section, SectionProperties } from './section'

/** More lines of log in a row than this are one moment: a backtrace must not hide what happened before and after it. */
const RUN = 3

/** A moment, or the lines of log that it stands for. */
export interface Entry {
  moment: MomentShape
  lines: number
}

/** Puts runs of log lines together; the first one that says something speaks for all. */
export function folded(moments: readonly MomentShape[]): Entry[] {
  const entries: Entry[] = []
  for (let at = 0; at < moments.length;) {
    let end = at
    while (end < moments.length && moments[end]!.kind === 'log') end++
    if (end - at > RUN) {
      const run = moments.slice(at, end)
      entries.push({ moment: run.find(line => line.text.trim() !== '') ?? run[0]!, lines: run.length })
      at = end
    } else entries.push({ moment: moments[at++]!, lines: 1 })
  }
  return entries
}

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
  const shown = useMemo(() => {
    const matches = matcher(filter)
    if (matches === null) return folded(items)
    return items.filter(item => matches(`${item.kind} ${item.text} ${item.who ?? ''}`)).map((moment): Entry => ({ moment, lines: 1 }))
  }, [items, filter])
  const [chosen, setChosen] = useState<MomentShape | null>(null)
  const at = shown.findIndex(({ moment }) => (chosen === null ? moment.kind === 'trap' : moment === chosen))
  return (
    <>
      <Filter label="Filter the timeline" value={filter} onChange={setFilter} shown={filter === '' ? counted(shown.length, 'moment') : `${shown.length} of ${items.length}`} />
      <Virtual
        label="Timeline"
        role="list"
        class="moments"
        count={shown.length}
        height={narrow.value ? 44 : 26}
        selected={at}
        onSelect={at => setChosen(shown[at]!.moment)}
        onOpen={at => { if (shown[at]!.moment.kind === 'log') look({ tab: 'logs' }) }}
        row={at => {
          const { moment: item, lines } = shown[at]!
          return {
            class: `${item.kind} ${item.is_bad ? 'bad' : ''}`,
            content: (
              <>
                <At at={item.at} precise />
                <span class="offset">{item.kind === 'trap' ? 'the error' : offset(Date.parse(item.at) - trap)}</span>
                <span class="mark" aria-hidden="true">{item.is_bad && item.kind !== 'trap' ? '⚠\ufe0e' : MARKS[item.kind] ?? '·'}</span>
                <span class="kind">{item.kind}</span>
                <span class="text" title={plain(item.text)}>{lines > 1 && <span class="tag">{counted(lines, 'line')}</span>}{plain(item.text)}</span>
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
