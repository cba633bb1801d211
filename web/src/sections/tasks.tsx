// Asynchronous tasks; those with the same stack are one line, because a server has thousands of them in a handful of places.

import { useMemo, useState } from 'preact/hooks'
import type { FrameShape, TaskShape } from '../api/types'
import { Filter, matcher } from '../parts/filter'
import { FunctionName } from '../parts/marks'
import { Nothing, Pending } from '../parts/pending'
import { narrow } from '../parts/screen'
import { Virtual } from '../parts/virtual'
import { counted, place, plain, shortPlace } from '../model/words'
import type { Section, SectionProperties } from './section'

const WORDS: Record<string, string> = { idle: 'waiting' }

export interface TaskGroup {
  key: string
  first: TaskShape
  ids: number[]
  count: number
}

/** Those that run first, then the largest groups. */
export function groups(tasks: readonly TaskShape[]): TaskGroup[] {
  const found = new Map<string, TaskGroup>()
  for (const task of tasks) {
    const stack = task.frames.map(frame => `${frame.function}\u0000${frame.file}:${frame.line}`).join('\u0001')
    const key = [task.state, task.name, task.waits_for, task.thread, stack].join('\u0002')
    const group = found.get(key) ?? { key, first: task, ids: [], count: 0 }
    group.count += 1
    if (task.id !== null) group.ids.push(task.id)
    found.set(key, group)
  }
  const running = (group: TaskGroup) => Number(group.first.state !== 'running')
  return [...found.values()].sort((a, b) => running(a) - running(b) || b.count - a.count)
}

function Tasks({ incident }: SectionProperties) {
  return (
    <Pending of={incident.section('tasks')} what="the tasks">
      {({ items }) => items.length === 0 ? <Nothing>No asynchronous tasks were found.</Nothing> : <Groups tasks={items} />}
    </Pending>
  )
}

type Row = { kind: 'group'; group: TaskGroup } | { kind: 'frame'; frame: FrameShape; number: number; key: string } | { kind: 'note'; text: string; key: string }

function Groups({ tasks }: { tasks: readonly TaskShape[] }) {
  const [filter, setFilter] = useState('')
  const [open, setOpen] = useState<ReadonlySet<string>>(new Set())
  const [selected, setSelected] = useState(-1)
  const all = useMemo(() => groups(tasks), [tasks])
  const shown = useMemo(() => {
    const matches = matcher(filter)
    return matches === null ? all : all.filter(({ first }) => matches(`${first.name} ${first.state} ${first.waits_for ?? ''} ${first.frames.map(frame => frame.function).join(' ')}`))
  }, [all, filter])
  const rows = useMemo(() => shown.flatMap((group): Row[] => {
    const head: Row = { kind: 'group', group }
    if (!open.has(group.key)) return [head]
    const { first } = group
    const spawned = first.spawned_at === null ? '' : `, spawned at ${place(first.spawned_at.file, first.spawned_at.line)}`
    const ids = group.ids.length === 0 ? '' : `: ${group.ids.slice(0, 12).join(', ')}${group.ids.length > 12 ? ', …' : ''}`
    return [
      head,
      { kind: 'note', text: `${counted(group.count, 'task')}${ids}${spawned}`, key: `${group.key}.note` },
      ...first.frames.map((frame, number): Row => ({ kind: 'frame', frame, number, key: `${group.key}.${number}` })),
    ]
  }), [shown, open])
  const toggle = (at: number) => {
    const row = rows[at]
    if (row?.kind !== 'group') return
    const next = new Set(open)
    if (!next.delete(row.group.key)) next.add(row.group.key)
    setOpen(next)
  }
  return (
    <>
      <Filter label="Filter the tasks" value={filter} onChange={setFilter} shown={`${counted(tasks.length, 'task')} in ${counted(shown.length, 'place')}`} />
      <Virtual
        label="Tasks by what they do"
        role="listbox"
        class="tasks"
        count={rows.length}
        height={narrow.value ? 46 : 26}
        keyOf={at => { const row = rows[at]!; return row.kind === 'group' ? row.group.key : row.key }}
        selected={selected}
        onSelect={setSelected}
        onOpen={toggle}
        opens
        row={at => {
          const row = rows[at]!
          if (row.kind === 'note') return { class: 'note', content: <span class="soft">{plain(row.text)}</span> }
          if (row.kind === 'frame') {
            return {
              class: `frame ${row.frame.kind === 'user' ? 'own' : 'other'}`,
              content: <><span class="number">{row.number}</span><FunctionName of={row.frame.function} /> <span class="place" title={plain(row.frame.file)}>{plain(shortPlace(row.frame.file, row.frame.line))}</span></>,
            }
          }
          const { first, count, key } = row.group
          const own = first.frames.find(frame => frame.kind === 'user') ?? first.frames[0]
          return {
            class: `group ${first.state}`,
            content: (
              <>
                <span class="twist" aria-hidden="true">{open.has(key) ? '▾' : '▸'}</span>
                <span class="count">{count > 1 ? `${count} ×` : ''}</span>
                <span class="name"><FunctionName of={first.name} /></span>
                <span class="activity">{WORDS[first.state] ?? first.state}{first.thread !== null ? ` on thread ${first.thread}` : first.waits_for === null ? '' : ` for ${plain(first.waits_for)}`}</span>
                <span class="place">{own === undefined ? '' : plain(shortPlace(own.file, own.line))}</span>
              </>
            ),
          }
        }}
      />
    </>
  )
}

export const tasks: Section = { name: 'tasks', title: 'Tasks', hint: 'asynchronous tasks and what they wait for', view: Tasks }
