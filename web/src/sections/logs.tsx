// The last lines that the instance wrote.

import { useMemo, useRef, useState } from 'preact/hooks'
import type { LogShape } from '../api/types'
import { Filter, matcher } from '../parts/filter'
import { At } from '../parts/marks'
import { Nothing, Pending } from '../parts/pending'
import { characterWidth, columns, narrow, useWidth } from '../parts/screen'
import { Virtual } from '../parts/virtual'
import { counted, plain } from '../model/words'
import type { Section, SectionProperties } from './section'

const LINE_PX = 19
const PADDING_PX = 3
/** Lines that one entry may take. */
const MAX_LINES = 60

function Logs({ incident }: SectionProperties) {
  return (
    <Pending of={incident.section('logs')} what="the logs">
      {({ items, total }) => items.length === 0
        ? <Nothing>The instance wrote nothing before the error.</Nothing>
        : <Lines items={items} total={total} />}
    </Pending>
  )
}

/** What a line is about, as most loggers write it. */
export function levelOf(text: string): 'error' | 'warn' | 'debug' | '' {
  const level = /\b(ERROR|FATAL|CRITICAL|PANIC|panicked|WARN(?:ING)?|INFO|DEBUG|TRACE)\b/.exec(text.slice(0, 200))?.[1]
  if (level === undefined || level === 'INFO') return ''
  if (level.startsWith('WARN')) return 'warn'
  return level === 'DEBUG' || level === 'TRACE' ? 'debug' : 'error'
}

/** Colours of a terminal are nothing to read. */
function readable(text: string): string {
  return plain(text.replace(/\u001b\[[0-9;:]*[mK]/g, '').replaceAll('\t', '    '))
}

function Lines({ items, total }: { items: readonly LogShape[]; total: number }) {
  const [filter, setFilter] = useState('')
  const [onlyBad, setOnlyBad] = useState(false)
  const [selected, setSelected] = useState(-1)
  const box = useRef<HTMLDivElement>(null)
  const width = useWidth(box)
  const lines = useMemo(() => items.map(item => {
    const text = readable(item.text)
    return { item, text, level: levelOf(text) }
  }), [items])
  const shown = useMemo(() => {
    const matches = matcher(filter)
    return lines.filter(line => (!onlyBad || line.level === 'error' || line.level === 'warn') && (matches === null || matches(line.text)))
  }, [lines, filter, onlyBad])
  const heights = useMemo(() => {
    const gutter = narrow.value ? 24 : 180
    const room = Math.max(10, Math.floor((width - gutter) / characterWidth()))
    const above = narrow.value ? 1 : 0
    return shown.map(line => (above + Math.min(MAX_LINES, Math.max(1, Math.ceil(columns(line.text) / room)))) * LINE_PX + PADDING_PX)
  }, [shown, width, narrow.value])
  const all = items.length === total ? counted(total, 'line') : `${items.length.toLocaleString('en')} of ${counted(total, 'line')} read`
  return (
    <>
      <Filter label="Filter the logs" value={filter} onChange={setFilter} shown={shown.length === items.length ? all : `${shown.length.toLocaleString('en')} of ${all}`}>
        <label class="check"><input type="checkbox" checked={onlyBad} onChange={event => setOnlyBad(event.currentTarget.checked)} />errors and warnings</label>
      </Filter>
      <div class="fill" ref={box}>
        <Virtual
          label="Logs, oldest first"
          role="list"
          class="logs"
          count={shown.length}
          height={heights}
          selected={selected < 0 ? -1 : selected}
          onSelect={setSelected}
          row={at => {
            const { item, text, level } = shown[at]!
            return {
              class: level,
              content: (
                <>
                  <span class="when"><At at={item.at} precise /> <span class={`stream ${item.stream}`}>{item.stream}</span></span>
                  <span class="text">{text}</span>
                </>
              ),
            }
          }}
        />
      </div>
    </>
  )
}

export const logs: Section = { name: 'logs', title: 'Logs', hint: 'the last lines that the instance wrote', view: Logs }
